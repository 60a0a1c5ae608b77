"""How a model server is asked: answers are bounded in time and size.

What is streamed is read by `answers`.
"""

import asyncio
import codecs
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping
from typing import Any, ClassVar, TypeVar

import httpx
import msgspec

from app.origins import origin_of
from app.providers import addresses, failures, lenient
from app.providers.answer_size import too_large
from app.providers.answers import AnswerStream, Reader
from app.providers.authorization import Authorization
from app.providers.base import Account, Limits
from app.providers.credentials import split_credentials
from app.providers.errors import BadAnswer, TimedOut, Unreachable
from app.providers.unreachable import refused_plain_http, unreachable_by
from app.words import gettext as _

T = TypeVar("T")
E = TypeVar("E")

EVENT_STREAM, NDJSON = "text/event-stream", "application/x-ndjson"
MAX_ERROR_BYTES = 64 * 1024
MAX_JSON_BYTES = 16 * 1024 * 1024
_PIECE_BYTES = 256 * 1024


class Wire:
    """An account's line to its server. The key travels as a bearer token, or as it is in the header `key_header`.

    Paths may end in a query, which goes behind that of the base URL; what stands in one unencoded is encoded.
    """

    json_seconds = 15.0
    """How long an answer may take that is not streamed."""

    content_type = "application/json"
    headers: ClassVar[Mapping[str, str]] = {}
    """What every request of a protocol says beside its key."""

    def __init__(
        self,
        account: Account,
        client: httpx.AsyncClient,
        limits: Limits,
        *,
        key_header: str = "",
        json_seconds: float | None = None,
    ) -> None:
        self.account = account
        self.client = client
        self.limits = limits
        self.key_header = key_header
        if json_seconds is not None:
            self.json_seconds = json_seconds

    def encode(self, body: dict[str, Any]) -> bytes:
        return msgspec.json.encode(body)

    async def fetch(self, method: str, path: str, expected: type[T], body: dict[str, Any] | None = None) -> T:
        """A small answer in JSON, decoded. Raises `ProviderError`."""
        answer = await self.ask(method, path, body)
        try:
            return self.decode(answer, expected)
        except BadAnswer as error:
            raise BadAnswer(f"{error.sentence} {failures.check_url(self.account)}") from None

    async def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        """A small answer as it is, perhaps empty. Raises `ProviderError`."""
        try:
            async with asyncio.timeout(self.json_seconds):
                response = await self._send(method, path, body, "application/json")
                try:
                    await self._check(response)
                    answer = await self._read(response, MAX_JSON_BYTES)
                    if answer.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
                        raise failures.web_page(self.account)
                    return answer
                finally:
                    await response.aclose()
        except TimeoutError:
            raise self._timed_out(_("%(name)s did not answer within %(seconds)s seconds."), self.json_seconds) from None

    async def open(self, path: str, body: dict[str, Any], accept: str) -> httpx.Response:
        """Post a question and wait for the status line of its streamed answer. The caller closes the response."""
        seconds = self.limits.first_token_seconds
        try:
            async with asyncio.timeout(seconds):
                response = await self._send("POST", path, body, accept)
                try:
                    await self._check(response)
                except BaseException:
                    await response.aclose()
                    raise
                return response
        except TimeoutError:
            sentence = _("%(name)s accepted the question and was silent for %(seconds)s seconds.")
            raise self._timed_out(sentence, seconds) from None

    def events(self, response: httpx.Response, reader: Reader[E]) -> AsyncGenerator[E, None]:
        """The events of an opened answer, whatever its Content-Type says: `AnswerStream.events`."""
        return AnswerStream(self.account, self.limits, response, reader).events()

    async def _send(self, method: str, path: str, body: dict[str, Any] | None, accept: str) -> httpx.Response:
        headers = {"Accept": accept, **self.headers}
        content = b"" if body is None else self.encode(body)
        if content:
            headers |= {"Content-Type": self.content_type, "Content-Length": str(len(content))}
        addresses.may_be_private.set(self.account.allows_private)
        path, _mark, query = path.partition("?")
        try:
            base = httpx.URL(self.account.base_url)
            addresses.check(base.host, allows_private=self.account.allows_private)  # an IP address is not resolved
            url = base.copy_with(userinfo=b"", path=base.path.rstrip("/") + path)
            url = url.copy_merge_params(httpx.QueryParams(query)) if query else url
            request = self.client.build_request(method, url, headers=headers, content=_pieces(content))
            return await self.client.send(request, stream=True, auth=self._authorization())
        except failures.REQUEST_ERRORS as error:
            # Not chained: aiohttp's errors carry the request's headers, and with them the key, to whatever logs them.
            raise await unreachable_by(self.account, error, is_question=method == "POST") from None

    def _authorization(self) -> Authorization:
        """The account's key, or else what stands before the host of its base URL."""
        account = self.account
        if account.key:
            return Authorization(account.name, account.key, account.key_origin or "", header=self.key_header)
        bare, login = split_credentials(account.base_url)
        return Authorization(account.name, login, origin_of(bare))

    async def _check(self, response: httpx.Response) -> None:
        """Raises for everything that is not a success in a form that we read."""
        name = self.account.name
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        is_readable = encoding in ("", "identity")
        if response.status_code != 200:
            body = await self._read(response, MAX_ERROR_BYTES, is_whole=False) if is_readable else b""
            if error := refused_plain_http(self.account, response.status_code, body):
                raise error
            wait = response.headers.get("Retry-After")
            raise failures.refusal(self.account, response.status_code, body, wait=wait)
        if not is_readable:
            raise BadAnswer(_("%(name)s sent a compressed answer, although none was asked for.") % {"name": name})

    async def _read(self, response: httpx.Response, max_bytes: int, *, is_whole: bool = True) -> bytes:
        """The body, or with `is_whole=False` what came of its beginning."""
        pieces, size = [], 0
        try:
            async for chunk in response.aiter_raw():
                pieces.append(chunk)
                size += len(chunk)
                if size > max_bytes:
                    break
        except failures.TRANSPORT_ERRORS:
            if is_whole:
                raise Unreachable(
                    _("%(name)s broke off in the middle of its answer.") % {"name": self.account.name}
                ) from None
        if is_whole and size > max_bytes:
            raise too_large(self.account)
        return b"".join(pieces)[:max_bytes]

    def decode(self, answer: str | bytes, expected: type[T]) -> T:
        """JSON → a value. Lone surrogates and raw control characters are repaired, anything else is `BadAnswer`."""
        answer = answer.removeprefix("\ufeff") if isinstance(answer, str) else answer.removeprefix(codecs.BOM_UTF8)
        try:
            return lenient.decode(answer, expected)
        except ValueError:
            sentence = _("%(name)s sent something that is not what its protocol says.")
            raise BadAnswer(sentence % {"name": self.account.name}) from None

    def _timed_out(self, sentence: str, seconds: float) -> TimedOut:
        return TimedOut(sentence % {"name": self.account.name, "seconds": f"{seconds:g}"})


def _pieces(content: bytes) -> bytes | AsyncIterable[bytes]:
    return content if len(content) <= _PIECE_BYTES else _Pieces(content)


class _Pieces(AsyncIterable[bytes]):
    """A large body goes out bit by bit: written at once it would hold the event loop. It can be sent more than once."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._content), _PIECE_BYTES):
            yield self._content[start : start + _PIECE_BYTES]
