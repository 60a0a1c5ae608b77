"""The front door: how many connections may be open of which nobody is known, in all and from one address.

Connections of signed-in people are not counted. What is full makes room by closing the connection that has waited longest
for its other end, so that somebody new gets in during a flood, too. See docs/decisions/0055-the-front-door.md.
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

#: At most so often the log says how many were closed: a flood of connections must not become one of lines.
LOG_SECONDS = 10.0


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a connection may ask of us before anything is known of it. `strangers`: connections without a session."""

    #: A request line with its fields, to the empty line; also what frames a chunked body, and what is kept of pipelined requests.
    head_bytes: int = 32_768
    head_fields: int = 100
    #: From the connection, or from the first byte of a later request, to the end of its head.
    head_seconds: float = 10.0
    strangers: int = 512
    strangers_per_address: int = 256
    #: Of those, how many may wait for their other end: incomplete requests, idle connections, slow readers.
    waiting_per_address: int = 64
    #: So long a burst of new connections has to send what it came to say, before the ones that wait are closed.
    burst_seconds: float = 0.25
    #: Of signed-in people's connections, how many may wait: losing an idle one costs a browser nothing.
    known_waiting: int = 1_024
    #: Longer than the minute after which common proxies drop an idle connection, so that they do it first.
    keep_alive_seconds: int = 75
    #: The same for strangers while half of all places are taken.
    crowded_keep_alive_seconds: int = 5


class Guest(Protocol):
    """A connection, as the door sees it. `groups` is the door's own note."""

    groups: tuple["Group", ...]

    def give_way(self) -> None:
        """Close, so that another one gets in."""


class Group:
    """Connections that share a limit. `waiting` are those whose other end has to do something, in the order they began to."""

    def __init__(self, most: int, most_waiting: int | None = None, name: str = "") -> None:
        self.most = most
        self.most_waiting = most_waiting
        self.name = name
        self.members: set[Guest] = set()
        self.waiting: dict[Guest, None] = {}
        self.is_trimming = False

    @property
    def is_full(self) -> bool:
        return len(self.members) >= self.most

    @property
    def waits_too_much(self) -> bool:
        return self.most_waiting is not None and len(self.waiting) > self.most_waiting


class FrontDoor:
    """One per listening socket. A connection enters once, then waits and works in turn until it leaves."""

    def __init__(self, trusted_proxies: tuple[Network, ...] = (), limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._trusted = trusted_proxies
        self._strangers = Group(self.limits.strangers)
        self._known = Group(sys.maxsize, self.limits.known_waiting)
        self._addresses: dict[str, Group] = {}
        self._closed = self._refused = 0
        self._logged_at = 0.0

    @property
    def strangers(self) -> int:
        """How many connections are open of which nobody is known."""
        return len(self._strangers.members)

    def keep_alive_seconds(self, guest: Guest) -> int:
        """How long this connection may be idle now."""
        is_crowded = guest in self._strangers.members and self.strangers * 2 > self.limits.strangers
        return self.limits.crowded_keep_alive_seconds if is_crowded else self.limits.keep_alive_seconds

    def enter(self, guest: Guest, address: str) -> bool:
        """A new connection comes: it waits for its request. False: it is refused, and has not entered."""
        groups = self._groups_of(address)
        for group in groups:
            if group.is_full and not self._make_room(group):
                self._refused += 1
                self._log()
                return False
        guest.groups = groups
        for group in groups:
            group.members.add(guest)
            if group.name:
                self._addresses[group.name] = group
        self.wait(guest)
        return True

    def wait(self, guest: Guest) -> None:
        """From now on it is up to the other end: to send a request, or to read an answer."""
        for group in guest.groups:
            group.waiting.pop(guest, None)
            group.waiting[guest] = None
            if group.waits_too_much and not group.is_trimming:
                group.is_trimming = True
                asyncio.get_running_loop().call_later(self.limits.burst_seconds, self._trim, group)

    def work(self, guest: Guest) -> None:
        """From now on it is up to us: its request is complete."""
        for group in guest.groups:
            group.waiting.pop(guest, None)

    def know(self, guest: Guest) -> None:
        """Somebody has signed in by this connection, whose request is being answered."""
        if guest.groups:
            self.leave(guest)
            guest.groups = (self._known,)
            self._known.members.add(guest)

    def leave(self, guest: Guest) -> None:
        """The connection is closed. Safe to call twice."""
        for group in guest.groups:
            group.members.discard(guest)
            group.waiting.pop(guest, None)
            if group.name and not group.members:
                self._addresses.pop(group.name, None)
        guest.groups = ()

    def _groups_of(self, address: str) -> tuple[Group, ...]:
        if is_trusted(address, self._trusted):
            return (self._strangers,)
        name = network_of(address)
        fresh = Group(self.limits.strangers_per_address, self.limits.waiting_per_address, name)
        return (self._addresses.get(name, fresh), self._strangers)

    def _make_room(self, group: Group) -> bool:
        """Close the connection that has waited longest. False: none waits, all are being answered."""
        oldest = next(iter(group.waiting), None)
        if oldest is None:
            return False
        self.leave(oldest)
        oldest.give_way()
        self._closed += 1
        self._log()
        return True

    def _trim(self, group: Group) -> None:
        group.is_trimming = False
        while group.waits_too_much:
            self._make_room(group)

    def _log(self) -> None:
        if (now := time.monotonic()) - self._logged_at < LOG_SECONDS:
            return
        log.warning("connections_limited", closed=self._closed, refused=self._refused, open=self.strangers)
        self._closed = self._refused = 0
        self._logged_at = now


def open_door(settings: Settings) -> FrontDoor:
    """The door of a process with these settings."""
    return FrontDoor(networks_of(settings.trusted_proxies))


def network_of(address: str) -> str:
    """What counts as one address: an IPv6 network of 64 bits is one household's. What is no address is one, too."""
    try:
        parsed = parse_address(address)
    except ValueError:
        return address or "?"
    return str(parsed if parsed.version == 4 else ipaddress.ip_network((parsed, 64), strict=False))
