"""What was measured, as tables with the budgets beside."""

import os
import platform
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from tests.bench.instance import is_pinned
from tests.bench.turns import Turns

console = Console(width=110, highlight=False, soft_wrap=False)


class Line(msgspec.Struct, frozen=True):
    """One measure beside its budget; None: the design says nothing about it."""

    what: str
    value: float
    unit: str
    most: float | None = None

    @property
    def is_met(self) -> bool:
        return self.most is None or self.value <= self.most


def machine() -> str:
    """What it was measured on, and how busy that was with other things."""
    load = ", ".join(f"{average:.1f}" for average in os.getloadavg())
    pinned = "server on one, client and model on another" if is_pinned() else "not pinned"
    return (
        f"{os.cpu_count()} cores ({pinned}), {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}; load averages at the start {load}"
    )


def print_turns(all_turns: Sequence[Turns], title: str = "Concurrent turns") -> None:
    """One column for each number of concurrent turns, and for each way of having them."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    for turns in all_turns:
        table.add_column(f"{turns.label}\nK = {turns.count}".strip(), justify="right", no_wrap=True)
    rows = (
        ("added time to first token p50, ms", "first_token_p50", ".1f"),
        ("added time to first token p95, ms", "first_token_p95", ".1f"),
        ("added latency per token p50, ms", "token_p50", ".1f"),
        ("added latency per token p95, ms", "token_p95", ".1f"),
        ("added latency per token p99, ms", "token_p99", ".1f"),
        ("CPU s per 1,000 tokens", "cpu_per_thousand", ".3f"),
        ("  of it Postgres", "postgres_per_thousand", ".3f"),
        ("bytes of frames per token", "frame_bytes_per_token", ".0f"),
        ("bytes of the whole stream per token", "bytes_per_token", ".0f"),
        ("frames per token", "frames_per_token", ".2f"),
        ("fetches per turn", "fetches_per_turn", ".1f"),
        ("memory under load (PSS), MB", "memory_mb", ".0f"),
        ("load average of the machine", "load", ".1f"),
    )
    for label, name, form in rows:
        table.add_row(label, *(format(getattr(turns, name), form) for turns in all_turns))
    table.add_row("failed turns", *(str(len(turns.faults)) for turns in all_turns))
    console.print(table)
    for turns in all_turns:
        for fault in sorted(set(turns.faults))[:3]:
            console.print(f"{_name(turns)}: {fault}")


def budgets_of(all_turns: Sequence[Turns]) -> list[Line]:
    """The budgets that are about turns."""
    by_count = {turns.count: turns for turns in all_turns}
    lines: list[Line] = []
    if one := by_count.get(1):
        lines.append(Line("added time to first token, K = 1, p50", one.first_token_p50, "ms", 12))
        lines.append(Line("added latency per token, K = 1, p50", one.token_p50, "ms", 5))
    if fifty := by_count.get(50):
        lines.append(Line("added time to first token, K = 50, p95", fifty.first_token_p95, "ms", 40))
        lines.append(Line("added latency per token, K = 50, p95", fifty.token_p95, "ms", 25))
        lines.append(Line("CPU per 1,000 tokens, K = 50", fifty.cpu_per_thousand, "s", 0.066))
        lines.append(Line("bytes on the wire per token, K = 50", fifty.frame_bytes_per_token, "B", 120))
    if many := by_count.get(200):
        lines.append(Line("added latency per token, K = 200, p99", many.token_p99, "ms", 100))
        lines.append(Line("failed turns, K = 200", len(many.faults), "", 0))
    return lines


def print_budgets(lines: Sequence[Line]) -> None:
    """Every measure with what the design allows."""
    table = Table(title="Budgets", title_justify="left", box=None, pad_edge=False)
    table.add_column("What")
    table.add_column("Measured", justify="right")
    table.add_column("Budget", justify="right")
    table.add_column("")
    for line in lines:
        budget = "" if line.most is None else f"≤ {_shown(line.most)}"
        verdict = "" if line.most is None else "met" if line.is_met else f"missed: {_times(line)}"
        table.add_row(line.what, f"{_shown(line.value)} {line.unit}", budget, verdict)
    console.print(table)


def _name(turns: Turns) -> str:
    return f"{turns.label}, K = {turns.count}" if turns.label else f"K = {turns.count}"


def _times(line: Line) -> str:
    return f"{line.value / line.most:.1f} times as much" if line.most else f"{line.value:g} instead of none"


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
