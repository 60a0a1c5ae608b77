"""A server of files for downloads: real sockets, ranges, and every fault on demand. See `FileServer`.

As a process of its own: `python -m tests.file_server FOLDER --port 0 --rate 1000000` prints its address on one line and
serves what is in the folder, at so many bytes a second.
"""

import argparse
import asyncio
import contextlib
import hashlib
import re
import signal
import struct
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from typing import Self
from urllib.parse import unquote

PIECE_BYTES = 64 * 1024


@dataclass
class Asked:
    """One request: its path, its headers in small letters, and how many bytes of the body were sent."""

    path: str
    headers: dict[str, str]
    sent_bytes: int = 0

    @property
    def begins_at(self) -> int:
        """From which byte on the file was asked for."""
        found = re.fullmatch(r"bytes=(\d+)-\d*", self.headers.get("range", ""))
        return int(found[1]) if found else 0


@dataclass
class FileServer:
    """Serves `files` by path, and what is in `folder`. What follows may be changed at any time, for what is asked later.

    `has_ranges`: answer with a part where one is asked for. `etag`: one for everything; None: the content's hash; "": none.
    `cut_after`: reset the line after so many bytes of each body; `cuts_left`: only so many times. `hold_after`: send
    nothing more after so many bytes until `release`. `rate`: bytes a second. `length_error`: what is added to the length
    that is told. `redirects`: path → address. `answers`: path → status, headers, body. `key`: what must come as a bearer.
    """

    folder: Path | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    has_ranges: bool = True
    has_length: bool = True
    etag: str | None = None
    cut_after: int | None = None
    cuts_left: int | None = None
    hold_after: int | None = None
    rate: float | None = None
    length_error: int = 0
    content_type: str = "application/octet-stream"
    redirects: dict[str, str] = field(default_factory=dict)
    answers: dict[str, tuple[int, Mapping[str, str], bytes]] = field(default_factory=dict)
    key: str = ""
    requests: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.open_connections = 0
        self._linked: dict[str, str] = {}
        self._etags: dict[int, tuple[bytes, str]] = {}
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._released = asyncio.Event()

    @property
    def base_url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def url(self, path: str) -> str:
        return f"{self.base_url}/{path.lstrip('/')}"

    def add_to_hub(self, name: str, content: bytes) -> None:
        """Have `org/repo/file.gguf` as a hub does: it redirects to where the file is, and says its size and SHA-256."""
        org, repo, file = name.split("/", 2)
        digest = hashlib.sha256(content).hexdigest()
        path = f"/{org}/{repo}/resolve/main/{file}"
        self.files[f"/cdn/{digest}"] = content
        self.redirects[path] = f"/cdn/{digest}?signature=1"
        self._linked[path] = f'X-Linked-Size: {len(content)}\r\nX-Linked-Etag: "{digest}"\r\n'

    def release(self) -> None:
        """Let everything go on that is held. What is asked for later is held again if `hold_after` says so again."""
        self.hold_after = None
        self._released.set()
        self._released = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._welcome, "127.0.0.1", port)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        task.add_done_callback(lambda _: writer.close())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open_connections += 1
        try:
            while True:
                first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                asked = Asked(unquote(first.split(" ")[1].partition("?")[0]), headers)
                self.requests.append(asked)
                if not await self._answer(asked, reader, writer):
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open_connections -= 1
            writer.close()

    async def _answer(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the line may be used again."""
        if (
            self.key
            and asked.headers.get("authorization") != f"Bearer {self.key}"
            and not asked.path.startswith("/cdn/")
        ):
            return self._whole(writer, 401, {}, b"who are you")
        if asked.path in self.redirects:
            headers = f"Location: {self.redirects[asked.path]}\r\n{self._linked.get(asked.path, '')}"
            writer.write(f"HTTP/1.1 302 Found\r\n{headers}Content-Length: 0\r\n\r\n".encode())
            return True
        if asked.path in self.answers:
            return self._whole(writer, *self.answers[asked.path])
        content = self._content(asked.path)
        if content is None:
            return self._whole(writer, 404, {}, b"no such file")
        return await self._file(asked, content, reader, writer)

    def _whole(self, writer: asyncio.StreamWriter, status: int, headers: Mapping[str, str], body: bytes) -> bool:
        told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {status} Scripted\r\n{told}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return True

    def _content(self, path: str) -> bytes | None:
        if path in self.files or path.lstrip("/") in self.files:
            return self.files.get(path, self.files.get(path.lstrip("/")))
        if self.folder is not None and ".." not in path and (self.folder / path.lstrip("/")).is_file():
            return (self.folder / path.lstrip("/")).read_bytes()
        return None

    async def _file(
        self, asked: Asked, content: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        etag = self._etag_of(content) if self.etag is None else self.etag
        total = len(content)
        headers = f"Content-Type: {self.content_type}\r\n" + (f"ETag: {etag}\r\n" if etag else "")
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.headers.get("range", "")) if self.has_ranges else None
        if found and asked.headers.get("if-range", etag) == etag:
            begin, end = int(found[1]), min(int(found[2]) if found[2] else total - 1, total - 1)
            if begin >= total:
                return self._whole(writer, 416, {"Content-Range": f"bytes */{total}"}, b"")
            content = content[begin : end + 1]
            top = f"HTTP/1.1 206 Partial\r\nContent-Range: bytes {begin}-{end}/{total}\r\n"
        else:
            top = "HTTP/1.1 200 OK\r\n"
        length = (
            f"Content-Length: {len(content) + self.length_error}\r\n" if self.has_length else "Connection: close\r\n"
        )
        writer.write(f"{top}{headers}{length}\r\n".encode())
        await self._send(asked, content, reader, writer)
        return self.has_length and not self.length_error

    def _etag_of(self, content: bytes) -> str:
        """Large files are looked through once."""
        if id(content) not in self._etags:
            self._etags[id(content)] = (content, f'"{zlib.crc32(content):08x}-{len(content)}"')
        return self._etags[id(content)][1]

    async def _send(
        self, asked: Asked, content: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while asked.sent_bytes < len(content):
            stops = [
                stop for stop in (self.cut_after, self.hold_after) if stop is not None and stop >= asked.sent_bytes
            ]
            stop = min([len(content), *stops])
            if stop == asked.sent_bytes:
                if stop == self.cut_after and self.cuts_left != 0:
                    await self._cut(writer)
                if stop == self.hold_after:
                    await self._wait_for_release(reader)
                stop = len(content)
            piece = content[asked.sent_bytes : min(stop, asked.sent_bytes + PIECE_BYTES)]
            writer.write(piece)
            await writer.drain()
            asked.sent_bytes += len(piece)
            if self.rate:
                await asyncio.sleep(len(piece) / self.rate)

    async def _wait_for_release(self, reader: asyncio.StreamReader) -> None:
        released = self._released
        while not released.is_set():
            if reader.at_eof():
                raise ConnectionResetError
            await asyncio.sleep(0.01)

    async def _cut(self, writer: asyncio.StreamWriter) -> None:
        if self.cuts_left is not None:
            self.cuts_left -= 1
        await asyncio.sleep(0.1)  # a reset takes along what its receiver has not read yet
        writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        raise ConnectionAbortedError


async def serve(folder: Path, port: int, rate: float | None) -> None:
    server = FileServer(folder, rate=rate)
    await server.start(port)
    print(server.base_url, flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await server.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.file_server", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--rate", type=float, default=None, help="bytes a second")
    args = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(args.folder, args.port, args.rate))
    sys.exit(0)


if __name__ == "__main__":
    main()
