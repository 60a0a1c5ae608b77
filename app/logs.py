"""The log: one past-tense event per thing that happened, readable in a terminal, JSON lines elsewhere, never a secret.

Modules say `log = structlog.get_logger()` and `log.info("generation_finished", duration_ms=…)`. structlog names the
logger after the module, and every event carries that name. What a request or a generation binds with
`structlog.contextvars` (request_id, user_id, thread_id, generation_id) is added to every event.
"""

import contextlib
import logging
import logging.handlers
import os
import re
import sys
import traceback
from collections.abc import Iterator, MutableMapping
from types import TracebackType
from typing import Any, TextIO

import msgspec

from app.settings import Settings


@contextlib.contextmanager
def without_rich() -> Iterator[None]:
    """Hide Rich from what is imported meanwhile: structlog and httpx would load it for tracebacks and for a command
    line that nobody uses here, which costs every start 0.1 s and every process 5 MB.
    """
    if "rich" in sys.modules:
        yield
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # what makes an import fail, says the reference of `import`
    try:
        yield
    finally:
        del sys.modules["rich"]


with without_rich():
    import structlog

#: Libraries that tell more than one event per thing; what they warn of is ours to know.
QUIET_LOGGERS = (
    *("aiohttp", "asyncio", "asyncpg", "httpcore", "httpx", "litestar", "pgqueuer", "piccolo"),
    *("uvicorn", "uvicorn.error", "uvicorn.access"),
)

_SECRET_WORDS = frozenset(
    (
        *("authorization", "cookie", "cookies", "credentials", "csrf", "key", "keys"),
        *("passwd", "password", "secret", "secrets", "token"),
    )
)
_TEXT_WORDS = frozenset(("text", "content", "prompt", "body", "title", "draft", "parts", "question", "answer", "delta"))
_REDACTED = "[redacted]"
_LONGEST = 500
_MOST_ERRORS = 30

_URL = re.compile(r"(?<=[a-z0-9+.-])://[^\s'\"<>]+", re.IGNORECASE)  # but for its scheme
_USERINFO = re.compile(r"(?<=://)[^/?#@\s]*(?:@[^/?#@\s]*)*@")
_QUERY = re.compile(r"\?[^#\s]*")
_BEARER = re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]+", re.IGNORECASE)
_KEY_LIKE = re.compile(r"\b(?:sk|pk|xai|gsk|hf)[-_][\w-]{8,}")

Event = MutableMapping[str, Any]


def configure(settings: Settings, stream: TextIO | None = None) -> None:
    """Set up the log of this process, once. It goes to standard error, and to `settings.log_file` if that is set."""
    stream = stream or sys.stderr
    is_text = settings.log_format == "text" or (settings.log_format == "auto" and stream.isatty())
    console = _handler(logging.StreamHandler(stream), settings.log_level, is_text=is_text, is_coloured=stream.isatty())
    handlers = [console]
    if settings.log_file:
        level = settings.log_level if settings.log_file_level == "auto" else settings.log_file_level
        handlers.append(_handler(_rotating(settings.log_file), level, is_text=settings.log_format == "text"))
    _route_stdlib(handlers)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def redact(_logger: object, _method: str, event: Event) -> Event:
    """Remove what must never stand in a log: values under telling names, and secrets within addresses.

    Other people's events are sentences; what follows their first line may quote anything.
    """
    event["event"] = str(event.get("event", "")).split("\n", 1)[0]
    return {name: _clean(name, value) for name, value in event.items()}


def clean_text(text: str) -> str:
    """A text without secrets: no user or query in addresses, no bearer token, nothing that looks like a key."""
    text = _URL.sub(lambda match: _QUERY.sub("?…", _USERINFO.sub("", match[0])), text)
    return _KEY_LIKE.sub(_REDACTED, _BEARER.sub(rf"\1 {_REDACTED}", text))


def _clean(name: str, value: object) -> object:
    if name in ("exc_info", "_record", "_from_structlog", "positional_args"):
        return value
    if not isinstance(value, int | float | None):
        words = re.split(r"[^a-z]+", name.lower())
        if not _SECRET_WORDS.isdisjoint(words) or words[-1] in _TEXT_WORDS:
            return _REDACTED
    match value:
        case str():
            cleaned = clean_text(value)
            return cleaned if name == "exception" or len(cleaned) <= _LONGEST else cleaned[:_LONGEST] + "…"
        case dict():
            return {str(inner): _clean(str(inner), each) for inner, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_clean(name, each) for each in value]
        case None | bool() | int() | float():
            return value
        case _:
            return clean_text(str(value))[:_LONGEST]


def _describe_exception(_logger: object, _method: str, event: Event) -> Event:
    """Where it happened and what it was. No local variables and no database details: they hold people's text."""
    found = event.pop("exc_info", None)
    if found is True:
        found = sys.exc_info()
    error = found[1] if isinstance(found, tuple) else found
    if isinstance(error, BaseException):
        event["exception"] = "\n".join(_lines_of(error, set()))
    return event


def _lines_of(error: BaseException, seen: set[int]) -> Iterator[str]:
    """Each error once and only so many: asyncpg hands one error to every waiter, so causes can be endless or go round."""
    if id(error) in seen or len(seen) == _MOST_ERRORS:
        return
    seen.add(id(error))
    for inner in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        yield from _lines_of(inner, seen)
    if cause := error.__cause__ or (None if error.__suppress_context__ else error.__context__):
        yield from _lines_of(cause, seen)
    yield from _frames_of(error.__traceback__)
    yield f"{type(error).__module__}.{type(error).__qualname__}: {_message_of(error)}"


def _frames_of(trace: TracebackType | None) -> Iterator[str]:
    for frame in traceback.extract_tb(trace):
        yield f"  {frame.filename}:{frame.lineno} {frame.name}"


def _message_of(error: BaseException) -> str:
    """Its first line. Errors of the database driver quote the values of a statement, so they give only their code."""
    if type(error).__module__.startswith("asyncpg"):
        return str(getattr(error, "sqlstate", None) or "client side")
    if isinstance(error, UnicodeError | KeyError | LookupError):
        return "…"
    return str(error).split("\n", 1)[0][:300]


def _route_stdlib(handlers: list[logging.Handler]) -> None:
    """Send every logger's events to these handlers; libraries' only from warnings up."""
    level = min(handler.level for handler in handlers)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    for name in QUIET_LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(max(level, logging.WARNING))
    logging.captureWarnings(True)


def _handler(handler: logging.Handler, level: str, *, is_text: bool, is_coloured: bool = False) -> logging.Handler:
    handler.setLevel(level.upper())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _console(is_coloured) if is_text else _render_json,
            ],
        )
    )
    return handler


def _console(is_coloured: bool) -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(
        colors=is_coloured,
        pad_event_to=24,
        timestamp_key="at",
        exception_formatter=structlog.dev.plain_traceback,
    )


def _rotating(path: str) -> logging.Handler:
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    return logging.handlers.RotatingFileHandler(path, maxBytes=10_000_000, backupCount=5, encoding="utf-8", delay=True)


def _render_json(_logger: object, _method: str, event: Event) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()


_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    _describe_exception,
    redact,
]
