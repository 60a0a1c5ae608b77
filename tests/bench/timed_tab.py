"""A tab that measures: how long each word of its turn was under way."""

import asyncio
from typing import Self

from tests.scripted.stamps import UNIT_SECONDS, WORD, moment, written_at
from tests.tab import Article, Tab
from tests.wire import Caller, Line


class TimedTab(Tab[Article]):
    """One thread in one tab. After `turn` it knows how long everything took, and what was wrong: `fault`.

    `line`: what the question is sent over, open beforehand as a browser's is.
    """

    line: Line

    def __init__(self, caller: Caller, thread: str, model: str) -> None:
        super().__init__(caller, thread)
        self.latencies: list[float] = []
        self.first_token_seconds: float | None = None
        self.post_seconds = 0.0
        self.fault = ""
        self._model = model
        self._newest = self._posted_at = 0

    async def open(self) -> Self:
        """The page and its event stream."""
        self.line = await self._caller.line()
        await super().open()
        await self.until(lambda tab: tab.status)
        assert self.is_connected, f"the stream answered {self.status}"
        return self

    async def turn(self, text: str, timeout_seconds: float) -> None:
        """In an open page: send the message, read until the answer is final and its message was fetched; then close it."""
        try:
            async with asyncio.timeout(timeout_seconds):
                self._newest = self._posted_at = moment()
                answer = await self.send(self.line, text, self._model)
                self.post_seconds = (moment() - self._posted_at) * UNIT_SECONDS
                await self.until(lambda tab: tab.shows_end(answer), timeout_seconds)
            status = self.articles[answer].status
            self.fault = "" if status == "complete" else f"the answer ended as {status}"
        except (OSError, TimeoutError, AssertionError) as error:
            self.fault = f"{type(error).__name__}: {error}"
        finally:
            await self.close()

    async def close(self) -> None:
        """The tab is closed, and with it its connections."""
        self.line.close()
        await super().close()

    def draw(self, html: str) -> Article:
        self._see(html)
        return Article(html)

    def grow(self, article: Article, html: str) -> None:
        self._see(html)

    def _see(self, html: str) -> None:
        """Words that are newer than the newest seen: their time under way."""
        now = moment()
        fresh = [at for word in WORD.findall(html) if (at := written_at(word, now)) > self._newest]
        if fresh and self._posted_at:
            self._newest = max(fresh)
            self.latencies += [(now - at) * UNIT_SECONDS for at in fresh]
            if self.first_token_seconds is None:
                self.first_token_seconds = (now - self._posted_at) * UNIT_SECONDS
