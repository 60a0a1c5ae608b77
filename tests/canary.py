"""A key that must not arrive at the wrong server, in whatever dress."""

import base64
from collections.abc import Iterable
from typing import Any

CANARY = "sk-canary-5f1c9e"
#: A user and a password that make a key of the other sort.
BASIC = "Basic " + base64.b64encode(f"me:{CANARY}".encode()).decode()


def leaks(requests: Iterable[Any]) -> list[str]:
    """The requests that brought it: in a header, in the address, in the body."""
    found = []
    for asked in requests:
        text = f"{asked.headers} {getattr(asked, 'target', asked.path)} {getattr(asked, 'body', b'')!r}"
        if CANARY in text or BASIC[6:] in text:
            found.append(asked.path)
    return found
