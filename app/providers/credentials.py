"""User and password of a server that wants HTTP's Basic authentication (RFC 7617): people paste them in the base URL.

They are kept as a key is, sealed and in one place. No key has a space in it, so this one is told from all others.
"""

import base64
import binascii
import re
from urllib.parse import unquote_to_bytes

_BASIC = "Basic "
_USER_INFO = re.compile(
    r"^((?:[a-z][a-z0-9+.-]*:)?//)?+"
    r"([^/?#]*|[^/?#:]+:(?!\d+(?:[/?#]|$))[^@]*)@",  # a password may have a slash in it that should have been encoded
    re.IGNORECASE,
)


def split_credentials(url: str) -> tuple[str, str]:
    """A URL without user and password, and the key that they make; '' where there are none."""
    found = _USER_INFO.match(url)
    if found is None:
        return url, ""
    bare = (found[1] or "") + url[found.end() :]
    return bare, basic_key(found[2]) if found[2].strip(":") else ""


def basic_key(user_info: str) -> str:
    """The key of an account that signs in with these, as they stand in a URL."""
    user, _colon, password = user_info.partition(":")
    login = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
    return _BASIC + base64.b64encode(login).decode()


def is_basic(key: str) -> bool:
    """Whether this key is a user and a password."""
    return key.startswith(_BASIC)


def secrets_in(key: str) -> list[str]:
    """What of a key must not be shown: all of it, and a password by itself."""
    if not is_basic(key):
        return [key]
    encoded = key.removeprefix(_BASIC)
    try:
        password = base64.b64decode(encoded).decode("utf-8", "replace").partition(":")[2]
    except binascii.Error:
        password = ""
    return [encoded, password]
