"""Checks of a request head before the app sees it, and the plain-text responses to refused requests. Pure."""

import re
from collections.abc import Iterable
from http import HTTPStatus

from app.words import gettext as _

#: The end of a head. Bare line feeds count, so that such a head is parsed and refused at once instead of timing out.
END = re.compile(rb"\r?\n\r?\n")
_LINE = re.compile(rb"[A-Z]+ [!-~]+ HTTP/1\.[01]\r\n")
_AUTHORITY_END = re.compile(rb"[/?#]")

#: Headers of responses that do not come from the app.
HEADERS = (
    b"content-type: text/plain; charset=utf-8\r\n"
    b"x-content-type-options: nosniff\r\n"
    b"referrer-policy: same-origin\r\n"
    b"content-security-policy: default-src 'none'; frame-ancestors 'none'\r\n"
    b"cache-control: no-store\r\n"
    b"connection: close\r\n"
)


class Refused(Exception):
    """A request that is not passed to the app. The connection is closed after the response."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence

    def answer(self, default_headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """The complete response, in plain text."""
        body = f"{self.sentence}\n".encode()
        lines = [f"HTTP/1.1 {self.status.value} {self.status.phrase}\r\n".encode()]
        lines += [b"%s: %s\r\n" % header for header in default_headers]
        retry = b"retry-after: 1\r\n" if self.status is HTTPStatus.SERVICE_UNAVAILABLE else b""
        return b"".join([*lines, HEADERS, retry, b"content-length: %d\r\n\r\n" % len(body), body])


def malformed() -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, _("The request is malformed."))


def head_too_large() -> Refused:
    sentence = _("The URL and headers of this request are too large. Delete this site's cookies and try again.")
    return Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, sentence)


def head_too_slow() -> Refused:
    return Refused(HTTPStatus.REQUEST_TIMEOUT, _("The request took too long to arrive."))


def too_many() -> Refused:
    return Refused(HTTPStatus.SERVICE_UNAVAILABLE, _("Too many connections are open. Try again in a moment."))


def check_begin(received: bytes | bytearray) -> None:
    """Refuse input that cannot become a request, such as TLS, without waiting for the end of a head. Raises `Refused`."""
    if received and not 65 <= received[0] <= 90:  # all known methods are capital letters
        raise malformed()


def check_line(head: bytes) -> None:
    """Refuse request lines that other servers parse differently: extra spaces, no version, HTTP/2.0. Raises `Refused`."""
    if not _LINE.match(head):
        raise malformed()


def length_of(headers: Iterable[tuple[bytes, bytes]], version: str, *, is_upgrade: bool) -> int | None:
    """Length of the body in bytes, None if it is chunked. Raises `Refused`.

    httptools refuses two lengths, and a length with chunks. It accepts codings besides chunked, chunks in HTTP/1.0, and a body
    with an upgrade, which it parses as the next request. Proxies read these differently (request smuggling).
    """
    lengths = [value for name, value in headers if name == b"content-length"]
    codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
    length = int(lengths[0]) if lengths else 0
    if codings and (codings != [b"chunked"] or version != "1.1"):
        raise malformed()
    if is_upgrade and (codings or length):
        raise malformed()
    return None if codings else length


def target_of(target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Path and query of a request target. In absolute form its host must match the Host header. Raises `Refused`.

    A proxy may route by one and the app by the other (RFC 9112, 3.2.2).
    """
    if target.startswith(b"/"):
        return target
    scheme, _slashes, rest = target.partition(b"://")
    authority = _AUTHORITY_END.split(rest, maxsplit=1)[0]
    hosts = [value.lower() for name, value in headers if name == b"host"]
    if scheme.lower() not in (b"http", b"https") or hosts != [authority.lower()]:
        raise malformed()
    path = rest[len(authority) :]
    return path if path.startswith(b"/") else b"/" + path
