"""The floor: the least that Python does for a token, in the same libraries, on the same core, on the same day.

It reads fifty answers of the scripted model, commits each piece of them in one INSERT and one NOTIFY every 20 ms, and sends
each as a frame. No request, no turn, no Markdown, no page that comes back, nothing that could go wrong. What Parley
takes is to be read beside it: how fast a machine is differs between days more than between versions.
"""

import asyncio
import contextlib
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import msgspec
import psutil
import uvloop

from tests.bench import cost
from tests.bench.instance import OURS, Instance, on_core
from tests.programs import ROOT

STREAMS = 50
FLUSH_SECONDS = 0.02

_INSERT = """
WITH added AS (
    INSERT INTO delta (generation_id, seq, kind, body) SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[])
)
SELECT pg_notify('floor', $5)::text
"""


class _Delta(msgspec.Struct):
    content: str = ""


class _Choice(msgspec.Struct):
    delta: _Delta


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []


async def measure_floor(instance: Instance, model_server: str, tokens: int) -> float:
    """Processor seconds per 1,000 tokens, Postgres included."""
    with _running(instance.database_url, model_server) as (process, port):
        before = _spent(process, instance)
        read = await asyncio.gather(*(_read(port, place / STREAMS) for place in range(STREAMS)))
        spent = _spent(process, instance) - before
    if any(frames < tokens / 2 for frames in read):
        raise RuntimeError(f"{min(read)} frames for {tokens} tokens")
    return spent / (tokens * STREAMS / 1000)


@contextlib.contextmanager
def _running(database_url: str, model_server: str) -> Iterator[tuple[psutil.Process, int]]:
    command = [sys.executable, "-m", "tests.bench.floor", database_url, model_server]
    with on_core(OURS):
        server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        yield psutil.Process(server.pid), port
    finally:
        server.terminate()
        server.wait(10)


def _spent(process: psutil.Process, instance: Instance) -> float:
    return sum(process.cpu_times()[:2]) + cost.share_of_postgres(instance.processes)


async def _read(port: int, delay_seconds: float) -> int:
    await asyncio.sleep(delay_seconds)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    frames = 0
    while line := await reader.readline():
        frames += line.startswith(b"data:")
    writer.close()
    return frames


class _Floor:
    def __init__(
        self, database: "asyncpg.Connection[asyncpg.Record]", client: aiohttp.ClientSession, model: str
    ) -> None:
        self._database = database
        self._client = client
        self._model = model
        self._waiting: list[tuple[uuid.UUID, int, str, asyncio.StreamWriter]] = []
        self._wake = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One page that watches one answer."""
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        generation, seq = uuid.uuid4(), 0
        async for text in self._tokens():
            seq += 1
            self._waiting.append((generation, seq, text, writer))
            self._wake.set()
        await asyncio.sleep(2 * FLUSH_SECONDS)
        writer.close()

    async def _tokens(self) -> AsyncIterator[str]:
        question = {"model": "scripted", "stream": True, "messages": [{"role": "user", "content": "Tell me."}]}
        async with self._client.post(f"{self._model}/v1/chat/completions", json=question) as response:
            async for piece in response.content.iter_any():
                for line in piece.split(b"\n"):
                    if line.startswith(b"data: {"):
                        for choice in msgspec.json.decode(line[6:], type=_Chunk).choices:
                            if choice.delta.content:
                                yield choice.delta.content

    async def flush(self) -> None:
        """Commit what waits, then send it."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(FLUSH_SECONDS)
            self._wake.clear()
            batch, self._waiting = self._waiting, []
            generations, numbers, texts, writers = zip(*batch, strict=True)
            names = ",".join(generation.hex for generation in set(generations))
            await self._database.fetchval(_INSERT, generations, numbers, ["text"] * len(batch), texts, names)
            for generation, seq, text, writer in zip(generations, numbers, texts, writers, strict=True):
                where = generation.hex[:12]
                html = f"<hx-partial hx-target=#t-{where} hx-swap=append>{text}</hx-partial>"
                frame = f"id:1.{where}.{seq - 1}.{seq}\ndata: {html}\n\n"
                writer.write(frame.encode())


async def _serve(database_url: str, model_server: str) -> None:
    database: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(database_url)
    await database.execute("SET synchronous_commit = off")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
        floor = _Floor(database, client, "{0.scheme}://{0.netloc}".format(urlsplit(model_server)))
        server = await asyncio.start_server(floor.answer, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await floor.flush()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(_serve(sys.argv[1], sys.argv[2]))
