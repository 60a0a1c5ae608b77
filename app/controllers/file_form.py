"""Forms that bring files along (multipart/form-data, RFC 7578): read whole, strictly, and within the limit of every body."""

import msgspec
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from app.errors import Malformed
from app.words import gettext as _

KIND = "multipart/form-data"
MOST_PARTS = 200
#: A larger body is read in a thread: nothing holds the loop for longer than some milliseconds.
LARGE_BYTES = 200_000


class FileForm(msgspec.Struct, frozen=True):
    """`fields` as `border.parse_form` gives them. Each file stands there too, empty, so that no form takes one unasked."""

    fields: dict[str, list[str]]
    files: dict[str, bytes]


def parse(content_type: str, body: bytes) -> FileForm:
    """The parts of a body: texts in UTF-8, NUL taken out, and files as they are. Raises `Malformed`."""
    _kind, options = parse_options_header(content_type)
    found = FileForm({}, {})
    try:
        for part, content in _parts(options.get("boundary", ""), body):
            _take(found, part, content)
    except (MultipartError, UnicodeDecodeError) as error:
        raise Malformed(_("The form cannot be read: its parts are not as they should be, or too many.")) from error
    return found


def _parts(boundary: str, body: bytes) -> list[tuple[MultipartSegment, bytes]]:
    parts: list[tuple[MultipartSegment, bytes]] = []
    with PushMultipartParser(boundary, max_segment_count=MOST_PARTS, strict=True) as parser:
        chunks: list[bytes] = []
        for event in parser.parse(body):
            match event:
                case MultipartSegment():
                    parts.append((event, b""))
                    chunks = []
                case None:
                    parts[-1] = (parts[-1][0], b"".join(chunks))
                case _:
                    chunks.append(bytes(event))
    return parts


def _take(found: FileForm, part: MultipartSegment, content: bytes) -> None:
    name = (part.name or "").replace("\0", "")
    values = found.fields.setdefault(name, [])
    if part.filename is None:
        values.append(content.decode("utf-8").replace("\0", ""))
        return
    values.append("")
    if content or part.filename:
        found.files[name] = content
