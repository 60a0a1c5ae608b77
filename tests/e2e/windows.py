"""Browser windows that are watched: what must never happen in one fails the test that it happened in."""

import asyncio
import contextlib
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, Request, Response, WebError

from tests.chromium import MOST_MS
from tests.e2e.instance import Person

#: Says what the policy stopped, where the console does not.
_REPORT = """
document.addEventListener("securitypolicyviolation", (event) => {
  console.error(`The policy stopped ${event.effectiveDirective}: ${event.blockedURI} ${event.sample}`);
});
"""
_STATUS = re.compile(r"Failed to load resource: the server responded with a status of \d+")


class Windows:
    """Opens browser windows on one instance. `faults` is everything that should not have been seen in any of them.

    That is errors and warnings of the console, uncaught errors, what the policy stopped, requests to another origin,
    dialogs, answers of 5xx, and those of 4xx but the ones that the test expects.
    """

    def __init__(self, browser: Browser, base_url: str) -> None:
        self.base_url = base_url
        self.faults: list[str] = []
        self.expected: set[int] = set()
        self.expected_sayings: set[str] = set()
        self._browser = browser
        self._contexts: list[BrowserContext] = []

    async def open(
        self,
        person: Person | None = None,
        *,
        width: int = 1440,
        height: int = 900,
        language: str = "en-US",
        **options: Any,
    ) -> Page:
        """A page, blank yet, of a browser in which this person is signed in; nobody else shares its cookies.

        Nothing moves in it unless the options say so: to draw what does takes a tenth of the time of the tests.
        """
        context = await self._browser.new_context(
            base_url=self.base_url,
            viewport={"width": width, "height": height},
            locale=language,
            timezone_id="UTC",
            **{"reduced_motion": "reduce", **options},
        )
        self._contexts.append(context)
        self._watch(context)
        if person is not None:
            await context.add_cookies([{"name": "parley", "value": person.token, "url": self.base_url}])
        if options.get("java_script_enabled", True):
            await context.add_init_script(_REPORT)
        context.set_default_timeout(MOST_MS)
        return await context.new_page()

    async def tab(self, page: Page) -> Page:
        """Another tab of the same browser."""
        return await page.context.new_page()

    def expect(self, statuses: Iterable[int]) -> None:
        """Answers of these statuses belong to the test."""
        self.expected.update(statuses)

    def expect_saying(self, words: str) -> None:
        """The console says this because the test wants it to."""
        self.expected_sayings.add(words)

    async def close(self) -> None:
        """Close every window. Chromium sometimes never says that one has closed which was just leaving for another page."""
        for context in self._contexts:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(10):
                    await context.close()

    def _watch(self, context: BrowserContext) -> None:
        context.on("console", self._see_console)
        context.on("weberror", self._see_error)
        context.on("dialog", self._see_dialog)
        context.on("request", self._see_request)
        context.on("response", self._see_response)

    def _see_console(self, said: ConsoleMessage) -> None:
        is_expected = _STATUS.match(said.text) or any(words in said.text for words in self.expected_sayings)
        if said.type in ("error", "warning") and not is_expected:
            self.faults.append(f"console: {said.text}")

    def _see_error(self, error: WebError) -> None:
        self.faults.append(f"uncaught: {error.error}")

    async def _see_dialog(self, dialog: Dialog) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        await dialog.dismiss()

    def _see_request(self, request: Request) -> None:
        if request.url.startswith(("data:", "about:")):
            return
        if urlsplit(request.url).netloc != urlsplit(self.base_url).netloc:
            self.faults.append(f"request: {request.method} {request.url}")

    def _see_response(self, response: Response) -> None:
        if response.status >= 500 or (response.status >= 400 and response.status not in self.expected):
            self.faults.append(f"answer: {response.status} to {response.request.method} {response.url}")
