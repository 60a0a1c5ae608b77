"""Wrong passwords and tokens that were counted: how long ago they came."""

from app.database import fetch


async def let_time_pass(seconds: float) -> None:
    """As if the last guesses had come so much earlier."""
    await fetch("UPDATE sign_in_attempt SET failed_at = failed_at - make_interval(secs => $1)", seconds)


async def keep_waiting() -> None:
    """The first wait is one second: a busy machine may need longer for the next request."""
    await let_time_pass(-50.0)
