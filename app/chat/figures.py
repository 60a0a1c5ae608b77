"""What an answer took, in tokens and tokens a second: as its server said, estimated where it did not. Pure."""

from collections.abc import Sequence

import msgspec

from app.parts import Part, Usage
from app.providers.base import ChatRequest

#: What came at once has no speed: three tokens in two milliseconds say nothing of a model.
SHORTEST_MEASURED_MS = 500


def filled(said: Usage | None, estimate: Usage) -> Usage:
    """What the server said; where it broke off before it said all, the rest is estimated, and labelled so."""
    if said is None:
        return estimate
    if said.input_tokens is not None and said.output_tokens is not None:
        return said
    return msgspec.structs.replace(
        said,
        input_tokens=said.input_tokens if said.input_tokens is not None else estimate.input_tokens,
        output_tokens=said.output_tokens if said.output_tokens is not None else estimate.output_tokens,
        is_exact=False,
    )


def estimated(request: ChatRequest | None, new: Sequence[Part]) -> Usage:
    """When the server does not say: about four UTF-8 bytes a token, thoughts included, labelled as an estimate.

    `request` is what was sent, as far as that is known.
    """
    sent = sum(len(msgspec.json.encode(message.parts)) for message in request.messages) if request else 0
    came = sum(len(str(getattr(part, "text", "") or getattr(part, "arguments", "")).encode()) for part in new)
    return Usage(input_tokens=sent // 4 or None, output_tokens=came // 4 or None, is_exact=False)


def speed(usage: Usage, *, first_token_ms: int | None, duration_ms: int) -> float | None:
    """Tokens a second from the first token on; None where that cannot be told."""
    if not usage.output_tokens or first_token_ms is None or duration_ms - first_token_ms < SHORTEST_MEASURED_MS:
        return None
    return round(usage.output_tokens * 1000 / (duration_ms - first_token_ms), 2)
