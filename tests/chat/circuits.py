"""Circuits as tests look at them."""

import uuid
from datetime import datetime
from typing import Any

import msgspec

from app.chat import catalog
from app.chat.circuit import KEYS, MOST_FAILURES, Circuit
from app.chat.reachability import Probes
from app.database import fetch, fetch_row, new_id
from app.providers.client import make_client
from app.providers.errors import Overloaded, ProviderError
from tests.chat.conftest import SETTINGS

SENTENCE = "Scripted is overloaded."


async def circuit_of(model: uuid.UUID) -> Circuit:
    """As a claim finds it now."""
    row = await fetch_row(
        f"SELECT json_build_object('model', m.id, 'model_name', m.name, 'provider_id', p.id, 'provider_name', p.name,"
        f" 'kind', p.kind, {KEYS})::text AS row FROM model AS m JOIN provider AS p ON p.id = m.provider WHERE m.id = $1",
        model,
    )
    assert row is not None
    return Circuit(msgspec.json.decode(row["row"]))


async def model_row(model: uuid.UUID) -> dict[str, Any]:
    row = await fetch_row("SELECT * FROM model WHERE id = $1", model)
    assert row is not None
    return dict(row)


async def provider_row(provider: uuid.UUID) -> dict[str, Any]:
    row = await fetch_row("SELECT * FROM provider WHERE id = $1", provider)
    assert row is not None
    return dict(row)


async def fail(model: uuid.UUID, times: int = MOST_FAILURES, error: ProviderError | None = None) -> None:
    """So many failures; if that opens the circuit, its trial is not due before the test says so, however slow the machine is."""
    for _ in range(times):
        await (await circuit_of(model)).note_failure(error or Overloaded(SENTENCE))
    await hold_trials()


async def clock() -> datetime:
    """The clock of the database: by it trials and looks are due."""
    (row,) = await fetch("SELECT clock_timestamp() AS now")
    now: datetime = row["now"]
    return now


async def hold_trials() -> None:
    """No trial is due until `make_trials_due`."""
    await fetch("UPDATE model SET trial_at = now() + interval '1 hour' WHERE trial_at IS NOT NULL")


async def add_models(provider: uuid.UUID, *names: str) -> list[uuid.UUID]:
    """More models of a provider, by their names."""
    added = [new_id() for _name in names]
    await fetch(
        "INSERT INTO model (id, provider, name, seen_at) SELECT m.id, $1, m.name, now()"
        " FROM unnest($2::uuid[], $3::text[]) AS m (id, name)",
        provider, added, list(names),
    )  # fmt: skip
    return added


async def make_trials_due() -> None:
    await fetch("UPDATE model SET trial_at = now() WHERE trial_at IS NOT NULL")


async def hold_probes() -> None:
    """No look at a list is due until `make_probes_due`."""
    await fetch("UPDATE provider SET probe_at = now() + interval '1 hour' WHERE probe_at IS NOT NULL")


async def make_probes_due() -> None:
    await fetch("UPDATE provider SET probe_at = now() WHERE probe_at IS NOT NULL")


async def probe() -> None:
    """The schedule's look at the lists that are due."""
    async with make_client() as client:
        connect = catalog.connector(client, SETTINGS)
        probes = Probes(lambda provider_id: catalog.refresh(provider_id, connect))
        await probes.start_due()
        await probes.wait()
