"""The one place that writes keys into requests: each into those to its own origin alone (docs/decisions/0059)."""

import re
from collections.abc import Generator

import httpx

from app.origins import origin_of
from app.providers.credentials import is_basic
from app.providers.errors import KeyRejected, WrongOrigin
from app.words import gettext as _

_PRINTABLE = re.compile(r"[\x20-\x7e]+")


class Authorization(httpx.Auth):
    """A key and the origin that it is for. Without a key nothing is written; nothing but this ever signs a request in.

    `name`: whose key it is, for errors. `header`: where the key stands as it is; without one it is a bearer token. The check
    reads the very address that is connected to. Raises `WrongOrigin`, and `KeyRejected` for what no header can hold.
    """

    def __init__(self, name: str, key: str, origin: str, *, header: str = "") -> None:
        self._name = name
        self._key = key
        self._origin = origin
        self._header = header

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if self._key:
            self._check(request.url)
            name, value = self._field()
            request.headers[name] = value
        yield request

    def _check(self, url: httpx.URL) -> None:
        called = origin_of(url)
        if not called or called != self._origin:
            sentence = _(
                "The key of %(name)s is for %(origin)s and was not sent to %(called)s. Enter the key again for that address."
            )
            named = {
                "name": self._name,
                "origin": self._origin or _("no address"),
                "called": called or _("its address"),
            }
            raise WrongOrigin(sentence % named)
        if not _PRINTABLE.fullmatch(self._key):
            raise KeyRejected(_("The key of %(name)s has characters in it that no key has.") % {"name": self._name})

    def _field(self) -> tuple[str, str]:
        if is_basic(self._key):
            return "Authorization", self._key
        return (self._header, self._key) if self._header else ("Authorization", f"Bearer {self._key}")
