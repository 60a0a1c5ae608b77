"""Sign-ins of late, counted per key, to slow down who guesses without locking out who is guessed at.

Three things are counted, each with some failures for free and then a wait that doubles up to a most:

* one account from one address: what an ordinary guesser, and an ordinary forgetful person, runs into;
* one address, whatever the accounts: trying one password on everybody;
* one account from all addresses that never signed in to it: many machines guessing at one person. Addresses from which
  the person did sign in do not take part, so guessing elsewhere cannot keep them out.

An attempt is counted before the password is looked at, and taken back if it was right: guesses sent all at once do not
get past the count. Whoever must wait is told how long; asking in between is not counted and prolongs nothing.

Rows are locked in one order in every transaction: the person, then keys as they sort (account, address, known, pair). Two
sign-ins at the same moment pass one after the other and never wait for each other. What is counted of a person's account is
deleted with the person.
"""

import ipaddress
import uuid
from typing import NamedTuple

from piccolo.columns import ForeignKey, Integer, Timestamptz, Varchar
from piccolo.table import Table

from app.database import engine, fetch, fetch_row, transaction
from app.errors import TooManyRequests
from app.secrets import keyed_digest
from app.tables.user import User
from app.words import gettext as _

FORGET_AFTER = "1 day"
FORGET_ADDRESS_AFTER = "180 days"


class Limit(NamedTuple):
    """So many failures are free; then the wait begins at a second, doubles with each, and never exceeds the most."""

    free_failures: int
    most_seconds: float

    def wait_seconds(self, failures: int, seconds_since: float) -> float:
        """How long to wait still after so many failures, the last one so long ago."""
        if failures < self.free_failures:
            return 0.0
        return max(0.0, min(2.0 ** min(failures - self.free_failures, 30), self.most_seconds) - seconds_since)


PAIR = Limit(free_failures=5, most_seconds=300)
ADDRESS = Limit(free_failures=20, most_seconds=60)
ACCOUNT = Limit(free_failures=50, most_seconds=30)


class SignInAttempt(Table, tablename="sign_in_attempt", db=engine):
    """`key` is a keyed hash of what is counted, never an address itself; "known:…" are addresses that succeeded."""

    key = Varchar(length=80, primary_key=True, default=None)
    failures = Integer(default=0)
    failed_at = Timestamptz()
    user = ForeignKey(references=User, null=True, default=None, index=True)

    @classmethod
    async def begin(cls, address: str, email: str) -> None:
        """Count an attempt as a failure for now. Raises `TooManyRequests` if it comes too early."""
        async with transaction():
            person = await _lock_person(email)
            limits = await cls._limits(address, email)
            # Written to with no change, so that attempts at the same moment pass here one after the other.
            states = await fetch(
                'INSERT INTO sign_in_attempt AS a (key, failures, failed_at, "user")'
                " SELECT key, 0, clock_timestamp(), CASE WHEN key NOT LIKE 'address:%' THEN $2::uuid END"
                " FROM unnest($1::text[]) AS key ORDER BY key"
                ' ON CONFLICT (key) DO UPDATE SET "user" = excluded."user", failures = CASE'
                f"  WHEN a.failed_at < clock_timestamp() - interval '{FORGET_AFTER}' THEN 0 ELSE a.failures END"
                " RETURNING key, failures, extract(epoch FROM clock_timestamp() - a.failed_at)::float8 AS since",
                list(limits),
                person,
            )
            wait = max(limits[state["key"]].wait_seconds(state["failures"], state["since"]) for state in states)
            if wait > 0:
                sentence = _("There were too many attempts to sign in. Wait a moment, then try again.")
                raise TooManyRequests(sentence, retry_after_seconds=wait)
            await fetch(
                "UPDATE sign_in_attempt SET failures = failures + 1, failed_at = clock_timestamp() WHERE key = ANY($1)",
                list(limits),
            )

    @classmethod
    async def succeed(cls, address: str, email: str) -> None:
        """Take the attempt back, and remember that this person signs in from this address."""
        pair, everywhere, account, known = _keys(address, email)
        async with transaction():
            person = await _lock_person(email)
            for key in (account, everywhere):
                await fetch("UPDATE sign_in_attempt SET failures = greatest(failures - 1, 0) WHERE key = $1", key)
            await fetch(
                'INSERT INTO sign_in_attempt (key, failures, failed_at, "user") VALUES ($1, 0, now(), $2)'
                ' ON CONFLICT (key) DO UPDATE SET failed_at = now(), "user" = excluded."user"',
                known,
                person,
            )
            await fetch("DELETE FROM sign_in_attempt WHERE key = $1", pair)

    @classmethod
    async def forget_old(cls) -> None:
        """Delete what no longer counts, except rows that a sign-in has locked just now."""
        await fetch(
            "DELETE FROM sign_in_attempt WHERE key IN (SELECT key FROM sign_in_attempt"
            f" WHERE failed_at < now() - interval '{FORGET_ADDRESS_AFTER}'"
            f" OR (failed_at < now() - interval '{FORGET_AFTER}' AND key NOT LIKE 'known:%')"
            " FOR UPDATE SKIP LOCKED)"
        )

    @classmethod
    async def _limits(cls, address: str, email: str) -> dict[str, Limit]:
        pair, everywhere, account, known = _keys(address, email)
        limits = {pair: PAIR, everywhere: ADDRESS}
        if not await fetch("SELECT 1 FROM sign_in_attempt WHERE key = $1", known):
            limits[account] = ACCOUNT
        return limits


async def _lock_person(email: str) -> uuid.UUID | None:
    """Whose account this is, if anybody's; not deleted before the transaction ends."""
    row = await fetch_row("SELECT id FROM users WHERE email = $1 FOR KEY SHARE", email)
    return row["id"] if row else None


def _keys(address: str, email: str) -> tuple[str, str, str, str]:
    """Keys of: the account from the address, the address, the account, and "this person signs in from there"."""
    place = _place(address)
    named = {"pair": f"{place} {email}", "address": place, "account": email, "known": f"{place} {email}"}
    pair, everywhere, account, known = (f"{kind}:{keyed_digest(kind, text).hex()}" for kind, text in named.items())
    return pair, everywhere, account, known


def _place(address: str) -> str:
    """An IPv6 address by its first 64 bits: one person has all of the others."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else address
