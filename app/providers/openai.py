"""Any server that speaks OpenAI's protocol: `/models`, `/chat/completions`, perhaps `/responses` below its base URL."""

import re
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing, suppress
from typing import Any, ClassVar

import httpx
import msgspec

from app.providers import completions, responses
from app.providers.amendments import Amendments, Question, converse
from app.providers.base import Account, ChatRequest, Event, Limits, Model, Provider, TokenCount
from app.providers.counts import count_of
from app.providers.errors import ProviderError
from app.providers.http import EVENT_STREAM, Wire
from app.providers.listings import fetch_list, name_in, protocol_of
from app.providers.probing import takes_questions
from app.words import gettext as _

MAX_MODELS = 5000
_COUNTED = ("model", "input", "tools", "reasoning")


class OpenAI(Provider):
    """OpenAI itself, vLLM, LM Studio, OpenRouter, Groq, LiteLLM and whoever else answers as they do.

    An unfinished answer is continued by asking for it in words: OpenAI refuses to continue an assistant message, vLLM
    wants fields for it that others reject, and nothing in the protocol says who answers.

    The Responses API is used where it is known to stand: at OpenAI's own hosts and Azure's, recognised by name. Others
    have it too, but gain nothing from it. A host that has none after all is remembered to have none; stop sequences are
    unknown there, so a request with some goes to chat completions.
    """

    kind = "openai"
    takes = frozenset({"temperature", "top_p", "max_tokens", "stop", "reasoning_effort"})
    usual_url = "https://api.openai.com/v1"
    usual_paths = ("/v1", "/api/v1", "/openai/v1")
    endpoints = r"(?:/chat)?/completions|/responses(?:/[^/:]+)?|/embeddings|/models(?:/[^:]+)?"
    responses_hosts: ClassVar[re.Pattern[str]] = re.compile(r"([a-z]+\.)?api\.openai\.com|.+\.openai\.azure\.com")

    def __init__(self, account: Account, client: httpx.AsyncClient, limits: Limits | None = None) -> None:
        super().__init__(account, client, limits)
        self.wire = Wire(msgspec.structs.replace(account, usual_path="/v1"), client, self.limits)
        self.amendments = Amendments(account)

    @classmethod
    def label(cls) -> str:
        return _("OpenAI-compatible")

    async def read_models(self) -> Iterable[Model]:
        around, entries = await fetch_list(self.wire, "/models", MAX_MODELS)
        self.listed_as = protocol_of(around, entries)
        return map(_model, entries)

    async def takes_questions(self) -> bool:
        return await takes_questions(self.wire, "/chat/completions", {"model": "", "messages": [], "max_tokens": 1})

    def body(self, request: ChatRequest) -> dict[str, Any]:
        return self._question(request).body

    def refused(self, model: str) -> frozenset[str]:
        return self.amendments.parameters(model)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        async with aclosing(converse(self.wire, self.amendments, request, lambda: self._question(request))) as events:
            async for event in events:
                yield event

    async def count_tokens(self, request: ChatRequest) -> TokenCount:
        """Exact where the Responses API counts; an estimate elsewhere.

        https://platform.openai.com/docs/api-reference/responses/input-tokens
        """
        question = self._question(request)
        if question.path == responses.PATH:
            asked = {name: value for name, value in question.body.items() if name in _COUNTED}
            with suppress(ProviderError):
                counted = await self.wire.fetch("POST", f"{responses.PATH}/input_tokens", _Count, asked)
                if (tokens := count_of(counted.input_tokens)) is not None:
                    return TokenCount(tokens, is_exact=True)
        return await super().count_tokens(request)

    def _question(self, request: ChatRequest) -> Question:
        amendments = self.amendments.of(request.model)
        if self._has_responses() and not request.parameters.stop and "chat" not in amendments:
            body = responses.responses_body(self.account, request, amendments)
            return Question(responses.PATH, body, EVENT_STREAM, responses.ResponsesReader, responses.amendment)
        body = completions.chat_body(self.account, request, takes=self.takes, amendments=amendments)
        return Question("/chat/completions", body, EVENT_STREAM, completions.ChatReader, completions.amendment)

    def _has_responses(self) -> bool:
        try:
            host = httpx.URL(self.account.base_url).host
        except httpx.InvalidURL:
            return False
        return self.responses_hosts.fullmatch(host) is not None


class _Count(msgspec.Struct):
    input_tokens: Any


def _model(entry: dict[str, Any]) -> Model:
    """One entry. The protocol knows only `id`; vLLM, Groq, Mistral, OpenRouter and llama.cpp add the rest."""
    capabilities = entry.get("capabilities")
    architecture = entry.get("architecture")
    supported = entry.get("supported_parameters")
    meta = entry.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    modalities = architecture.get("input_modalities") if isinstance(architecture, dict) else None
    says = capabilities if isinstance(capabilities, dict) else {}
    return Model(
        name=name_in(entry, "id", "name", "model"),
        context_window=_first_count(
            *(entry.get(key) for key in ("max_model_len", "context_length", "context_window", "max_context_length")),
            meta.get(
                "n_ctx"
            ),  # of llama.cpp as it was started; what the model was trained for is beside the point then
            meta.get("n_ctx_train"),
        ),
        max_output_tokens=entry.get("max_completion_tokens"),
        size_bytes=meta.get("size"),
        has_vision=_claim(says.get("vision"), "image" in modalities if isinstance(modalities, list) else None),
        has_tools=_claim(says.get("function_calling"), "tools" in supported if isinstance(supported, list) else None),
        has_reasoning=_claim(None, "reasoning" in supported if isinstance(supported, list) else None),
    )


def _first_count(*values: Any) -> int | None:
    return next((value for value in values if type(value) is int and value > 0), None)


def _claim(said: Any, derived: bool | None) -> bool | None:
    return said if isinstance(said, bool) else derived
