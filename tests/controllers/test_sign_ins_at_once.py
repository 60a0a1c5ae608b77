"""Many sign-ins with one account at the same moment: Postgres finds no two that wait for each other."""

import asyncio
import contextlib

import pytest
from litestar import Litestar

from app.database import fetch, fetch_row, transaction
from app.secrets import hash_password
from app.tables.session import Session
from app.tables.sign_in_attempt import SignInAttempt
from app.tables.user import User
from tests.people import PASSWORD, Browser
from tests.tiers import in_tiers

EMAIL = "olive@example.org"


async def deadlocks() -> int:
    """How many Postgres has broken up in this database. Its count arrives with a connection's next idle moment."""
    await fetch("SELECT pg_stat_clear_snapshot()")
    await asyncio.sleep(1.2)
    row = await fetch_row("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    return int(row["deadlocks"]) if row else 0


async def add_owner() -> User:
    return await User.add(name="Olive", email=EMAIL, password_hash=await hash_password(PASSWORD), is_owner=True)


@pytest.mark.parametrize("rounds", in_tiers(1, 3))
async def test_sign_ins_with_one_account_do_not_wait_for_each_other(app: Litestar, rounds: int) -> None:
    await add_owner()
    before = await deadlocks()
    async with contextlib.AsyncExitStack() as stack:
        browsers = [
            await stack.enter_async_context(Browser(app, peer=f"192.0.2.{number % 12}")) for number in range(48)
        ]
        await asyncio.gather(*(browser.csrf() for browser in browsers))
        for round_ in range(rounds):
            filled = {"email": EMAIL, "password": PASSWORD}
            answers = await asyncio.gather(*(browser.post("/sign-in", data=filled) for browser in browsers))
            assert {answer.status_code for answer in answers} <= {303, 429}, round_
            assert [answer.status_code for answer in answers].count(303) >= 12
            await fetch("UPDATE session SET seen_at = now() - interval '1 hour'")
            await fetch("UPDATE sign_in_attempt SET failed_at = now() - interval '1 hour'")
    assert await deadlocks() == before


async def test_counting_an_attempt_and_taking_it_back_go_in_one_order(app: Litestar) -> None:
    await add_owner()
    before = await deadlocks()

    async def attempt(number: int) -> None:
        address = f"192.0.2.{number % 3}"
        for _ in range(4):
            await SignInAttempt.begin(address, EMAIL)
            await SignInAttempt.succeed(address, EMAIL)
            await SignInAttempt.forget_old()

    for _ in range(3):
        outcomes = await asyncio.gather(*(attempt(number) for number in range(12)), return_exceptions=True)
        assert {type(outcome).__name__ for outcome in outcomes} <= {"NoneType", "TooManyRequests"}
        await fetch("DELETE FROM sign_in_attempt")
    assert await deadlocks() == before


async def test_a_session_in_use_and_the_end_of_it_go_in_one_order(app: Litestar) -> None:
    """A page notes that the session is in use while its person is kept out, or signs in again in the same browser."""
    user = await add_owner()
    before = await deadlocks()
    for _ in range(20):
        tokens = [await Session.start(user, user_agent="x", days=30) for _ in range(4)]
        await fetch("UPDATE session SET seen_at = now() - interval '1 hour'")
        found = [await Session.find_by_token(token or "") for token in tokens]
        sessions = [one[1] for one in found if one is not None]
        await asyncio.gather(
            *(session.mark_seen(30, "192.0.2.1") for session in sessions), _change(user), Session.forget_expired()
        )
    assert await deadlocks() == before


async def _change(user: User) -> None:
    """What deactivating does: the person, then the sessions."""
    async with transaction():
        await fetch("UPDATE users SET name = name WHERE id = $1", user.id)
        await Session.end_all(user.id)
