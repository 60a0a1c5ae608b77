"""Checks a model server before it is connected: is it of the chosen kind, and if not, of which kind and at which address?"""

import asyncio
from collections.abc import Callable, Sequence

from app.chat import catalog
from app.chat.address_guesses import Guess, guesses, is_elsewhere, tidied
from app.chat.catalog import Listing
from app.providers.base import Provider
from app.providers.errors import AddressRefused, KeyRejected, ProviderError, TimedOut, Unreachable, WrongKind
from app.words import gettext as _

#: Total time for trying the guesses about an address: a person is waiting.
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
    """The server that was probably meant. `failure`: why the typed one is not it; None if it is no base URL at all.

    Returns the first guess that answers; else the one that the failure shows; else the typed address without the parts
    that a base URL does not have; else None. `kinds`: those that may be meant, the chosen one first.
    """
    if (found := await _first_good(typed, _worth_a_try(typed, failure, kinds), make)) is not None:
        return found
    if failure is not None and failure.meant_url:
        return tidied(Guess(typed.kind, failure.meant_url), kinds)
    plain = tidied(typed, kinds)
    return plain if plain != typed else None


def _worth_a_try(typed: Guess, failure: ProviderError | None, kinds: Sequence[str]) -> list[Guess]:
    """The guesses to try. A server that is away or busy shows nothing about its address: then only the other scheme is tried."""
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


async def _first_good(typed: Guess, found: Sequence[Guess], make: Make) -> Guess | None:
    """The first guess, in order, at which a server of its kind answers in time. All are asked at once.

    At another origin than the typed one the guess is asked without the key: a server that then wants one has answered.
    """

    async def is_good(guess: Guess) -> bool:
        failure = (await meet(make(guess))).failure
        return failure is None or (isinstance(failure, KeyRejected) and is_elsewhere(guess.base_url, typed.base_url))

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
