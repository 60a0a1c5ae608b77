"""What belongs to one request: its id, the nonce of its page, its cookie, its form, and who sent it (`find_user`)."""

import asyncio
import base64
import hmac
import re
import secrets
from typing import TYPE_CHECKING, Any, cast

import msgspec
from litestar.connection import ASGIConnection
from structlog.contextvars import bind_contextvars

from app.principals import Principal
from app.secrets import keyed_digest, new_token
from app.settings import settings
from app.tables.session import Session
from app.tables.user import User

if TYPE_CHECKING:
    from app.controllers.uploads import Upload

Connection = ASGIConnection[Any, Any, Any, Any]

#: Left by a sign-in that worked, so that this browser can be told why it has to sign in again.
PERSON_COOKIE = "parley-person"
#: The language that the person chose, as pages speak it before anybody is looked up; none where the browser decides.
LANGUAGE_COOKIE = "parley-language"
#: How long a browser remembers both: as long as browsers keep any cookie.
PERSON_DAYS = 400

#: Browsers take the prefix for a promise that the cookie is Secure, and refuse it on plain http.
COOKIES = ("__Host-parley", "parley")

TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class Visit(msgspec.Struct, kw_only=True):
    """One request. `token` is the secret of the visitor's own cookie, signed in or not; it ties forms to the browser.

    A visitor who is not signed in gets a token with the first form; signing in and out replace it, so that a token
    planted before is worth nothing after.
    """

    id: str
    nonce: str
    headers: dict[bytes, bytes]
    #: Whether cookies are marked Secure.
    is_secure: bool
    address: str
    host: str
    token: str | None
    cookie_name: str
    #: The fields of the request's form, as sent; None if the body was no form.
    form: dict[str, list[str]] | None = None
    #: The files that came with it: the name of a field → what the file holds.
    files: dict[str, bytes] = {}
    #: The files that are still to come, where the route takes them as a stream.
    upload: "Upload | None" = None
    #: The JSON that a program sent, where the route takes that; and that it is answered in JSON.
    json: bytes | None = None
    is_program: bool = False
    user: User | None = None
    session: Session | None = None
    #: Who asks, once that was looked up (`find_principal`).
    principal: Principal | None = None
    is_loaded: bool = False
    loading: asyncio.Lock = msgspec.field(default_factory=asyncio.Lock)
    #: Cookies to set with the answer.
    cookies: list[str] = []

    @property
    def csrf(self) -> str:
        """What a form of this visitor must bring back: an HMAC of the cookie's token, which is made if missing."""
        if self.token is None:
            self.keep(new_token())
        return self._csrf_of(cast(str, self.token))

    def is_csrf(self, given: str) -> bool:
        """Whether a form was drawn for this visitor."""
        if self.token is None:
            return False
        return hmac.compare_digest(self._csrf_of(self.token).encode(), given.encode("utf-8", "replace"))

    def keep(self, token: str, *, days: int | None = None) -> None:
        """Set the visitor's cookie: for so many days, or until the browser is closed."""
        self.token = token
        self.set_cookie(self.cookie_name, token, seconds=None if days is None else days * 86_400)

    def forget(self) -> None:
        """Take the visitor's cookies away."""
        self.token = self.user = self.session = self.principal = None
        self.set_cookie(self.cookie_name, "", seconds=0)
        self.set_cookie(PERSON_COOKIE, "", seconds=0)

    def set_cookie(self, name: str, value: str, *, seconds: int | None, for_scripts: bool = False) -> None:
        """Set a cookie that no script sees, unless it is for them. None seconds: until the browser is closed; 0: delete it."""
        age = "" if seconds is None else f"; Max-Age={seconds}"
        hidden = "" if for_scripts else "; HttpOnly"
        secure = "; Secure" if self.is_secure else ""
        self.cookies = [cookie for cookie in self.cookies if not cookie.startswith(f"{name}=")]
        self.cookies.append(f"{name}={value}; Path=/{age}{hidden}; SameSite=Lax{secure}")

    def header(self, name: bytes) -> str:
        """A header of the request, '' if it was not sent. Names are lower case."""
        return self.headers.get(name, b"").decode("latin-1")

    def cookie(self, name: str) -> str:
        """The value of a cookie that was sent, '' if it was not."""
        return cookie_of(self.header(b"cookie"), name)

    def keep_language(self, language: str) -> None:
        """Let this browser's pages speak a language from now on; '': the browser's own."""
        self.cookies = [cookie for cookie in self.cookies if not cookie.startswith(f"{LANGUAGE_COOKIE}=")]
        if self.cookie(LANGUAGE_COOKIE) != language:
            self.set_cookie(LANGUAGE_COOKIE, language, seconds=PERSON_DAYS * 86_400 if language else 0)

    @property
    def is_partial(self) -> bool:
        """Whether htmx asks for something to put into a page that is open."""
        return b"hx-request" in self.headers

    @property
    def media_type(self) -> str:
        """What kind of body the request says that it has, without its parameters."""
        return self.header(b"content-type").partition(";")[0].strip().lower()

    @property
    def has_body(self) -> bool:
        """Whether the request says that a body comes with it."""
        return self.header(b"content-length") not in ("", "0") or b"transfer-encoding" in self.headers

    @property
    def has_cookie(self) -> bool:
        """Whether a browser sent a cookie of ours, valid or not."""
        return any(self.cookie(name) for name in COOKIES)

    @property
    def wants_json(self) -> bool:
        """Whether a program asks, or an event stream: no page would be seen."""
        if self.is_program:
            return True
        accept = self.header(b"accept")
        return "text/html" not in accept and ("application/json" in accept or "text/event-stream" in accept)

    def _csrf_of(self, token: str) -> str:
        return base64.urlsafe_b64encode(keyed_digest("csrf", token)[:24]).decode()


def visit_of(connection: Connection) -> Visit:
    """The visit of a request."""
    return cast(Visit, connection.scope["state"]["visit"])


async def find_user(connection: Connection) -> User | None:
    """Who is signed in, if anybody: for pages that all may see."""
    visit = visit_of(connection)
    # Litestar resolves what a route depends on side by side; they all ask here.
    async with visit.loading:
        if not visit.is_loaded and visit.token is not None:
            await _find_session(visit, visit.token)
            if visit.user is not None:
                # The front door's limits for anonymous connections end here. Without our server, as in tests, there are none.
                connection.scope["state"].get("mark_signed_in", bool)()
        visit.is_loaded = True
    return visit.user


async def find_principal(connection: Connection) -> Principal | None:
    """Who asks, if anybody that is known."""
    await find_user(connection)
    return visit_of(connection).principal


def cookie_of(header: str, name: str) -> str:
    """The value of one cookie, '' if it was not sent."""
    for pair in header.split(";"):
        key, _equals, value = pair.strip().partition("=")
        if key == name:
            return value
    return ""


def new_id() -> str:
    """An id for a request: 64 random bits."""
    return secrets.token_hex(8)


async def _find_session(visit: Visit, token: str) -> None:
    if (found := await Session.find_by_token(token)) is None:
        return
    visit.user, visit.session, is_stale = found
    visit.principal = Principal(
        kind="session", person=visit.user.id, session=visit.session.id, is_owner=visit.user.is_owner
    )
    bind_contextvars(user_id=str(visit.user.id))
    visit.keep_language(visit.user.language)  # it was chosen in another browser, maybe
    if is_stale and await visit.session.mark_seen(settings.session_days, visit.address):
        visit.keep(token, days=settings.session_days)
