"""What is checked of every request before anything else sees it: its host, its way here, its origin. All pure."""

import functools
import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, urlsplit

from litestar.types import Message, Send

from app.errors import Forbidden, Malformed
from app.origins import origin_of
from app.words import gettext as _

UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
OVERRIDES = frozenset({"PUT", "PATCH", "DELETE"})
LOOPBACK_NAMES = frozenset({"127.0.0.1", "[::1]", "localhost"})

#: An address in X-Forwarded-For. Some proxies add the port that the client sends from.
_HOP = re.compile(r'"?(?:\[([\w:.%-]+)\](?::\d+)?|([\d.]+)(?::\d+)?|([\w:.%-]+))"?', re.ASCII)
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(?::(?P<port>[0-9]{1,5}))?")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class UnknownHost(Malformed):
    """The request's Host is not one of our names."""


class OtherOrigin(Forbidden):
    """Another site's page sent the form, or ours under a name that the request's Host does not say."""


def networks_of(trusted_proxies: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and networks of trusted proxies, as `parse_address` writes them. Raises `ValueError`."""
    return tuple(_plain_network(ipaddress.ip_network(proxy, strict=False)) for proxy in trusted_proxies)


def _plain_network(network: Network) -> Network:
    """::ffff:192.0.2.0/120 is 192.0.2.0/24."""
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    return ipaddress.ip_network((mapped, network.prefixlen - 96)) if mapped and network.prefixlen >= 96 else network


def sender_of(peer: str, forwarded_for: str, trusted: tuple[Network, ...]) -> str:
    """The address that the request comes from: the last one in X-Forwarded-For that no trusted proxy has.

    Each address has one spelling, so that limits per address count it once. What is no address stands for whom its proxy
    does not know (`unknown`): then it is the proxy's.
    """
    hops = [hop.strip() for hop in forwarded_for.split(",") if hop.strip()]
    sender = plain_address(peer)
    while hops and is_trusted(sender, trusted) and (hop := _address_of(hops.pop())):
        sender = hop
    return sender


def plain_address(address: str) -> str:
    """A peer's address in its usual spelling, without a zone; what is no IP address as it is."""
    try:
        return str(parse_address(address))
    except ValueError:
        return address


def _address_of(hop: str) -> str:
    """The address that an entry of X-Forwarded-For names, '' if it names none."""
    found = _HOP.fullmatch(hop)
    try:
        return str(parse_address(next(filter(None, found.groups())))) if found else ""
    except ValueError:
        return ""


def is_trusted(address: str, trusted: tuple[Network, ...]) -> bool:
    """Whether the address is one of a trusted proxy."""
    try:
        parsed = parse_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in trusted)


def parse_address(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """A peer's address. Dual-stack sockets report IPv4 peers as IPv6 (::ffff:192.0.2.1). Raises `ValueError`."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    return getattr(parsed, "ipv4_mapped", None) or parsed


def name_of(host: str) -> str:
    """A Host header without its port."""
    return host[: host.find("]") + 1].lower() if host.startswith("[") else host.partition(":")[0].lower()


def is_host(host: str) -> bool:
    """Whether a Host header is one host with an optional valid port: no user info, spaces or other characters."""
    found = _HOST.fullmatch(host)
    return found is not None and (found["port"] is None or 0 < int(found["port"]) < 65_536)


def is_ours(host: str, public_url: str) -> bool:
    """Whether a Host header names this machine (loopback) or the public URL's host."""
    name = name_of(host)
    is_this_machine = name in LOOPBACK_NAMES or name.endswith(".localhost")
    return is_this_machine or (public_url != "" and name == _public_name(public_url))


@functools.lru_cache(maxsize=8)
def _public_name(public_url: str) -> str:
    """The public URL's host as browsers send it, however it was typed: `bücher.example` is `xn--bcher-kva.example`."""
    return name_of(urlsplit(origin_of(public_url) or public_url).netloc)


def check_host(host: str, *, is_loopback_only: bool, public_url: str, own_address: str = "") -> None:
    """Refuse foreign hosts, on an instance with a public URL or bound to loopback.

    A hostile page could otherwise point its own name at 127.0.0.1 (DNS rebinding) and talk to us as if it were ours.
    `own_address` is accepted too: load balancers and monitors may address a process by IP.
    """
    if not is_host(host):
        raise Malformed(_("The request has no valid Host header."))
    if is_ours(host, public_url) or plain_address(name_of(host).strip("[]")) == plain_address(own_address):
        return
    if not public_url and not is_loopback_only:
        return
    if public_url:
        raise UnknownHost(
            _(
                "This instance answers at its public URL only. "
                "If a proxy stands in front of it, it must pass on the Host header."
            )
        )
    raise UnknownHost(
        _(
            "This instance listens to its own machine alone and does not know the name it was called by. "
            "If a proxy stands in front of it, set PARLEY_PUBLIC_URL to the address that people use."
        )
    )


def check_origin(host: str, origin: str, fetch_site: str, public_url: str) -> None:
    """Refuse a change that another site's page sent (the check of Go's `CrossOriginProtection`).

    Programs send neither header; they still need the token.
    """
    if public_url and (site := origin_of(origin)) and site == origin_of(public_url):
        return
    if fetch_site in ("same-origin", "none"):
        return
    if fetch_site:
        raise OtherOrigin(_("This form was sent by another site's page. Nothing was changed."))
    if origin and origin.partition("://")[2].lower() != host.lower():
        raise OtherOrigin(
            _(
                "This form was sent by another site's page, or through a proxy that does not pass on the Host header. "
                "Nothing was changed. If this is your own address, the owner of this instance should set PARLEY_PUBLIC_URL to it."
            )
        )


def shown(header: str) -> str:
    """An untrusted header, made safe for a log."""
    return "".join(letter for letter in header[:200] if letter.isprintable())


def method_of(method: str, query: str) -> str:
    """The method that is meant: forms can only POST, and say another one as `?_method=`. Raises `Malformed`."""
    if method != "POST" or "_method" not in query:
        return method
    meant = [value.upper() for name, value in parse_qsl(query) if name == "_method"]
    if len(meant) != 1 or meant[0] not in OVERRIDES:
        raise Malformed(_("The address names a method that does not exist."))
    return meant[0]


def without_body(send: Send) -> Send:
    """Sends the head of an answer alone. One that would never end is over for who sends it as soon as it began."""
    is_over = False

    async def send_head(message: Message) -> None:
        nonlocal is_over
        if message["type"] == "http.response.start":
            await send(message)
        elif not is_over:
            is_over = True
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return send_head
