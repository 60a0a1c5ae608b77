"""A browser's connection: uvicorn's protocol, which is given no more than the front door's limits allow.

A head is parsed once it is whole, and a request once the one before it is answered; so neither size, slowness nor number of
what is sent costs more than what is kept of it.
"""

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import httptools
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

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

#: A chunked body does not say where it ends: so much of it is parsed at a time.
CHUNKED_PIECE_BYTES = 16_384


class WebSocket(WebSocketsSansIOProtocol):
    """What a connection becomes that was upgraded. The front door goes on counting it."""

    def __init__(self, *arguments: Any, left: Callable[[], None], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._left = left

    def connection_lost(self, exc: Exception | None) -> None:
        self._left()
        super().connection_lost(exc)


class Connection(CutsSlowReaders):
    """One connection. Made by `functools.partial(Connection, door=…)`."""

    def __init__(self, *arguments: Any, door: FrontDoor, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.groups: tuple[Group, ...] = ()
        self._door = door
        # Called by the app when it has found a session.
        self.app_state = {**self.app_state, "signed_in": functools.partial(door.know, self)}
        if self.ws_protocol_class is not None:
            self.ws_protocol_class = functools.partial(WebSocket, left=functools.partial(door.leave, self))  # type: ignore[assignment]
        #: What has come and is not parsed yet.
        self._received = bytearray()
        self._searched = 0
        self._has_head = self._is_in_body = self._is_over = False
        #: Of a body of announced length, what is still to come; None of a chunked one.
        self._left_bytes: int | None = 0
        self._fed_bytes = self._body_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    # -- What the other end does

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
        if self._is_over:
            self.flow.pause_reading()
            return
        self._unset_keepalive_if_required()
        self._received += data
        self._go_on()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._door.wait(self)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._is_answering and not self._is_in_body:
            self._door.work(self)

    # -- Requests, one after the other

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _go_on(self) -> None:
        """Parse what has come, as far as its turn has come too."""
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
        """Parse a head if it is whole. Raises `Refused`."""
        limits = self._door.limits
        # Some clients end a body with an empty line too many (RFC 9112, 2.2).
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
        # The request line and the empty line are none.
        if head.count(b"\n") - 2 > limits.head_fields:
            raise head_too_large()
        check_line(head)
        self._searched = self._fed_bytes = self._body_bytes = 0
        self._has_head, self._is_in_body = False, True
        self._feed(head)
        if not self._has_head:
            raise malformed()
        return True

    def _take_body(self) -> None:
        """Parse what has come of a body, and nothing behind it. Raises `Refused`."""
        is_chunked = self._left_bytes is None
        most = CHUNKED_PIECE_BYTES if self._left_bytes is None else self._left_bytes
        piece = self._pop(min(most, len(self._received)))
        if self._left_bytes is not None:
            self._left_bytes -= len(piece)
        try:
            self._feed(piece)
        except Refused:
            if self._is_in_body:
                raise
            # More stands behind a chunked body, and where it begins is not known: it is not answered.
            self._read_no_more()
        # Sizes, extensions and trailers may take as much as what they frame.
        if is_chunked and self._fed_bytes > self._door.limits.head_bytes + 2 * self._body_bytes:
            raise head_too_large()
        if self._left_bytes == 0 and self._is_in_body:
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

    # -- What the parser finds

    def on_message_begin(self) -> None:
        if not self._is_in_body or self._has_head:
            raise malformed()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        # A trailer could say something else than the head that was checked.
        if not self._has_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._has_head = True
        self.url = target_of(self.url, self.headers)
        version, is_upgrade = self.parser.get_http_version(), self.parser.should_upgrade()
        self._left_bytes = length_of(self.headers, version, is_upgrade=is_upgrade)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_in_body = False
        self._door.work(self)
        super().on_message_complete()

    # -- What the app does

    def on_response_complete(self) -> None:
        if self._is_in_body:
            self.transport.close()  # nobody reads the rest
        self.timeout_keep_alive = self._door.keep_alive_seconds(self)
        super().on_response_complete()
        if self.transport.is_closing():
            return
        self._door.wait(self)
        if self._received:
            self._unset_keepalive_if_required()
            self._go_on()

    # -- Ends

    def give_way(self) -> None:
        """Close, so that another one gets in."""
        if self._is_answering and not self._is_in_body:
            self.transport.abort()  # it reads too slowly
        elif self._received or self._is_in_body:
            self._refuse(too_many())
        else:
            self.transport.close()

    def _refuse(self, refusal: Refused) -> None:
        """Answer for the app, and close: nothing more is read."""
        self._is_over = True
        self._received.clear()
        self._stop_head_timer()
        is_begun = False
        if self._is_answering:
            is_begun = self.cycle.response_started
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if not is_begun:
            self.transport.write(refusal.answer(self.server_state.default_headers))
        self.transport.close()

    def _read_no_more(self) -> None:
        """The answer that is under way is the last one of this connection."""
        self._is_over = True
        self._received.clear()
        self.flow.pause_reading()
        if self._is_answering:
            self.cycle.keep_alive = False
        else:
            self.transport.close()

    # -- Clocks

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
