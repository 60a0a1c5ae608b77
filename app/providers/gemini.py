"""Google's Gemini API: `streamGenerateContent`, its models and its token counts.

https://ai.google.dev/api/generate-content, …/api/models, …/api/tokens. The key travels in a header, never in a URL.
"""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from app.providers.amendments import Amendments, Question, converse
from app.providers.base import Account, ChatRequest, Event, Limits, Model, Provider, TokenCount, is_model_name
from app.providers.contents import KIND, ContentsReader, amendment, contents_body
from app.providers.counts import count_of
from app.providers.errors import ModelMissing, ProviderError
from app.providers.http import EVENT_STREAM, Wire
from app.providers.listings import Entry, fetch_list, name_in, protocol_of
from app.providers.probing import takes_questions
from app.words import gettext as _

PAGE_SIZE = 1000
MAX_PAGES = 10


class Gemini(Provider):
    """Google AI Studio's models, and whoever answers as it does.

    An unfinished answer is continued by asking for it in words: Gemini wants the last word to be the person's.
    """

    kind = KIND
    takes = frozenset({"temperature", "top_p", "top_k", "max_tokens", "stop", "reasoning_effort"})
    usual_url = "https://generativelanguage.googleapis.com/v1beta"
    usual_paths = ("/v1beta",)
    endpoints = r"/models(?:/[^/:]+)?(?::\w+)?"

    def __init__(self, account: Account, client: httpx.AsyncClient, limits: Limits | None = None) -> None:
        super().__init__(account, client, limits)
        account = msgspec.structs.replace(account, usual_path="/v1beta")
        self.wire = Wire(account, client, self.limits, key_header="x-goog-api-key")
        self.amendments = Amendments(account)

    @classmethod
    def label(cls) -> str:
        return "Google Gemini"

    @classmethod
    def model_name(cls, typed: str) -> str:
        return typed.removeprefix("models/")

    async def read_models(self) -> Iterable[Model]:
        found: list[Model] = []
        token = ""
        for _page in range(MAX_PAGES):
            around, entries = await fetch_list(self.wire, f"/models?pageSize={PAGE_SIZE}{token}", PAGE_SIZE)
            self.listed_as = protocol_of(around, entries)
            found += filter(None, map(_model, entries))
            following = around.get("nextPageToken")
            if not (isinstance(following, str) and following):
                break
            token = f"&pageToken={quote(following, safe='')}"
        return found

    async def takes_questions(self) -> bool:
        return await takes_questions(self.wire, "/models/parley:generateContent", {"contents": []})

    def body(self, request: ChatRequest) -> dict[str, Any]:
        return contents_body(self.account, request, self.amendments.of(request.model))

    def refused(self, model: str) -> frozenset[str]:
        return self.amendments.parameters(model)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        path = f"{self._path_of(request.model)}:streamGenerateContent?alt=sse"

        def question() -> Question:
            return Question(path, self.body(request), EVENT_STREAM, ContentsReader, amendment)

        async with aclosing(converse(self.wire, self.amendments, request, question)) as events:
            async for event in events:
                yield event

    async def count_tokens(self, request: ChatRequest) -> TokenCount:
        """Exact, by the model's own tokenizer; an estimate where the server does not count."""
        asked = {"generateContentRequest": {"model": f"models/{request.model}"} | self.body(request)}
        try:
            path = f"{self._path_of(request.model)}:countTokens"
            counted = await self.wire.fetch("POST", path, _Count, asked)
            tokens = count_of(counted.total_tokens)
        except ProviderError:
            tokens = None
        return TokenCount(tokens, is_exact=True) if tokens is not None else await super().count_tokens(request)

    def _path_of(self, model: str) -> str:
        """The model's path, in which nothing of its name means anything to a URL."""
        if not _is_name(model):
            sentence = _("%(name)s has no model of this name.")
            raise ModelMissing(sentence % {"name": self.account.name})
        return f"/models/{quote(model, safe='')}"


class _Count(msgspec.Struct, rename="camel"):
    total_tokens: Any


def _model(entry: Entry) -> Model | None:
    """One entry; None for what can neither answer nor embed: models that draw, film or speak, and nonsense."""
    name = name_in(entry, "name", "id", "model").removeprefix("models/")
    methods, thinking = entry.get("supportedGenerationMethods"), entry.get("thinking")
    answers = "generateContent" in methods if isinstance(methods, list) else None
    embeds = "embedContent" in methods if isinstance(methods, list) else None
    if not _is_name(name) or (answers is False and not embeds):
        return None
    return Model(
        name=name,
        context_window=entry.get("inputTokenLimit"),
        max_output_tokens=entry.get("outputTokenLimit"),
        has_reasoning=thinking if isinstance(thinking, bool) else None,
        is_embedding=None if embeds is None else embeds and not answers,
    )


def _is_name(name: str) -> bool:
    """A colon would begin a verb, and cannot be hidden from all that stands between here and there."""
    return is_model_name(name) and name.strip(".") != "" and ":" not in name
