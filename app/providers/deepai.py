"""DeepAI's text generation: one text is sent, one answer comes at once. https://deepai.org/machine-learning-model/text-generator

The smallest protocol of all: no list of models, no roles, no parameters, no counts. Of use as the last of a chain.
"""

import contextlib
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Any
from urllib.parse import urlencode

import httpx
import msgspec

from app.parts import FilePart, Finish, TextDelta, ToolCallPart, ToolResultPart, clean, text_of
from app.providers import failures
from app.providers.answer_size import AnswerSize
from app.providers.base import Account, ChatMessage, ChatRequest, Event, Image, Limits, Model, Provider
from app.providers.completions import refuse_file
from app.providers.errors import BadAnswer, BadRequest
from app.providers.http import MAX_ERROR_BYTES, Wire
from app.providers.prompts import in_turn
from app.providers.seam import joined
from app.providers.thought_stream import told_apart
from app.words import gettext as _

PATH = "/text-generator"
MODEL = "text-generator"
_SPEAKERS = {"user": "User: ", "assistant": "Assistant: ", "tool": "Tool: ", "system": ""}


class DeepAI(Provider):
    """An account at DeepAI. An unfinished answer is continued by asking for it in words."""

    kind = "deepai"
    takes = frozenset()
    usual_url = "https://api.deepai.org/api"
    usual_paths = ("/api",)
    endpoints = "/text-generator"
    has_list = False
    listed_as = kind

    def __init__(self, account: Account, client: httpx.AsyncClient, limits: Limits | None = None) -> None:
        super().__init__(account, client, limits)
        account = msgspec.structs.replace(account, usual_path="/api")
        seconds = self.limits.first_token_seconds  # all of an answer comes at once
        self.wire = _FormWire(account, client, self.limits, key_header="api-key", json_seconds=seconds)

    @classmethod
    def label(cls) -> str:
        return "DeepAI"

    async def read_models(self) -> Iterable[Model]:
        """The only model there is. Its path accepts POST only, so a refused GET shows that it is there."""
        try:
            await self.wire.ask("GET", PATH)
        except (BadRequest, BadAnswer) as error:
            if error.status == 404:
                raise
        return [Model(name=MODEL, has_vision=False, has_tools=False, has_reasoning=False, is_embedding=False)]

    async def takes_questions(self) -> bool:
        """Where there is no list, there is nothing: the look at the one model was at the path that takes questions."""
        return False

    def body(self, request: ChatRequest) -> dict[str, Any]:
        """The conversation as one text that ends where the model should continue."""
        said = [self._written(message) for message in in_turn(request, prefills=False)]
        return {"text": "\n\n".join([*said, _SPEAKERS["assistant"].strip()])}

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        events = told_apart(self._answer(request))
        async with aclosing(joined(events, request) if request.continues else events) as told:
            async for event in told:
                yield event

    async def _answer(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        answer = await self.wire.fetch("POST", PATH, dict[str, Any], self.body(request))
        if not isinstance(output := answer.get("output"), str):
            raise failures.event(self.account, _complaint(answer) or answer)
        said = TextDelta(clean(output.removeprefix(_SPEAKERS["assistant"])))
        AnswerSize(self.account, self.limits).add(said)
        yield said
        yield Finish("stop")

    def _written(self, message: ChatMessage) -> str:
        for part in message.parts:
            if isinstance(part, FilePart):
                raise refuse_file(self.account, part)
            if isinstance(part, Image):
                raise BadRequest(_("%(name)s accepts text only, no images.") % {"name": self.account.name})
        calls = [f"{part.name} {part.arguments}" for part in message.parts if isinstance(part, ToolCallPart)]
        results = [part.content for part in message.parts if isinstance(part, ToolResultPart)]
        words = "\n\n".join(filter(None, [text_of(message.parts), *calls, *results]))
        return f"{_SPEAKERS[message.role]}{words}"


class _FormWire(Wire):
    """Sends forms in place of JSON, and reads the errors of this service."""

    content_type = "application/x-www-form-urlencoded"

    def encode(self, body: dict[str, Any]) -> bytes:
        return urlencode(body).encode()

    async def _check(self, response: httpx.Response) -> None:
        if response.status_code != 200 and not response.headers.get("Content-Encoding"):
            body = await self._read(response, MAX_ERROR_BYTES, is_whole=False)
            with contextlib.suppress(msgspec.DecodeError, RecursionError):  # a proxy's words stay as they are
                if said := _complaint(msgspec.json.decode(body, type=dict[str, Any])):
                    body = msgspec.json.encode({"error": said})
            wait = response.headers.get("Retry-After")
            raise failures.refusal(self.account, response.status_code, body, wait=wait)
        await super()._check(response)


def _complaint(answer: dict[str, Any]) -> str:
    """`{"err": "…"}`, or `{"status": "…"}`; a proxy has words of its own."""
    return next((said for said in (answer.get("err"), answer.get("status")) if isinstance(said, str)), "")
