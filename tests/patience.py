"""Limits of ours that a test is not about, lengthened: who stood still has not waited as long as the clock says.

`conftest.py` lengthens them for the test process; `python -m tests.patience …` is the real program with these limits.
"""

from app.chat import introduction
from app.cli import main
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

if __name__ == "__main__":
    for _owner, _name in LIMITS:
        setattr(_owner, _name, SECONDS)
    main()
