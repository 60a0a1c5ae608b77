"""Calls the models of an answer: retries or falls back to the next one until the first token arrives."""

import asyncio
import math
import random
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any

import msgspec
import structlog

from app.chat.circuit import Circuit, all_down
from app.chat.claim import Candidate, Claim
from app.chat.ending import Ending
from app.chat.facts import chosen, note_refused, taken
from app.chat.options import Options
from app.chat.prompt import build_request, check_fit, merge_parameters
from app.chat.requests import keep_request
from app.database import fetch_row, outlast
from app.errors import ContextOverflow
from app.live import Fenced, Tape, Writer
from app.parts import Delta, Finish, ReasoningDelta, ToolCallDelta, Usage
from app.providers.base import Amended, ChatRequest, Parameters, Provider
from app.providers.client import on_repeat
from app.providers.errors import Filtered, ModelMissing, ProviderError, SaidNothing, StreamCut
from app.tables.message import Tried
from app.words import gettext as _
from app.words import ngettext

log = structlog.get_logger()

#: A model is called again at most twice (I6). `attempt` counts calls, of whatever model and by whatever worker.
MOST_CALLS = 3
#: A server that asks for a longer pause than this is not waited for: the person decides.
LONGEST_RETRY_SECONDS = 60.0
#: A pause that is longer is said on the page.
SHORTEST_SAID_SECONDS = 1.0

Connect = Callable[[Mapping[str, Any]], Provider]


async def call_models(
    claim: Claim, connect: Connect, defaults: Options, tape: Tape, writer: Writer, ending: Ending
) -> None:
    """Stream the answer of the first candidate that writes one. One whose circuit is open is passed over.

    The next candidate is called at once; only the last one is called again after a pause. A model on trial is called once, and
    one that failed just now is not waited for long where another one could answer. Raises `ProviderError`, `ContextOverflow`
    and `Fenced`.
    """
    if not claim.candidates:
        raise ModelMissing(_("The model of this answer is not available any more. Choose another one and try again."))
    circuits = [Circuit(candidate) for candidate in claim.candidates]
    tried, failure, calls_before = _gone(claim), None, len(ending.attempts)
    for place, circuit in enumerate(circuits):
        candidate = circuit.row
        if not await outlast(circuit.may_call, "trial"):
            tried.append(Tried(candidate["model_name"], _not_called(circuit)))
            continue
        if tried:
            await outlast(partial(_turn_to, candidate, tried, ending), "fallback")
        is_last = all(other.is_open for other in circuits[place + 1 :])
        # Calls of others do not count: this one is called again at most twice, by whatever worker.
        most_calls = MOST_CALLS + len(ending.attempts) - calls_before if is_last and not circuit.needs_trial else 0
        provider = connect(candidate if is_last else {**candidate, "patience_seconds": circuit.patience_seconds})
        try:
            return await _call(claim, circuit, provider, defaults, tape, writer, ending, most_calls)
        except (ProviderError, ContextOverflow) as error:
            if is_last or ending.first_token_ms is not None or isinstance(error, Filtered):
                raise
            log.info("generation_fell_back", model=candidate["model_name"], error=error.code)
            failure = error
            tried.append(Tried(candidate["model_name"], error.sentence))
    raise failure or all_down(circuits)


def _not_called(circuit: Circuit) -> str:
    if circuit.row["is_down"]:
        return _("%(name)s is down and was not called.") % {"name": circuit.is_out}
    return _("%(name)s is not answering and was not called.") % {"name": circuit.is_out}


def _gone(claim: Claim) -> list[Tried]:
    """The model that was asked for, if it is none of the candidates any more."""
    if claim.candidates[0]["model"] == str(claim.row["asked_model"]):
        return []
    return [Tried(claim.row["asked_label"], _("It is not available any more."))]


async def _call(
    claim: Claim, circuit: Circuit, provider: Provider, defaults: Options, tape: Tape, writer: Writer,
    ending: Ending, most_calls: int,
) -> None:  # fmt: skip
    request = _request(claim, circuit.row, defaults)
    ending.request = request
    await check_fit(provider, request, circuit.row["context_window"])
    await _keep(ending, provider.body(request))
    on_repeat.set(ending.note_repeat)
    while True:
        ending.begin_call()
        began = time.monotonic()
        try:
            await _stream(provider, request, tape, writer, ending, circuit)
        except ProviderError as error:
            ending.note_attempt(error.code)
            has_begun, seconds = ending.first_token_ms is not None, time.monotonic() - began
            is_open = await circuit.note_failure(error, seconds=seconds, has_begun=has_begun)
            pause = _retry_pause(error, ending.attempt)
            if has_begun or not error.is_retryable:
                raise
            if pause is None:
                error.sentence = _with_time(error.sentence, error.retry_after_seconds or 0)
            if is_open or ending.attempt >= most_calls or pause is None:
                raise
            log.info("generation_retried", error=error.code, pause_seconds=round(pause, 2), call=ending.attempt)
            if pause >= SHORTEST_SAID_SECONDS:
                await outlast(partial(_say, ending, sentence=error.sentence, pause_seconds=pause), "pause")
            await asyncio.sleep(pause)
            await outlast(partial(_count_call, ending), "call")
        else:
            refused = provider.refused(request.model) & chosen(request.parameters)
            await note_refused(circuit.model, refused)
            return await circuit.note_success()


def _request(claim: Claim, candidate: Candidate, defaults: Options) -> ChatRequest:
    chosen = merge_parameters(msgspec.json.decode(claim.row["options"], type=Parameters), defaults.parameters)
    is_continuation = claim.row["is_continuation"]
    return build_request(
        candidate["model_name"],
        claim.row["system_prompt"] or defaults.system_prompt,
        claim.branch if is_continuation else claim.branch[:-1],
        taken(chosen, candidate),
        continues=is_continuation,
        max_output_tokens=candidate["max_output_tokens"],
    )


async def _stream(
    provider: Provider, request: ChatRequest, tape: Tape, writer: Writer, ending: Ending, circuit: Circuit
) -> None:
    finish, is_empty = None, True
    blanks: list[Delta] = []  # before the first word: alone they are no answer
    async with aclosing(provider.stream(request)) as events:
        async for event in events:
            if isinstance(event, Usage):
                ending.usage = event
            elif isinstance(event, Finish):
                finish = event
            elif isinstance(event, Amended):
                await _keep(ending, event.body)
            elif is_empty and not _says_something(event):
                blanks.append(event)
            else:
                is_empty = False
                if ending.first_token_ms is None:
                    await circuit.note_begun()
                ending.see(is_reasoning=isinstance(event, ReasoningDelta))
                for each in (*blanks, event):
                    tape.append(each)
                blanks.clear()
                await writer.room()
    if finish is None:
        sentence = _("%(name)s ended the answer without saying that it is complete.")
        raise StreamCut(sentence % {"name": provider.account.name})
    # Where its length or a filter ended it, the page says that; and who was to go on may have nothing to add.
    if is_empty and not request.continues and finish.reason in ("stop", "tool_calls"):
        raise SaidNothing(_("%(name)s ended the answer without saying anything.") % {"name": provider.account.name})
    for each in blanks:
        tape.append(each)
    ending.finish_reason = finish.reason
    ending.note_attempt("")


def _says_something(delta: Delta) -> bool:
    """Whether this is more than blanks and a signature."""
    return isinstance(delta, ToolCallDelta) or bool(delta.text.strip())


async def _keep(ending: Ending, body: dict[str, Any]) -> None:
    sent = partial(keep_request, ending.row["id"], body, call=ending.attempt, worker_id=ending.worker_id)
    await outlast(sent, "request")


def _retry_pause(error: ProviderError, call: int) -> float | None:
    if error.retry_after_seconds is not None:
        asked = error.retry_after_seconds
        return asked + random.uniform(0, 0.25) if asked <= LONGEST_RETRY_SECONDS else None
    return float(0.5 * 2 ** (call - 1) * random.uniform(0.5, 1.5))


def _with_time(sentence: str, seconds: float) -> str:
    """What a server said, and when it wants to be asked again: the person is not kept waiting, and must know how long."""
    if seconds < 2 * 3600:
        count = math.ceil(seconds / 60)
        time = ngettext("%(count)s minute", "%(count)s minutes", count) % {"count": count}
    else:
        count = math.ceil(seconds / 3600)
        time = ngettext("%(count)s hour", "%(count)s hours", count) % {"count": f"{count:,}"}
    again = _("It wants to be asked again in %(time)s.") % {"time": time}
    return f"{sentence.rstrip('.')}. {again}"


async def _count_call(ending: Ending) -> None:
    """One more call, counted before it is made: whoever takes this generation over knows how many there were."""
    row = await fetch_row(
        _COUNT, ending.row["id"], ending.attempt, ending.worker_id, ending.attempt + 1, ending.log_of_attempts()
    )
    if row is None:
        raise Fenced
    ending.attempt = row["attempt"]


async def _turn_to(candidate: Candidate, tried: list[Tried], ending: Ending) -> None:
    """From now on it is this model's answer, and the page says so. What was called before it counts."""
    ending.use(candidate)
    await _say(ending, tried=tried, is_call=bool(ending.attempts))


async def _say(
    ending: Ending, *, sentence: str = "", pause_seconds: float | None = None, tried: list[Tried] | None = None,
    is_call: bool = False,
) -> None:  # fmt: skip
    """Tell the pages that show this answer what it waits for, or who writes it. Raises `Fenced`. Bears being repeated."""
    row = await fetch_row(
        _SAY,
        ending.row["id"], ending.attempt, ending.worker_id, ending.attempt + is_call, ending.log_of_attempts(),
        ending.row["thread"], uuid.UUID(ending.row["model"]), ending.row["model_name"], ending.row["kind"] == "scripted",
        None if tried is None else msgspec.json.encode(tried).decode(), sentence, pause_seconds,
    )  # fmt: skip
    if row is None:
        raise Fenced
    ending.attempt = row["attempt"]


# Bears being repeated: $2 is the number of the last call, $4 that of the one to come.
_COUNT = """
UPDATE generation SET attempt = $4, provider_attempts = $5
WHERE id = $1 AND state = 'running' AND worker = $3 AND attempt BETWEEN $2 AND $4
RETURNING attempt
"""

# The thread first, as everywhere; see `_FINISH`. The model may have been deleted since the claim; its name is kept.
_SAY = f"""
WITH held AS MATERIALIZED (SELECT 1 FROM thread WHERE id = $6 FOR NO KEY UPDATE),
counted AS ({_COUNT.replace("WHERE", "FROM held WHERE").replace("RETURNING attempt", "RETURNING attempt, message")}),
answer AS (
    UPDATE message SET model = (SELECT id FROM model WHERE id = $7 FOR KEY SHARE), model_label = $8, is_demo = $9,
        tried = coalesce($10::jsonb, tried), error_sentence = $11, retry_at = now() + make_interval(secs => $12)
    FROM counted WHERE message.id = counted.message
), thread AS (
    UPDATE thread SET version = version + 1 FROM counted WHERE thread.id = $6 RETURNING thread.version
)
SELECT counted.attempt, pg_notify('parley_news', json_build_object(
    'key', 'thread:' || $6::text, 'event', 'message', 'version', thread.version, 'message', counted.message)::text)::text
FROM counted, thread
"""
