"""Uploads: the files of a request in chunks, as they arrive, for routes that take a `FileStream`."""

from collections.abc import AsyncGenerator
from typing import TypeAlias, cast

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from app.controllers import csrf, file_form
from app.controllers.receiving import STRANGERS_BYTES, Incoming
from app.controllers.visit import Connection, visit_of
from app.errors import Malformed
from app.words import gettext as _

CHUNK_BYTES = 65_536

#: A part begins, some of what it holds, its end.
Event: TypeAlias = MultipartSegment | bytes | bytearray | None


class IncomingFile:
    """One file. `field`, `filename` and `content_type` come from the client; a body that is not a form has no `field`."""

    def __init__(self, upload: "Upload", segment: MultipartSegment | None) -> None:
        self._upload = upload
        self._is_read = False
        self.field = segment.name or "" if segment else ""
        self.filename = segment.filename or "" if segment else ""
        self.content_type = segment.content_type or "" if segment else upload.content_type

    async def read(self) -> bytes:
        """The next bytes, b"" at the end. Raises what `Incoming.read` raises, and `Malformed`."""
        if self._is_read:
            return b""
        chunk = await self._upload.next_bytes()
        self._is_read = not chunk
        return chunk


class Upload:
    """The body of one request. `fields` holds the text fields that have arrived so far."""

    def __init__(self, incoming: Incoming, content_type: str) -> None:
        self._incoming = incoming
        self._events = self._parse()
        self._pending = b""
        self._text_bytes = 0
        self.content_type = content_type
        self.is_multipart = content_type.partition(";")[0].strip().lower() == file_form.KIND
        self.fields: dict[str, list[str]] = {}

    async def first_token(self) -> str:
        """The token, if it is the first field, else ''. Called before anything else is read."""
        if not self.is_multipart or not isinstance(segment := await self._next_event(), MultipartSegment):
            return ""
        if segment.name != csrf.FIELD or segment.filename is not None:
            return ""
        return await self._text()

    async def files(self) -> AsyncGenerator[IncomingFile, None]:
        """Each file, in order. Skips what was not read of the previous one."""
        if not self.is_multipart:
            yield IncomingFile(self, None)
            return
        while True:
            segment = await self._next_event()
            if not isinstance(segment, MultipartSegment):
                return
            if segment.filename is None:
                text = await self._text()
                if segment.name != csrf.FIELD:
                    self.fields.setdefault(segment.name, []).append(text)
                continue
            file = IncomingFile(self, segment)
            yield file
            while await file.read():
                pass

    async def next_bytes(self) -> bytes:
        """The next bytes of the file that is being read, b"" at its end."""
        if self.is_multipart:
            return bytes(cast(bytes | None, await self._next_event()) or b"")
        return await self._next_chunk()

    async def close(self) -> None:
        """Stop reading."""
        await self._events.aclose()

    async def _text(self) -> str:
        """The text of the current field. All text fields together are limited to the size of a stranger's form."""
        pieces: list[bytes] = []
        while piece := await self.next_bytes():
            self._text_bytes += len(piece)
            if self._text_bytes > STRANGERS_BYTES:
                raise _unreadable()
            pieces.append(piece)
        try:
            return b"".join(pieces).decode("utf-8").replace("\0", "")
        except UnicodeDecodeError as error:
            raise _unreadable() from error

    async def _next_event(self) -> Event:
        return await anext(self._events, None)

    async def _parse(self) -> AsyncGenerator[Event, None]:
        _kind, options = parse_options_header(self.content_type)
        try:
            with PushMultipartParser(
                options.get("boundary", ""), max_segment_count=file_form.MOST_PARTS, strict=True
            ) as parser:
                while not parser.closed:
                    for event in parser.parse(await self._next_chunk()):
                        yield event
        except MultipartError as error:
            raise _unreadable() from error

    async def _next_chunk(self) -> bytes:
        """At most `CHUNK_BYTES`, however much the server passes on at a time."""
        self._pending = self._pending or await self._incoming.read()
        chunk, self._pending = self._pending[:CHUNK_BYTES], self._pending[CHUNK_BYTES:]
        return chunk


def upload_of(connection: Connection) -> Upload:
    """The upload of a request to a route that takes one."""
    return cast(Upload, visit_of(connection).upload)


def _unreadable() -> Malformed:
    return Malformed(_("The form cannot be read: its parts are not as they should be, or too many."))
