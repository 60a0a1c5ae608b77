"""Names whose name server is silent hold up nobody: not calls to addresses, not other names, not the end of the process."""

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvloop

from app.providers.addresses import fault_of_url, resolve
from app.providers.base import Account
from app.providers.client import make_client
from app.providers.errors import Unreachable
from app.providers.names import MAX_THREADS, LookUps
from app.providers.openai import OpenAI
from tests.providers.conftest import KEY, PATIENT, eventually
from tests.scripted import OPENAI, ScriptedServer
from tests.watching import within

#: Far above what anything here takes on a busy machine, and far below how long a hung look-up lasts.
AT_ONCE_SECONDS = 60.0


class NameServer:
    """`getaddrinfo` whose look-ups of `hung-….example` end when the test does; other names are this machine, or none."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.end = threading.Event()

    def getaddrinfo(self, host: str, _port: None, **_options: Any) -> list[Any]:
        self.asked.append(host)
        if host.startswith("hung"):
            self.end.wait(280)
        if host.startswith("none"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]


@pytest.fixture
def names() -> Iterator[NameServer]:
    found = NameServer()
    yield found
    found.end.set()


@contextlib.asynccontextmanager
async def hanging(look_ups: LookUps, count: int) -> Any:
    """So many names are being looked up, and none of them is found."""
    tasks = [asyncio.create_task(resolve(f"hung-{number}.example", look_ups)) for number in range(count)]
    await asyncio.sleep(0.05)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("count", [2, 8, 3 * MAX_THREADS])
async def test_this_machine_is_called_while_look_ups_hang(
    names: NameServer, host: str, count: int, run: Callable[[Any], None]
) -> None:
    async def call() -> None:
        look_ups = LookUps(names.getaddrinfo)
        async with ScriptedServer() as server, make_client(look_ups=look_ups) as client, hanging(look_ups, count):
            url = server.url_for(OPENAI).replace("127.0.0.1", host)
            async with within("calls while look-ups hang", AT_ONCE_SECONDS):
                assert await fault_of_url(url, allows_private=False, look_ups=look_ups) == "private"
                for _ in range(3):
                    assert await OpenAI(Account("Acme", url, KEY), client, PATIENT).list_models()

    await asyncio.to_thread(run, call())
    assert host not in names.asked


async def test_another_name_is_found_while_eight_hang(names: NameServer) -> None:
    look_ups = LookUps(names.getaddrinfo)
    async with ScriptedServer() as server, make_client(look_ups=look_ups) as client, hanging(look_ups, 8):
        url = server.url_for(OPENAI).replace("127.0.0.1", "harbour.example")
        async with within("a call while look-ups hang", AT_ONCE_SECONDS):
            assert await OpenAI(Account("Acme", url, KEY), client, PATIENT).list_models()


@pytest.mark.parametrize(
    ("host", "seconds", "sentence"),
    [
        ("hung.example", 0.1, "The address of Acme could not be looked up in time: hung.example."),
        ("none.example", 60, "The name of Acme's server was not found: none.example."),
    ],
)
async def test_a_name_that_is_not_found_has_its_sentence(
    names: NameServer, host: str, seconds: float, sentence: str
) -> None:
    async with make_client(look_ups=LookUps(names.getaddrinfo, seconds=seconds)) as client:
        with pytest.raises(Unreachable) as caught:
            await OpenAI(Account("Acme", f"http://{host}"), client).list_models()
    assert caught.value.sentence == sentence
    assert await resolve(host, LookUps(names.getaddrinfo, seconds=seconds)) == []


async def test_one_look_up_serves_all_who_ask_for_a_name_at_a_time(names: NameServer) -> None:
    look_ups = LookUps(names.getaddrinfo)
    askers = [asyncio.create_task(look_ups.find("hung.example")) for _ in range(50)]
    await eventually(lambda: names.asked == ["hung.example"])
    askers[0].cancel()
    names.end.set()
    found = await asyncio.gather(*askers, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == [["127.0.0.1"]] * 49
    assert names.asked == ["hung.example"]
    await look_ups.find("harbour.example")
    await look_ups.find("harbour.example")
    assert names.asked[1:] == ["harbour.example"] * 2


async def test_threads_are_few_and_end_with_their_work(names: NameServer) -> None:
    look_ups, count = LookUps(names.getaddrinfo, seconds=60), 3 * MAX_THREADS
    asked = [asyncio.create_task(look_ups.find(f"hung-{number}.example")) for number in range(count)]
    await eventually(lambda: len(names.asked) == MAX_THREADS)
    assert _threads() == MAX_THREADS
    names.end.set()
    assert await asyncio.gather(*asked) == [["127.0.0.1"]] * count
    await eventually(lambda: _threads() == 0)


def _threads() -> int:
    return sum(thread.name == "look-up" for thread in threading.enumerate())


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("127.0.0.1", ["127.0.0.1"]), ("127.1", ["127.0.0.1"]), ("2130706433", ["127.0.0.1"]),
        ("0x7f.0.0.1", ["127.0.0.1"]), ("::1", ["::1"]), ("0:0::1", ["::1"]), ("fe80::1%eth0", ["fe80::1%eth0"]),
        ("localhost", ["::1", "127.0.0.1"]), ("LocalHost.", ["::1", "127.0.0.1"]),
    ],
)  # fmt: skip
async def test_what_is_known_is_not_looked_up(names: NameServer, host: str, found: list[str]) -> None:
    assert await resolve(host, LookUps(names.getaddrinfo)) == found
    assert names.asked == []


async def test_the_systems_own_look_up_finds_what_it_knows() -> None:
    assert await resolve("nowhere.invalid") == []
    assert await resolve("x" * 70 + ".example") == []  # no label is that long


def test_a_process_ends_while_a_look_up_hangs() -> None:
    program = (
        "import asyncio, time\n"
        "from app.providers.names import LookUps\n"
        "look_ups = LookUps(lambda *_, **__: time.sleep(300), seconds=0.1)\n"
        "try: asyncio.run(look_ups.find('hung.example'))\n"
        "except OSError: print('not found')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=120, text=True, check=True)
    assert done.stdout == "not found\n"


async def test_a_name_that_hangs_is_not_waited_for_again(names: NameServer) -> None:
    """A form asks for the addresses of one name several times."""
    look_ups = LookUps(names.getaddrinfo, seconds=2)
    with pytest.raises(socket.gaierror):
        await look_ups.find("hung.example")
    async with within("twenty look-ups that do not wait", 38):  # forty, if each of them waited
        for _ in range(20):
            with pytest.raises(socket.gaierror):
                await look_ups.find("hung.example")
    names.end.set()
    await eventually(lambda: _threads() == 0)
    assert await look_ups.find("hung.example") == ["127.0.0.1"]


async def test_a_host_that_cannot_be_a_name_is_not_found() -> None:
    for host in ("a\0b.example", "x" * 70 + ".example"):
        assert await resolve(host) == []
