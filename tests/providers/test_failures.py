"""Foreign words in our sentences: cleaned, shortened, and without anybody's secrets."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from app.providers.base import Account
from app.providers.errors import (
    BadRequest,
    Filtered,
    KeyRejected,
    ModelMissing,
    NoMemory,
    Overloaded,
    PromptTooLong,
    ProviderError,
    RateLimited,
)
from app.providers.failures import address, check_url, event, refusal, retry_after, shown

KEY = "abcd-efgh-1234"
ACCOUNT = Account("Acme", "https://ann:pass-word@models.example:8443/v1/secret?token=t", KEY)

SHOWN = {
    "plain words": "plain words",
    "  several\n\tlines\r\n  ": "several lines",
    "a\x00b\x07c\ud800d": "a\ufffdb c\ufffdd",
    "\x1b[31mred\x1b[0m and \x1b]8;;http://x\x07linked\x1b]8;;\x07": "red and linked",
    "<p>a <b>bold</b> word<script>evil()</script></p>": "a bold word",
    "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more": "alert(1) & more",
    "zero\u200bwidth \u202eright-to-left": "zero width right-to-left",
    f"Incorrect API key provided: {KEY}.": "Incorrect API key provided: •••.",
    "wrong password pass-word": "wrong password •••",
    "key sk-proj-0123456789abcdefghij is bad": "key ••• is bad",
    "sent Authorization: Bearer eyJhbGciOi": "sent Authorization: •••",
    "see https://bob:hunter2@host/path?key=123&x=1 now": "see https://•••host/path••• now",
    "what is 1<2 and 3>2?": "what is 1 2?",
}


GATE = "https://gate.example/v1/tok%2Fen-9876/a%20bc-team/openai?sig=q-1234&version"
ECHOED = {
    "Cannot POST /v1/tok%2Fen-9876/a%20bc-team/openai/chat/completions": "Cannot POST /v1/•••/•••/openai/chat/completions",
    "no route tok/en-9876 for a bc-team": "no route ••• for •••",
    "sig q-1234 of version has expired": "sig ••• of ••• has expired",
    "the v1 of openai has no such model": "the v1 of openai has no such model",
}


@pytest.mark.parametrize("said", ECHOED)
@pytest.mark.parametrize("status", [0, 400, 401, 403, 413, 418, 429, 500, 503])
def test_a_server_that_repeats_the_address_shows_no_hidden_part_of_it(said: str, status: int) -> None:
    """Gateways put tokens there, and an error is stored and shown in the clear."""
    account = Account("Gate", GATE, KEY)
    assert shown(account, said) == ECHOED[said]
    told = str(refusal(account, status, json.dumps({"error": {"message": said}}).encode()).sentence)
    assert not any(part in told for part in ("9876", "bc-team", "q-1234"))


@pytest.mark.parametrize("said", SHOWN)
def test_a_servers_words_are_made_fit_to_show(said: str) -> None:
    assert shown(ACCOUNT, said) == SHOWN[said]


def test_long_words_are_shortened_after_secrets_are_gone() -> None:
    text = shown(ACCOUNT, "x" * 290 + KEY + "y" * 100)
    assert len(text) == 300
    assert text.endswith("…")
    assert "abcd" not in text


@pytest.mark.parametrize(
    "hostile", ["<" * 65_536, "?a" * 32_768, "<script" * 9000, "model " * 10_000, "\x1b]" * 30_000]
)
def test_hostile_words_cost_little_time(hostile: str) -> None:
    began = time.thread_time()
    refusal(ACCOUNT, 400, hostile.encode())
    assert time.thread_time() - began < 0.2


BODIES = {
    b'{"error": {"message": "boom", "code": "c"}}': "boom",
    b'{"error": "boom"}': "boom",
    b'{"message": "boom"}': "boom",
    b'{"detail": "boom"}': "boom",
    b'{"detail": [{"msg": "boom", "loc": ["body"]}]}': "boom",
    b'[{"error": "boom"}]': "boom",
    b'{"error": {"message": 7}}': "",
    b"boom": "boom",
    b"<!DOCTYPE html><html><head><title>boom</title><style>x</style>": "boom",
    b"<html><body>no title": "",
    b"{}": "",
    b"7": "",
    b"": "",
    b"[" * 60_000: "[" * 300,
    b"\xff\xfe": "\ufffd\ufffd",
}


@pytest.mark.parametrize("body", BODIES, ids=[body[:30].decode("latin-1") for body in BODIES])
def test_the_reason_is_found_in_every_shape_of_body(body: bytes) -> None:
    sentence = refusal(ACCOUNT, 422, body).sentence
    reason = BODIES[body]
    assert sentence[:280] == (f"Acme refused the request: {reason}" if reason else "Acme refused the request.")[:280]


def test_sentences_name_host_and_port_and_nothing_else_of_an_address() -> None:
    assert address(ACCOUNT) == "models.example:8443"
    assert address(Account("Acme", "https://models.example/v1")) == "models.example"
    assert address(Account("Acme", "")) == "its address"
    assert address(Account("Acme", "http://[::1")) == "its address"


def test_a_forgotten_path_is_proposed() -> None:
    forgotten = Account("Acme", f"http://ann:{KEY}@[::1]:8000/", KEY, usual_path="/v1")
    assert refusal(forgotten, 404).sentence == "Acme has nothing at this address. Did you mean http://[::1]:8000/v1?"
    for account in (
        Account("Acme", "http://models.example"),
        Account("Acme", "http://[::1", usual_path="/v1"),
        Account("Acme", "http://models.example/v1/", usual_path="/v1"),
        Account("Acme", "http://models.example/team/v1", usual_path=""),
        ACCOUNT,
    ):
        assert check_url(account) == "Check its base URL."


@pytest.mark.parametrize(("typed", "usual"), [("/v1/", ""), ("/api", ""), ("/v1", "/v1beta"), ("/v1beta", "/v1")])
def test_the_path_of_another_kind_is_corrected(typed: str, usual: str) -> None:
    account = Account("Acme", f"https://models.example{typed}", usual_path=usual)
    assert check_url(account) == f"Did you mean https://models.example{usual}?"


@pytest.mark.parametrize("status", [500, 501, 502, 503, 504, 520, 529, 599])
def test_every_server_error_may_be_tried_again(status: int) -> None:
    error = refusal(ACCOUNT, status, b"", wait="7")
    assert isinstance(error, Overloaded)
    assert (error.is_retryable, error.retry_after_seconds) == (True, 7.0)


def test_a_server_without_room_for_a_model_is_not_asked_for_it_again() -> None:
    said = b'{"error": "model requires more system memory (48.2 GiB) than is available (7.9 GiB)"}'
    error = refusal(ACCOUNT, 500, said)
    assert isinstance(error, NoMemory)
    assert not error.is_retryable
    assert error.sentence.startswith("Acme has not enough memory for this model: model requires more system memory")
    assert isinstance(refusal(ACCOUNT, 400, said), BadRequest)


@pytest.mark.parametrize("status", [402, 405, 406, 409, 410, 415, 422, 451])
def test_every_other_refusal_may_not(status: int) -> None:
    error = refusal(ACCOUNT, status, b'{"error": "no"}')
    assert isinstance(error, BadRequest)
    assert not error.is_retryable


@pytest.mark.parametrize(
    "value", ["-1", "abc", "", "1e9", "inf", "nan", "0x10", "9" * 99, "１２", "Mon, 99 Foo 2026 00:00:00 GMT", "\x00"]
)
def test_a_retry_after_that_makes_no_sense_is_absent(value: str) -> None:
    assert retry_after(value) is None


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Kolkata"])
def _zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine stands elsewhere."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_zone")
@pytest.mark.parametrize("form", ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"])
def test_a_retry_after_is_the_same_moment_everywhere(form: str) -> None:
    """The three forms of a date in HTTP, of which the last names no zone."""
    later = (datetime.now(UTC) + timedelta(seconds=60)).strftime(form)
    seconds = retry_after(later)
    assert seconds is not None
    assert 30 < seconds <= 60


def test_a_retry_after_in_the_past_is_now() -> None:
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert retry_after(" 2 ") == 2.0
    assert retry_after("0") == 0.0


WORDS: tuple[tuple[type[ProviderError], str], ...] = (
    (PromptTooLong, "Please reduce the length of the messages or completion."),
    (PromptTooLong, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048"),
    (PromptTooLong, "`inputs` must have less than 1024 tokens. Given: 2000"),
    (PromptTooLong, "Your request exceeded model token limit: 8192"),
    (PromptTooLong, "Prompt exceeds max length"),
    (PromptTooLong, "the prompt contains at least 5000 input tokens"),
    (ModelMissing, "Failed to find model lantern"),
    (ModelMissing, "Could not find model lantern"),
    (ModelMissing, "The model `lantern` has been deprecated"),
    (ModelMissing, "The API deployment for this resource does not exist."),
    (ModelMissing, "LLM Provider NOT provided. You passed model=lantern"),
    (RateLimited, "Rate limit reached for lantern. Please try again in 20s"),
    (RateLimited, "Too many requests"),
    (KeyRejected, "Incorrect API key provided: sk-0123456789abcdef"),
    (KeyRejected, "invalid x-api-key"),
    (Filtered, "The prompt triggered Azure OpenAI's content management policy."),
    (Filtered, "Content Exists Risk"),
    (BadRequest, "`temperature` is deprecated for this model."),
    (BadRequest, "max_tokens is too large: 9. This model supports at most 4 completion tokens"),
)


@pytest.mark.parametrize(("expected", "said"), WORDS)
def test_words_alone_say_what_went_wrong(expected: type[ProviderError], said: str) -> None:
    value = {"error": {"message": said}}
    assert type(refusal(ACCOUNT, 400, json.dumps(value).encode())) is expected
    if expected is not BadRequest:  # in an answer that began well, nothing but its words says what an error is
        assert type(event(ACCOUNT, value)) is expected
