"""What a server says of a failure, in any of the shapes in use: its sentence, its code, the fields it names. Pure.

OpenAI nests an object, Ollama gives text, FastAPI a list of `{loc, msg}`, Google details, gateways an envelope of their own;
proxies put JSON, or Python's repr of it, into a string, or frame it as an event.
"""

import ast
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from app.providers.frames import SseDecoder
from app.providers.lenient import NOT_JSON, find_value

MAX_READ_CHARS = 2000  # of a hostile message: some of the patterns it meets take the square of its length
_MAX_DEPTH = 5
_MOST_ALIVE_CHARS = 64
_MOST_ENTRIES = 8
_CONTAINERS = ("error", "errors", "exception")
_SENTENCES = (
    "message msg detail error_description error_message error_msg errormessage errmsg status_msg faultstring"
    " error errors exception description reason title err cause statustext status_text text content body"
).split()
_CODES = ("code", "type", "status", "error_code", "errorcode", "error_type", "status_code", "statuscode")
_PLACES = ("body", "query", "path", "header")
_TITLE = re.compile(r"<title[^<>]{0,100}>([^<>]{0,300})</title", re.IGNORECASE)
_EVENTS = re.compile(r"\s*(event|data|id|retry)?:")
_WAIT = re.compile(r"try again in (\d{1,9}(?:\.\d{1,9})?) ?s(?:ec(?:ond)?s?)?\b", re.IGNORECASE)

_ERROR_KEY = re.compile(
    r"(is|has)?_?errors?|err|err(or)?_?(msg|message|code|info|type|detail)s?|exception|fault|failure|failed|traceback"
)
_ERROR_WORD = re.compile(r"error|exception|fail(ed|ure)|abort", re.IGNORECASE)
_UNDER_WAY = frozenset(
    "ok success succeeded successful completed processing queued pending running in_progress waiting started".split()
)
_ALIVE = (
    r"ping|pong|(stream[-_ ]?)?keep[-_ ]?alive|heart[-_ ]?beat|alive|tick|([\w.]+ )?(processing|working|waiting|loading|thinking)"
    r"|loading (the )?model|warming up|in progress|please wait|queued|pending|connected|no-?op|ok"
)
_KEEP_ALIVE = re.compile(rf"\W*+({_ALIVE})[\W\d]*", re.IGNORECASE)
#: An object of nothing but such a word, and perhaps when or for what.
_ALIVE_OBJECT = re.compile(rf'\{{\s*"({_ALIVE}|type|event|object|status)"\s*:[^{{}}\[\]]*\}}', re.IGNORECASE)
_EMPTY = re.compile(r'[\s.:*~_-]*|\s*(null|none|undefined|\[\s*\]|\{\s*\}|"\s*")\s*', re.IGNORECASE)


class Reason(NamedTuple):
    """`code` is all codes and types in it, those of the innermost error first. `wait`: how long to wait, in seconds.

    `fields` are the names of the fields that it complains of, where they stand apart from the sentence.
    """

    message: str = ""
    code: str = ""
    wait: str = ""
    fields: str = ""

    @property
    def complaint(self) -> str:
        """All words in which a field of the request may be named."""
        return " ".join(filter(None, (self.message[:MAX_READ_CHARS], self.code, self.fields)))


def reason_of(value: Any) -> Reason:
    """What a decoded error says, whatever its shape."""
    errors = [*_errors(value, 0)]
    codes = [str(each[key])[:100] for each in errors for key in _CODES if isinstance(each.get(key), str | int)]
    details = [detail for each in errors for detail in _details(each)]
    codes += [detail["reason"] for detail in details if isinstance(detail.get("reason"), str)]
    delays = [detail["retryDelay"].removesuffix("s") for detail in details if isinstance(detail.get("retryDelay"), str)]
    message = _sentence(value, 0)
    if not delays and (wait := _WAIT.search(message[:MAX_READ_CHARS])):
        delays = [wait[1]]
    fields = [each[key] for each in errors for key in ("param", "field") if isinstance(each.get(key), str)]
    return Reason(message, " ".join(codes[:_MOST_ENTRIES]), next(iter(delays), ""), " ".join(fields)[:200])


def reason_in(body: bytes) -> Reason:
    """What the body of a refusal says: JSON, lines of it, events, a web page's title, or plain words."""
    text = body.decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if text.startswith("<"):
        title = _TITLE.search(text[:MAX_READ_CHARS])
        return Reason(title[1] if title else "")
    if (value := find_value(text)) is not NOT_JSON:
        return reason_of(value)
    texts = [each for each in _texts_of(body, text) if not is_keep_alive(each) and each != "[DONE]"]
    values = [value for each in texts if (value := find_value(each)) is not NOT_JSON]
    said = (texts[0] if texts else "") if _EVENTS.match(text) else text
    return reason_of(next(filter(error_in, values), said[:MAX_READ_CHARS]))


def error_in(value: Any, depth: int = 0) -> bool:
    """Whether a frame that is none of an answer's is an error, in any dress: by its keys, its type, its code, its words."""
    if isinstance(value, str):
        return bool(value.strip())
    if isinstance(value, list):
        return any(error_in(each, depth) for each in value[:_MOST_ENTRIES] if isinstance(each, dict))
    if not isinstance(value, dict):
        return False
    low = _lowered(value)
    kinds = [
        low[key] for key in ("object", "type", "status", "event", "state", "level") if isinstance(low.get(key), str)
    ]
    return (
        any(each and _ERROR_KEY.fullmatch(key) for key, each in low.items())
        or any(map(_ERROR_WORD.search, kinds))
        or any(low.get(key) is False for key in ("success", "ok"))
        or _refuses(low)
        or (depth < 2 and any(error_in(each, depth + 1) for each in low.values() if isinstance(each, dict)))
    )


def is_keep_alive(text: str) -> bool:
    """Whether data only keeps a line open: nothing, in one of the ways to write it, or a word for it."""
    if len(text) > _MOST_ALIVE_CHARS:
        return text.isspace()
    if _EMPTY.fullmatch(text) or _KEEP_ALIVE.fullmatch(text):
        return True
    value = find_value(text) if _ALIVE_OBJECT.fullmatch(text.strip()) else None
    words = (
        [word for pair in value.items() for word in pair if isinstance(word, str)] if isinstance(value, dict) else []
    )
    return any(map(_KEEP_ALIVE.fullmatch, words)) and not error_in(value)


def _refuses(low: dict[str, Any]) -> bool:
    """An error has words and a code that does not mean success; words alone are one unless something says otherwise."""
    codes = [low[key] for key in (*_CODES, "ret", "errno") if isinstance(low.get(key), str | int)]
    if any(str(code).lower() in _UNDER_WAY or code in (0, 200, "0", "200") for code in codes):
        return False
    if any(isinstance(code, int) and 400 <= code < 600 for code in codes):
        return True
    has_words = any(
        low.get(key) and isinstance(low[key], str | list) for key in ("message", "msg", "detail", "status_msg")
    ) or (isinstance(low.get("detail"), dict) and bool(low["detail"]))
    is_typed = isinstance(low.get("type"), str) and len(codes) == 1
    return has_words and not is_typed


def _errors(value: Any, depth: int) -> Iterator[dict[str, Any]]:
    """The objects that describe an error, the innermost first."""
    if isinstance(value, str):
        value = _within(value)
    if isinstance(value, list):
        value = next((each for each in value if isinstance(each, dict)), None)
    if not isinstance(value, dict) or depth > _MAX_DEPTH:
        return
    low = _lowered(value)
    for key in (*_CONTAINERS, "message", "detail"):
        yield from _errors(low.get(key), depth + 1)
    yield low
    for key, each in low.items():
        if isinstance(each, dict) and key not in _CONTAINERS:
            yield from _errors(each, depth + 1)


def _sentence(value: Any, depth: int) -> str:
    if isinstance(value, str):
        inner = _within(value) if depth <= _MAX_DEPTH else None
        return (inner is not None and _sentence(inner, depth + 1)) or value.strip()
    if depth > _MAX_DEPTH:
        return ""
    if isinstance(value, list | tuple):
        return "; ".join(dict.fromkeys(filter(None, (_sentence(each, depth + 1) for each in value[:_MOST_ENTRIES]))))
    if not isinstance(value, dict):
        return ""
    low = _lowered(value)
    found = _sentence_of_object(low, depth) or "; ".join(_by_field(value))
    place = [str(each) for each in low["loc"]] if isinstance(low.get("loc"), list | tuple) else []
    place = place[1:] if place and place[0] in _PLACES else place
    return f"{'.'.join(place)}: {found}" if place and found else found


def _sentence_of_object(low: dict[str, Any], depth: int) -> str:
    inner = [low[key] for key in _CONTAINERS if isinstance(low.get(key), dict | list)]
    named = [low[key] for key in _SENTENCES if key in low]
    envelopes = [
        each for each in low.values() if isinstance(each, dict) or (isinstance(each, list) and _has_objects(each))
    ]
    return next(filter(None, (_sentence(each, depth + 1) for each in (*inner, *named, *envelopes))), "")


def _has_objects(values: list[Any]) -> bool:
    return any(isinstance(each, dict) for each in values[:_MOST_ENTRIES])


def _by_field(value: dict[str, Any]) -> list[str]:
    """What is wrong with each field: `{"temperature": ["must be lower"]}`."""
    lists = [(key, each) for key, each in value.items() if isinstance(each, list)][:_MOST_ENTRIES]
    said = [(key, [text for text in each[:_MOST_ENTRIES] if isinstance(text, str)]) for key, each in lists]
    return [f"{key}: {', '.join(texts)}" for key, texts in said if texts]


def _within(text: str) -> Any:
    """The object at the end of a text, as JSON or as Python writes it; None where there is none."""
    start = re.search(r"\{|\[\s*\{", text)
    if start is None or len(text) > 4 * MAX_READ_CHARS or text.rstrip()[-1] not in "]}":
        return None
    inner = text[start.start() :].strip()
    value = find_value(inner)
    if value is NOT_JSON and len(inner) <= MAX_READ_CHARS:
        try:
            value = ast.literal_eval(inner)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return None
    return value if isinstance(value, dict | list) else None


def _texts_of(body: bytes, text: str) -> list[str]:
    """The pieces of a body that is not one JSON text: events, or lines."""
    if not _EVENTS.match(text):
        return text.splitlines()[:_MOST_ENTRIES]
    decoder = SseDecoder()
    return [frame.data for frame in [*decoder.feed(body), *decoder.end()][:_MOST_ENTRIES]]


def _details(error: dict[str, Any]) -> list[dict[str, Any]]:
    """What Google adds to its errors (https://google.aip.dev/193)."""
    details = error.get("details")
    return [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []


def _lowered(value: dict[Any, Any]) -> dict[str, Any]:
    return {str(key).lower(): each for key, each in value.items()}
