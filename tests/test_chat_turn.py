"""The tour: one chat turn in one direction, step by step as DESIGN §4 and the README's table list them.

The real program, a scripted model server, and a browser's requests made by hand.
"""

import asyncio
import json
import re

import asyncpg
import httpx

from tests.conftest import StartProgram
from tests.people import csrf_of
from tests.scripted.dialects import OPENAI
from tests.scripted.server import ScriptedServer
from tests.scripted.steps import Wait

HTMX = {"hx-request": "true"}


async def test_one_turn_from_the_form_to_the_stored_answer(server: StartProgram, database_url: str) -> None:
    async with ScriptedServer() as models, httpx.AsyncClient(timeout=120) as browser:
        program = await server(database_url=database_url)
        browser.base_url = httpx.URL(program.base_url)
        await become_owner(browser, program.owner_link)
        await connect(browser, models.url_for(OPENAI))
        database = await asyncpg.connect(database_url)

        # 1  The composer: a form with the text, the model and a request id made when it was drawn.
        page = (await browser.get("/")).text
        form = {
            "_csrf": csrf_of(page),
            "text": "What drifts over the harbour?",
            "model": found(r'<option value="([^"]+)"[^>]* selected', page),
            "request_id": found(r'name="request_id" value="([^"]+)"', page),
        }

        # 2–4  The POST: question, empty answer, generation and job are committed before the answer to it comes.
        is_watched = asyncio.Event()
        pieces = OPENAI.answer(("Seven ", "quiet ", "lanterns."), usage=(9, 3), per_second=20)
        models.script(OPENAI.head(), Wait(is_watched), *pieces[1:])
        sent = await browser.post("/threads", data=form)
        assert sent.status_code == 303
        address = sent.headers["location"]
        assert await database.fetchval("SELECT count(*) FROM message") == 2
        # The same request again, for ever: the same turn.
        assert (await browser.post("/threads", data=form)).headers["location"] == address

        # 10–12  One event stream per open page, from where the page was drawn; finished blocks once, the open one redrawn.
        drawn = (await browser.get(address)).text
        cursor = found(r"/events\?at=([\w.]+)", drawn)
        seen: list[str] = []
        async with browser.stream("GET", f"{address}/events", params={"at": cursor}) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            is_watched.set()
            async for line in stream.aiter_lines():
                seen.append(line)
                if line == "event: message":
                    break
        assert any("<hx-partial" in line for line in seen)

        # 5–9  Meanwhile a worker claimed the generation, built the request, called the model, logged its deltas.
        asked = await models.next_question()
        assert asked.json["messages"] == [{"role": "user", "content": form["text"]}]
        generation = await database.fetchrow("SELECT * FROM generation")
        assert (generation["state"], generation["attempt"]) == ("ended", 1)
        answer = await database.fetchrow("SELECT * FROM message WHERE role = 'assistant'")
        rows = await database.fetch(
            "SELECT seq, body FROM delta WHERE generation_id = $1 ORDER BY seq", generation["id"]
        )
        assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
        assert "".join(row["body"] for row in rows) == answer["content"] == "Seven quiet lanterns."
        assert (answer["status"], answer["input_tokens"], answer["output_tokens"]) == ("complete", 9, 3)

        # 13  One partial draws every state: what the page fetches now is what a fresh page draws.
        partial = (await browser.get(f"/messages/{answer['id']}", headers=HTMX)).text
        article = re.search(
            rf'<article id="message-{answer["id"]}".*?</article>', (await browser.get(address)).text, re.DOTALL
        )
        assert article is not None
        assert without_nonces(partial) == without_nonces(article[0])

        # Everything that was sent can be read, word for word.
        request = (await browser.get(f"/messages/{answer['id']}/request")).text
        shown = json.loads(found(r'<pre class="json"[^>]*>(.*?)</pre>', request).replace("&#34;", '"'))
        assert shown == asked.json
        await database.close()


async def become_owner(browser: httpx.AsyncClient, link: str) -> None:
    page = (await browser.get(link, follow_redirects=True)).text
    form = {"_csrf": csrf_of(page), "name": "Olive", "email": "olive@example.org", "password": "correct horse battery"}
    form["token"] = found(r'name="token" value="([^"]+)"', page)
    assert (await browser.post("/first-run", data=form)).status_code == 303


async def connect(browser: httpx.AsyncClient, base_url: str) -> None:
    page = (await browser.get("/providers")).text
    form = {
        "_csrf": csrf_of(page),
        "kind": "openai",
        "name": "Harbour",
        "base_url": base_url,
        "key": "",
        "allows_private": "true",
    }
    assert (await browser.post("/providers", data=form)).status_code == 303


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.DOTALL)
    assert match is not None, pattern
    return match[1]


def without_nonces(html: str) -> str:
    return re.sub(r'(hx-nonce|value)="[\w-]+"|\s+', " ", html)
