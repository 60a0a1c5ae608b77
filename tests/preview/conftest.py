"""One browser and one site for all tests of a file."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect

from tests import chromium
from tests.preview.site import Site, running_site

expect.set_options(timeout=chromium.MOST_MS)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_site() as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=chromium.on_path(), args=chromium.FLAGS)
        yield started
        with contextlib.suppress(
            TimeoutError
        ):  # it sometimes never says that it has closed; the driver's end takes it along
            async with asyncio.timeout(20):
                await started.close()
