"""What base URL, and which kind of server, may be meant by what was pasted: a whole endpoint, a doubled path, no scheme. Pure.

A guess never leaves the host that was typed, and no key goes to another origin than that of what was typed.
"""

import ipaddress
import re
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

import msgspec

from app.origins import origin_of
from app.providers import PROVIDERS

_SCHEME = re.compile(r"(?:([a-z][a-z0-9+.-]*):)?//", re.IGNORECASE)
#: A scheme that was pasted before another one, and one that lacks its colon or a slash.
_SCHEME_BEFORE = re.compile(r"^(?:https?:?/+)+(?=https?(?::/|//))", re.IGNORECASE)
_MISTYPED = re.compile(r"^(https?)(?::/|//)(?=[^/])", re.IGNORECASE)
_AROUND = " \t\r\n\"'`<>"
#: Names that are not looked up on the internet (RFC 6761, RFC 6762, RFC 8375).
_NEAR = (".local", ".localhost", ".lan", ".home", ".internal", ".home.arpa")
_VERSIONED = re.compile(r"(?:/api)?/v\d+(?:beta)?$|/api$")


class Guess(msgspec.Struct, frozen=True):
    """A kind of server at a base URL."""

    kind: str
    base_url: str


def meant_origin(typed_url: str) -> str:
    """The origin that a key typed beside this URL is for; '' where that is no address. Without a scheme https is meant."""
    if (parts := _parts(typed_url)) is None:
        return ""
    has_scheme = (scheme := _SCHEME.match(_scheme_put_right(typed_url))) is not None and bool(scheme[1])
    return origin_of(_url(parts if has_scheme else parts._replace(scheme="https"), ""))


def is_elsewhere(base_url: str, typed_url: str) -> bool:
    """Whether a guess leaves the origin of what was typed. No key goes there before the person has accepted it."""
    return origin_of(base_url) != meant_origin(typed_url)


def is_completion(base_url: str, typed_url: str) -> bool:
    """Whether the one may be proposed for the other: it is at the same host and port, whatever the scheme."""
    meant, found = (origin.partition("://")[2] for origin in (meant_origin(typed_url), origin_of(base_url)))
    return bool(meant) and meant == found


def tidied(typed: Guess, kinds: Sequence[str]) -> Guess:
    """The typed address as a base URL: with a scheme, without query, endpoint or doubled path. It may have been right already.

    `kinds`: those that may be meant, the one that was chosen first.
    """
    parts = _parts(typed.base_url)
    return typed if parts is None else _roots(parts, kinds)[0]


def guesses(typed: Guess, kinds: Sequence[str]) -> list[Guess]:
    """What may have been meant, likeliest first: servers of these kinds at their usual paths."""
    if (parts := _parts(typed.base_url)) is None:
        return []
    roots = _roots(parts, kinds)
    found = [*roots, *(guess for kind in kinds for guess in _usual(parts, roots[0].base_url, kind))]
    if (other := _other_scheme(parts)) is not None:
        found += [
            Guess(each.kind, _url(other, urlsplit(each.base_url).path)) for each in found if each.kind == kinds[0]
        ]
    return [guess for guess in dict.fromkeys(found) if guess != typed]


def _parts(text: str) -> SplitResult | None:
    """The typed address as an http or https URL; None if it cannot be one."""
    text = _scheme_put_right(text)
    scheme = _SCHEME.match(text)
    rest = text[scheme.end() :] if scheme else text
    try:
        parts = urlsplit(f"//{rest}")
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if not host or not rest.isprintable() or " " in rest:
        return None
    if scheme and scheme[1]:
        return parts._replace(scheme=scheme[1].lower()) if scheme[1].lower() in ("http", "https") else None
    return parts._replace(scheme="http" if _is_near(parts) else "https")


def _scheme_put_right(text: str) -> str:
    return _MISTYPED.sub(r"\1://", _SCHEME_BEFORE.sub("", text.strip(_AROUND).replace("\\", "/")))


def _is_near(parts: SplitResult) -> bool:
    """Whether this names this machine or one nearby, where http is usual. An address with a port counts as one."""
    host = (parts.hostname or "").rstrip(".")
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith(_NEAR) or parts.port not in (None, 443)


def _other_scheme(parts: SplitResult) -> SplitResult | None:
    """The same with the other scheme; http only for servers nearby, so that no key crosses the internet in the clear."""
    if parts.scheme == "http":
        return parts._replace(scheme="https")
    return parts._replace(scheme="http") if _is_near(parts) else None


def _roots(parts: SplitResult, kinds: Sequence[str]) -> list[Guess]:
    """Where the base URL ends: before the endpoint of one of the kinds, else where the path does."""
    path = "/" + "/".join(name for name in parts.path.split("/") if name)
    ends = [
        (kind, path[: endpoint.start()])
        for kind in kinds
        if (pattern := PROVIDERS[kind].endpoints) and (endpoint := re.search(rf"(?:{pattern})$", path))
    ]
    return [Guess(kind, _url(parts, _undoubled(root))) for kind, root in ends or [(kinds[0], path)]]


def _usual(parts: SplitResult, base_url: str, kind: str) -> list[Guess]:
    """A server of this kind at this base URL, and at the paths that such servers usually have there."""
    root = urlsplit(base_url).path
    above = _VERSIONED.sub("", root)
    return [
        Guess(kind, _url(parts, path)) for path in (root, *(above + usual for usual in PROVIDERS[kind].usual_paths))
    ]


def _undoubled(path: str) -> str:
    """The path without a repeated ending: /v1/v1, /api/v1/api/v1."""
    names = [name for name in path.split("/") if name]
    for size in range(1, len(names) // 2 + 1):
        while len(names) >= 2 * size and names[-size:] == names[-2 * size : -size]:
            del names[-size:]
    return "".join(f"/{name}" for name in names)


def _url(parts: SplitResult, path: str) -> str:
    """At the host and port of `parts`, without user and password."""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path}"
