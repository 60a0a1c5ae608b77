"""From a thread's active branch to the exact request.

Prompts are append-only: the request of a later turn begins with all of the request of an earlier one, so that the
prompt caches of model servers work.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from app.errors import ContextOverflow
from app.parts import ErrorPart, TextPart
from app.providers.base import ChatMessage, ChatRequest, Parameters, Provider
from app.words import gettext as _

#: Below this share of the context window an estimate is trusted; above it the model's own tokenizer is asked.
TRUSTED_SHARE = 0.6


def build_request(
    model: str,
    system_prompt: str,
    branch: Iterable[ChatMessage],
    parameters: Parameters,
    *,
    continues: bool = False,
    max_output_tokens: int | None = None,
) -> ChatRequest:
    """System prompt and branch → request. Answers that came to nothing are left out; everything else is in, uncut."""
    messages: list[ChatMessage] = []
    if system_prompt.strip():
        messages.append(ChatMessage("system", (TextPart(system_prompt),)))
    for message in branch:
        if any(isinstance(part, ErrorPart) for part in message.parts):
            parts = tuple(part for part in message.parts if not isinstance(part, ErrorPart))
            message = ChatMessage(message.role, parts)
        if message.parts:
            messages.append(message)
    return ChatRequest(model, tuple(messages), parameters, continues=continues, max_output_tokens=max_output_tokens)


async def check_fit(provider: Provider, request: ChatRequest, context_window: int | None) -> None:
    """Refuse a prompt that leaves no room in the context window. Raises `ContextOverflow`; unknown windows let it pass."""
    window = request.parameters.context_window or context_window
    if window is None:
        return
    count = await Provider.count_tokens(provider, request)
    if count.tokens > window * TRUSTED_SHARE:
        count = await provider.count_tokens(request)
    if count.tokens >= window:
        kind = _("exact") if count.is_exact else _("estimated")
        sentence = _(
            "This thread has %(tokens)s tokens (%(kind)s), and %(model)s takes %(window)s. Nothing was sent."
            " Choose a model with a larger context window, or begin a new thread."
        )
        numbers = {"tokens": f"{count.tokens:,}", "window": f"{window:,}"}
        raise ContextOverflow(sentence % {"kind": kind, "model": request.model, **numbers})


def merge_parameters(*levels: Parameters) -> Parameters:
    """Parameters over their defaults: the first level that sets a value wins."""
    chosen: dict[str, Any] = {}
    for name in Parameters.__struct_fields__:
        values: Sequence[Any] = [value for level in levels if (value := getattr(level, name)) not in (None, ())]
        if values:
            chosen[name] = values[0]
    return Parameters(**chosen)
