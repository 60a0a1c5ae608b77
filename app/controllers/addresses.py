"""What is wrong with a base URL before anything is sent there: its form, and the addresses that are not called."""

from typing import Any
from urllib.parse import SplitResult, urlsplit

from litestar import Request

from app.controllers.border import is_loopback
from app.controllers.visit import visit_of
from app.providers.addresses import fault_of_url
from app.settings import settings
from app.words import gettext as _


async def address_fault(request: Request[Any, Any, Any], url: str, *, allows_private: bool) -> str:
    """A sentence, or '' if nothing is wrong. A name that cannot be resolved is none of our business here."""
    if fault := url_fault(url):
        return fault
    if _is_our_own(request, urlsplit(url)):
        return _("This is Parley’s own address. Give the one of a model server.")
    match await fault_of_url(url, allows_private=allows_private):
        case "metadata":
            return _("This address is where clouds keep their own secrets. It is never called.")
        case "private":
            return _("This address is on this machine or in a private network. If that is meant, allow it below.")
        case None:
            return ""


def url_fault(url: str) -> str:
    """What is wrong with how a base URL is written; empty if nothing is."""
    try:
        parts = urlsplit(url)
        _port = parts.port
    except ValueError:
        return _("This is not an address.")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return _("An address begins with http:// or https:// and names a host.")
    if parts.username or parts.password:
        return _("Put the key into its own field, not into the address.")
    if parts.query or parts.fragment:
        return _("An address here has no ? and no #.")
    if not url.isprintable() or " " in url:
        return _("An address has no spaces.")
    return ""


def _is_our_own(request: Request[Any, Any, Any], parts: SplitResult) -> bool:
    port = parts.port or (443 if parts.scheme == "https" else 80)
    own = [urlsplit(f"//{visit_of(request).host}"), urlsplit(settings.public_url)]
    if any(each.hostname == parts.hostname and (each.port or port) == port for each in own if each.hostname):
        return True
    _host, own_port = request.scope["server"] or ("", None)
    return port == own_port and (parts.hostname == "localhost" or is_loopback(parts.hostname or ""))
