"""Periodic cleanup: deltas of ended generations, rows of dead workers, old sign-ins, the queue's log."""

from app.database import fetch
from app.tables.session import Session
from app.tables.sign_in_attempt import SignInAttempt


async def run() -> None:
    """Once a minute, by one worker. Deltas stay a while after the end, for pages that come back with an old cursor."""
    await fetch(
        "DELETE FROM delta AS d USING generation AS g WHERE g.id = d.generation_id AND g.state = 'ended'"
        " AND g.ended_at < now() - interval '2 minutes'"
    )
    await fetch(
        "DELETE FROM delta AS d WHERE d.generation_id IN (SELECT DISTINCT x.generation_id FROM delta AS x"
        " WHERE NOT EXISTS (SELECT 1 FROM generation AS g WHERE g.id = x.generation_id))"
    )
    await fetch("DELETE FROM worker WHERE NOT is_alive AND seen_at < now() - interval '1 hour'")
    await fetch("DELETE FROM model_task WHERE ended_at < now() - interval '7 days'")
    await Session.forget_expired()
    await SignInAttempt.forget_old()
    # Nothing reads it, and its tracebacks may quote a row that is deleted meanwhile.
    await fetch("DELETE FROM pgqueuer_log")
