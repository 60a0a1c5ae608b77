"""What went wrong with a model server, in our own words: foreign exceptions, status codes, messages → our tree.

Sentences name the account and at most `host:port`, with a path that everybody's has: never a key, userinfo, another path
or a query.
"""

import contextlib
import email.utils
import html
import math
import re
import time
from datetime import UTC
from typing import Any

import aiohttp
import httpx
import msgspec

from app.parts import clean
from app.providers.base import Account
from app.providers.credentials import secrets_in
from app.providers.errors import (
    BadAnswer,
    BadRequest,
    Filtered,
    KeyRejected,
    ModelMissing,
    NoMemory,
    Overloaded,
    PromptTooLong,
    ProviderError,
    RateLimited,
    StreamCut,
    TimedOut,
)
from app.words import gettext as _

TRANSPORT_ERRORS = (httpx.HTTPError, httpx.StreamError, aiohttp.ClientError, OSError)
"""What reading an answer raises: httpx's aiohttp transport lets some of aiohttp's own errors through."""

REQUEST_ERRORS = (*TRANSPORT_ERRORS, httpx.InvalidURL, ValueError)
"""What sending a question raises: also an address or a header that cannot be written."""

#: What base URLs of the kinds mostly end in: nothing secret, and easily taken one for the other.
USUAL_PATHS = ("", "/v1", "/v1beta", "/api")
_MAX_MESSAGE_CHARS = 300
_MAX_READ_CHARS = 2000  # of a hostile message: some of the patterns below take the square of its length
_TOO_LONG = re.compile(
    r"context[ _]length|context[ _]window|context[ _]size|maximum context|prompt is too long|too many (input )?tokens"
    r"|exceeds? the (available|maximum) context|input (length|is too long)|input token count.{0,80}exceeds",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(
    r"models?\b.{0,200}\b(not found|does not exist|not exist|not available)|no such model|^model: \S",
    re.IGNORECASE | re.DOTALL,
)
#: Ollama and vLLM; the same question would fail again, and another model of the same server may well fit.
_NO_MEMORY = re.compile(r"requires more (system )?memory|out of memory|not enough (free )?memory", re.IGNORECASE)
_BAD_KEY = re.compile(r"\b(invalid_api_key|authentication_error|permission_error|API_KEY_INVALID)\b")
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.|\x9b[0-?]*[ -/]*[@-~]", re.DOTALL
)
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")
_HIDDEN_ELEMENTS = re.compile(r"<(script|style|head)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_TITLE = re.compile(r"<title[^<>]{0,100}>([^<>]{0,300})</title", re.IGNORECASE)
_TAGS = re.compile(r"<[^<>]{0,2000}>")
_SECRETS = re.compile(r"\b(?:sk|pk|gsk|xai|hf|AIza)[-_][\w-]{12,}|\bBearer\s+\S+|(?<=://)[^\s/@]+@|(?<=\w)\?[^\s]*=\S*")


def address(account: Account) -> str:
    """`host:port` of the account's base URL, or a stand-in where there is none."""
    try:
        url = httpx.URL(account.base_url)
    except httpx.InvalidURL:
        return _("its address")
    return (f"{url.host}:{url.port}" if url.port else url.host) or _("its address")


def check_url(account: Account) -> str:
    """What to do where a server answers, but not as one of its kind: the path may be forgotten, or that of another kind."""
    with contextlib.suppress(httpx.InvalidURL):
        url = httpx.URL(account.base_url)
        path, usual = url.path.rstrip("/"), account.usual_path
        if usual is not None and path in USUAL_PATHS and path != usual:
            return did_you_mean(url.scheme, url, usual)
    return _("Check its base URL.")


def shown(account: Account, text: str) -> str:
    """A server's words, fit for a sentence of ours: one line, ≤ 300 chars, no markup, control characters or secrets."""
    text = clean(text[:_MAX_READ_CHARS])
    text = _ESCAPES.sub(" ", text)
    text = _TAGS.sub(" ", _HIDDEN_ELEMENTS.sub(" ", text))
    text = html.unescape(text)
    text = " ".join(_INVISIBLE.sub(" ", _TAGS.sub(" ", text)).split())
    for secret in _secrets(account):
        text = text.replace(secret, "•••")
    text = _SECRETS.sub("•••", text)
    return text if len(text) <= _MAX_MESSAGE_CHARS else text[: _MAX_MESSAGE_CHARS - 1].rstrip() + "…"


def retry_after(value: str | None) -> float | None:
    """Seconds from a `Retry-After` header: a number or a date (RFC 9110, 10.2.3 and 5.6.7). Anything else counts as absent."""
    value = (value or "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value, re.ASCII):
        return float(value)
    try:
        date = email.utils.parsedate_to_datetime(value)
        # One of its three forms names no zone, and all are in UTC; left alone it would be taken for the time here.
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        seconds = date.timestamp() - time.time()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def did_you_mean(scheme: str, url: httpx.URL, path: str) -> str:
    return _("Did you mean %(url)s?") % {"url": f"{scheme}://{url.netloc.decode()}{path}"}


def refusal(account: Account, status: int, body: bytes = b"", *, wait: str | None = None) -> ProviderError:
    """An answer that is not a success: its status, the beginning of its body, its `Retry-After`."""
    message, code, delay = _reason(body)
    error = classify(account, status, message, code, wait=wait or delay)
    error.status = status
    return error


def event(account: Account, value: Any, message: str = "") -> ProviderError:
    """An error in the middle of an answer, as it was decoded; a code may begin with the status that it would have had."""
    found, code = text_of_error(value)
    status = int(code[:3]) if re.match(r"[45]\d\d(\s|$)", code) else 0
    return classify(account, status, found or message, code)


def classify(account: Account, status: int, message: str, code: str = "", *, wait: str | None = None) -> ProviderError:
    """A refusal in a status line or an error event (which has status 0) → our tree."""
    said, message = shown(account, message), message[:_MAX_READ_CHARS]
    names = {"name": account.name, "because": f": {said}" if said else "."}
    if 300 <= status < 400:
        return BadAnswer(_("%(name)s answered with a redirect, which is never followed. Check its address.") % names)
    if status in (0, 400, 413, 422, 500) and (_TOO_LONG.search(message) or "context" in code):
        return PromptTooLong(_("The prompt does not fit the model's context window, says %(name)s%(because)s") % names)
    if status == 429 or "rate_limit" in code:
        return RateLimited(_("%(name)s asks to slow down%(because)s") % names, retry_after_seconds=retry_after(wait))
    if status in (401, 403) or _BAD_KEY.search(code):
        return KeyRejected(_("%(name)s did not accept the key%(because)s") % names)
    if "content_filter" in code or "content_policy" in code:
        return Filtered(_("%(name)s ended this for safety reasons%(because)s") % names)
    if status in (0, 400, 404) and ("model_not_found" in code or _NO_MODEL.search(message)):
        return ModelMissing(_("%(name)s does not have this model%(because)s") % names)
    if status == 404:
        return BadRequest(_("%(name)s has nothing at this address. %(check)s") % {**names, "check": check_url(account)})
    if status == 408:
        return TimedOut(_("%(name)s gave up waiting%(because)s") % names, retry_after_seconds=retry_after(wait))
    if 400 <= status < 500 or "invalid_request" in code:
        return BadRequest(_("%(name)s refused the request%(because)s") % names)
    if (status >= 500 or status == 0) and _NO_MEMORY.search(message):
        return NoMemory(_("%(name)s has not enough memory for this model%(because)s") % names)
    if status >= 500 or status == 0:
        return Overloaded(
            _("%(name)s has a problem of its own%(because)s") % names, retry_after_seconds=retry_after(wait)
        )
    return BadAnswer(_("%(name)s answered with the unexpected status %(status)s.") % {**names, "status": status})


def cut(account: Account) -> ProviderError:
    """The stream ended, or was reset, without saying that the answer was complete."""
    return StreamCut(_("%(name)s broke off before the answer was complete.") % {"name": account.name})


def text_of_error(value: Any) -> tuple[str, str]:
    """A decoded `error` in any of the shapes in use → its message and its code, either perhaps empty."""
    if isinstance(value, str):
        return value, ""
    if isinstance(value, list) and value:
        return text_of_error(value[0])
    if not isinstance(value, dict):
        return "", ""
    message = next((value[key] for key in ("message", "msg", "detail", "error") if isinstance(value.get(key), str)), "")
    codes = [str(value[key]) for key in ("code", "type", "status") if isinstance(value.get(key), str | int)]
    codes += [detail["reason"] for detail in _details(value) if isinstance(detail.get("reason"), str)]
    return message, " ".join(codes)


def _details(value: dict[str, Any]) -> list[dict[str, Any]]:
    """What Google adds to its errors (https://google.aip.dev/193)."""
    details = value.get("details")
    return [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []


def _reason(body: bytes) -> tuple[str, str, str]:
    """The message, the code and, where the body says so, how many seconds to wait."""
    text = body.decode("utf-8", "replace")
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        title = _TITLE.search(text[:_MAX_READ_CHARS])
        return (title[1] if title else "") if text.lstrip().startswith("<") else text[:_MAX_READ_CHARS], "", ""
    if isinstance(value, list) and value:
        value = value[0]  # Gemini answers a streamed question with an array of one error
    if isinstance(value, dict):
        value = next((value[key] for key in ("error", "detail") if value.get(key)), value)
    delays = [detail.get("retryDelay") for detail in _details(value)] if isinstance(value, dict) else []
    return *text_of_error(value), next((delay.removesuffix("s") for delay in delays if isinstance(delay, str)), "")


def _secrets(account: Account) -> list[str]:
    """The key and the password in the base URL, longest first; three characters are a word, not a secret."""
    try:
        password = httpx.URL(account.base_url).password
    except httpx.InvalidURL:
        password = ""
    return sorted((secret for secret in (*secrets_in(account.key), password) if len(secret) > 3), key=len, reverse=True)
