"""What every dialect is: well-formed answers, in pieces small enough to build malformed ones from."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from tests.scripted.request import Request
from tests.scripted.steps import LAST_CHUNK, Paced, Script, Send, chunk, head


class Dialect(ABC):
    """One wire protocol, from the server's side. Methods return frames: bytes to put into the body of a stream.

    `listing_path` is where models are listed; `end_marker` is what no answer is complete without, where one exists.
    `quotes_arguments`: a tool call's arguments stand in a string; elsewhere they are a part of the frame's own JSON.
    """

    kind: ClassVar[str]
    base_path: ClassVar[str]
    chat_path: ClassVar[str]
    listing_path: ClassVar[str]
    content_type: ClassVar[str]
    end_marker: ClassVar[bytes]
    quotes_arguments: ClassVar[bool] = True

    @abstractmethod
    def text(self, text: str) -> bytes: ...

    @abstractmethod
    def thought(self, text: str) -> bytes: ...

    def tool_call(self, call_id: str, name: str, arguments: dict[str, Any], index: int = 0) -> bytes:
        """A tool call as servers write them."""
        return self.written_call(call_id, name, json.dumps(arguments, ensure_ascii=False), index)

    @abstractmethod
    def written_call(self, call_id: str, name: str, arguments: str, index: int = 0) -> bytes:
        """A tool call whose arguments the model wrote so, whether they are JSON or not."""

    @abstractmethod
    def finish(self, reason: str = "stop", usage: tuple[int, int] | None = None) -> bytes:
        """How it ends. `reason` is one of our own finish reasons; `usage` is tokens in and out."""

    def text_at_an_end(self, text: str, said: str) -> bytes:
        """A piece of text with a finish reason in it, which some servers write whatever follows."""
        raise NotImplementedError

    def whole(self, text: str, thought: str = "", reason: str = "stop", usage: tuple[int, int] | None = None) -> Any:
        """All of an answer at once, as it is given where no stream was asked for."""
        raise NotImplementedError

    def data(self, text: str) -> bytes:
        """These words where a frame's JSON would stand."""
        return b"data: %s\n\n" % text.encode()

    @abstractmethod
    def error(self, message: str) -> bytes:
        """An error event inside an answer that began well."""

    @abstractmethod
    def error_body(self, message: str) -> bytes:
        """The body of an answer that is not a success."""

    @abstractmethod
    def unreadable(self) -> bytes:
        """A frame of JSON that has another shape than the protocol says."""

    @abstractmethod
    def lookup(self, request: Request, models: Sequence[str], loaded: Sequence[str]) -> Any:
        """The answer to a question about models or tokens, or None where the request is not one of this dialect."""

    def manage(self, request: Request, models: list[str], loaded: list[str]) -> Script | None:
        """The answer to an order to pull, load, unload or delete a model, which changes both lists."""
        return None

    def opening(self) -> bytes:
        """What stands before the first frame of a stream, where something must."""
        return b""

    def ping(self) -> bytes:
        """What a server writes to keep a line open."""
        return b": ping\n\n"

    def is_question(self, request: Request) -> bool:
        return request.path == self.chat_path

    def model_of(self, request: Request) -> str:
        """The model that a question names."""
        name = request.json.get("model", "")
        return name if isinstance(name, str) else ""

    def messages(self, body: Any) -> list[Any]:
        """The messages of a question's body, as they stand there."""
        found: list[Any] = body["messages"]
        return found

    def key_headers(self, key: str) -> dict[str, str]:
        """The headers that carry an account's key."""
        return {"authorization": f"Bearer {key}"}

    def head(self) -> Send:
        """How a streamed answer begins: the head, and what stands before the first frame."""
        opening = self.opening()
        return Send(self._http_head() + (chunk(opening) if opening else b""))

    def frames(
        self,
        words: Iterable[str],
        thoughts: Iterable[str] = (),
        tool_calls: Iterable[bytes] = (),
        reason: str = "stop",
        usage: tuple[int, int] | None = None,
    ) -> list[bytes]:
        """A whole, well-formed answer: a frame for each thought, word and tool call, and one for the end."""
        return [
            *map(self.thought, thoughts),
            *map(self.text, words),
            *tool_calls,
            self.finish(reason, usage),
        ]

    def answer(
        self,
        words: Iterable[str],
        *,
        thoughts: Iterable[str] = (),
        usage: tuple[int, int] | None = None,
        reason: str = "stop",
        tool_calls: Iterable[bytes] = (),
        per_second: float | None = None,
    ) -> Script:
        """`frames` as a script, all at once or at a steady pace."""
        *pieces, last = map(chunk, self.frames(words, thoughts, tool_calls, reason, usage))
        begin = Send(self._http_head())
        if per_second is None:
            return (begin, *map(Send, pieces), Send(last + LAST_CHUNK))
        return (begin, Paced((*pieces, last + LAST_CHUNK), per_second))

    def stream(self, *frames: bytes) -> Script:
        """An answer of these frames and nothing else, ended as HTTP wants it."""
        return (self.head(), *(Send(chunk(frame)) for frame in frames if frame), Send(LAST_CHUNK))

    def _http_head(self) -> bytes:
        return head(200, self.content_type, Transfer_Encoding="chunked")


def compact(value: Any) -> bytes:
    """JSON as servers write it: no blanks, no escapes that need not be."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


#: Stands in a frame for arguments that are a part of its JSON.
ARGUMENTS = "@arguments@"


def with_arguments(frame: bytes, arguments: str) -> bytes:
    """The frame with these arguments in their place, whatever becomes of its JSON."""
    return frame.replace(compact(ARGUMENTS), arguments.encode())
