"""Everything that a model server can do wrong, in any dialect: which error it becomes, and the text that came before."""

import gzip
from collections.abc import Callable
from typing import NamedTuple

from app.providers.errors import (
    BadAnswer,
    BadRequest,
    KeyRejected,
    ModelMissing,
    Overloaded,
    PromptTooLong,
    ProviderError,
    RateLimited,
    StreamCut,
    TimedOut,
    Unreachable,
)
from tests.scripted import (
    LAST_CHUNK,
    Close,
    Dialect,
    Repeat,
    Reset,
    Script,
    Send,
    Sleep,
    Stall,
    Step,
    chunk,
    head,
    whole,
)


def begun(dialect: Dialect, *then: Step) -> Script:
    """An answer that has said "Hello" when it goes on with these steps."""
    return (dialect.head(), Send(chunk(dialect.text("Hel"))), Send(chunk(dialect.text("lo"))), Sleep(0.02), *then)


def dripped(content: bytes, every_seconds: float) -> Script:
    return tuple(step for byte in content for step in (Send(chunk(bytes([byte]))), Sleep(every_seconds)))


def plain(dialect: Dialect, **headers: str) -> Send:
    return Send(head(200, dialect.content_type, **headers))


def short(dialect: Dialect, body: bytes, rest: bytes = b"") -> Script:
    """An answer whose declared length leaves out the rest of it."""
    return (Send(plain(dialect, Content_Length=str(len(body))).content + body + rest),)


class Fault(NamedTuple):
    script: Callable[[Dialect], Script]
    error: type[ProviderError]
    text: str = ""


BIG = '{"a": "' + "x" * 5_000_000 + '"}'

FAULTS = {
    "accepts and never answers": Fault(lambda d: (Stall(),), TimedOut),
    "closes without an answer": Fault(lambda d: (Close(),), Unreachable),
    "resets without an answer": Fault(lambda d: (Reset(),), Unreachable),
    "does not speak HTTP": Fault(lambda d: (Send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), Stall()), BadAnswer),
    "headers and no token": Fault(lambda d: (d.head(), Stall()), TimedOut),
    "headers and a reset": Fault(lambda d: (d.head(), Sleep(0.02), Reset()), Unreachable),
    "an empty answer": Fault(lambda d: d.stream(), Unreachable),
    "an answer of empty deltas": Fault(lambda d: d.stream(d.text(""), d.text("")), Unreachable),
    "pings for ever": Fault(lambda d: (d.head(), Repeat(chunk(d.ping()), None, 0.01)), TimedOut),
    "pings for ever after a token": Fault(lambda d: begun(d, Repeat(chunk(d.ping()), None, 0.01)), TimedOut, "Hello"),
    "empty deltas for ever": Fault(lambda d: (d.head(), Repeat(chunk(d.text("")), None, 0.01)), TimedOut),
    "a byte now and then": Fault(lambda d: (d.head(), *dripped(d.text("Hello"), 0.02)), TimedOut),
    "a byte now and then after a token": Fault(lambda d: begun(d, *dripped(d.text("x"), 0.02)), TimedOut, "Hello"),
    "silence after a token": Fault(lambda d: begun(d, Stall()), TimedOut, "Hello"),
    "a reset after a token": Fault(lambda d: begun(d, Reset()), StreamCut, "Hello"),
    "a close after a token": Fault(lambda d: begun(d, Close()), StreamCut, "Hello"),
    "a well-formed end without the end marker": Fault(lambda d: begun(d, Send(LAST_CHUNK)), StreamCut, "Hello"),
    "a frame cut by the end": Fault(
        lambda d: begun(d, Send(chunk(d.text("more")[:-9])), Send(LAST_CHUNK)), StreamCut, "Hello"
    ),
    # aiohttp closes the connection here without telling the reader: the next time limit finds out.
    "a broken chunk size": Fault(lambda d: begun(d, Send(b"zz\r\nxx"), Stall()), TimedOut, "Hello"),
    "less than its length": Fault(
        lambda d: (plain(d, Content_Length="9999"), Send(d.text("Hello")), Sleep(0.02), Close()), StreamCut, "Hello"
    ),
    "more than its length": Fault(
        lambda d: (*short(d, d.text("Hello")), Sleep(0.02), Send(d.finish())), StreamCut, "Hello"
    ),
    "more than its length, at once": Fault(lambda d: short(d, d.text("Hello"), d.finish()), BadAnswer),
    "an error event at once": Fault(lambda d: d.stream(d.error("boom")), Overloaded),
    "an error event after a token": Fault(
        lambda d: begun(d, Send(chunk(d.error("boom"))), Stall()), Overloaded, "Hello"
    ),
    "an error event about the prompt": Fault(
        lambda d: d.stream(d.error("request (9 tokens) exceeds the available context size (5 tokens)")), PromptTooLong
    ),
    "no JSON": Fault(lambda d: begun(d, Send(chunk(b"data: {nonsense\n\n")), Stall()), BadAnswer, "Hello"),
    "JSON of another shape": Fault(
        lambda d: begun(d, Send(chunk(d.unreadable())), Stall()),
        BadAnswer,
        "Hello",
    ),
    "JSON nested without end": Fault(
        lambda d: begun(d, Send(chunk(b'data: {"x":' + b"[" * 100_000 + b"\n\n")), Stall()), BadAnswer, "Hello"
    ),
    "a line of fifty megabytes": Fault(lambda d: begun(d, Repeat(chunk(b"x" * 65_536), 50 * 16)), BadAnswer, "Hello"),
    "five megabytes for a tool": Fault(
        lambda d: begun(d, Send(chunk(d.written_call("c1", "look", BIG))), Stall()), BadAnswer, "Hello"
    ),
    "a web page": Fault(lambda d: whole(b"<html><title>Hi</title>", 200, "text/html; charset=utf-8"), BadAnswer),
    "gzip garbage": Fault(lambda d: (plain(d, Content_Encoding="gzip"), Send(b"\x1f\x8bgarbage"), Stall()), BadAnswer),
    "a gzip bomb": Fault(
        lambda d: whole(gzip.compress(b"\0" * 10_000_000), 200, d.content_type, Content_Encoding="gzip"), BadAnswer
    ),
    "a gzip bomb as an error": Fault(
        lambda d: whole(gzip.compress(b"\0" * 10_000_000), 500, d.content_type, Content_Encoding="gzip"), Overloaded
    ),
    "a redirect": Fault(lambda d: whole(b"", 307, Location="/elsewhere"), BadAnswer),
    "400": Fault(lambda d: whole(d.error_body("temperature is wrong"), 400), BadRequest),
    "401": Fault(lambda d: whole(d.error_body("who are you"), 401), KeyRejected),
    "403": Fault(lambda d: whole(d.error_body("not you"), 403), KeyRejected),
    "404 of a model": Fault(lambda d: whole(d.error_body("model 'scripted' not found"), 404), ModelMissing),
    "404 of a path": Fault(lambda d: whole(b"404 page not found", 404, "text/plain"), BadRequest),
    "413": Fault(lambda d: whole(b"", 413), BadRequest),
    "429": Fault(lambda d: whole(d.error_body("slow down"), 429), RateLimited),
    "500": Fault(lambda d: whole(d.error_body("boom"), 500), Overloaded),
    "502 of a proxy": Fault(lambda d: whole(b"<html><h1>Bad Gateway</h1>", 502, "text/html"), Overloaded),
    "503": Fault(lambda d: whole(d.error_body("loading"), 503), Overloaded),
    "529": Fault(lambda d: whole(d.error_body("overloaded"), 529), Overloaded),
    "a context that is too long": Fault(
        lambda d: whole(d.error_body("This model's maximum context length is 5 tokens"), 400), PromptTooLong
    ),
    "an endless error": Fault(lambda d: (Send(head(500)), Repeat(b"x" * 65_536)), Overloaded),
    "an error whose body never ends": Fault(lambda d: (Send(head(401)), Send(b"{"), Stall()), TimedOut),
    "an unknown status": Fault(lambda d: whole(b"", 299), BadAnswer),
    "endless headers": Fault(
        lambda d: (Send(b"HTTP/1.1 200 OK\r\n"), Repeat(b"X-A: " + b"b" * 4000 + b"\r\n")), BadAnswer
    ),
}


class Call(NamedTuple):
    """Calls of tools, each a name and the arguments as the model wrote them, and what is read of their arguments.

    `within`: the same where they are a part of the frame's JSON; None, where that cannot be read then.
    """

    written: tuple[tuple[str, str], ...]
    quoted: tuple[str, ...]
    within: tuple[str, ...] | None


NESTED = '{"a":' + "[" * 2_000 + "]" * 2_000 + "}"

CALLS = {
    "truncated": Call((("look", '{"a": '),), ('{"a": ',), None),
    "no JSON": Call((("look", "nonsense"),), ("nonsense",), None),
    "nothing": Call((("look", "{}"),), ("{}",), ("{}",)),
    "no object": Call((("look", "[7]"),), ("[7]",), ("[7]",)),
    "the same call twice": Call((("look", "{}"), ("look", "{}")), ("{}", "{}"), ("{}", "{}")),
    "the same key twice": Call((("look", '{"a": 1, "a": 2}'),), ('{"a": 1, "a": 2}',), ('{"a":2}',)),
    "an unknown tool": Call((("<b>nobody", '{"a":1}'),), ('{"a":1}',), ('{"a":1}',)),
    "NUL and half a pair": Call(
        (("look", '{"a":"\\u0000\\ud800"}'),), ('{"a":"\\u0000\\ud800"}',), ('{"a":"\\u0000\ufffd"}',)
    ),
    "nested": Call((("look", '{"a":[[{"b":[]}]]}'),), ('{"a":[[{"b":[]}]]}',), ('{"a":[[{"b":[]}]]}',)),
    "nested without end": Call((("look", NESTED),), (NESTED,), None),
}
