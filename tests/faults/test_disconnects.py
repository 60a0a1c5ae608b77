"""Cut streams, seven tabs, lies about where a page stood, readers too slow: every page ends up the same."""

import asyncio
import contextlib
import random
import socket
import time

import psutil
import pytest

from app.database import new_id
from tests.e2e.model_server import ModelServer
from tests.faults.drawn_tab import DrawnArticle, DrawnTab
from tests.faults.renderers import serve
from tests.faults.site import Site, Visitor
from tests.scripted import LAST_CHUNK, OPENAI, Paced, Repeat, Send, Wait, chunk
from tests.tiers import in_tiers
from tests.watching import PROGRAM_SECONDS, until, within

ANSWER = """# Harbour

Seven *quiet* lanterns drift over the [harbour](https://example.org/a), and `nobody` speaks.

1. first
2. second
   - nested **bold**

| a | b |
|---|---|
| 1 | 2 |

```python
def drift(lanterns: int) -> str:
    return "over " * lanterns
```

> A quotation & <b>hostile</b> markup.

The end[^1], with $x^2$ and a last line.

[^1]: A note.
"""


@pytest.mark.parametrize(("cuts", "threads"), in_tiers((30, 6), (200, 20)))
async def test_cut_streams_leave_every_page_as_a_fresh_one(
    site: Site, models: ModelServer, cuts: int, threads: int
) -> None:
    gate = asyncio.Event()
    thoughts = [chunk(OPENAI.thought(f"thought {n}. ")) for n in range(12)]
    pieces = [chunk(OPENAI.text(ANSWER[n : n + 4])) for n in range(0, len(ANSWER), 4)]
    last = Send(chunk(OPENAI.finish("stop", (5, 99))) + LAST_CHUNK)
    models.defaults[OPENAI.kind] = (OPENAI.head(), Paced((*thoughts, *pieces), 30), Wait(gate), last)
    web = await serve(site, seconds=PROGRAM_SECONDS)
    process = psutil.Process(web.process.pid)
    alice = await site.person(web.base_url)
    turns = [await alice.begin(f"one {n}") for n in range(threads)]
    before = (process.num_fds(), process.memory_info().rss)
    tabs = [await alice.tab(turn.thread, is_prose=False).open() for turn in turns]

    async def torment(tab: DrawnTab) -> None:
        for number in range(cuts // threads):
            await tab.until(lambda tab: tab.is_connected)
            await asyncio.sleep(random.uniform(0.0, 0.3))
            running = tab.running
            lies = ["999999.zzz.5", "0", "nonsense", "1.2.3.4.5", f"1.{running.short}.99999" if running else "", "2"]
            tab.cut(claim=random.choice(lies) if number % 3 == 2 else None)

    await asyncio.gather(*map(torment, tabs))
    await site.until(_IS_LOGGED, threads, "thought 11. ", ANSWER[-20:])
    # In the middle of the answer, and again at its end.
    for tab, turn in zip(tabs, turns, strict=True):
        fresh = DrawnArticle((await alice.client.get(f"/messages/{turn.answer}", headers={"hx-request": "true"})).text)
        shown = tab.articles[fresh.id]
        if shown.seq != fresh.seq:
            await tab.until(lambda tab, fresh=fresh: tab.articles[fresh.id].seq == fresh.seq)
        assert tab.articles[fresh.id].body.outer() == fresh.body.outer()
    gate.set()
    for tab, turn in zip(tabs, turns, strict=True):
        await tab.until(lambda tab, turn=turn: tab.shows_end(str(turn.answer)))
        fresh_tab = await alice.tab(turn.thread, is_prose=False).open()
        assert drawn(tab) == drawn(fresh_tab)
        await fresh_tab.close()
    assert sum(tab.connects for tab in tabs) >= cuts + threads
    for tab in tabs:
        await tab.close()
    await site.checker.check()
    # I12: what the cut streams held was given back.
    most = before[0] + 45  # the client keeps up to 40 connections for later
    await until(f"no more than {most} descriptors", lambda: process.num_fds() <= most, shows=process.num_fds)
    assert process.memory_info().rss < before[1] + 60_000_000


async def test_seven_tabs_and_two_devices_show_the_same(site: Site, models: ModelServer) -> None:
    gate = asyncio.Event()
    gate.set()
    pieces = tuple(chunk(OPENAI.text(ANSWER[n : n + 7])) for n in range(0, len(ANSWER), 7))
    last = Send(chunk(OPENAI.finish("stop", (5, 99))) + LAST_CHUNK)
    models.defaults[OPENAI.kind] = (OPENAI.head(), Paced(pieces, 60), Wait(gate), last)
    web = await serve(site, seconds=PROGRAM_SECONDS)
    alice = await site.person(web.base_url)
    turn = await alice.begin("one")
    tabs = [await alice.tab(turn.thread, is_prose=False).open() for _ in range(7)]
    for number in range(3):
        await asyncio.gather(*(tab.until(lambda tab: tab.articles and tab.running is None) for tab in tabs))
        # Two send at once: one turn is begun, the other one is told that an answer is being written.
        gate.clear()
        answers = await asyncio.gather(*(_send(alice, f"go on {number} {n}", turn.thread) for n in range(2)))
        assert sorted(answers) == [200, 409]
        gate.set()
        await asyncio.gather(*(tab.until(lambda tab, n=number: len(tab.articles) == 4 + 2 * n) for tab in tabs))
    await site.until_final()
    await asyncio.gather(*(tab.until(lambda tab: tab.running is None) for tab in tabs))
    assert len({drawn(tab) for tab in tabs}) == 1
    for tab in tabs:
        await tab.close()
    await site.checker.check()


async def test_a_reader_of_one_byte_a_second_is_dropped(site: Site, models: ModelServer) -> None:
    word = chunk(OPENAI.text("a long word and " * 40))
    last = Send(chunk(OPENAI.finish("stop", (5, 99))) + LAST_CHUNK)
    models.defaults[OPENAI.kind] = (OPENAI.head(), Repeat(word, 4_000, 0.004), last)
    web = await site.serve()
    process = psutil.Process(web.process.pid)
    alice = await site.person(web.base_url)
    turn = await alice.begin("one")
    loop = asyncio.get_running_loop()
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.setblocking(False)
        await loop.sock_connect(slow, (alice.client.base_url.host, alice.client.base_url.port))
        request = (
            f"GET /threads/{turn.thread}/events HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: parley={alice.token}\r\n"
            "Accept: text/event-stream\r\n\r\n"
        )
        await loop.sock_sendall(slow, request.encode())
        assert await loop.sock_recv(slow, 12) == b"HTTP/1.1 200"
        before, began = process.memory_info().rss, time.monotonic()
        most, port = 0, slow.getsockname()[1]
        async with within("the slow reader is dropped", 2 * PROGRAM_SECONDS):
            while any(c.raddr and c.raddr.port == port for c in process.net_connections()):
                with contextlib.suppress(ConnectionError):  # dropped since we looked
                    await loop.sock_recv(slow, 1)
                most = max(most, process.memory_info().rss)
                await asyncio.sleep(1)
    assert time.monotonic() - began > 10
    assert most < before + 60_000_000
    await alice.stop(turn.answer)
    await site.until_final()
    await site.checker.check()


def drawn(tab: DrawnTab) -> str:
    """All that a tab shows of its thread."""
    return "\n".join(a.html() for a in sorted(tab.articles.values(), key=lambda a: a.depth))


async def _send(alice: Visitor, text: str, thread: object) -> int:
    form = {"text": text, "model": str(alice.site.model), "request_id": str(new_id())}
    return (await alice.post(f"/threads/{thread}/messages", **form)).status_code


_IS_LOGGED = """
SELECT count(*) = $1 FROM (
    SELECT string_agg(body, '' ORDER BY seq) AS text FROM delta GROUP BY generation_id
) AS log WHERE text LIKE '%' || $2 || '%' AND right(text, 20) = $3
"""
