"""CSRF tokens: found in the first bytes of a body, before it is parsed."""

import re
from urllib.parse import unquote_to_bytes

from app.errors import Forbidden
from app.words import gettext as _

HEADER = b"x-csrf-token"
FIELD = "_csrf"

_IN_FORM = re.compile(rb"(?:^|&)_csrf=([^&]{0,200})(?:&|$)")
_IN_PARTS = re.compile(rb'name="_csrf"\r\n\r\n([^\r\n]{0,200})\r\n')


def find_token(head: bytes, *, is_multipart: bool) -> str:
    """The token in the first bytes of a form, '' if there is none. Our forms send it as their first field."""
    found = (_IN_PARTS if is_multipart else _IN_FORM).search(head)
    return unquote_to_bytes(found[1]).decode("latin-1") if found else ""


def forged() -> Forbidden:
    """The refusal of a form without a valid token."""
    return Forbidden(
        _(
            "This page was drawn for another sign-in, or the browser keeps no cookies. "
            "Nothing was changed. Load the page again and try once more."
        )
    )
