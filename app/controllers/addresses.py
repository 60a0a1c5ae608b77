"""What is wrong with a base URL before anything is sent there: its form, and the addresses that are not called."""

from typing import Any
from urllib.parse import SplitResult, urlsplit

from litestar import Request

from app.controllers.visit import visit_of
from app.providers.addresses import fault_of_url, is_of_this_machine, resolve
from app.server_url import url_fault
from app.settings import settings
from app.words import gettext as _


async def address_fault(request: Request[Any, Any, Any], url: str, *, allows_private: bool) -> str:
    """A sentence, or '' if nothing is wrong. A name that cannot be resolved is none of our business here."""
    if fault := url_fault(url):
        return fault
    if await _is_our_own(request, urlsplit(url)):
        return _("This is Parley’s own address. Give the one of a model server.")
    match await fault_of_url(url, allows_private=allows_private):
        case "metadata":
            return _("This address is where clouds keep their own secrets. It is never called.")
        case "private":
            return _("This address is on this machine or in a private network. If that is meant, allow it below.")
        case None:
            return ""


async def _is_our_own(request: Request[Any, Any, Any], parts: SplitResult) -> bool:
    """Called by a name that people use, or at our port of this machine, whatever that machine is called."""
    port, name = _port(parts), (parts.hostname or "").rstrip(".")
    own = [urlsplit(f"//{visit_of(request).host}"), urlsplit(settings.public_url)]
    if any(each.hostname == name and (each.port or port) == port for each in own if each.hostname):
        return True
    _host, own_port = request.scope["server"] or ("", None)
    return port == own_port and any(map(is_of_this_machine, await resolve(name)))


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)
