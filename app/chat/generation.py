"""One generation from its claim to its end: whatever happens in between, it ends once, with a reason."""

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import asyncpg
import msgspec
import structlog

from app.chat.calls import Connect, call_models
from app.chat.claim import Claim, claim_generation
from app.chat.ending import Ending, finish, is_stored
from app.chat.options import Options
from app.database import AWAY, Outage, outlast
from app.errors import AppError
from app.live import DeltaRefused, Fenced, Row, Tape, Writer
from app.parts import clean
from app.providers.errors import ProviderError, StreamCut
from app.words import choose, speak
from app.words import gettext as _

log = structlog.get_logger()

T = TypeVar("T")


class Rules(msgspec.Struct, frozen=True):
    """What the instance says about every generation."""

    deadline_seconds: float
    defaults: Options


async def run(
    generation_id: uuid.UUID, *, worker_id: int, writer: Writer, connect: Connect, rules: Rules,
    why_cancelled: Callable[[], str],
) -> Ending | None:  # fmt: skip
    """Claim the generation, stream the model's answer into the live log, and end it. None: it was not ours to run.

    Cancelling this ends the answer as `why_cancelled()` says: stopped or interrupted.
    """
    # Neither the claim nor the end may be torn apart by a Stop: each is followed to its outcome.
    claim, is_cancelled = await _undisturbed(outlast(lambda: claim_generation(generation_id, worker_id), "claim"))
    if claim is None:
        return None
    speak(choose(claim.row["language"], ""))
    structlog.contextvars.bind_contextvars(
        generation_id=str(generation_id), thread_id=str(claim.row["thread"]), user_id=str(claim.row["user"])
    )
    ending = Ending(claim.row, claim.before, worker_id)
    tape = writer.open(generation_id)
    try:
        if is_cancelled:
            ending.cut(why_cancelled())
        else:
            await _write(claim, connect, rules, tape, writer, ending, why_cancelled)
        return (await _undisturbed(_end(ending, tape)))[0]
    except Fenced:
        log.warning("generation_fenced", worker=worker_id)
        return None
    finally:
        writer.close(tape)


async def _write(
    claim: Claim, connect: Connect, rules: Rules, tape: Tape, writer: Writer, ending: Ending,
    why_cancelled: Callable[[], str],
) -> None:  # fmt: skip
    """The answer, until it ends in whatever way; the ending knows which. Raises `Fenced`."""
    try:
        async with asyncio.timeout(rules.deadline_seconds - float(claim.row["spent_seconds"])) as limit:
            await call_models(claim, connect, rules.defaults, tape, writer, ending)
    except asyncio.CancelledError:
        _forget_cancellation()
        ending.cut(why_cancelled())
    except StreamCut as error:
        ending.cut("interrupted", error.sentence)
    except (ProviderError, AppError) as error:
        ending.fail(error.code, error.sentence)
    except Fenced:
        raise
    except TimeoutError:
        if limit.expired():
            sentence = _("The answer took longer than %(seconds)s seconds and was ended.")
            ending.fail("deadline", sentence % {"seconds": f"{rules.deadline_seconds:,.0f}"})
        else:
            _crash(ending)
    except Exception:
        _crash(ending)


def _crash(ending: Ending) -> None:
    log.exception("generation_crashed")
    ending.fail("internal", _("Something went wrong inside Parley while this answer was written."))


async def _undisturbed(work: Coroutine[Any, Any, T]) -> tuple[T, bool]:
    """Its outcome, and whether we were cancelled meanwhile. Only the end of the loop, which cancels it too, breaks it off."""
    task = asyncio.create_task(work)
    is_cancelled = False
    while True:
        try:
            return await asyncio.shield(task), is_cancelled
        except asyncio.CancelledError:
            if task.cancelled():
                raise
            is_cancelled = True
            _forget_cancellation()


def _forget_cancellation() -> None:
    """A cancellation that was heeded must not make later timeouts of this task look like one (Python before 3.13)."""
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()


async def _end(ending: Ending, tape: Tape) -> Ending:
    """Store the end, however long Postgres is away: the text is safe in memory meanwhile. Raises `Fenced`.

    What Postgres refuses is stored without what it may have been refused for; an end that is refused twice is raised.
    """
    outage = Outage("end of an answer")
    is_unsure = is_refused = False
    while True:
        try:
            await _flush(tape, ending)
            if not (is_unsure and await is_stored(ending)):
                await finish(ending, tape.rows)
            break
        except AWAY as error:
            is_unsure = True
            outage.note(error)
            await asyncio.sleep(0.3)
        except asyncpg.PostgresError:
            if is_refused:
                raise
            is_refused = True
            log.exception("generation_end_refused")
            tape.rows = [_cleaned(row) for row in tape.rows]
            ending.usage = None
            ending.fail("internal", _("Something went wrong inside Parley while this answer was stored."))
    outage.end()
    log.info("generation_finished", **ending.facts())
    return ending


async def _flush(tape: Tape, ending: Ending) -> None:
    """What the database took is the answer; that it did not take all is said, however the model ended it."""
    try:
        await tape.flush()
    except DeltaRefused as error:
        ending.usage = None
        ending.fail(error.code, error.sentence)


def _cleaned(row: Row) -> Row:
    seq, kind, body = row
    return seq, kind, clean(body)
