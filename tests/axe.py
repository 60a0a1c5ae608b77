"""axe-core in a world of its own: it sees the page, and the page's policy does not see it."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import pytest
from playwright.async_api import Page

from tests.tiers import in_tiers

_SOURCE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
#: With `contrast_only` the rest was looked at in another theme already: themes change colours alone.
_RUN = """
axe.run(document, {resultTypes: ["violations"], ...(%s ? {runOnly: ["color-contrast"]} : {})}).then((found) =>
  found.violations.flatMap((violation) =>
    violation.nodes.map((node) => `${violation.id}: ${node.target} ${node.any[0]?.message ?? node.html}`)))
"""
_OVERFLOW = """
() => [document.documentElement, ...document.querySelectorAll("main, nav, .page, .column")]
  .filter((element) => element.scrollWidth > element.clientWidth).map((element) => element.outerHTML.slice(0, 80))
"""


#: The first is a light one, the second a dark one.
THEMES = ("quartz", "graphite", "terminal", "solarized", "system")
WIDTHS = (1440, 390)
Look = tuple[str, int]
#: A theme and a width in pixels: the light one in both and the dark one in one of them, or each in both.
IN_THEMES = pytest.mark.parametrize(
    "looks",
    in_tiers([*zip(THEMES[:1] * 2, WIDTHS, strict=True), (THEMES[1], WIDTHS[0])], list(product(THEMES, WIDTHS))),
    ids=["two themes", "every theme"],
)


async def assert_accessible(page: Page, looks: Sequence[Look]) -> None:
    """Fails if axe-core finds something in one of these looks, or if something is wider than a small phone."""
    async with _judging(page) as judge:
        for theme, width in looks:
            await page.set_viewport_size({"width": width, "height": 900})
            await page.emulate_media(color_scheme="dark" if theme == "system" else "light")
            await page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
            assert await judge(contrast_only=theme != looks[0][0]) == [], (theme, width)
    await page.set_viewport_size({"width": 360, "height": 740})
    assert await overflow(page) == []


async def violations(page: Page) -> list[str]:
    """What axe-core has against the page as it is shown now."""
    async with _judging(page) as judge:
        return await judge(contrast_only=False)


class _Judge(Protocol):
    async def __call__(self, *, contrast_only: bool) -> list[str]: ...


@contextlib.asynccontextmanager
async def _judging(page: Page) -> AsyncIterator[_Judge]:
    """axe-core in a page that stays, read once."""
    session = await page.context.new_cdp_session(page)
    tree = await session.send("Page.getFrameTree")
    world = await session.send("Page.createIsolatedWorld", {"frameId": tree["frameTree"]["frame"]["id"]})

    async def run(expression: str) -> Any:
        answer = await session.send(
            "Runtime.evaluate",
            {
                "expression": expression,
                "contextId": world["executionContextId"],
                "awaitPromise": True,
                "returnByValue": True,
            },
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def judge(*, contrast_only: bool) -> list[str]:
        found: list[str] = await run(_RUN % ("true" if contrast_only else "false"))
        return found

    try:
        await run(_SOURCE)
        yield judge
    finally:
        await session.detach()


async def overflow(page: Page) -> list[str]:
    """What is wider than its place."""
    found: list[str] = await page.evaluate(_OVERFLOW)
    return found
