"""Principals: what each may read and write, decided in SQL."""

import uuid

from app.database import fetch
from app.principals import Principal
from tests.controllers.threads import converse
from tests.people import Browser

SHARE_LINK = Principal(kind="share_link", person=None)


def principal_of(browser: Browser) -> Principal:
    return Principal(kind="session", person=browser.user.id, is_owner=browser.user.is_owner)


async def test_a_thread_is_its_persons_alone(alice: Browser, bob: Browser, olive: Browser) -> None:
    hers = await converse(alice.user)
    for principal, may in ((principal_of(alice), True), (principal_of(bob), False), (principal_of(olive), False),
                           (SHARE_LINK, False)):  # fmt: skip
        assert await principal.may_read(hers.thread) is may
        assert await principal.may_write(hers.thread) is may
    assert not await principal_of(alice).may_read(uuid.uuid4())
    key = Principal(kind="api_key", person=alice.user.id)
    assert await key.may_write(hers.thread)


async def test_a_thread_in_the_trash_is_nobodys(alice: Browser) -> None:
    hers = await converse(alice.user)
    await fetch("UPDATE thread SET status = 'deleted' WHERE id = $1", hers.thread)
    assert not await principal_of(alice).may_read(hers.thread)
    assert not await principal_of(alice).may_write(hers.thread)
