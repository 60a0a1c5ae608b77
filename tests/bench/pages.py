"""Pages: how heavy the chat page is, how long threads and long lists take the server, sending in a long thread."""

import re
import time
import uuid

import msgspec

from tests.bench.instance import Instance
from tests.bench.timed_tab import TimedTab
from tests.bench.turns import percentile
from tests.wire import Answer, Caller, Line

_LINKED = re.compile(rb'(?:href|src)="(/static/[^"#]+)')
_IMPORTED = re.compile(rb'(?:from|import) ?"(\.{0,2}/[^"]+\.js)"')
_GZIP = "accept-encoding: gzip, br, zstd"
REPEATS = 15


class Weight(msgspec.Struct, frozen=True):
    """What a browser with an empty cache loads for the page of a thread, headers included."""

    wire_bytes: int
    requests: int


async def weigh_page(instance: Instance) -> Weight:
    """The page, all that it links, and what its modules import."""
    caller, thread = await _someone_with(instance, 2)
    page = await caller.fetch(caller.get(f"/threads/{thread}", _GZIP))
    plain = await caller.fetch(caller.get(f"/threads/{thread}"))
    wire_bytes, seen = page.wire_bytes, set[str]()
    paths = [found.decode() for found in _LINKED.findall(plain.body)]
    while paths:
        path = paths.pop()
        if path in seen:
            continue
        seen.add(path)
        wire_bytes += (await caller.fetch(caller.get(path, _GZIP, accept="*/*"))).wire_bytes
        if path.partition("?")[0].endswith(".js"):
            source = (await caller.fetch(caller.get(path, accept="*/*"))).body
            paths += [_beside(path, found.decode()) for found in _IMPORTED.findall(source)]
    return Weight(wire_bytes, 1 + len(seen))


async def time_thread(instance: Instance, messages: int) -> float:
    """Milliseconds until the page of a thread with so many messages is there: the median."""
    caller, thread = await _someone_with(instance, messages)
    return await _time(caller, caller.get(f"/threads/{thread}", _GZIP))


async def time_sidebar(instance: Instance, threads: int) -> float:
    """Milliseconds for one page of the sidebar of somebody with so many threads: the median."""
    caller, user = await instance.add_caller()
    await instance.add_threads(user, threads)
    await instance.database.execute("ANALYZE thread")
    return await _time(caller, caller.get("/threads", "hx-request: true"))


async def time_search(instance: Instance, threads: int) -> float:
    """Milliseconds to find threads by a part of their title, for somebody with so many: the median."""
    caller, user = await instance.add_caller()
    await instance.add_threads(user, threads)
    await instance.database.execute("ANALYZE thread")
    return await _time(caller, caller.get("/threads?q=thread%2099", _GZIP))


async def time_models(instance: Instance, models: int) -> float:
    """Milliseconds until the page of models is there, of an owner with so many, narrowed down to nothing: the median."""
    caller, user = await instance.add_caller()
    await instance.database.execute("UPDATE users SET is_owner = true WHERE id = $1", user)
    await instance.add_models(models)
    taken = await _time(caller, caller.get("/models", _GZIP))
    await instance.forget_models()
    return taken


async def time_sending(instance: Instance, messages: int) -> float:
    """Milliseconds until a send is answered, in a thread with so many messages: the median of five turns."""
    taken: list[float] = []
    caller, thread = await _someone_with(instance, messages)
    for _ in range(5):
        page = TimedTab(caller, thread, instance.model)
        await page.open()
        await page.turn(f"Tell me of {uuid.uuid4()}.", 60)
        if page.fault:
            raise RuntimeError(page.fault)
        taken.append(page.post_seconds * 1000)
    return percentile(taken, 50)


async def _someone_with(instance: Instance, messages: int) -> tuple[Caller, str]:
    caller, user = await instance.add_caller()
    (thread,) = await instance.add_threads(user, 1)
    if messages:
        await instance.fill_thread(thread, messages)
    await instance.database.execute("ANALYZE message")
    return caller, thread


async def _time(caller: Caller, request: bytes) -> float:
    line = await caller.line()
    taken = [await _timed(line, request) for _ in range(REPEATS)]
    line.close()
    return percentile(taken, 50)


async def _timed(line: Line, request: bytes) -> float:
    began = time.perf_counter()
    answer: Answer = await line.send(request)
    if answer.status != 200:
        raise RuntimeError(f"a page answered {answer.status}")
    return (time.perf_counter() - began) * 1000


def _beside(path: str, relative: str) -> str:
    """The address that an import in a module means."""
    if relative.startswith("/"):
        return relative
    folder = path.partition("?")[0].rsplit("/", 1)[0].split("/")
    for step in relative.split("/"):
        if step == "..":
            folder.pop()
        elif step != ".":
            folder.append(step)
    return "/".join(folder)
