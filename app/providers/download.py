"""The one fetcher of addresses that people give.

http(s) only; it follows a few redirects by itself and checks each as it checked the first: no private addresses unless
the owner allowed them, never those of cloud metadata, never from https to http. What is connected to is what was checked.
"""

import asyncio
import re
from typing import NamedTuple

import httpx
import msgspec

from app.origins import origin_of
from app.providers import addresses, failures
from app.providers.addresses import Fault
from app.providers.authorization import Authorization
from app.providers.base import Account
from app.providers.errors import AddressRefused, BadAnswer, ProviderError, TimedOut
from app.providers.keeping import SourceRefused
from app.providers.sources import can_be_fetched
from app.providers.unreachable import unreachable
from app.words import gettext as _

MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)


class Target(msgspec.Struct, frozen=True):
    """Where to fetch from, and under which rules. Never log or show one: it has the hub's key.

    The hub is the operator's own choice, so it may be at a private address, or without https; its key goes to its own
    origin and no further, also where it redirects.
    """

    url: str
    allows_private: bool = False
    hub_url: str = ""
    hub_token: str = ""

    @property
    def is_at_hub(self) -> bool:
        return bool(origin_of(self.url)) and origin_of(self.url) == origin_of(self.hub_url)


class Answer(NamedTuple):
    """An answer that began well: 200, 206 or 416. Who asked for it closes `response`."""

    response: httpx.Response
    host: str
    linked_bytes: int | None = None
    linked_sha256: str = ""

    @property
    def begins_at(self) -> int:
        """Where in the file its body begins."""
        found = re.fullmatch(r"bytes (\d{1,18})-\d{1,18}/.*", self._range)
        return int(found[1]) if found and self.response.status_code == 206 else 0

    @property
    def total_bytes(self) -> int | None:
        """How large the whole file is, where that is told."""
        if self.response.status_code in (206, 416):
            found = re.fullmatch(r"bytes .*/(\d{1,18})", self._range)
            return int(found[1]) if found else None
        length = self.response.headers.get("Content-Length", "")
        return int(length) if re.fullmatch(r"\d{1,18}", length) else None

    @property
    def validator(self) -> str:
        """Its strong ETag, where it has one: two answers with the same one are parts of the same bytes (RFC 9110, 8.8)."""
        etag: str = self.response.headers.get("ETag", "").strip()
        return etag if re.fullmatch(r'"[\x21\x23-\x7e]{1,200}"', etag) else ""

    @property
    def _range(self) -> str:
        return str(self.response.headers.get("Content-Range", "")).strip()


async def fetch(client: httpx.AsyncClient, target: Target, headers: dict[str, str], *, within_seconds: float) -> Answer:
    """Ask for a file and wait for the head of the answer. Raises `ProviderError`, `SourceRefused` for what will not do."""
    url = httpx.URL(target.url)
    linked_bytes, linked_sha256, came_from = None, "", ""
    for number in range(MAX_REDIRECTS + 1):
        await _check(url, target, came_from)
        token = target.hub_token if not number and target.is_at_hub else ""  # never along with a redirect
        sign_in = Authorization(_("the hub"), token, origin_of(target.hub_url))
        response = await _send(client, url, target, headers, sign_in, within_seconds, came_from)
        if response.status_code not in _REDIRECTS:
            await _check_answer(response, url, target)
            return Answer(response, url.host, linked_bytes, linked_sha256)
        await response.aclose()
        if not number and target.is_at_hub:
            linked_bytes, linked_sha256 = _linked(response)
        came_from, url = url.host, _next(response, url)
    raise SourceRefused(_("%(host)s redirects again and again.") % {"host": came_from})


async def _check(url: httpx.URL, target: Target, came_from: str) -> None:
    allows_private = _allows_private(url, target)
    # Also for names that are connected to already, which are not resolved again, and for numbers in any dress.
    if fault := await addresses.fault_of_url(str(url), allows_private=allows_private):
        raise AddressRefused(_fault_sentence(fault, url, came_from))
    is_own = target.is_at_hub and origin_of(str(url)) == origin_of(target.hub_url)
    if url.scheme == "http" and not is_own:
        is_private = await addresses.fault_of_url(str(url), allows_private=False) == "private"
        if not (allows_private and is_private):
            raise SourceRefused(
                _("Without https, files are fetched from your own network alone, and where you allow it.")
            )


async def _send(
    client: httpx.AsyncClient,
    url: httpx.URL,
    target: Target,
    headers: dict[str, str],
    sign_in: Authorization,
    seconds: float,
    came_from: str,
) -> httpx.Response:
    account = Account(url.host, base_url=f"{url.scheme}://{url.netloc.decode('ascii')}")
    addresses.may_be_private.set(_allows_private(url, target))
    try:
        async with asyncio.timeout(seconds):
            request = client.build_request("GET", url, headers=headers)
            return await client.send(request, stream=True, auth=sign_in)
    except TimeoutError:
        sentence = _("%(name)s did not answer within %(seconds)s seconds.")
        raise TimedOut(sentence % {"name": url.host, "seconds": f"{seconds:g}"}) from None
    except httpx.RemoteProtocolError:  # httpx looks at the address of a redirect although it follows none
        raise SourceRefused(_("%(host)s redirects to an address that is none.") % {"host": url.host}) from None
    except failures.REQUEST_ERRORS as error:
        if fault := addresses.refusal_in(error):
            raise AddressRefused(_fault_sentence(fault, url, came_from)) from None
        raise unreachable(account, error) from None  # not chained: it carries the headers


async def _check_answer(response: httpx.Response, url: httpx.URL, target: Target) -> None:
    try:
        if error := _refusal(response, url, target):
            raise error
    except BaseException:
        await response.aclose()
        raise


def _refusal(response: httpx.Response, url: httpx.URL, target: Target) -> ProviderError | None:
    named = {"host": url.host}
    match response.status_code:
        case 200 | 206:
            if response.headers.get("Content-Type", "").strip().lower().startswith("text/html"):
                return SourceRefused(_("%(host)s sent a web page instead of a model file.") % named)
            if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
                return BadAnswer(_("%(host)s sent a compressed file, although none was asked for.") % named)
            return None
        case 416:
            return None
        case 404 | 410:
            return SourceRefused(_("%(host)s has no such file.") % named)
        case 401 | 403 if target.is_at_hub and not target.hub_token:
            return SourceRefused(
                _("%(host)s has no such file, or shows it only to who has a key: see the settings.") % named
            )
        case 401 | 403:
            return SourceRefused(_("%(host)s does not hand out this file without a key that may see it.") % named)
        case status:
            account = Account(url.host, base_url=f"{url.scheme}://{url.netloc.decode('ascii')}")
            return failures.refusal(account, status, wait=response.headers.get("Retry-After"))


def _next(response: httpx.Response, url: httpx.URL) -> httpx.URL:
    """Where a redirect leads. Raises `SourceRefused`."""
    named = {"host": url.host}
    try:
        location = url.join(response.headers["Location"]).copy_with(userinfo=b"", fragment=None)
    except (KeyError, httpx.InvalidURL):
        raise SourceRefused(_("%(host)s redirects to an address that is none.") % named) from None
    if not can_be_fetched(location):
        raise SourceRefused(_("%(host)s redirects to an address that is none.") % named)
    if (url.scheme, location.scheme) == ("https", "http"):
        raise SourceRefused(_("%(host)s redirects to an address without https, which is not followed.") % named)
    return location


def _allows_private(url: httpx.URL, target: Target) -> bool:
    return target.allows_private or (target.is_at_hub and origin_of(str(url)) == origin_of(target.hub_url))


def _linked(response: httpx.Response) -> tuple[int | None, str]:
    """What the hub says of a large file when it redirects to where that is: its size and its SHA-256."""
    size = response.headers.get("X-Linked-Size", "")
    digest = response.headers.get("X-Linked-Etag", "").strip().strip('"').lower()
    return (
        int(size) if re.fullmatch(r"\d{1,18}", size) else None,
        digest if re.fullmatch(r"[0-9a-f]{64}", digest) else "",
    )


def _fault_sentence(fault: Fault, url: httpx.URL, came_from: str) -> str:
    named = {"address": url.netloc.decode("ascii"), "host": came_from}
    if fault == "metadata":
        return _("%(address)s is where clouds keep their own secrets: nothing is ever fetched there.") % named
    if came_from:
        sentence = _(
            "%(host)s redirects to %(address)s, on this machine or in a private network, which was not allowed."
        )
        return sentence % named
    return _("%(address)s is on this machine or in a private network. If you mean it, say so under More.") % named
