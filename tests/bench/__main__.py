"""`python -m tests.bench [--quick]`: measure a real instance, print what it took beside the budgets of docs/performance.md.

Parley and its Postgres run on one core; the scripted model server and this client on another.
"""

import argparse
import asyncio
import pathlib
import statistics
import tempfile
import time

import uvloop

from tests.bench import cost, more, report
from tests.bench.browser import watch_browser
from tests.bench.floor import STREAMS, measure_floor
from tests.bench.idle import hold_open, raise_file_limit
from tests.bench.instance import THEIRS, Instance, connected, on_core, scripted_model, start_program
from tests.bench.pages import time_models, time_search, time_sending, time_sidebar, time_thread, weigh_page
from tests.bench.poison import measure_waits
from tests.bench.report import Line, budgets_of, console
from tests.bench.statements import count_statements
from tests.bench.turns import People, Turns, run_turns
from tests.corpora import poison as corpus
from tests.scripted.server import DEFAULT_WORDS
from tests.wire import Caller

FULL = ((1, 9), (10, 3), (50, 5), (100, 2), (200, 3))
#: What a question may have, by default.
MOST_QUESTION_CHARS = 200_000
QUICK = ((1, 1), (10, 1), (50, 1))


async def measure(data: pathlib.Path, options: argparse.Namespace) -> None:
    """Everything, in the order that disturbs least."""
    lines = await _measure_starts(data)
    special: list[Turns] = []
    program, _ = start_program(data)
    try:
        with scripted_model(options.rate, options.tokens) as model_server:
            async with connected([program], model_server) as instance:
                lines.append(await _measure_rest(instance))
                turns = await _measure_turns(instance, options)
                lines = budgets_of(turns) + await _measure_floor(instance, model_server, turns, options.tokens) + lines
                if not options.turns_only:
                    lines += await _measure_statements(instance, options)
                    lines += await _measure_pages(instance)
                    lines += await _measure_browser(instance, options.tokens)
                    lines += await _measure_waits(instance, options.tokens)
                    lines += await _measure_idle(instance, options.idle)
                if options.all:
                    special = await more.measure_dialects(instance, model_server, options.tokens)
                    special.append(await more.measure_flapping(instance, options))
                    lines += await more.measure_idle(instance)
    finally:
        program.stop()
    if options.all:
        special += await more.measure_split(data.parent / "split", options)
    report.print_turns(turns)
    if special:
        console.print()
        report.print_turns(special, "Other dialects, a flapping server, two web processes and two workers")
    console.print()
    report.print_budgets(lines)


async def measure_waits_only(data: pathlib.Path, options: argparse.Namespace) -> None:
    """One person's texts and another one's waits."""
    program, _ = start_program(data)
    try:
        with scripted_model(options.rate, options.tokens) as model_server:
            async with connected([program], model_server) as instance:
                lines = await _measure_waits(instance, options.tokens)
    finally:
        program.stop()
    lines.append(await _measure_start(data, "a restart after them to the first page", 1.5))
    report.print_budgets(lines)


async def _measure_starts(data: pathlib.Path) -> list[Line]:
    kinds = (("first start (makes the database) to first page", 5.0), ("later start to first page", 1.5))
    return [await _measure_start(data, name, most) for name, most in kinds]


async def _measure_start(data: pathlib.Path, name: str, most: float) -> Line:
    program, seconds = start_program(data)
    try:
        began = time.monotonic()
        caller = Caller(program.base_url)
        page = await caller.fetch(caller.get("/first-run"))
        seconds += time.monotonic() - began
    finally:
        program.stop()
    if page.status != 200:
        raise RuntimeError(f"the first page answered {page.status}")
    return Line(name, seconds, "s", most)


async def _measure_rest(instance: Instance) -> Line:
    caller, _ = await instance.add_caller()
    await caller.fetch(caller.get("/"))
    await asyncio.sleep(3)
    return Line("memory at rest (PSS, all processes)", cost.memory_bytes(instance.processes) / 1e6, "MB", 150)


async def _measure_turns(instance: Instance, options: argparse.Namespace) -> list[Turns]:
    people = People(instance)
    # An instance that has been at work: templates are compiled, connections open, their statements planned.
    await run_turns(instance, people, 50, rounds=2, tokens=options.tokens)
    measured = []
    for count, rounds in options.plan:
        console.print(f"{count} turns at a time …")
        measured.append(await run_turns(instance, people, count, rounds=rounds, tokens=options.tokens))
    return measured


async def _measure_floor(instance: Instance, model_server: str, turns: list[Turns], tokens: int) -> list[Line]:
    """What the tokens of fifty turns cost beside the least that they can."""
    if (fifty := next((each for each in turns if each.count == STREAMS), None)) is None:
        return []
    console.print("The floor …")
    floor = statistics.median([await measure_floor(instance, model_server, tokens) for _ in range(3)])
    return [
        Line("the floor: CPU per 1,000 tokens of a bare stream, K = 50", floor, "s"),
        Line("… and how many times that a turn takes", fifty.cpu_per_thousand / floor, ""),
    ]


async def _measure_statements(instance: Instance, options: argparse.Namespace) -> list[Line]:
    console.print("Statements …")
    found = await count_statements(instance, People(instance), 50, options.tokens)
    if options.statements:
        for text, count in found.by_statement:
            console.print(f"{count:6.2f}  {text[:100]}", markup=False)
    return [
        Line("SQL statements per turn, deltas aside", found.per_turn, "", 10),
        Line("SQL statements to open a page and its stream", found.opening, ""),
        Line("SQL statements a second when idle", found.idle_per_second, ""),
    ]


async def _measure_pages(instance: Instance) -> list[Line]:
    console.print("Pages …")
    weight = await weigh_page(instance)
    empty, long = await time_sending(instance, 0), await time_sending(instance, 5_000)
    return [
        Line("chat page, cold, on the wire", weight.wire_bytes / 1024, "KiB", 60),
        Line("chat page, cold, requests", weight.requests, "", 10),
        Line("open a thread of 1,000 messages", await time_thread(instance, 1_000), "ms", 20),
        Line("open a thread of 5,000 messages", await time_thread(instance, 5_000), "ms", 30),
        Line("send in an empty thread", empty, "ms"),
        Line("send in a thread of 5,000 messages", long, "ms", round(empty * 1.3 + 1, 1)),
        Line("sidebar over 10,000 threads", await time_sidebar(instance, 10_000), "ms", 5),
        Line("search over 10,000 threads", await time_search(instance, 10_000), "ms", 20),
        Line("the page of 2,000 models", await time_models(instance, 2_000), "ms", 30),
    ]


async def _measure_browser(instance: Instance, tokens: int) -> list[Line]:
    console.print("A browser …")
    seen = await watch_browser(instance, tokens)
    return [
        Line("chat page, cold, usable in Chromium", seen.usable, "ms", 300),
        Line("chat page, cold, usable on a slow phone", seen.usable_on_a_phone, "ms", 2_000),
        Line("a thread of 5,000 messages, visible", seen.long_thread_visible, "ms", 300),
        Line("browser's main thread for one answer", seen.main_thread, "ms", 600),
        Line("… its processor time", seen.main_thread_cpu, "ms", 600),
        Line("a frame's arrival to its paint, p95", seen.frame_p95, "ms", 17),
    ]


async def _measure_waits(instance: Instance, tokens: int) -> list[Line]:
    """How much longer another person waits while somebody is answered with texts that are deadly to process."""
    console.print("Deadly texts …")
    deadly_texts = {
        f"{name}, {size:,}": text[:MOST_QUESTION_CHARS]
        for size in (corpus.SHORT, corpus.LONG)
        for name, text in corpus.texts(size).items()
        if text.strip()
    }
    # As many: the longest of more waits is longer.
    plain = {f"plain {number}": " ".join(DEFAULT_WORDS) * 20 for number in range(len(deadly_texts))}
    with scripted_model(50, tokens, "--echo") as echo:
        model = await instance.asking("openai", echo)
        usual = await measure_waits(instance, model, plain)
        deadly = await measure_waits(instance, model, deadly_texts)
    for fault in deadly.faults:
        console.print(fault, markup=False)
    return [
        Line(f"another person's wait beside {len(plain)} plain texts, p50", usual.usual, "ms"),
        Line("… the longest", usual.longest, "ms"),
        Line(f"… how much longer beside {len(deadly_texts)} deadly texts", deadly.longest - usual.longest, "ms", 100),
        Line(f"… the longest beside one of them: {deadly.worst}", deadly.longest, "ms"),
        Line("deadly texts that were not answered", len(deadly.faults), "", 0),
    ]


async def _measure_idle(instance: Instance, pages: int) -> list[Line]:
    console.print(f"{pages:,} idle pages …")
    idle = await hold_open(instance, pages)
    return [
        Line(f"idle pages lost, of {idle.wanted:,}", idle.wanted - idle.opened, "", 0),
        Line("memory of an idle page", idle.bytes_each / 1024, "KiB"),
        Line("share of a core for 1,000 idle pages", idle.core_percent_per_thousand, "%"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer turns, fewer idle pages")
    parser.add_argument("--all", action="store_true", help="also dialects, more processes, flapping, 10,000 idle pages")
    parser.add_argument("--turns-only", action="store_true", help="only starts, memory and turns")
    parser.add_argument("--waits-only", action="store_true", help="only another person's wait beside deadly texts")
    parser.add_argument("--plan", type=_plan, help="turns at a time x rounds, as 1x3,50x2")
    parser.add_argument("--statements", action="store_true", help="list the statements of a turn")
    parser.add_argument("--rate", type=float, default=50.0, help="tokens a second of one answer")
    parser.add_argument("--tokens", type=int, default=200, help="tokens an answer")
    parser.add_argument("--idle", type=int, help="idle pages to hold open")
    options = parser.parse_args()
    options.plan = options.plan or (QUICK if options.quick else FULL)
    options.idle = min(options.idle or (500 if options.quick else 2_000), raise_file_limit() - 500)
    console.print(report.machine())
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder, on_core(THEIRS):
        uvloop.run((measure_waits_only if options.waits_only else measure)(pathlib.Path(folder) / "data", options))


def _plan(text: str) -> tuple[tuple[int, int], ...]:
    return tuple(
        (int(count), int(rounds or 1)) for count, _, rounds in (part.partition("x") for part in text.split(","))
    )


if __name__ == "__main__":
    main()
