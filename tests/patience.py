"""Limits of ours that a test is not about, lengthened: a process that stood still has not waited as long as its clock says."""

import pytest

from app.chat import introduction
from app.database import engine
from app.providers import client, probing, unreachable
from app.providers.http import Wire

SECONDS = 240.0

LIMITS: tuple[tuple[object, str], ...] = (
    (engine, "acquire_seconds"),
    (engine, "connect_seconds"),
    (engine, "opening_seconds"),
    (Wire, "json_seconds"),
    (client, "CONNECT_SECONDS"),
    (unreachable, "HANDSHAKE_SECONDS"),
    (probing, "PROBE_SECONDS"),
    (introduction, "GUESSING_SECONDS"),
)


@pytest.fixture(autouse=True)
def patient_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that waits for such a limit sets its own."""
    for owner, name in LIMITS:
        monkeypatch.setattr(owner, name, SECONDS)
