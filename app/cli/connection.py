"""One HTTP connection: uvicorn's protocol behind the limits of the front door.

The parser gets a head only when it is complete, and a request only when the previous one is answered. Large, slow or
pipelined heads cost no more than the bytes that are buffered.
"""

import asyncio
import functools
from typing import Any

import httptools

from app.cli.front_door import FrontDoor, Group
from app.cli.request_head import (
    END,
    Refused,
    check_begin,
    check_line,
    head_too_large,
    head_too_slow,
    length_of,
    malformed,
    target_of,
    too_many,
)
from app.cli.slow_readers import CutsSlowReaders
from app.cli.web_socket import WebSocket

#: A chunked body does not announce its end, so it is parsed in pieces of this size.
CHUNKED_PIECE_BYTES = 16_384
#: How long, and for how many bytes, what still arrives after a refusal is discarded before the connection is closed.
LINGER_SECONDS = 2.0
LINGER_BYTES = 262_144


class Connection(CutsSlowReaders):
    """Parses, limits and times what the peer sends. uvicorn makes it with `functools.partial(Connection, door=…)`."""

    def __init__(self, *arguments: Any, door: FrontDoor, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.groups: tuple[Group, ...] = ()
        self._door = door
        # Called by the app when it has found a session.
        self.app_state = {**self.app_state, "mark_signed_in": functools.partial(door.mark_signed_in, self)}
        if self.ws_protocol_class is not None:
            self.ws_protocol_class = functools.partial(WebSocket, left=functools.partial(door.leave, self))  # type: ignore[assignment]
        #: Received and not parsed yet.
        self._received = bytearray()
        self._searched = 0
        self._has_head = self._is_in_body = self._is_over = False
        #: Bytes still missing of a body with a Content-Length; None for a chunked body.
        self._missing_bytes: int | None = 0
        self._fed_bytes = self._body_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        #: Bytes that are still discarded after a refusal.
        self._lingering_bytes = 0

    # -- Events of the transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._door.enter(self, self.client[0] if self.client else ""):
            self._await_head()
        else:
            self._refuse(too_many())

    def connection_lost(self, exc: Exception | None) -> None:
        self._door.leave(self)
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._lingering_bytes:
            self._discard(len(data))
            return
        if self._is_over:
            self.flow.pause_reading()
            return
        self._unset_keepalive_if_required()
        self._received += data
        self._parse()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._door.mark_waiting(self)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._is_answering and not self._is_in_body:
            self._door.mark_busy(self)

    # -- Parsing, one request at a time

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _parse(self) -> None:
        """Parse the buffer up to the end of the current request."""
        try:
            while self._received and not self._is_over:
                if self._is_in_body:
                    self._take_body()
                elif self._is_answering:
                    if len(self._received) > self._door.limits.head_bytes:
                        self._read_no_more()
                    return
                elif not self._take_head():
                    return
        except Refused as refusal:
            self._refuse(refusal)

    def _take_head(self) -> bool:
        """Parse a head if it is complete. Raises `Refused`."""
        limits = self._door.limits
        # Some clients send an extra empty line after a body (RFC 9112, 2.2).
        del self._received[: len(self._received) - len(self._received.lstrip(b"\r\n"))]
        check_begin(self._received)
        found = END.search(self._received, max(0, self._searched - 3))
        self._searched = len(self._received)
        if (found.end() if found else len(self._received) + 1) > limits.head_bytes:
            raise head_too_large()
        if found is None:
            self._await_head()
            return False
        head = self._pop(found.end())
        self._stop_head_timer()
        if head.count(b"\n") - 2 > limits.head_fields:  # less the request line and the empty line
            raise head_too_large()
        check_line(head)
        self._searched = self._fed_bytes = self._body_bytes = 0
        self._has_head, self._is_in_body = False, True
        self._feed(head)
        if not self._has_head:
            raise malformed()
        return True

    def _take_body(self) -> None:
        """Parse the next piece of a body, and nothing after the body. Raises `Refused`."""
        is_chunked = self._missing_bytes is None
        most = CHUNKED_PIECE_BYTES if self._missing_bytes is None else self._missing_bytes
        piece = self._pop(min(most, len(self._received)))
        if self._missing_bytes is not None:
            self._missing_bytes -= len(piece)
        try:
            self._feed(piece)
        except Refused:
            if self._is_in_body:
                raise
            # Bytes after a chunked body: httptools does not tell where they begin, so they are dropped.
            self._read_no_more()
        # Chunk sizes, extensions and trailers may be as long as the content, plus the size of a head.
        if is_chunked and not self._is_over and self._fed_bytes > self._door.limits.head_bytes + 2 * self._body_bytes:
            raise head_too_large()
        if self._missing_bytes == 0 and self._is_in_body:
            raise malformed()

    def _pop(self, size: int) -> bytes:
        piece = bytes(self._received[:size])
        del self._received[:size]
        return piece

    def _feed(self, piece: bytes) -> None:
        self._fed_bytes += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self._is_over = True
                self.handle_websocket_upgrade()
        except httptools.HttpParserError as error:
            reason = error.__context__
            raise reason if isinstance(reason, Refused) else malformed() from error

    # -- Callbacks of the parser

    def on_message_begin(self) -> None:
        if not self._is_in_body or self._has_head:
            raise malformed()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers are dropped: they could contradict the head that was checked.
        if not self._has_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._has_head = True
        self.url = target_of(self.url, self.headers)
        version, is_upgrade = self.parser.get_http_version(), self.parser.should_upgrade()
        self._missing_bytes = length_of(self.headers, version, is_upgrade=is_upgrade)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_in_body = False
        self._door.mark_busy(self)
        super().on_message_complete()

    # -- The end of a response

    def on_response_complete(self) -> None:
        if self._is_in_body:
            self.transport.close()  # the app did not want the rest of the body
        elif self._received and self._door.is_crowded(self):
            self.transport.close()  # pipelined requests would keep it busy, so that it could not be evicted
        self.timeout_keep_alive = self._door.keep_alive_seconds(self)
        super().on_response_complete()
        if self.transport.is_closing():
            return
        self._door.mark_waiting(self)
        if self._received:
            self._unset_keepalive_if_required()
            self._parse()

    # -- The end of the connection

    def evict(self) -> None:
        """Close the connection to make room for another."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # a slow reader would keep it open
        elif self._is_over:
            self.transport.close()
        elif self._received or self._is_in_body:
            self._refuse(too_many())
        else:
            self.transport.close()

    def _refuse(self, refusal: Refused) -> None:
        """Respond in place of the app and close. Nothing more is read."""
        self._is_over = True
        self._received.clear()
        self._stop_head_timer()
        is_started = False
        if self._is_answering:
            is_started = self.cycle.response_started
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if not is_started:
            self.transport.write(refusal.answer(self.server_state.default_headers))
        if self.groups and not is_started:
            self._linger()
        else:
            self.transport.close()  # the front door does not count it any more, so it does not stay

    def _linger(self) -> None:
        """Close once the peer has closed, or in a moment.

        Closing while the peer still sends resets the connection, and a peer that has not read the response yet loses it.
        """
        self.flow.resume_reading()
        self.transport.write_eof()
        self._lingering_bytes = LINGER_BYTES
        self._head_timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _discard(self, size: int) -> None:
        self._lingering_bytes -= size
        if self._lingering_bytes <= 0:
            self._lingering_bytes = 0
            self.transport.close()

    def _read_no_more(self) -> None:
        """Drop further input. The response in progress is the last one of this connection."""
        self._is_over = True
        self._received.clear()
        self.flow.pause_reading()
        if self._is_answering:
            self.cycle.keep_alive = False
        else:
            self.transport.close()

    # -- The deadline of a head

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self._door.limits.head_seconds, self._give_up_head)

    def _give_up_head(self) -> None:
        if self._received:
            self._refuse(head_too_slow())
        else:
            self.transport.close()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
