"""User and password that were typed in an address, for when the form is shown again: sealed, and for that host alone."""

import contextlib
from urllib.parse import urlsplit

from app.errors import Unavailable
from app.secrets import seal, unseal


def kept_login(key: str, url: str) -> str:
    """What a form holds in the place of user and password: nothing that can be read. `key`: what they make; '' for none."""
    return seal(f"login {_host(url)}\n{key}") if key else ""


def given_login(sealed: str, url: str) -> str:
    """The key that `kept_login` was given; '' if it is none of ours, or was for another host than this URL's."""
    with contextlib.suppress(Unavailable):
        host, _line, key = unseal(sealed).partition("\n")
        return key if sealed and host == f"login {_host(url)}" else ""
    return ""


def _host(url: str) -> str:
    """The host of a URL that may lack its scheme."""
    try:
        return (urlsplit(url if "//" in url else f"//{url}").hostname or "").lower()
    except ValueError:
        return ""
