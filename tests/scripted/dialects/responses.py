"""OpenAI's Responses: https://platform.openai.com/docs/api-reference/responses-streaming.

A response is made of numbered items, each begun and ended. Frames by themselves are deltas of item 0, and calls are items
from 1 on; `frames` numbers and ends the items as the API does.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from tests.scripted.dialects.dialect import Dialect, compact
from tests.scripted.request import Request

INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


class ResponsesDialect(Dialect):
    kind = "responses"
    base_path = "/v1"
    chat_path = "/v1/responses"
    listing_path = "/v1/models"
    content_type = "text/event-stream"
    end_marker = b""
    signature = "gAAAAABo"

    def opening(self) -> bytes:
        response = self._response("in_progress")
        return self._frame("response.created", response=response) + self._frame(
            "response.in_progress", response=response
        )

    def text(self, text: str) -> bytes:
        return self._text(0, text)

    def thought(self, text: str) -> bytes:
        return self._frame(
            "response.reasoning_summary_text.delta", item_id="rs_1", output_index=0, summary_index=0, delta=text
        )

    def written_call(self, call_id: str, name: str, arguments: str, index: int = 0) -> bytes:
        """In pieces, as the API does: the call first, its arguments in two halves, then all of it once more."""
        half = len(arguments) // 2
        at = {"item_id": f"fc_{index}", "output_index": index + 1}
        call = {"type": "function_call", "id": at["item_id"], "call_id": call_id, "name": name}
        return (
            self._item("added", index + 1, call | {"arguments": "", "status": "in_progress"})
            + b"".join(
                self._frame("response.function_call_arguments.delta", **at, delta=piece)
                for piece in (arguments[:half], arguments[half:])
            )
            + self._frame("response.function_call_arguments.done", **at, arguments=arguments, name=name)
            + self._item("done", index + 1, call | {"arguments": arguments, "status": "completed"})
        )

    def finish(self, reason: str = "stop", usage: tuple[int, int] | None = None) -> bytes:
        details = {"reason": INCOMPLETE[reason]} if reason in INCOMPLETE else None
        status = "incomplete" if details else "completed"
        counts = usage and {
            "input_tokens": usage[0],
            "output_tokens": usage[1],
            "output_tokens_details": {"reasoning_tokens": 1},
            "total_tokens": sum(usage),
        }
        response = self._response(status) | {"incomplete_details": details, "usage": counts}
        return self._frame(f"response.{status}", response=response)

    def whole(self, text: str, thought: str = "", reason: str = "stop", usage: tuple[int, int] | None = None) -> Any:
        summary = [{"type": "summary_text", "text": thought}]
        thoughts = [{"type": "reasoning", "id": "rs_1", "summary": summary}] if thought else []
        content = [{"type": "output_text", "text": text, "annotations": []}]
        details = {"reason": INCOMPLETE[reason]} if reason in INCOMPLETE else None
        counts = usage and {"input_tokens": usage[0], "output_tokens": usage[1], "total_tokens": sum(usage)}
        response = self._response("incomplete" if details else "completed")
        output = [*thoughts, {"type": "message", "id": "msg_1", "role": "assistant", "content": content}]
        return response | {"output": output, "incomplete_details": details, "usage": counts}

    def error(self, message: str) -> bytes:
        return self._frame("error", message=message, code="server_error", param=None)

    def failed(self, message: str, code: str) -> bytes:
        """The other way in which an answer that began well may fail."""
        response = self._response("failed") | {"error": {"code": code, "message": message}}
        return self._frame("response.failed", response=response)

    def error_body(self, message: str) -> bytes:
        return json.dumps({"error": {"message": message, "type": "", "param": None, "code": None}}).encode()

    def unreadable(self) -> bytes:
        return b'event: response.output_text.delta\ndata: {"type":7}\n\n'

    def lookup(self, request: Request, models: Sequence[str], loaded: Sequence[str]) -> Any:
        """OpenAI lists its models once, whatever they are asked through."""
        if request.path != f"{self.chat_path}/input_tokens":
            return None
        return {"object": "response.input_tokens", "input_tokens": len(json.dumps(request.json["input"]).split())}

    def messages(self, body: Any) -> list[Any]:
        found: list[Any] = body["input"]
        return found

    def frames(
        self,
        words: Iterable[str],
        thoughts: Iterable[str] = (),
        tool_calls: Iterable[bytes] = (),
        reason: str = "stop",
        usage: tuple[int, int] | None = None,
    ) -> list[bytes]:
        found: list[bytes] = []
        if thinking := [*map(self.thought, thoughts)]:
            item = {"type": "reasoning", "id": "rs_1", "summary": []}
            part = {
                "item_id": "rs_1",
                "output_index": 0,
                "summary_index": 0,
                "part": {"type": "summary_text", "text": ""},
            }
            thinking[0] = (
                self._item("added", 0, item)
                + self._frame("response.reasoning_summary_part.added", **part)
                + thinking[0]
            )
            thinking[-1] += self._item("done", 0, item | {"encrypted_content": self.signature})
            found += thinking
        number = 1 if thinking else 0
        if said := [self._text(number, word) for word in words]:
            message = {"type": "message", "id": "msg_1", "role": "assistant", "content": []}
            text = {"type": "output_text", "text": "", "annotations": []}
            place = {"item_id": "msg_1", "output_index": number, "content_index": 0}
            begin = self._item("added", number, message | {"status": "in_progress"})
            said[0] = begin + self._frame("response.content_part.added", **place, part=text) + said[0]
            said[-1] += self._item("done", number, message | {"status": "completed"})
            found += said
            number += 1
        found += [_moved(call, number - 1) for call in tool_calls]
        first, *others = [*found, self.finish(reason, usage)]
        return [self.opening() + first, *others]

    def _text(self, number: int, text: str) -> bytes:
        at = {"item_id": "msg_1", "output_index": number, "content_index": 0}
        return self._frame("response.output_text.delta", **at, delta=text, logprobs=[])

    def _item(self, what: str, number: int, item: dict[str, Any]) -> bytes:
        return self._frame(f"response.output_item.{what}", output_index=number, item=item)

    def _response(self, status: str) -> dict[str, Any]:
        constant = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "error": None, "output": []}
        return {"id": "resp_1", "object": "response", "created_at": 1, "model": "scripted", "status": status} | constant

    def _frame(self, event: str, **fields: Any) -> bytes:
        return b"event: %s\ndata: %s\n\n" % (event.encode(), compact({"type": event, "sequence_number": 0} | fields))


def _moved(frames: bytes, by: int) -> bytes:
    """The same events with their items' numbers moved."""
    moved = b""
    for frame in frames.removesuffix(b"\n\n").split(b"\n\n"):
        before, _, data = frame.partition(b"\ndata: ")
        event = json.loads(data)
        moved += b"%s\ndata: %s\n\n" % (before, compact(event | {"output_index": event["output_index"] + by}))
    return moved
