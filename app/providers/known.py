"""What makers document about well-known models: `known_models.json`, a table with its date and a source for each entry.

Servers mostly list nothing but names. This is asked last, after the owner and the server.
"""

import functools
import importlib.resources
import re
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

#: Beyond these a number is a mistake, whoever says it.
MOST_TOKENS = 1_000_000_000
MOST_DOLLARS = 100_000

Tokens = Annotated[int, Meta(ge=1, le=MOST_TOKENS)]
Dollars = Annotated[float, Meta(ge=0, le=MOST_DOLLARS)]


class Facts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What can be known of a model besides its name. None: unknown. Prices are in US dollars per million tokens."""

    has_vision: bool | None = None
    has_tools: bool | None = None
    has_reasoning: bool | None = None
    is_embedding: bool | None = None
    context_window: Tokens | None = None
    max_output_tokens: Tokens | None = None
    input_price: Dollars | None = None
    output_price: Dollars | None = None
    cached_price: Dollars | None = None


PRICES = ("input_price", "output_price", "cached_price")


class Entry(Facts, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A line of the table. `not_taken`: parameters of ours that the model refuses. `hosts`: where its prices hold."""

    names: tuple[str, ...] = ()
    not_taken: tuple[str, ...] = ()
    source: str = ""
    hosts: frozenset[str] = frozenset()


class Known(Facts, frozen=True, omit_defaults=True):
    """What the table says of one model at one address."""

    not_taken: tuple[str, ...] = ()


class Maker(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who makes models, and the hosts where the prices of the entries hold."""

    maker: str
    hosts: frozenset[str]
    models: tuple[Entry, ...]


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file. `as_of`: the day on which the sources were read, as YYYY-MM-DD."""

    as_of: str
    about: str
    makers: tuple[Maker, ...]


@functools.cache
def table() -> Table:
    """The table that this version came with."""
    text = importlib.resources.files("app.providers").joinpath("known_models.json").read_bytes()
    return msgspec.json.decode(text, type=Table)


def known_facts(name: str, base_url: str) -> Known:
    """What the table says of a model of this name. Prices only where the server is its maker's own."""
    entry = _find(name)
    if entry is None:
        return Known()
    fields = {field: getattr(entry, field) for field in Known.__struct_fields__}
    if _host(base_url) not in entry.hosts:
        fields |= dict.fromkeys(PRICES)
    return Known(**fields)


# A dated version, as makers and clouds write it: -2025-08-07, -20250929, @20250929, -001, -latest.
_VERSION = re.compile(r"(?:[-@]\d{8}|-\d{4}-\d\d-\d\d|-00\d|-latest)$")


def _find(name: str) -> Entry | None:
    """The whole name, then without its date, then by how it begins; whatever stands before a slash says who offers it."""
    exact, beginnings = _index()
    plain = name.casefold().rpartition("/")[2]
    undated = _VERSION.sub("", plain)
    found = exact.get(plain) or exact.get(undated)
    return found or next((entry for start, entry in beginnings if plain.startswith(start)), None)


@functools.cache
def _index() -> tuple[dict[str, Entry], tuple[tuple[str, Entry], ...]]:
    exact: dict[str, Entry] = {}
    beginnings: list[tuple[str, Entry]] = []
    for maker in table().makers:
        for entry in maker.models:
            placed = msgspec.structs.replace(entry, hosts=maker.hosts)
            exact |= {name: placed for name in entry.names if not name.endswith("*")}
            beginnings += [(name[:-1], placed) for name in entry.names if name.endswith("*")]
    return exact, tuple(sorted(beginnings, key=lambda pair: -len(pair[0])))


@functools.lru_cache(maxsize=100)
def _host(base_url: str) -> str:
    return (urlsplit(base_url).hostname or "") if "://" in base_url else ""
