"""What health means: a plain sentence for each part, fine or to be looked at, and what to do. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec
from markupsafe import Markup

from app.chat.health import Health, ModelFacts, ProviderFacts, ScheduleFacts, State, Stored, WorkerFacts
from app.html.filters import in_bytes, in_seconds, number, provider_name, say, text_of
from app.words import gettext as _
from app.words import ngettext

#: From here on something is worth a look. A worker gives a sign of life every two seconds.
SLOW_MILLISECONDS = 100.0
LONG_WAIT_SECONDS = 10.0
SILENT_SECONDS = 6.0
LATE_SECONDS = 60.0
MUCH_PENDING_CHARS = 1_000_000

#: The page where model servers are connected, checked and mended.
MODELS = "/providers"

_WORSE: tuple[State, ...] = ("ok", "look", "down")


class Line(msgspec.Struct, frozen=True):
    """One part: what was found, and what to do about it, empty where nothing is. `page`: where to do it, if on one of ours.

    `facts` is Markup, so that a script can write numbers and times in the reader's own way; plain text after `plain`.
    """

    part: str
    state: State
    facts: str
    advice: str = ""
    page: str = ""


class Section(msgspec.Struct, frozen=True):
    """Parts of one kind."""

    name: str
    title: str
    lines: tuple[Line, ...]


def judge(health: Health) -> tuple[Section, ...]:
    """Every part with its judgement. While the database is away that is all that can be said."""
    sections = [Section("database", _("Database"), (_database(health),))]
    if health.stored is not None:
        sections += judge_stored(health.stored)
    if health.process is not None:
        sections.append(Section("process", _("This process"), _process(health)))
    return tuple(sections)


def judge_stored(stored: Stored) -> list[Section]:
    """The parts that only the database knows."""
    now = stored.now
    schedules = tuple(_schedule(each, now, has_worker=bool(stored.workers)) for each in stored.schedules)
    return [
        Section("answers", _("Answers"), (_queue(stored), _live(stored))),
        Section("workers", _("Workers"), tuple(_worker(each, now) for each in stored.workers) or (_no_worker(stored),)),
        Section("providers", _("Model servers"), tuple(_providers(stored)) or (_none(),)),
        *([Section("schedules", _("Schedules"), schedules)] if schedules else []),
    ]


def plain(sections: Sequence[Section]) -> tuple[Section, ...]:
    """The same without HTML: for consoles and programs."""
    return tuple(
        msgspec.structs.replace(
            section,
            lines=tuple(msgspec.structs.replace(line, facts=text_of(line.facts)) for line in section.lines),
        )
        for section in sections
    )


def worst(sections: Sequence[Section]) -> State:
    """The state of the whole."""
    return max((line.state for section in sections for line in section.lines), key=_WORSE.index, default="ok")


def count_troubles(sections: Sequence[Section]) -> int:
    """How many parts are to be looked at."""
    return sum(line.state != "ok" for section in sections for line in section.lines)


def _database(health: Health) -> Line:
    part = "Postgres"
    if health.stored is None or health.latency_ms is None:
        facts = say(_("It does not answer (%(error)s)."), error=health.error or "?")
        return Line(part, "down", facts, _("Start Postgres, or see what its log says. Parley goes on by itself then."))
    facts = say(
        _("Version %(version)s, answers in %(time)s, %(size)s"),
        version=health.stored.postgres, time=_time(health.latency_ms), size=in_bytes(health.stored.size_bytes),
    )  # fmt: skip
    if health.latency_ms > SLOW_MILLISECONDS:
        return Line(part, "look", facts, _("It answers slowly: see what else its machine and its disk are busy with."))
    return Line(part, "ok", facts)


def _queue(stored: Stored) -> Line:
    part, waits = _("Queue"), _age(stored.oldest_waiting_at, stored.now)
    facts = say(
        _("%(waiting)s waiting, %(running)s being written"),
        waiting=number(stored.waiting), running=number(stored.running),
    )  # fmt: skip
    if stored.waiting:
        facts = say(_("%(facts)s; the oldest has waited %(time)s"), facts=facts, time=_time(waits * 1000))
    if stored.waiting and not stored.workers:
        return Line(part, "down", facts, _("Nobody writes them: start `parley worker`."))
    if stored.waiting and waits > LONG_WAIT_SECONDS:
        advice = _("All workers are full: start another `parley worker`, or raise PARLEY_MAX_GENERATIONS.")
        return Line(part, "look", facts, advice)
    return Line(part, "ok", facts)


def _live(stored: Stored) -> Line:
    rows = say(ngettext("about %(rows)s row", "about %(rows)s rows", stored.delta_rows), rows=number(stored.delta_rows))
    return Line(_("Live log"), "ok", rows)


def _worker(worker: WorkerFacts, now: datetime) -> Line:
    silence = _age(worker.seen_at, now)
    facts = say(
        _("%(running)s being written, last seen %(seen)s ago, started %(started)s ago"),
        running=number(worker.running), seen=_time(silence * 1000), started=_time(_age(worker.started_at, now) * 1000),
    )  # fmt: skip
    if silence > SILENT_SECONDS:
        advice = _("It is silent. If it stays so, its answers are given to others in a moment; look at its log.")
        return Line(worker.name, "look", facts, advice)
    return Line(worker.name, "ok", facts)


def _no_worker(stored: Stored) -> Line:
    advice = _("Start `parley worker`, or `parley serve` without --no-worker.")
    facts = say(_("None is there: no question is answered."))
    return Line(_("Workers"), "down" if stored.waiting else "look", facts, advice)


def _providers(stored: Stored) -> Iterator[Line]:
    for provider in stored.providers:
        yield _provider(provider, stored.now)
        yield from (_model(model, provider_name(provider.name), stored.now) for model in provider.models)


def _provider(provider: ProviderFacts, now: datetime) -> Line:
    name = provider_name(provider.name)
    if provider.state == "ok":
        facts = say(_("Answered %(ago)s ago"), ago=_time(_age(provider.looked_at, now) * 1000))
        if provider.latency_ms is not None:
            facts = say(_("%(facts)s, in %(time)s"), facts=facts, time=_time(provider.latency_ms))
        if provider.version:
            facts = say(_("%(facts)s; version %(version)s"), facts=facts, version=provider.version)
        if provider.failures:
            return Line(name, "look", say("%(facts)s; %(calls)s", facts=facts, calls=_failed_calls(provider.failures)))
        return Line(name, "ok", facts)
    if provider.state == "unknown":
        advice = _("A worker asks within a minute; or press Check now.")
        return Line(name, "look", say(_("Not asked yet")), advice, MODELS)
    if provider.state == "stale":
        facts = say(_("Its list of models could not be refreshed: %(error)s"), error=provider.error)
        advice = _("Its models stay available. If this continues, check its address and key.")
        return Line(name, "look", _with_next(facts, provider.next_probe_at, now), advice, MODELS)
    since = _time(_age(provider.down_since, now) * 1000)
    if provider.state == "failing":
        facts = say(
            _("Several of its models have not answered for %(time)s: %(error)s"), time=since, error=provider.error
        )
        return Line(
            name, "down", facts, _("Check the server's own log. It is used again as soon as one of its models answers.")
        )
    facts = say(_("Down for %(time)s: %(error)s"), time=since, error=provider.error)
    facts = _with_next(facts, provider.next_probe_at, now)
    return Line(name, "down", facts, _("Start it, or mend its address or key."), MODELS)


def _model(model: ModelFacts, provider: str, now: datetime) -> Line:
    """A model that fails on its own; the other models of its server are not affected."""
    part = f"{model.name} · {provider}"
    if model.down_since is None:
        return Line(part, "look", say("%(calls)s: %(error)s", calls=_failed_calls(model.failures), error=model.error))
    since = _time(_age(model.down_since, now) * 1000)
    facts = say(_("The model has not answered for %(time)s: %(error)s"), time=since, error=model.error)
    advice = _("Every few seconds one question tries it again; the others go to its fallbacks.")
    return Line(part, "look", facts, advice)


def _failed_calls(count: int) -> Markup:
    calls = ngettext("%(count)s call failed just now", "%(count)s calls failed just now", count)
    return say(calls, count=number(count))


def _with_next(facts: Markup, next_at: datetime | None, now: datetime) -> Markup:
    if next_at is None:
        return facts
    soon = -_age(next_at, now)
    again = say(_("Asked again in %(time)s."), time=_time(soon * 1000)) if soon >= 1 else say(_("Asked again now."))
    return say("%(facts)s %(again)s", facts=facts, again=again)


def _none() -> Line:
    return Line(_("Model servers"), "look", say(_("None is connected")), _("Connect one."), MODELS)


def _schedule(schedule: ScheduleFacts, now: datetime, *, has_worker: bool) -> Line:
    name = _scheduled().get(schedule.name, schedule.name)
    if schedule.last_run_at is None:
        facts = say(_("Not run yet"))
    else:
        facts = say(_("Last run %(time)s ago"), time=_time(_age(schedule.last_run_at, now) * 1000))
    is_late = _age(schedule.next_run_at, now) > LATE_SECONDS and not schedule.is_running
    if is_late and has_worker:
        return Line(name, "look", facts, _("It is late: look at the log of the workers."))
    if is_late:
        return Line(name, "look", facts, _("It waits for a worker."))
    return Line(name, "ok", facts)


def _scheduled() -> dict[str, str]:
    """What is done again and again, in words: see `lifespan.py`."""
    return {
        "probe": _("Looking after servers that are down"),
        "catalog": _("Refreshing the list of models"),
        "upkeep": _("Tidying up"),
    }


def _process(health: Health) -> tuple[Line, ...]:
    process = health.process
    assert process is not None
    up = say(
        _("Parley %(parley)s on Python %(python)s, up for %(time)s"),
        parley=health.parley, python=health.python, time=_time(process.uptime_seconds * 1000),
    )  # fmt: skip
    pages = say(
        _("Open: %(viewers)s; answers being written here: %(running)s"),
        viewers=number(process.viewers), running=number(process.running),
    )  # fmt: skip
    pending = say(_("Waiting to be stored: %(size)s"), size=in_bytes(process.pending_chars))
    is_behind = process.pending_chars > MUCH_PENDING_CHARS
    advice = _("The database does not keep up with the answers: see what it is busy with.")
    return (
        Line(_("Running"), "ok", up),
        Line(_("Pages"), "ok", pages),
        Line(_("Text"), "look" if is_behind else "ok", pending, advice if is_behind else ""),
    )


def _age(moment: datetime | None, now: datetime) -> float:
    return (now - moment).total_seconds() if moment else 0.0


def _time(milliseconds: float) -> Markup:
    return in_seconds(milliseconds) if milliseconds >= 1 else say(_("under 1 ms"))
