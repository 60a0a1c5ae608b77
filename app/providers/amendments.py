"""What servers refuse: fields they do not know, learned from their own complaints and left out from then on.

A refusal is remembered for an address and a model, in this process and until it ends, so that `Provider.body` says at
once what will be sent; that of a whole parameter stands in the model's row instead (`Provider.refused`), where the form
finds it. See docs/decisions/0017-amended-requests.md.
"""

import re
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import msgspec

from app.parts import text_of
from app.providers.base import Account, Amended, ChatRequest, Event
from app.providers.errors import BadRequest
from app.providers.frames import NdjsonDecoder, SseDecoder
from app.providers.http import Reader, Wire
from app.providers.thinking import told_apart

MOST_REMEMBERED = 1000

_DOES_NOT_KNOW = re.compile(
    r"un(supported|recogni[sz]ed|known|expected)|not (supported|recogni[sz]ed|permitted|allowed|available)"
    r"|(does not|doesn't|cannot|can't) (support|be used)|not have access|must be verified|only the default|extra (input|field)",
    re.IGNORECASE,
)


class Amendments:
    """The names of amendments that one provider makes, by model; what they stand for is its dialect's own business.

    What others learn meanwhile waits for the next provider: the body that was stored must be the body that is sent.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._made: dict[str, frozenset[str]] = {}

    def of(self, model: str) -> frozenset[str]:
        """What was known when this was first asked, and what was learned here since."""
        return self._made.setdefault(model, _known.get((self._account.base_url, model), frozenset()))

    def parameters(self, model: str) -> frozenset[str]:
        """The parameters of ours that are not sent any more because of them."""
        made = self.of(model)
        found = {_PARAMETERS[name] for name in made if name in _PARAMETERS}
        return frozenset(found | {"reasoning_effort"} if made >= {"adaptive", "budget"} else found)

    def learn(self, model: str, name: str) -> None:
        """One more, from now on, and unless the model's row remembers it for whoever comes later; the oldest of too many are
        forgotten."""
        self._made[model] = self.of(model) | {name}
        if name in _PARAMETERS:
            return
        key = (self._account.base_url, model)
        _known[key] = _known.pop(key, frozenset()) | {name}
        while len(_known) > MOST_REMEMBERED:
            _known.popitem(last=False)


#: What an amendment that leaves out a whole parameter is called in some dialect → the parameter.
_PARAMETERS = {
    **{name: name for name in ("temperature", "top_p", "top_k", "repeat_penalty", "stop", "reasoning_effort")},
    **dict.fromkeys(("reasoning", "thinkingConfig", "think"), "reasoning_effort"),
}

_known: OrderedDict[tuple[str, str], frozenset[str]] = OrderedDict()


def forget() -> None:
    """Remember no refusal of any server."""
    _known.clear()


class Question(msgspec.Struct, frozen=True):
    """One way to ask: where, what, how the answer is read, and which amendment a refusal of it calls for, if any."""

    path: str
    body: dict[str, Any]
    decoder: type[SseDecoder] | type[NdjsonDecoder]
    reader: Callable[[Wire], Reader[Event]]
    amendment: Callable[[dict[str, Any], BadRequest], str | None]


async def converse(
    wire: Wire, amendments: Amendments, request: ChatRequest, question: Callable[[], Question]
) -> AsyncGenerator[Event, None]:
    """Ask; refused for a part that it can do without, amend and ask again. The events of the answer. Raises `ProviderError`.

    `question` is called anew after each amendment. There are as many attempts as amendments that change something.
    """
    asked = question()
    while True:
        accept = "text/event-stream" if asked.decoder is SseDecoder else "application/x-ndjson"
        try:
            response = await wire.open(asked.path, asked.body, accept)
            break
        except BadRequest as error:
            if (name := asked.amendment(asked.body, error)) is None:
                raise
            amendments.learn(request.model, name)
            amended = question()
            if (amended.path, amended.body) == (asked.path, asked.body):
                raise
            asked = amended
        yield Amended(asked.body)
    written = text_of(request.messages[-1].parts) if request.continues else ""
    events = wire.events(response, asked.decoder(), asked.reader(wire))
    async with aclosing(told_apart(events, written)) as told:
        async for event in told:
            yield event


def unknown_field(names: frozenset[str] | tuple[str, ...], body: dict[str, Any], complaint: str) -> str | None:
    """Which of these fields of the body a server complains not to know; None if it complains of something else."""
    if not _DOES_NOT_KNOW.search(complaint):
        return None
    return next((name for name in names if name in body and re.search(rf"\b{name}\b", complaint)), None)
