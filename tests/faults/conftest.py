"""A site to break: the program's parts on a database of their own, and a scripted model server."""

import pathlib
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.conftest import StartProgram
from tests.e2e.model_server import ModelServer
from tests.faults.site import Site
from tests.scripted import OPENAI


@pytest.fixture
async def models() -> AsyncIterator[ModelServer]:
    """A model server by script."""
    async with ModelServer(["lantern-7b"]) as server:
        yield server


@pytest.fixture
async def site(
    program: StartProgram, models: ModelServer, database_url: str, tmp_path: pathlib.Path
) -> AsyncIterator[Site]:
    """The database with a model, and nothing that runs on it yet."""
    async with asyncpg.create_pool(database_url, min_size=1, max_size=10) as database:
        made = Site(program, database, database_url, tmp_path / "data")
        await made.connect(models.url_for(OPENAI))
        yield made
        await made.close()
