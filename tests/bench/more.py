"""What `--all` measures beside: every dialect, more processes, a model server that comes and goes, ten thousand pages."""

import argparse
import pathlib

import msgspec

from tests.bench.idle import hold_open
from tests.bench.instance import Instance, connected, scripted_model, split_programs
from tests.bench.report import Line, console
from tests.bench.turns import People, Turns, run_turns
from tests.scripted import DIALECTS

ROUNDS = 3
FLAP_SECONDS = 0.3
SPLIT_COUNTS = (50, 200)
IDLE_COUNTS = (1_000, 10_000)


async def measure_dialects(instance: Instance, model_server: str, tokens: int) -> list[Turns]:
    """Fifty turns in each dialect."""
    measured = []
    for dialect in DIALECTS:
        console.print(f"50 turns at a time, {dialect.kind} …")
        asking = await instance.asking(dialect.kind, model_server)
        measured.append(await _run(asking, 50, tokens, dialect.kind))
    return measured


async def measure_flapping(instance: Instance, options: argparse.Namespace) -> Turns:
    """Fifty turns whose model's server refuses half of the time, with another model to fall back on."""
    console.print("50 turns at a time, with a model server that comes and goes …")
    with scripted_model(options.rate, options.tokens, "--flap", str(FLAP_SECONDS)) as flapping:
        asking = await instance.asking("openai", flapping, fallback=instance.model)
        return await _run(asking, 50, options.tokens, "flapping")


async def measure_split(data: pathlib.Path, options: argparse.Namespace) -> list[Turns]:
    """Two web processes and two workers over one database, all on the same core as ever."""
    measured = []
    with split_programs(data) as programs, scripted_model(options.rate, options.tokens) as model_server:
        async with connected(programs, model_server) as instance:
            await _run(instance, 4, options.tokens, "", rounds=1)  # templates are compiled now
            for count in SPLIT_COUNTS:
                console.print(f"{count} turns at a time, two web processes and two workers …")
                measured.append(await _run(instance, count, options.tokens, "2 + 2"))
    return measured


async def measure_idle(instance: Instance) -> list[Line]:
    """Open pages by the thousand. The limit of open files is each process's own: the client holds as many as the server."""
    lines = []
    for pages in IDLE_COUNTS:
        console.print(f"{pages:,} idle pages …")
        idle = await hold_open(instance, pages)
        lines += [
            Line(f"idle pages lost, of {pages:,}", pages - idle.opened, "", 0),
            Line(f"memory of an idle page, of {pages:,}", idle.bytes_each / 1024, "KiB"),
            Line(f"share of a core for 1,000 idle pages, of {pages:,}", idle.core_percent_per_thousand, "%"),
        ]
    return lines


async def _run(instance: Instance, count: int, tokens: int, label: str, rounds: int = ROUNDS) -> Turns:
    turns = await run_turns(instance, People(instance), count, rounds=rounds, tokens=tokens)
    return msgspec.structs.replace(turns, label=label)
