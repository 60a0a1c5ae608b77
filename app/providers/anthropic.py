"""Anthropic's own protocol: `/v1/models`, `/v1/messages` and `/v1/messages/count_tokens` below the account's base URL.

https://platform.claude.com/docs/en/api/overview. What is said there stands in `messages` and `message_events`.
"""

import re
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, ClassVar
from urllib.parse import quote

import httpx
import msgspec

from app.providers.amendments import Amendments, Question, converse
from app.providers.base import Account, ChatRequest, Event, Limits, Model, Provider, TokenCount
from app.providers.counts import count_of
from app.providers.errors import ProviderError
from app.providers.http import EVENT_STREAM, Wire
from app.providers.listings import Entry, fetch_list, name_in, protocol_of
from app.providers.message_events import KIND, MessageReader
from app.providers.messages import HIGHEST_TEMPERATURE, amendment, cut_of, messages_body
from app.providers.probing import takes_questions

VERSION = "2023-06-01"
PAGE_SIZE = 1000
MAX_PAGES = 10
_COUNTED = ("model", "messages", "system", "tools", "thinking")


class Anthropic(Provider):
    """Anthropic itself, llama.cpp and whoever else answers as they do.

    An unfinished answer stands last in the prompt, where the model goes on from it; a model that refuses that, or that
    is to think, is asked in words. While it thinks, `temperature` and `top_k` have no effect.
    """

    kind = KIND
    highest_temperature = HIGHEST_TEMPERATURE
    takes = frozenset({"temperature", "top_p", "top_k", "max_tokens", "stop", "reasoning_effort"})
    usual_url = "https://api.anthropic.com"
    usual_paths = ("",)
    endpoints = r"(?:/v1)?/messages(?:/count_tokens|/batches)?|/v1/complete|/v1/models(?:/[^/:]+)?"

    def __init__(self, account: Account, client: httpx.AsyncClient, limits: Limits | None = None) -> None:
        super().__init__(account, client, limits)
        account = msgspec.structs.replace(account, usual_path="/v1")
        self.wire = _VersionedWire(_below_version(account), client, self.limits, key_header="x-api-key")
        self.amendments = Amendments(account)

    @classmethod
    def label(cls) -> str:
        return "Anthropic"

    async def read_models(self) -> Iterable[Model]:
        found: list[Model] = []
        after = ""
        for _page in range(MAX_PAGES):
            around, entries = await fetch_list(self.wire, f"/models?limit={PAGE_SIZE}{after}", PAGE_SIZE)
            self.listed_as = protocol_of(around, entries)
            found += map(_model, entries)
            last = around.get("last_id")
            if around.get("has_more") is not True or not (isinstance(last, str) and last):
                break
            after = f"&after_id={quote(last, safe='')}"
        return found

    async def takes_questions(self) -> bool:
        return await takes_questions(self.wire, "/messages", {"model": "", "messages": [], "max_tokens": 1})

    def body(self, request: ChatRequest) -> dict[str, Any]:
        return messages_body(self.account, request, self.amendments.of(request.model))

    def refused(self, model: str) -> frozenset[str]:
        return self.amendments.parameters(model)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        def question() -> Question:
            body = self.body(request)
            reader = partial(MessageReader, owed=cut_of(request, body))
            return Question("/messages", body, EVENT_STREAM, reader, amendment)

        async with aclosing(converse(self.wire, self.amendments, request, question)) as events:
            async for event in events:
                yield event

    async def count_tokens(self, request: ChatRequest) -> TokenCount:
        """By the server, which calls it an estimate but counts as it bills; our own estimate where it does not count.

        https://platform.claude.com/docs/en/build-with-claude/token-counting
        """
        asked = {name: value for name, value in self.body(request).items() if name in _COUNTED}
        try:
            counted = await self.wire.fetch("POST", "/messages/count_tokens", _Count, asked)
            tokens = count_of(counted.input_tokens)
        except ProviderError:
            tokens = None
        return TokenCount(tokens, is_exact=True) if tokens is not None else await super().count_tokens(request)


class _VersionedWire(Wire):
    headers: ClassVar[Mapping[str, str]] = {"anthropic-version": VERSION}


class _Count(msgspec.Struct):
    input_tokens: Any


def _below_version(account: Account) -> Account:
    """Base URLs of this protocol are given with and without the `/v1` in which all its paths begin."""
    try:
        url = httpx.URL(account.base_url)
    except httpx.InvalidURL:
        return account
    path = url.path.rstrip("/")
    if not url.host or re.search(r"/v\d+(beta)?$", path):
        return account
    return msgspec.structs.replace(account, base_url=str(url.copy_with(path=path + "/v1")))


def _model(entry: Entry) -> Model:
    """One entry. Older and compatible servers give nothing but the id."""
    capabilities = entry.get("capabilities")
    return Model(
        name=name_in(entry, "id", "name", "model"),
        context_window=entry.get("max_input_tokens"),
        max_output_tokens=entry.get("max_tokens"),
        has_vision=_supports(capabilities, "image_input"),
        has_reasoning=_supports(capabilities, "thinking"),
    )


def _supports(capabilities: Any, name: str) -> bool | None:
    found = capabilities.get(name) if isinstance(capabilities, dict) else None
    supported = found.get("supported") if isinstance(found, dict) else None
    return supported if isinstance(supported, bool) else None
