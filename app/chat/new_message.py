"""What a person sends: a question, checked."""

import uuid

import msgspec

from app.errors import Invalid
from app.parts import clean
from app.words import gettext as _


class NewMessage(msgspec.Struct, frozen=True):
    """`request_id` was made when the form was drawn: with the thread it makes the turn unique for ever."""

    text: str
    model: uuid.UUID
    request_id: uuid.UUID


def check_text(text: str, *, most_chars: int) -> str:
    """A question fit to store: NUL and broken Unicode replaced, not empty, within the limit. Raises `Invalid`."""
    cleaned = clean(text.replace("\r\n", "\n"))
    if not cleaned.strip():
        raise Invalid(_("Write something first."), field="text")
    if len(cleaned) > most_chars:
        sentence = _("This message has %(count)s characters; the limit is %(most)s. Your text is kept below.")
        raise Invalid(sentence % {"count": f"{len(cleaned):,}", "most": f"{most_chars:,}"}, field="text")
    return cleaned
