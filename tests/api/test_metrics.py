"""`GET /metrics`: off without a token, closed to who does not bring it, and readable to who does."""

from litestar import Litestar

from tests.api.test_health import BEARER, watched
from tests.chat.test_metrics import read
from tests.people import Browser

__all__ = ["watched"]


async def test_without_a_token_there_is_nothing(client: Browser, olive: Browser) -> None:
    for browser in (client, olive):
        for headers in ({}, BEARER, {"authorization": "Bearer "}):
            assert (await browser.get("/metrics", headers=headers)).status_code == 404


async def test_who_brings_the_token_reads_the_figures(watched: Litestar) -> None:
    async with Browser(watched) as browser:
        answer = await browser.get("/metrics", headers=BEARER)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        found = read(answer.text)
        assert (found["parley_database_up"], found["parley_viewers"]) == (1, 0)
        assert "parley_event_loop_lag_seconds" in found
        assert found["parley_queue_depth"] == 0


async def test_who_does_not_is_refused_signed_in_or_not(watched: Litestar) -> None:
    async with Browser(watched) as browser:
        for headers in ({}, {"authorization": "Bearer wrong"}):
            answer = await browser.get("/metrics", headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "not_signed_in"
