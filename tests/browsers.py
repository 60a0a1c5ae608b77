"""One Chromium for all browser tests of a test process: to start one takes as long as several tests."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest_asyncio

from tests import chromium

if TYPE_CHECKING:
    from playwright.async_api import Browser


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator["Browser"]:
    """Chromium: the one of this machine, else Playwright's own."""
    from playwright.async_api import async_playwright, expect

    # Nothing is asserted by how long it takes: no test gives a shorter time of its own.
    expect.set_options(timeout=chromium.MOST_MS)
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(
            executable_path=chromium.on_path(), args=chromium.FLAGS, timeout=2 * chromium.MOST_MS
        )
        yield started
        with contextlib.suppress(TimeoutError):  # it sometimes never says that it has closed; the driver takes it along
            async with asyncio.timeout(20):
                await started.close()
