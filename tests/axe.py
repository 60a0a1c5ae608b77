"""axe-core in a world of its own: it sees the page, and the page's policy does not see it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

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


THEMES = ("quartz", "graphite", "terminal", "solarized", "system")
#: A light and a dark one, or every theme.
IN_THEMES = pytest.mark.parametrize(
    "themes", in_tiers(list(THEMES[:2]), list(THEMES)), ids=["two themes", "every theme"]
)


async def assert_accessible(page: Page, themes: Sequence[str], widths: Sequence[int] = (1440, 390)) -> None:
    """Fails if axe-core finds something in one of these themes and widths, or if something is wider than a small phone."""
    for width in widths:
        await page.set_viewport_size({"width": width, "height": 900})
        for theme in themes:
            await page.emulate_media(color_scheme="dark" if theme == "system" else "light")
            await page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
            assert await violations(page, contrast_only=theme != themes[0]) == [], (theme, width)
    await page.set_viewport_size({"width": 360, "height": 740})
    assert await overflow(page) == []


async def violations(page: Page, *, contrast_only: bool = False) -> list[str]:
    """What axe-core has against the page as it is shown now."""
    session = await page.context.new_cdp_session(page)
    try:
        tree = await session.send("Page.getFrameTree")
        world = await session.send("Page.createIsolatedWorld", {"frameId": tree["frameTree"]["frame"]["id"]})
        context = world["executionContextId"]

        async def run(expression: str) -> Any:
            answer = await session.send(
                "Runtime.evaluate",
                {"expression": expression, "contextId": context, "awaitPromise": True, "returnByValue": True},
            )
            assert "exceptionDetails" not in answer, answer
            return answer["result"].get("value")

        await run(_SOURCE)
        found: list[str] = await run(_RUN % ("true" if contrast_only else "false"))
        return found
    finally:
        await session.detach()


async def overflow(page: Page) -> list[str]:
    """What is wider than its place."""
    found: list[str] = await page.evaluate(_OVERFLOW)
    return found
