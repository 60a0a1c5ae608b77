"""The facts of a model: what the owner set, before what its server says, before what is known of its name.

The three stand in a row's `set_by_owner`, `said` and `known`; its plain columns (`has_vision`, `input_price`, …) are
generated from them by Postgres, in this order, so that nobody can write one and forget the other.
"""

import contextlib
import math
import uuid
from collections.abc import Mapping
from typing import Any, Literal

import asyncpg
import msgspec

from app.database import AWAY, fetch
from app.providers import PROVIDERS
from app.providers.base import Model, Parameters
from app.providers.known import Facts, known_facts
from app.words import gettext as _

Source = Literal["owner", "server", "known"]

#: The columns that keep what each source says, the strongest first.
COLUMNS: dict[Source, str] = {"owner": "set_by_owner", "server": "said", "known": "known"}


def said(model: Model) -> str:
    """What the server says of a model, as the JSON of its column. What cannot be true is not kept."""
    facts = {name: value for name in Facts.__struct_fields__ if _is_possible(name, value := getattr(model, name))}
    return msgspec.json.encode(facts).decode()


def known(name: str, base_url: str) -> str:
    """What is known of a model of this name at this address, as the JSON of its column."""
    return msgspec.json.encode(known_facts(name, base_url)).decode()


def sources(row: Mapping[str, Any]) -> dict[str, Source]:
    """Fact → who says what holds; facts that nobody knows are not in it. `row` has the three columns, as JSON."""
    found: dict[str, Source] = {}
    for source, column in COLUMNS.items():
        for name in msgspec.json.decode(row[column]):
            if name in Facts.__struct_fields__:
                found.setdefault(name, source)
    return found


def without_owner(row: Mapping[str, Any]) -> dict[str, Any]:
    """What would hold if the owner had set nothing."""
    merged = msgspec.json.decode(row["known"]) | msgspec.json.decode(row["said"])
    return {name: value for name, value in merged.items() if name in Facts.__struct_fields__}


async def note_refused(model: uuid.UUID, names: frozenset[str]) -> None:
    """A server refused these parameters for a model and answered without them: the form says so from now on."""
    if names:
        with contextlib.suppress(*AWAY, asyncpg.PostgresError):
            await fetch(_REFUSED, model, msgspec.json.encode(sorted(names)).decode())


async def forget_refused(provider: uuid.UUID) -> None:
    """It may be another server, or a newer one: what was refused is sent again."""
    await fetch(_FORGET_REFUSED, provider)


def not_taken(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The parameters that a model does not take, by name. `row`: kind, has_reasoning, and not_taken, a JSON list."""
    refused = set(Parameters.__struct_fields__) - PROVIDERS[row["kind"]].takes
    refused |= set(msgspec.json.decode(row["not_taken"]))
    if row["has_reasoning"] is False:
        refused.add("reasoning_effort")
    return tuple(sorted(refused))


def notes(parameters: Parameters, row: Mapping[str, Any]) -> dict[str, str]:
    """Parameter → how it is sent, where that is not as it was chosen."""
    highest = PROVIDERS[row["kind"]].highest_temperature
    if parameters.temperature is None or parameters.temperature <= highest:
        return {}
    return {"temperature": _("Sent as %(most)s: this model takes no more.") % {"most": f"{highest:g}"}}


def chosen(parameters: Parameters) -> frozenset[str]:
    """The parameters that say something, by name."""
    return frozenset(name for name, value in msgspec.structs.asdict(parameters).items() if value != _unset[name])


def taken(parameters: Parameters, row: Mapping[str, Any]) -> Parameters:
    """The parameters without those that the model does not take: they are said in the form, and not sent."""
    return msgspec.structs.replace(parameters, **{name: _unset[name] for name in not_taken(row)})


#: SQL of `not_taken` of a row `model AS m`: what is known of its name, and what its server refused.
NOT_TAKEN = "(coalesce(m.known -> 'not_taken', '[]') || m.refused)::text"

_REFUSED = """
UPDATE model SET refused = (SELECT jsonb_agg(DISTINCT name) FROM jsonb_array_elements(refused || $2::jsonb) AS n (name))
WHERE id = $1 AND NOT refused @> $2::jsonb
"""

# The provider's row is locked before its models' rows, as in `circuit.py`.
_FORGET_REFUSED = """
WITH held AS MATERIALIZED (SELECT id FROM provider WHERE id = $1 FOR NO KEY UPDATE)
UPDATE model SET refused = '[]' FROM held WHERE provider = held.id AND refused <> '[]'
"""

_unset = msgspec.structs.asdict(Parameters())
_rules = {field.name: field.type for field in msgspec.structs.fields(Facts)}


def _is_possible(name: str, value: Any) -> bool:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return False
    try:
        msgspec.convert(value, _rules[name])
    except msgspec.ValidationError:
        return False
    return True
