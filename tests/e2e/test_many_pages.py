"""More open pages than one person may have: the page says so, and is kept up to date again once others are closed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, expect

from tests.e2e.instance import Instance, Person
from tests.e2e.windows import Windows
from tests.watching import until
from tests.wire import Caller

pytestmark = pytest.mark.asyncio(loop_scope="session")


@contextlib.asynccontextmanager
async def held_open(instance: Instance, person: Person, count: int) -> AsyncIterator[None]:
    """So many other pages of this person."""
    caller = Caller(instance.base_url, f"parley={person.token}")
    async with contextlib.AsyncExitStack() as lines:
        for _ in range(count):
            line = await caller.line()
            lines.callback(line.close)
            assert (await line.begin(caller.get("/models/events", accept="text/event-stream"))).status == 200
        yield


@pytest.mark.parametrize("width", [1440, 390])
async def test_one_page_too_many_says_so_and_comes_back(windows: Windows, instance: Instance, width: int) -> None:
    windows.expect([429])
    alice = await instance.add_person("Alice")
    thread = await instance.add_thread(alice, 1)
    page: Page = await windows.open(alice, width=width)
    await page.clock.install()
    async with held_open(instance, alice, 100):
        await page.goto(f"/threads/{thread}")
        said = page.locator("#connection")
        await expect(said).to_contain_text("You have too many pages open")

    async def is_back() -> bool:
        """The page tries again after half a minute."""
        await page.clock.fast_forward(31_000)
        await asyncio.sleep(0.2)
        return not await said.text_content()

    await until("the page's own stream, once others are closed", is_back)
