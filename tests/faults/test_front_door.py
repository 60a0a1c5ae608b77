"""The front door of the real program: floods of sockets and heads while someone with a session goes on working."""

import asyncio
import contextlib
import socket

import psutil

from app.cli.front_door import Limits
from tests.faults.site import Site
from tests.watching import PROGRAM_SECONDS, until

HALF = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
LIMITS = Limits()


class Flood:
    """Raw connections to one address."""

    def __init__(self, base_url: str) -> None:
        self.host, _, port = base_url.removeprefix("http://").partition(":")
        self.port = int(port)
        self._writers: list[asyncio.StreamWriter] = []

    async def send(self, data: bytes) -> asyncio.StreamReader:
        """On a connection of its own. The server may hang up meanwhile."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        self._writers.append(writer)
        with contextlib.suppress(ConnectionError):
            writer.write(data)
            await writer.drain()
        return reader

    def close(self) -> None:
        """All of them."""
        for writer in self._writers:
            writer.close()


def established(pid: int, port: int) -> int:
    """How many connections the server has on this port."""
    found = psutil.Process(pid).net_connections("tcp")
    return sum(one.status == psutil.CONN_ESTABLISHED and one.laddr.port == port for one in found)


async def until_established(pid: int, port: int, least: int, most: int) -> None:
    """Wait until the server has so many connections."""
    await until(
        f"{least} to {most} connections are open",
        lambda: least <= established(pid, port) <= most,
        PROGRAM_SECONDS,
        shows=lambda: established(pid, port),
    )


async def test_a_flood_leaves_a_person_with_a_session_undisturbed(site: Site) -> None:
    web = await site.serve()
    alice = await site.person(web.base_url)
    assert (await alice.client.get("/")).status_code == 200
    flood = Flood(web.base_url)
    process = psutil.Process(web.process.pid)
    files = process.num_fds()
    cpu = process.cpu_times().user
    await flood.send(b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 60_000_000 + b"\r\n\r\n")
    assert process.cpu_times().user - cpu < 1.0

    async def is_served_during_the_flood() -> bool:
        """A busy machine may need so long that the half-sent heads have been given up meanwhile."""
        for _ in range(300):
            await flood.send(HALF)
        for _ in range(3):
            assert (await alice.client.get("/profile")).status_code == 200
        return established(process.pid, flood.port) > LIMITS.waiting_per_address / 2

    await until("Alice is served while the flood waits", is_served_during_the_flood, PROGRAM_SECONDS)
    # Alice's own connections come on top.
    await until_established(process.pid, flood.port, 1, LIMITS.waiting_per_address + 40)
    device = await site.device(alice, web.base_url)
    assert (await device.client.get("/profile")).status_code == 200
    flood.close()
    await until(
        f"no more than {files + 4} descriptors",
        lambda: process.num_fds() <= files + 4,
        PROGRAM_SECONDS,
        shows=process.num_fds,
    )


async def test_a_trusted_proxy_is_exempt_from_the_limit_per_address(site: Site) -> None:
    web = await site.serve(environment={"PARLEY_TRUSTED_PROXIES": "127.0.0.1"})
    flood = Flood(web.base_url)

    async def are_all_open() -> bool:
        """Each waits for its head for ten seconds, which a busy machine may need for fewer of them."""
        for _ in range(200):
            await flood.send(HALF)
        for _ in range(100):
            if established(web.process.pid, flood.port) >= 200:
                return True
            await asyncio.sleep(0.02)
        return False

    await until("200 connections are open", are_all_open, PROGRAM_SECONDS)
    flood.close()


async def test_the_port_of_a_worker_has_the_same_limits_and_accepts_any_host(site: Site) -> None:
    given = {"PARLEY_HOST": "0.0.0.0", "PARLEY_PUBLIC_URL": "https://chat.example.org"}
    with socket.socket() as holder:  # bound and not listening: nobody else gets the port meanwhile
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        await site.worker(environment={**given, "PARLEY_WORKER_PORT": str(port)})
    flood = Flood(f"http://127.0.0.1:{port}")
    for request, status in (
        (b"GET /health HTTP/1.1\r\nHost: worker-1:9100\r\n\r\n", b"200"),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400"),
        (b"GET /health HTTP/1.1\r\nX-Long: " + b"x" * LIMITS.head_bytes, b"431"),
    ):
        reader = await flood.send(request)
        assert (await reader.readline()).split()[1] == status
    flood.close()
