"""What Prometheus is told by `GET /metrics`: what this process counted, what it is, and what the database tells.

What the database tells is the same from every process.
"""

import os
import resource
import sys
import time
from collections.abc import Iterator

from app.chat.counters import COUNTED, Sample, family
from app.chat.health import Health, Stored

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(health: Health) -> str:
    """All of it, as `GET /metrics` answers."""
    lines = [line for each in COUNTED for line in each.lines()]
    lines += _of_process(health)
    lines += _gauge("parley_database_up", "Whether the database answered just now.", health.stored is not None)
    if health.stored is not None:
        lines += _gauge("parley_database_latency_seconds", "Of one statement.", (health.latency_ms or 0) / 1000)
        lines += _of_database(health.stored)
    return "\n".join(lines) + "\n"


def _of_process(health: Health) -> Iterator[str]:
    """What only this process knows."""
    labels = {"version": health.parley, "python": health.python}
    yield from family("parley_info", "What runs.", "gauge", [(labels, 1)])
    used = resource.getrusage(resource.RUSAGE_SELF)
    yield from family("process_cpu_seconds_total", "CPU time.", "counter", [({}, used.ru_utime + used.ru_stime)])
    yield from _gauge("process_resident_memory_bytes", "Memory in use.", resident_bytes())
    if health.process is None:
        return
    process = health.process
    yield from _gauge("process_start_time_seconds", "When it began, Unix time.", time.time() - process.uptime_seconds)
    yield from _gauge("parley_event_loop_lag_seconds", "The worst of the last 15 s.", process.loop_lag_seconds)
    yield from _gauge("parley_viewers", "Open pages that follow a thread through this process.", process.viewers)
    yield from _gauge("parley_running_generations", "Answers that this process writes.", process.running)
    yield from _gauge("parley_pending_characters", "Text that waits to be stored.", process.pending_chars)
    pool = [({"state": "idle"}, process.idle_connections)]
    pool.append(({"state": "used"}, process.connections - process.idle_connections))
    yield from family("parley_database_connections", "Connections of this process's pool.", "gauge", pool)


def _of_database(stored: Stored) -> Iterator[str]:
    """What is the same from every process."""
    waits = (stored.now - stored.oldest_waiting_at).total_seconds() if stored.oldest_waiting_at else 0.0
    yield from _gauge("parley_database_size_bytes", "Size of the database.", stored.size_bytes)
    yield from _gauge("parley_queue_depth", "Answers that wait for a worker.", stored.waiting)
    yield from _gauge("parley_queue_oldest_seconds", "How long the oldest of them has waited.", waits)
    yield from _gauge("parley_queue_jobs", "Jobs in the queue.", stored.jobs)
    yield from _gauge("parley_all_running_generations", "Answers that all workers write.", stored.running)
    yield from _gauge("parley_workers", "Workers that live.", len(stored.workers))
    yield from _gauge("parley_live_log_rows", "Rows of the live log, estimated.", stored.delta_rows)
    names = [({"provider": each.name, "kind": each.kind, "id": str(each.id)}, each) for each in stored.providers]
    up: list[Sample] = [(labels, each.state in ("ok", "stale")) for labels, each in names]
    stale: list[Sample] = [(labels, each.state == "stale") for labels, each in names]
    latency: list[Sample] = [(labels, each.latency_ms / 1000) for labels, each in names if each.latency_ms is not None]
    yield from family("parley_provider_up", "Whether a provider can be reached and its models answer.", "gauge", up)
    yield from family(
        "parley_provider_list_stale", "Whether its list of models could not be refreshed.", "gauge", stale
    )
    yield from family("parley_provider_latency_seconds", "Of the last look that went well.", "gauge", latency)
    is_open: list[Sample] = [(labels, each.is_open) for labels, each in names]
    yield from family("parley_circuit_open", "Whether a provider is not called for now.", "gauge", is_open)
    failing = [(labels | {"model": model.name}, model) for labels, each in names for model in each.models]
    open_models: list[Sample] = [(labels, model.down_since is not None) for labels, model in failing]
    failures: list[Sample] = [(labels, model.failures) for labels, model in failing]
    yield from family(
        "parley_model_circuit_open", "Whether a model is not called for now, of models whose last calls failed.", "gauge",
        open_models,
    )  # fmt: skip
    yield from family("parley_model_failures", "Calls of a model that failed in a row.", "gauge", failures)


def resident_bytes() -> int:
    """The memory of this process; where the system does not say, its highest so far."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def _gauge(name: str, help_text: str, value: float) -> Iterator[str]:
    return family(name, help_text, "gauge", [({}, value)])
