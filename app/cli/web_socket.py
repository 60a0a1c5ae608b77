"""A connection after an upgrade to WebSocket."""

from collections.abc import Callable
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class WebSocket(WebSocketsSansIOProtocol):
    """The front door counts it until it is closed."""

    def __init__(self, *arguments: Any, left: Callable[[], None], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._left = left

    def connection_lost(self, exc: Exception | None) -> None:
        self._left()
        super().connection_lost(exc)
