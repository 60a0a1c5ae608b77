"""Checks how a server's address is written, before any request. Pure."""

from urllib.parse import urlsplit

from app.origins import origin_of
from app.words import gettext as _


def url_fault(url: str) -> str:
    """What is wrong with the form of a base URL; empty if nothing."""
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
    # What is called is read by another parser: an address that it refuses has no origin, and a key could be for none.
    return "" if origin_of(url) else _("This is not an address.")
