"""What a person may have meant by an address that does not work: shown under the form, one click away."""

from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Request

from app.chat import introduction
from app.chat.address_guesses import Guess, is_elsewhere, tidied
from app.chat.introduction import Make
from app.controllers.addresses import address_fault
from app.controllers.typed_keys import kept_key
from app.providers import PROVIDERS
from app.providers.errors import ProviderError
from app.server_url import url_fault
from app.words import gettext as _


class Proposal(msgspec.Struct, frozen=True):
    """What is asked, the address, and what the button sends as `proposal`: the kind and the address.

    `typed_key`: the key that was typed, sealed. `takes_key`: whether it is for the proposed address too.
    """

    question: str
    base_url: str
    value: str
    typed_key: str = ""
    takes_key: bool = False


async def find_proposal(
    request: Request[Any, Any, Any],
    typed: Guess,
    failure: ProviderError | None,
    kinds: Sequence[str],
    make: Make,
    *,
    allows_private: bool,
) -> Proposal | None:
    """What was probably meant. `failure`: what asking came to; None if the address kept us from asking."""
    ordered = [typed.kind, *(kind for kind in kinds if kind != typed.kind and PROVIDERS[kind].has_list)]
    if failure is not None:
        found = await introduction.propose(typed, failure, ordered, make)
    elif not url_fault(typed.base_url) or url_fault((plain := tidied(typed, ordered)).base_url):
        found = None
    elif await address_fault(request, plain.base_url, allows_private=allows_private):
        found = plain  # not asked; the form says what is wrong with it once it is chosen
    else:
        found = await introduction.propose(typed, None, ordered, make)
    return _proposal(found, typed) if found else None


def with_key(request: Request[Any, Any, Any], proposal: Proposal, key: str, typed_url: str) -> Proposal:
    """The proposal with the key that was typed beside the address that it replaces."""
    takes_key = bool(key) and not is_elsewhere(proposal.base_url, typed_url)
    return msgspec.structs.replace(proposal, typed_key=kept_key(request, key, typed_url), takes_key=takes_key)


def asking(sentence: str, proposal: Proposal) -> str:
    """What failed, with the proposal's question in place of the one in the failure's own sentence."""
    beginning = _("Did you mean %(url)s?").partition("%(url)s")[0]
    return f"{sentence.partition(beginning)[0].rstrip()} {proposal.question}".strip()


def _proposal(found: Guess, typed: Guess) -> Proposal:
    if found.kind == typed.kind:
        question = _("Did you mean %(url)s?") % {"url": found.base_url}
    else:
        named = {"url": found.base_url, "kind": PROVIDERS[found.kind].label()}
        question = _("Did you mean %(url)s (%(kind)s)?") % named
    return Proposal(question, found.base_url, f"{found.kind} {found.base_url}")
