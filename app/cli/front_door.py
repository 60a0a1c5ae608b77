"""The front door: limits on connections without a signed-in session, in all and per address.

A full group evicts the connection that has waited longest for its peer, so new connections get in during a flood.
See docs/decisions/0055-the-front-door.md.
"""

import asyncio
import ipaddress
import sys
import time
from typing import Protocol

import msgspec
import structlog

from app.controllers.border import Network, is_trusted, networks_of, parse_address
from app.settings import Settings

log = structlog.get_logger()

#: Minimum time between two log lines about evicted and refused connections, so that a flood does not fill the log.
LOG_SECONDS = 10.0


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one listening socket. *Anonymous* connections are those without a signed-in session."""

    #: Request line and headers, including the empty line. Also the framing of a chunked body, and buffered pipelined requests.
    head_bytes: int = 32_768
    head_fields: int = 100
    #: From the connection, or from the first byte of a later request, to the end of its head.
    head_seconds: float = 10.0
    anonymous: int = 512
    anonymous_per_address: int = 256
    #: How many of those may wait for their peer: incomplete requests, idle connections, slow readers.
    waiting_per_address: int = 64
    #: The same for connections with a session: closing an idle one costs a browser nothing.
    signed_in_waiting: int = 1_024
    #: How long a burst of new connections has to send its requests before waiting connections are evicted.
    burst_seconds: float = 0.25
    #: Longer than the minute after which common proxies drop an idle connection, so that the proxy closes it first.
    keep_alive_seconds: int = 75
    #: For anonymous connections while more than half of `anonymous` are open.
    crowded_keep_alive_seconds: int = 5


class Client(Protocol):
    """A connection, as the front door sees it. `groups` belongs to the front door."""

    groups: tuple["Group", ...]

    def evict(self) -> None:
        """Close the connection to make room for another."""


class Group:
    """Connections that share a limit. `waiting` holds those whose peer has to act, oldest first."""

    def __init__(self, most: int, most_waiting: int | None = None, name: str = "") -> None:
        self.most = most
        self.most_waiting = most_waiting
        self.name = name
        self.members: set[Client] = set()
        self.waiting: dict[Client, None] = {}
        self.is_trimming = False

    @property
    def is_full(self) -> bool:
        return len(self.members) >= self.most

    @property
    def has_too_many_waiting(self) -> bool:
        return self.most_waiting is not None and len(self.waiting) > self.most_waiting


class FrontDoor:
    """One per listening socket. A connection enters once, then alternates between waiting and busy until it leaves."""

    def __init__(self, trusted_proxies: tuple[Network, ...] = (), limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._trusted = trusted_proxies
        self._anonymous = Group(self.limits.anonymous)
        self._signed_in = Group(sys.maxsize, self.limits.signed_in_waiting)
        self._addresses: dict[str, Group] = {}
        self._evicted = self._refused = 0
        self._logged_at = 0.0

    @property
    def anonymous(self) -> int:
        """Number of open connections without a signed-in session."""
        return len(self._anonymous.members)

    def is_crowded(self, client: Client) -> bool:
        """Whether this connection is one of very many without a session."""
        return client in self._anonymous.members and self.anonymous * 2 > self.limits.anonymous

    def keep_alive_seconds(self, client: Client) -> int:
        """How long this connection may be idle now."""
        limits = self.limits
        return limits.crowded_keep_alive_seconds if self.is_crowded(client) else limits.keep_alive_seconds

    def enter(self, client: Client, address: str) -> bool:
        """Count a new connection, which waits for its first request. False if it is refused: then it is not counted."""
        groups = self._groups_of(address)
        for group in groups:
            if group.is_full and not self._evict_oldest(group):
                self._refused += 1
                self._log()
                return False
        client.groups = groups
        for group in groups:
            group.members.add(client)
            if group.name:
                self._addresses[group.name] = group
        self.mark_waiting(client)
        return True

    def mark_waiting(self, client: Client) -> None:
        """The peer has to act next: send a request, or read a response."""
        for group in client.groups:
            group.waiting.pop(client, None)
            group.waiting[client] = None
            if group.has_too_many_waiting and not group.is_trimming:
                group.is_trimming = True
                asyncio.get_running_loop().call_later(self.limits.burst_seconds, self._trim, group)

    def mark_busy(self, client: Client) -> None:
        """The app has to act next: the request is complete."""
        for group in client.groups:
            group.waiting.pop(client, None)

    def mark_signed_in(self, client: Client) -> None:
        """A session was found for the request of this connection, whose body may be still to come."""
        if not client.groups:
            return
        is_waiting = any(client in group.waiting for group in client.groups)
        self.leave(client)
        client.groups = (self._signed_in,)
        self._signed_in.members.add(client)
        if is_waiting:
            self.mark_waiting(client)

    def leave(self, client: Client) -> None:
        """The connection is closed. Safe to call twice."""
        for group in client.groups:
            group.members.discard(client)
            group.waiting.pop(client, None)
            if group.name and not group.members:
                self._addresses.pop(group.name, None)
        client.groups = ()

    def _groups_of(self, address: str) -> tuple[Group, ...]:
        if is_trusted(address, self._trusted):
            return (self._anonymous,)
        name = network_of(address)
        fresh = Group(self.limits.anonymous_per_address, self.limits.waiting_per_address, name)
        return (self._addresses.get(name, fresh), self._anonymous)

    def _evict_oldest(self, group: Group) -> bool:
        """Close the connection that has waited longest. False if none waits: all of them are busy."""
        oldest = next(iter(group.waiting), None)
        if oldest is None:
            return False
        self.leave(oldest)
        oldest.evict()
        self._evicted += 1
        self._log()
        return True

    def _trim(self, group: Group) -> None:
        group.is_trimming = False
        while group.has_too_many_waiting:
            self._evict_oldest(group)

    def _log(self) -> None:
        if (now := time.monotonic()) - self._logged_at < LOG_SECONDS:
            return
        log.warning("connections_limited", evicted=self._evicted, refused=self._refused, anonymous=self.anonymous)
        self._evicted = self._refused = 0
        self._logged_at = now


def open_door(settings: Settings) -> FrontDoor:
    """The front door of a process with these settings."""
    return FrontDoor(networks_of(settings.trusted_proxies))


def network_of(address: str) -> str:
    """The unit that the limits per address count: an IPv4 address, or an IPv6 /64 network (one household or host)."""
    try:
        parsed = parse_address(address)
    except ValueError:
        return address or "?"
    return str(parsed if parsed.version == 4 else ipaddress.ip_network((parsed, 64), strict=False))
