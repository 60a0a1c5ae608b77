"""What is refused of a request before the app sees it, and how that is said. Pure."""

import re
from collections.abc import Iterable
from http import HTTPStatus

from app.words import gettext as _

#: The end of a head. The parser refuses lines that end without a carriage return; until then they must not be waited for.
END = re.compile(rb"\r?\n\r?\n")
_LINE = re.compile(rb"[A-Z]+ [!-~]+ HTTP/1\.[01]\r\n")
_AUTHORITY_END = re.compile(rb"[/?#]")

#: Of answers that the app has no part in. A page of ours would need styles, a language and a person.
HEADERS = (
    b"content-type: text/plain; charset=utf-8\r\n"
    b"x-content-type-options: nosniff\r\n"
    b"referrer-policy: same-origin\r\n"
    b"content-security-policy: default-src 'none'; frame-ancestors 'none'\r\n"
    b"cache-control: no-store\r\n"
    b"connection: close\r\n"
)


class Refused(Exception):
    """A request that is not passed on to the app. The connection is closed after the answer."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence

    def answer(self, default_headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """The whole answer, in plain text."""
        body = f"{self.sentence}\n".encode()
        lines = [f"HTTP/1.1 {self.status.value} {self.status.phrase}\r\n".encode()]
        lines += [b"%s: %s\r\n" % header for header in default_headers]
        retry = b"retry-after: 1\r\n" if self.status is HTTPStatus.SERVICE_UNAVAILABLE else b""
        return b"".join([*lines, HEADERS, retry, b"content-length: %d\r\n\r\n" % len(body), body])


def malformed() -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, _("This is not a request that can be understood."))


def head_too_large() -> Refused:
    sentence = _("The address and the headers of this request are too large. Delete this site's cookies and try again.")
    return Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, sentence)


def head_too_slow() -> Refused:
    return Refused(HTTPStatus.REQUEST_TIMEOUT, _("The request took too long to arrive."))


def too_many() -> Refused:
    return Refused(HTTPStatus.SERVICE_UNAVAILABLE, _("Too many connections are open. Try again in a moment."))


def check_begin(received: bytes | bytearray) -> None:
    """Refuse what cannot become a request, TLS for instance, before its end has come. Raises `Refused`."""
    if received and not 65 <= received[0] <= 90:  # methods that we know are capital letters
        raise malformed()


def check_line(head: bytes) -> None:
    """Refuse a request line that others may read in another way: more spaces, no version, HTTP/2.0. Raises `Refused`."""
    if not _LINE.match(head):
        raise malformed()


def length_of(headers: Iterable[tuple[bytes, bytes]], version: str, *, is_upgrade: bool) -> int | None:
    """How many bytes the body has that follows, None if it is chunked. Raises `Refused`.

    The parser has refused two lengths, and a length beside chunks. Codings that it lets pass, chunks in HTTP/1.0, and bodies
    before an upgrade (it sees none there, and would take them for the next request) end elsewhere for others than for us.
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
    """Path and query of a request. Of a whole address the host must be that of the Host header. Raises `Refused`.

    A proxy goes by one of them and we by the other (RFC 9112, 3.2.2): where they differ, one of us is being deceived.
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
