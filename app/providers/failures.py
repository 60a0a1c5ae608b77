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

from app.origins import hidden_parts
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
from app.providers.reasons import MAX_READ_CHARS, reason_in, reason_of
from app.words import gettext as _

TRANSPORT_ERRORS = (httpx.HTTPError, httpx.StreamError, aiohttp.ClientError, OSError)
"""What reading an answer raises: httpx's aiohttp transport lets some of aiohttp's own errors through."""

REQUEST_ERRORS = (*TRANSPORT_ERRORS, httpx.InvalidURL, ValueError)
"""What sending a question raises: also an address or a header that cannot be written."""

#: What base URLs of the kinds mostly end in: nothing secret, and easily taken one for the other.
USUAL_PATHS = ("", "/v1", "/v1beta", "/api")
_MAX_MESSAGE_CHARS = 300
_TOO_LONG = re.compile(
    r"context[ _]length|context[ _]window|context[ _]size|maximum context|prompt is too long|too many (input )?tokens"
    r"|exceeds? the (available|maximum) context|input (length|is too long)|input token count(?:(?!input token).){0,80}exceeds"
    r"|reduce the length of the (messages|prompt|input)|max_new_tokens.{0,3} must be <=|must have less than \d+ tokens"
    r"|exceed(s|ed)? (the )?(model )?(token limit|max(imum)? (input |prompt )?length)|contains at least \d+ input tokens",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(
    r"models?\b(?:(?!models?\b).){0,200}\b(not found|does not exist|not exist|not available|decommissioned"
    r"|is unavailable|not loaded)"
    r"|no such model|^model: \S"
    r"|(invalid|unknown) model|not a valid model|no endpoints found for|no models? (is |are )?loaded"
    r"|model \S{1,200} (is|has been) deprecated|(failed|unable|could not|cannot)( to)? (find|load|access) (the )?model"
    r"|deployment\b(?:(?!deployment\b).){0,80}\bdoes not exist|LLM Provider NOT provided",
    re.IGNORECASE | re.DOTALL,
)
#: LiteLLM and its router. One that says when to try again has the model, and rests it.
_NO_DEPLOYMENT = re.compile(
    r"no (healthy )?deployments? (available|for (this|selected))|no 'model_name' with this", re.IGNORECASE
)
#: Ollama and vLLM; the same question would fail again, and another model of the same server may well fit.
_NO_MEMORY = re.compile(r"requires more (system )?memory|out of memory|not enough (free )?memory", re.IGNORECASE)
_BAD_KEY = re.compile(r"\b(invalid_api_key|authentication_error|permission_error|API_KEY_INVALID)\b")
#: The words alone, where no status says it: in an answer that began well, and in a refusal of the request as such.
_BAD_KEY_WORDS = re.compile(r"(incorrect|invalid) (x-)?api[ -]?key|api key not valid", re.IGNORECASE)
_TOO_OFTEN_WORDS = re.compile(r"rate[ -]?limit (was )?(reached|exceeded)|too many requests", re.IGNORECASE)
_FILTERED_WORDS = re.compile(r"content management policy|content exists risk|inappropriate content", re.IGNORECASE)
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.|\x9b[0-?]*[ -/]*[@-~]", re.DOTALL
)
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")
_HIDDEN_ELEMENTS = re.compile(r"<(script|style|head)\b.*?(?:</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL)
_TAGS = re.compile(r"<[^<>]{0,2000}>")
_SECRETS = re.compile(r"\b(?:sk|pk|gsk|xai|hf|AIza)[-_][\w-]{12,}|\bBearer\s+\S+|(?<=://)[^\s/@]+@")
_QUERY = re.compile(r"(?<=\w)\?\S*")


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
    text = clean(text[:MAX_READ_CHARS])
    text = _ESCAPES.sub(" ", text)
    text = _TAGS.sub(" ", _HIDDEN_ELEMENTS.sub(" ", text))
    text = html.unescape(text)
    text = " ".join(_INVISIBLE.sub(" ", _TAGS.sub(" ", text)).split())
    for secret in _secrets(account):
        text = text.replace(secret, "•••")
    text = _QUERY.sub(lambda query: "•••" if "=" in query[0] else query[0], text)
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
    reason = reason_in(body)
    error = classify(account, status, reason.message, reason.code, wait=wait or reason.wait)
    error.status, error.complaint = status, reason.complaint
    return error


def event(account: Account, value: Any) -> ProviderError:
    """An error in an answer that began well, as it was decoded; a code may begin with the status that it would have had."""
    reason = reason_of(value)
    status = int(reason.code[:3]) if re.match(r"[45]\d\d(\s|$)", reason.code) else 0
    error = classify(account, status, reason.message, reason.code, wait=reason.wait)
    error.complaint = reason.complaint
    return error


def classify(account: Account, status: int, message: str, code: str = "", *, wait: str | None = None) -> ProviderError:
    """A refusal in a status line or an error event (which has status 0) → our tree."""
    said, message = shown(account, message), message[:MAX_READ_CHARS]
    names = {"name": account.name, "because": f": {said}" if said else "."}
    if 300 <= status < 400:
        return BadAnswer(_("%(name)s answered with a redirect, which is never followed. Check its address.") % names)
    if status in (0, 400, 413, 422, 500) and (_TOO_LONG.search(message) or "context" in code):
        return PromptTooLong(_("The prompt does not fit the model's context window, says %(name)s%(because)s") % names)
    if status == 413:
        return BadRequest(_("This thread with its files is larger than %(name)s accepts%(because)s") % names)
    if _NO_DEPLOYMENT.search(message) and not wait:
        return ModelMissing(_("%(name)s does not have this model%(because)s") % names)
    has_words_alone = status in (0, 400)
    if status == 429 or "rate_limit" in code or (has_words_alone and _TOO_OFTEN_WORDS.search(message)):
        return RateLimited(_("%(name)s asks to slow down%(because)s") % names, retry_after_seconds=retry_after(wait))
    if status in (401, 403) or _BAD_KEY.search(code) or (has_words_alone and _BAD_KEY_WORDS.search(message)):
        return KeyRejected(_("%(name)s did not accept the key%(because)s") % names)
    if "content_filter" in code or "content_policy" in code or (has_words_alone and _FILTERED_WORDS.search(message)):
        return Filtered(_("%(name)s ended this for safety reasons%(because)s") % names)
    if status in (0, 400, 404, 422) and ("model_not_found" in code or _NO_MODEL.search(message)):
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


def garbled(account: Account, said: str) -> ProviderError:
    """Something that the protocol does not know: the server's own words, where it is words."""
    sentence = _("%(name)s sent something that its protocol does not allow: %(said)s")
    return BadAnswer(sentence % {"name": account.name, "said": shown(account, said)})


def web_page(account: Account) -> ProviderError:
    """HTML where an answer was asked for."""
    sentence = _("%(name)s sent a web page instead of an answer. %(check)s")
    return BadAnswer(sentence % {"name": account.name, "check": check_url(account)})


def cut(account: Account) -> ProviderError:
    """The stream ended, or was reset, without saying that the answer was complete."""
    return StreamCut(_("%(name)s broke off before the answer was complete.") % {"name": account.name})


def _secrets(account: Account) -> list[str]:
    """The key, and of the base URL the password and what is not shown, longest first; three characters are a word, no secret."""
    try:
        password = httpx.URL(account.base_url).password
    except httpx.InvalidURL:
        password = ""
    found = (*secrets_in(account.key), password, *hidden_parts(account.base_url))
    return sorted((secret for secret in found if len(secret) > 3), key=len, reverse=True)
