"""One instance for all tests of an xdist worker; watched windows for each test."""

import contextlib
import pathlib
from collections.abc import AsyncIterator, Iterator, Mapping

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from app.embedded import EmbeddedPostgres
from tests.clusters import fresh_database
from tests.e2e.instance import Instance, Person
from tests.e2e.model_server import ModelServer
from tests.e2e.windows import Windows
from tests.programs import Program


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def instance(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Instance]:
    """A running Parley with an owner and one model server."""
    async with ModelServer() as models:
        with running(postgres, tmp_path_factory.mktemp("e2e") / "data", models) as started:
            await started.add_person("Olive", is_owner=True)
            await started.connect("Harbour", models)
            yield started


@pytest_asyncio.fixture(loop_scope="session")
async def fresh(postgres: EmbeddedPostgres, tmp_path: pathlib.Path) -> AsyncIterator[Instance]:
    """A Parley that nobody has seen yet, for one test alone; its model server runs, and is not connected."""
    async with ModelServer() as models:
        with running(postgres, tmp_path / "data", models) as started:
            yield started


class Patient(Program):
    """The program, with time enough for servers that stand still with the test."""

    module = "tests.patience"


@contextlib.contextmanager
def running(
    postgres: EmbeddedPostgres, data: pathlib.Path, models: ModelServer, settings: Mapping[str, str] | None = None
) -> Iterator[Instance]:
    """The program with a database of its own, for as long as the block lasts."""
    with fresh_database(postgres) as url:
        environment = {"DATABASE_URL": url, "PARLEY_DRAIN_SECONDS": "0", **(settings or {})}
        program = Patient("serve", "--port", "0", data=data, environment=environment).start()
        try:
            yield Instance(program, url, models)
        finally:
            program.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def windows(browser: Browser, instance: Instance) -> AsyncIterator[Windows]:
    """Windows on the shared instance."""
    opened = Windows(browser, instance.base_url)
    yield opened
    await opened.close()
    assert opened.faults == []


@pytest_asyncio.fixture(loop_scope="session")
async def fresh_windows(browser: Browser, fresh: Instance) -> AsyncIterator[Windows]:
    """Windows on the fresh instance."""
    opened = Windows(browser, fresh.base_url)
    yield opened
    await opened.close()
    assert opened.faults == []


@pytest.fixture
def models(instance: Instance) -> ModelServer:
    """The model server that the shared instance asks, with nothing queued and nothing remembered."""
    instance.models.forget()
    return instance.models


@pytest_asyncio.fixture(loop_scope="session")
async def alice(instance: Instance) -> Person:
    """A member with no threads yet."""
    return await instance.add_person("Alice")


@pytest_asyncio.fixture(loop_scope="session")
async def page(windows: Windows, alice: Person, models: ModelServer) -> Page:
    """Alice's window on an empty thread."""
    opened = await windows.open(alice)
    await opened.goto("/")
    return opened
