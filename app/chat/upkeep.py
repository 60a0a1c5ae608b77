"""Periodic cleanup: deltas of ended generations, rows of dead workers, deleted people among those who may use a model, old
sign-ins, the queue's log."""

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
    await fetch(_FORGET_PEOPLE)
    await Session.forget_expired()
    await SignInAttempt.forget_old()
    # Nothing reads it, and its tracebacks may quote a row that is deleted meanwhile.
    await fetch("DELETE FROM pgqueuer_log")


# Rows that are locked just now wait for the next run: several models are locked in no order here.
_FORGET_PEOPLE = """
UPDATE model AS m SET allowed_users = (
    SELECT coalesce(jsonb_agg(a.id), '[]') FROM jsonb_array_elements_text(m.allowed_users) AS a (id)
    JOIN users AS u ON u.id = a.id::uuid
)
WHERE m.id IN (
    SELECT id FROM model WHERE EXISTS (
        SELECT 1 FROM jsonb_array_elements_text(allowed_users) AS a (id)
        WHERE NOT EXISTS (SELECT 1 FROM users AS u WHERE u.id = a.id::uuid)
    ) FOR NO KEY UPDATE SKIP LOCKED
)
"""
