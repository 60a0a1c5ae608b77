"""axe-core in a world of its own: it sees the page, and the page's policy does not see it."""

from pathlib import Path
from typing import Any

from playwright.async_api import Page

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
