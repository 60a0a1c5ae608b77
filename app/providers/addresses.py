"""Which addresses are called: never those of cloud metadata, and private ones only where the owner allowed it.

A name is resolved once, by `CheckedResolver`, and what was checked is what is connected to: a name that changes its
address in between (DNS rebinding) gains nothing.
"""

import contextlib
import ipaddress
import socket
from contextvars import ContextVar
from typing import Literal
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult

from app.providers.names import LOOK_UPS, LookUps

Fault = Literal["metadata", "private"]

#: Whether the request of this context may go to private addresses.
may_be_private: ContextVar[bool] = ContextVar("may_be_private", default=False)

#: Link-local addresses, where most clouds answer with credentials (169.254.169.254; IANA's RFC 3927 and RFC 4291), and
#: the ones elsewhere: AWS on IPv6, Google on IPv6, Alibaba, Azure's wire server, Oracle's older one.
METADATA = tuple(
    ipaddress.ip_network(network)
    for network in (
        "169.254.0.0/16", "fe80::/10", "fd00:ec2::/32", "fd20:ce::/32", "100.100.100.200/32", "168.63.129.16/32",
        "192.0.0.192/32",
    )
)  # fmt: skip
#: IPv6 addresses that end in an IPv4 one: NAT64 (RFC 6052, RFC 8215) and the deprecated "compatible" ones (RFC 4291).
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")
_CARRIERS = (ipaddress.ip_network("64:ff9b::/96"), _LOCAL_NAT64, ipaddress.ip_network("::/96"))
#: Not public, whatever `is_global` says: site-local ones (RFC 3879), and those that protocols use (RFC 6890).
_PRIVATE = (ipaddress.ip_network("fec0::/10"), _LOCAL_NAT64, ipaddress.ip_network("192.0.0.0/24"))


class Refused(OSError):
    """An address that is not called, and why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"a {fault} address")
        self.fault: Fault = fault


class CheckedResolver(AbstractResolver):
    """Resolves, and raises `Refused` if any of a name's addresses may not be called in this context."""

    def __init__(self, look_ups: LookUps = LOOK_UPS) -> None:
        self._look_ups = look_ups

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._look_ups.find(host, socket.AI_ADDRCONFIG)
        for each in found:
            check(each, allows_private=may_be_private.get())
        return [_result(host, each, port) for each in found]

    async def close(self) -> None:
        """Nothing to close: the look-ups belong to the process."""


def _result(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return {
        "hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": socket.AI_NUMERICHOST,
    }  # fmt: skip


def check(address: str, *, allows_private: bool) -> None:
    """Raises `Refused` for an IP address that may not be called. Names pass: they are resolved later."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return
    if (fault := fault_of_ip(ip, allows_private=allows_private)) is not None:
        raise Refused(fault)


def fault_of_ip(ip: ipaddress.IPv4Address | ipaddress.IPv6Address, *, allows_private: bool) -> Fault | None:
    """What speaks against an address. One that carries another one in it is judged by that."""
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and int(ip) > 1 and any(ip in network for network in _CARRIERS):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None and ip not in _LOCAL_NAT64:
            return fault_of_ip(inner, allows_private=allows_private)
        if inner is not None and fault_of_ip(inner, allows_private=True):
            return "metadata"
    if any(ip in network for network in METADATA):
        return "metadata"
    is_public = ip.is_global and not ip.is_multicast and not any(ip in network for network in _PRIVATE)
    return None if is_public or allows_private else "private"


async def fault_of_url(url: str, *, allows_private: bool, look_ups: LookUps = LOOK_UPS) -> Fault | None:
    """What speaks against a base URL as its name resolves now. A name that is not found is nobody's fault here."""
    try:
        for found in await resolve(urlsplit(url).hostname or "", look_ups):
            check(found, allows_private=allows_private)
    except Refused as refused:
        return refused.fault
    return None


async def resolve(host: str, look_ups: LookUps = LOOK_UPS) -> list[str]:
    """The IP addresses of a name as it resolves now, however it is written; none if it is not found in time."""
    try:
        return await look_ups.find(host.rstrip("."))
    except (OSError, ValueError):
        return []


def is_of_this_machine(address: str) -> bool:
    """Whether who calls this IP address calls this machine."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_loopback or ip.is_unspecified:  # connecting to "any address" connects to this machine
        return True
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as own:
        own.bind((str(ip), 0))  # nobody else's address can be bound
        return True
    return False


def refusal_in(error: BaseException) -> Fault | None:
    """Why an address was refused, if that is behind this error: clients wrap what a resolver raises."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, Refused):
            return inner.fault
        inner = inner.__cause__
    return None
