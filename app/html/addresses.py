"""Bare addresses in Markdown become links: `https://a.example/b_(c).` is `<https://a.example/b_(c)>.`"""

import re
from collections import deque
from typing import Final

from app.html.events import NO_SCHEME, list_ranges

_START: Final = re.compile(r"(?<![A-Za-z0-9@/.:-])(?:https?://(?=[^\W_])|www\.(?=[^\W_]))", re.IGNORECASE)
#: What an address ends before: spaces, what Markdown and HTML enclose it in, CJK, and punctuation that is no ASCII.
STOPS: Final = (
    r"\s<>\"`|\\{}\[\]\x00-\x1f\x7f\u00a0-\u00bf\u060c\u061b\u061f\u06d4\u0964\u0e00-\u0eff\u1100-\u11ff\u1780-\u17ff"
    r"\u2000-\u206f\u2190-\u2bff\u2e00-\ua4cf\uac00-\ud7ff\uf900-\ufaff\ufdd0\ufe10-\ufe6f\uff00-\uffff\U0001b000-\U0003ffff"
)
_ADDRESS: Final = re.compile(rf"(?:\\\$|(?!\*\*|~~)[^{STOPS}])+")
_ENTITY: Final = re.compile(r"&[A-Za-z]+;\Z|&\Z")
_AFTERWARDS: Final = "?!.,:;*_~'$\\"  # at the end, these belong to the sentence


def has_addresses(source: str) -> bool:
    """A look that costs little."""
    return "://" in source or "www." in source or "WWW." in source


def with_links(source: str) -> str:
    """The same text, with bare addresses as autolinks. Those in code, links, pictures and HTML stay as they are."""
    if not has_addresses(source):
        return source
    found = list(_START.finditer(source))
    texts = deque(_text_ranges(source) if found else ())
    pieces: list[str] = []
    position = place = byte = 0
    for match in found:
        start = match.start()
        byte += len(source[place:start].encode())
        place = start
        while texts and texts[0][1] <= byte:
            texts.popleft()
        if not texts or texts[0][0] > byte or start < position:
            continue
        address = _address_at(source, start)
        if len(address) > len(match[0]):
            scheme = f"https://{NO_SCHEME}" if match[0][0] in "wW" else ""
            pieces += [source[position:start], f"<{scheme}{_plain(address)}>"]
            position = start + len(address)
    return source if not pieces else "".join([*pieces, source[position:]])


def _address_at(source: str, start: int) -> str:
    match = _ADDRESS.match(source, start)
    address = _balanced(match[0]) if match else ""
    while address:
        shorter = _ENTITY.sub("", address.rstrip(_AFTERWARDS))
        if shorter == address:
            break
        address = shorter
    return address


def _plain(address: str) -> str:
    """Within `<..>` nothing is escaped."""
    return address.replace("&amp;", "&").replace("\\$", "$")


def _balanced(address: str) -> str:
    """Up to a closing parenthesis that nothing in the address has opened."""
    depth = 0
    for place, character in enumerate(address):
        depth += (character == "(") - (character == ")")
        if depth < 0:
            return address[:place]
    return address


def _text_ranges(source: str) -> list[tuple[int, int]]:
    """Byte ranges of text outside of links, in order."""
    found: list[tuple[int, int]] = []
    depth = 0
    for event, span in list_ranges(source):
        if not isinstance(event, dict):
            continue
        ((kind, value),) = event.items()
        if kind == "Text" and not depth:
            found.append((span["start"], span["end"]))
        elif (
            kind == "Start"
            and isinstance(value, dict)
            and ("Link" in value or "Image" in value or "CodeBlock" in value)
        ):
            depth += 1
        elif kind == "End" and value in ("Link", "Image", "CodeBlock"):
            depth -= 1
    return found
