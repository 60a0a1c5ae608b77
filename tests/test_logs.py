"""The log says what happened, and never what people wrote or what opens a door."""

import io
import itertools
import json
import logging
import pathlib
import warnings
from collections.abc import Iterator

import asyncpg
import pytest
import structlog

from app import logs, settings

LEVELS = ("debug", "info", "warning", "error")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def the_log_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, show = root.handlers[:], root.level, warnings.showwarning
    configuration = structlog.get_config()
    yield
    logging.captureWarnings(False)
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:], warnings.showwarning = handlers, show
    root.setLevel(level)
    structlog.configure(**configuration)
    structlog.contextvars.clear_contextvars()


def written(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def configure(stream: io.StringIO, **environment: str) -> None:
    logs.configure(settings.read(environment), stream)


def test_events_are_json_lines_unless_in_a_terminal() -> None:
    stream, terminal = io.StringIO(), Terminal()
    configure(stream)
    structlog.contextvars.bind_contextvars(request_id="r1", thread_id="t1")
    structlog.get_logger().info("generation_finished", duration_ms=1200, input_tokens=12, first_token_ms=30)
    (event,) = written(stream)
    assert event.pop("at")
    assert event == {
        "event": "generation_finished",
        "level": "info",
        "logger": __name__,
        "request_id": "r1",
        "thread_id": "t1",
        "duration_ms": 1200,
        "input_tokens": 12,
        "first_token_ms": 30,
    }
    configure(terminal)
    structlog.get_logger().info("generation_finished", duration_ms=1200)
    assert "generation_finished" in terminal.getvalue()
    assert __name__ in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("api_key", "sk-1234567890"),
        ("token", "hunter2"),
        ("new_password", "hunter2"),
        ("password_hash", b"hunter2"),
        ("Set-Cookie", "sid=hunter2"),
        ("headers", {"Authorization": "Bearer hunter2", "accept": "*/*"}),
        ("error", "refused: Bearer hunter2"),
        ("error", "the key sk-hunter2hunter2 is wrong"),
        ("url", "https://olive:hunter2@models.example/v1"),
        ("url", "postgresql://olive:hunter2@/postgres?host=/tmp"),
        ("url", "https://models.example/v1?api_key=hunter2&x=1#part"),
        ("urls", ["https://a:hunter2@b.example/", {"url": "ftp://hunter2@b.example"}]),
        ("content", "hunter2 is my question"),
        ("message_text", "hunter2 is my question"),
    ],
)
def test_secrets_and_text_are_never_written(name: str, value: object) -> None:
    stream = io.StringIO()
    configure(stream)
    structlog.get_logger().info("provider_failed", **{name: value})
    assert "hunter2" not in stream.getvalue()
    assert "sk-1234567890" not in stream.getvalue()
    (event,) = written(stream)
    assert name in event


def test_an_address_stays_readable_without_its_secrets() -> None:
    cleaned = logs.clean_text("GET https://olive:pa@ss@models.example:8443/v1/chat?key=1#x failed")
    assert cleaned == "GET https://models.example:8443/v1/chat?…#x failed"


def test_an_exception_tells_where_and_what_but_quotes_no_values() -> None:
    stream = io.StringIO()
    configure(stream)
    local_text = "what the person wrote"
    try:
        try:
            raise asyncpg.DataError(f"invalid input for query argument $1: {local_text!r}")
        except asyncpg.DataError as error:
            raise ValueError("It was refused by https://a:b@c.example/?d=e") from error
    except ValueError:
        structlog.get_logger().exception("request_failed")
    (event,) = written(stream)
    described = str(event["exception"])
    assert "ValueError: It was refused by https://c.example/?…" in described
    assert "test_logs.py" in described
    assert local_text not in stream.getvalue()


def chained(count: int, *, is_round: bool) -> Exception:
    errors = [ValueError(f"error {number}") for number in range(count)]
    for cause, error in itertools.pairwise(errors):
        error.__context__ = cause
    if is_round:
        errors[0].__cause__ = errors[-1]
    return errors[-1]


@pytest.mark.parametrize("count", [1, 2, 3, 5_000])
@pytest.mark.parametrize("is_round", [False, True])
@pytest.mark.parametrize("is_group", [False, True])
def test_an_error_whose_causes_go_round_or_on_without_end_is_written(
    count: int, is_round: bool, is_group: bool
) -> None:
    stream = io.StringIO()
    configure(stream)
    error = chained(count, is_round=is_round)
    logging.getLogger("uvicorn.error").error(
        "Exception in ASGI application", exc_info=ExceptionGroup("several", [error, error]) if is_group else error
    )
    (event,) = written(stream)
    described = str(event["exception"])
    assert described.count(f"ValueError: error {count - 1}") == 1
    assert len(described.splitlines()) == min(count + is_group, 30)


def test_other_libraries_are_heard_from_warnings_on() -> None:
    stream = io.StringIO()
    configure(stream)
    logging.getLogger("httpx").info("HTTP Request: POST https://models.example/v1 200 OK")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: <Task exception=E('what I wrote')>")
    assert [(event["logger"], event["event"]) for event in written(stream)] == [
        ("uvicorn.error", "Invalid HTTP request received."),
        ("asyncio", "Task exception was never retrieved"),
    ]


def test_the_file_is_written_beside_the_terminal_and_as_json(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "logs" / "parley.log"
    terminal = Terminal()
    configure(terminal, PARLEY_LOG_FILE=str(file))
    structlog.get_logger().warning("postgres_ended", pid=7)
    assert "postgres_ended" in terminal.getvalue()
    assert json.loads(file.read_text())["pid"] == 7


@pytest.mark.parametrize("console", LEVELS)
@pytest.mark.parametrize("file", ["", "auto", *LEVELS])
def test_console_and_file_each_have_a_level(console: str, file: str, tmp_path: pathlib.Path) -> None:
    stream, path = io.StringIO(), tmp_path / "parley.log"
    configure(stream, PARLEY_LOG_LEVEL=console, PARLEY_LOG_FILE=str(path), PARLEY_LOG_FILE_LEVEL=file)
    for level in LEVELS:
        getattr(structlog.get_logger(), level)("own_event")
        logging.getLogger("httpx").log(logging.getLevelNamesMapping()[level.upper()], "its event")
    assert [event["level"] for event in written(stream)] == expected_levels(console)
    lines = path.read_text().splitlines() if path.exists() else []
    assert [json.loads(line)["level"] for line in lines] == expected_levels(console if file in ("", "auto") else file)


def expected_levels(least: str) -> list[str]:
    """Of an event of ours and one of a library's at each level, the levels that are written."""
    return [level for level in LEVELS[LEVELS.index(least) :] for _ in range(2 if level in ("warning", "error") else 1)]
