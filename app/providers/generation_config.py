"""Gemini's `generationConfig`: how to sample, and how long to think. Pure.

https://ai.google.dev/api/generate-content#generationconfig, https://ai.google.dev/gemini-api/docs/thinking.
"""

from typing import Any

from app.providers.base import Account, ChatRequest, Parameters
from app.providers.errors import BadRequest
from app.words import gettext as _

MOST_STOP_SEQUENCES = 5
CAN_BE_LEFT_OUT = ("temperature", "topP", "topK", "maxOutputTokens", "stopSequences")

#: What Google's own compatible server takes the three efforts for, in tokens (…/gemini-api/docs/openai#thinking).
_BUDGETS = {"low": 1_024, "medium": 8_192, "high": 24_576}


def generation_config(account: Account, request: ChatRequest, amendments: frozenset[str]) -> dict[str, Any]:
    parameters = request.parameters
    if len(parameters.stop) > MOST_STOP_SEQUENCES:
        sentence = _("%(name)s takes at most %(most)s stop sequences.")
        raise BadRequest(sentence % {"name": account.name, "most": MOST_STOP_SEQUENCES})
    config = {
        "temperature": parameters.temperature,
        "topP": parameters.top_p,
        "topK": parameters.top_k,
        "maxOutputTokens": parameters.max_tokens,
        "stopSequences": list(parameters.stop) or None,
        "thinkingConfig": _thinking(request.model, parameters, amendments),
    }
    return {name: value for name, value in config.items() if value is not None and name not in amendments}


def _thinking(model: str, parameters: Parameters, amendments: frozenset[str]) -> dict[str, Any] | None:
    """Thoughts are always asked for: models think by default and keep it to themselves otherwise."""
    if "thinkingConfig" in amendments:
        return None
    config: dict[str, Any] = {"includeThoughts": True}
    if effort := parameters.reasoning_effort:
        if "thinkingLevel" in amendments or "gemini-2" in model:
            return config | {"thinkingBudget": _BUDGETS[effort]}
        return config | {"thinkingLevel": effort.upper()}
    return config
