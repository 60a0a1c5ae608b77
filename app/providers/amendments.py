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

from app.parts import Delta, text_of
from app.providers.answers import Reader
from app.providers.base import Account, Amended, ChatRequest, Event
from app.providers.errors import BadRequest
from app.providers.http import Wire
from app.providers.prompts import is_asked_to_go_on
from app.providers.seam import joined
from app.providers.thought_stream import told_apart

MOST_REMEMBERED = 1000

_DOES_NOT_KNOW = re.compile(
    r"un(supported|recogni[sz]ed|known|expected)|not (supported|recogni[sz]ed|permitted|allowed|available|valid for|implemented)"
    r"|(does not|doesn't|cannot|can't) (support|accept|be used)|not have access|must be verified|only the default|forbidden"
    r"|deprecated|cannot both be|can(not|'t) be used together"
    r"|extra (input|field)|extra_forbidden|additional propert|cannot find field|no such (field|parameter)|not a known",
    re.IGNORECASE,
)
_STREAMING = re.compile(r"\bstreaming\b", re.IGNORECASE)


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
    **{
        name: name
        for name in ("temperature", "top_p", "top_k", "repeat_penalty", "max_tokens", "stop", "reasoning_effort")
    },
    **dict.fromkeys(("reasoning", "thinkingConfig", "think"), "reasoning_effort"),
    **dict.fromkeys(("max_output_tokens", "maxOutputTokens", "num_predict"), "max_tokens"),
    "topP": "top_p",
    "topK": "top_k",
    "stopSequences": "stop",
}

_known: OrderedDict[tuple[str, str], frozenset[str]] = OrderedDict()


def forget() -> None:
    """Remember no refusal of any server."""
    _known.clear()


class Question(msgspec.Struct, frozen=True):
    """One way to ask: where, what, the media type to ask for, how the answer is read, and which amendment a refusal of it
    calls for, if any."""

    path: str
    body: dict[str, Any]
    accept: str
    reader: Callable[[Wire], Reader[Event]]
    amendment: Callable[[dict[str, Any], BadRequest], str | None]


async def converse(
    wire: Wire, amendments: Amendments, request: ChatRequest, question: Callable[[], Question]
) -> AsyncGenerator[Event, None]:
    """Ask; refused for a part that it can do without, amend and ask again. The events of the answer. Raises `ProviderError`.

    `question` is called anew after each amendment. There are as many attempts as amendments that change something.
    """
    asked = question()
    written = text_of(request.messages[-1].parts) if request.continues else ""
    has_begun = False
    while True:
        try:
            response = await wire.open(asked.path, asked.body, asked.accept)
            events = told_apart(wire.events(response, asked.reader(wire)), written)
            async with aclosing(joined(events, request) if is_asked_to_go_on(asked.body) else events) as told:
                async for event in told:
                    has_begun = has_begun or isinstance(event, Delta)
                    yield event
            return
        except BadRequest as error:  # some refuse in a status line, some in an answer that is a success by its status
            if has_begun or (name := asked.amendment(asked.body, error)) is None:
                raise
            amendments.learn(request.model, name)
            amended = question()
            if (amended.path, amended.body) == (asked.path, asked.body):
                raise
            asked = amended
        yield Amended(asked.body)


def unknown_field(names: frozenset[str] | tuple[str, ...], body: dict[str, Any], complaint: str) -> str | None:
    """Which of these fields of the body a server complains not to know; None if it complains of something else.

    The first that it names: what it would take instead is said after that.
    """
    if not _DOES_NOT_KNOW.search(complaint):
        return None
    complaint = _STREAMING.sub("stream", complaint)
    found = {name: re.search(rf"\b{name}\b", complaint) for name in names if name in body}
    places = {name: match.start() for name, match in found.items() if match}
    return min(places, key=places.__getitem__, default=None)
