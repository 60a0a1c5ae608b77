"""Meeting a model server before it is connected: is it one of the kind that was chosen, and if not, what is it, and where?"""

import asyncio
from collections.abc import Callable, Sequence

from app.chat import catalog
from app.chat.address_guesses import Guess, guesses, tidied
from app.chat.catalog import Listing
from app.providers.base import Provider
from app.providers.errors import AddressRefused, ProviderError, TimedOut, Unreachable, WrongKind
from app.words import gettext as _

#: So long in all the guesses about an address are tried: a person waits for it.
GUESSING_SECONDS = 6.0

Make = Callable[[Guess], Provider]


async def meet(provider: Provider) -> Listing:
    """Ask for its models. A list in another protocol's words is believed only if questions are taken in this one."""
    listing = await catalog.ask(provider)
    if not listing.models or provider.listed_as == provider.kind:
        return listing
    try:
        if await provider.takes_questions():
            return listing
    except ProviderError as error:
        return Listing(failure=error)
    sentence = _("This server lists models but does not accept %(kind)s requests.")
    return Listing(failure=WrongKind(sentence % {"kind": provider.label()}))


async def propose(typed: Guess, failure: ProviderError | None, kinds: Sequence[str], make: Make) -> Guess | None:
    """What was probably meant by something that failed like this, or (None) that is no base URL by its form.

    The first guess that answers; else what the failure shows to be meant; else what was typed, without what does not belong
    into a base URL. None: no idea. `kinds`: those that may be meant, the one that was chosen first.
    """
    if (found := await _first_good(_worth_a_try(typed, failure, kinds), make)) is not None:
        return found
    if failure is not None and failure.meant_url:
        return tidied(Guess(typed.kind, failure.meant_url), kinds)
    plain = tidied(typed, kinds)
    return plain if plain != typed else None


def _worth_a_try(typed: Guess, failure: ProviderError | None, kinds: Sequence[str]) -> list[Guess]:
    """A server that is away or busy says nothing about its address, except that it may want to be called by https, or http."""
    if isinstance(failure, AddressRefused):
        return []
    found = guesses(typed, kinds)
    if failure is None:
        return found
    scheme = typed.base_url.partition(":")[0].lower()
    others = [guess for guess in found if guess.base_url.partition(":")[0] != scheme]
    if isinstance(failure, Unreachable | TimedOut):
        return others
    if failure.is_retryable:
        return []
    # Servers that speak TLS alone say so with a status of 400, or in no HTTP at all.
    return found if failure.status in (0, 400) else [guess for guess in found if guess not in others]


async def _first_good(found: Sequence[Guess], make: Make) -> Guess | None:
    """The first of them, in their order, at which a server of its kind answers in time. All are asked at once."""

    async def is_good(guess: Guess) -> bool:
        return (await meet(make(guess))).failure is None

    tasks = {asyncio.create_task(is_good(guess)): guess for guess in found}
    clock = asyncio.get_running_loop().time
    until = clock() + GUESSING_SECONDS
    try:
        for task, guess in tasks.items():
            done, _late = await asyncio.wait([task], timeout=max(until - clock(), 0))
            if done and not task.exception() and task.result():
                return guess
        return None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
