"""A keeper of model files, and a server of such files that it pulls from."""

import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path

import httpx
import msgspec
import pytest

from app.providers.base import Account
from app.providers.client import make_client
from app.providers.engines import Engines
from app.providers.keeping import Progress, Pull, Source
from app.providers.llamacpp import LlamaCpp
from tests.file_server import FileServer
from tests.providers.conftest import PATIENT, eventually, open_files


@pytest.fixture
def tiny(model_file: Path) -> bytes:
    return model_file.read_bytes()


@pytest.fixture
async def files(tiny: bytes) -> AsyncIterator[FileServer]:
    async with FileServer(files={"tiny.gguf": tiny}) as server:
        yield server


@pytest.fixture
async def web(files: FileServer) -> AsyncIterator[httpx.AsyncClient]:
    """Once it is closed, no connection and no file is left open."""
    before = open_files()
    async with make_client() as client:
        yield client
    await eventually(lambda: files.open_connections == 0)
    await eventually(lambda: open_files() <= before)


@pytest.fixture
def keeper(tmp_path: Path, files: FileServer, web: httpx.AsyncClient, engines: Engines) -> LlamaCpp:
    """Impatient, with an empty folder; its hub is the file server."""
    (tmp_path / "models").mkdir()
    account = Account("This machine", models_folder=str(tmp_path / "models"), hub_url=files.base_url)
    keeper = LlamaCpp(account, web, PATIENT, engines)
    keeper.pause_seconds = 0.01
    return keeper


def folder_of(keeper: LlamaCpp) -> Path:
    return Path(keeper.account.models_folder)


def left_in(keeper: LlamaCpp) -> list[str]:
    """Everything that lies in the models folder, hidden or not."""
    return sorted(path.name for path in folder_of(keeper).iterdir())


def source(files: FileServer, path: str = "tiny.gguf", sha256: str = "") -> Source:
    return Source(files.url(path), sha256, allows_private=True)


async def told(work: AsyncGenerator[Progress, None]) -> list[Progress]:
    async with aclosing(work):
        return [progress async for progress in work]


async def pulled(keeper: LlamaCpp, source: Source) -> list[Progress]:
    """Look it up and pull it."""
    return await told(keeper.pull(await keeper.look_up(source)))


async def main() -> None:
    """A pull in a process of its own, to be killed: `python -m tests.providers.pulling FOLDER PULL`."""
    async with make_client() as client:
        keeper = LlamaCpp(Account("This machine", models_folder=sys.argv[1]), client)
        async for progress in keeper.pull(msgspec.json.decode(sys.argv[2], type=Pull)):
            print(progress.phase, progress.done_bytes, flush=True)


if __name__ == "__main__":
    import asyncio

    asyncio.run(main())
