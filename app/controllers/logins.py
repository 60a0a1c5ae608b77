"""User and password that were typed in an address, for when the form is shown again: sealed, and for that origin alone."""

import contextlib

from app.chat.address_guesses import is_completion, meant_origin
from app.errors import Unavailable
from app.secrets import seal, unseal


def kept_login(key: str, url: str) -> str:
    """What a form holds in the place of user and password: nothing that can be read. `key`: what they make; '' for none."""
    return seal(f"login {meant_origin(url)}\n{key}") if key else ""


def given_login(sealed: str, url: str) -> str:
    """The key that `kept_login` was given; '' if it is none of ours, or was for another origin than this URL's."""
    with contextlib.suppress(Unavailable):
        origin, _line, key = unseal(sealed).partition("\n")
        return key if sealed and origin == f"login {meant_origin(url)}" else ""
    return ""


def moved_login(sealed: str, typed: str, proposed: str) -> str:
    """The same for a proposal that the person accepted in the place of what they had typed: at the same host and port."""
    return given_login(sealed, typed) if is_completion(proposed, typed) else ""
