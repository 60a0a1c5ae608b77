"""What a log must not hold, whatever happened: people's words, secrets, and things that nobody foresaw."""

import collections
import json
import pathlib
from collections.abc import Iterable
from typing import Any

#: Events that say that something of ours failed in a way that it should not.
UNFORESEEN = {
    "background_part_failed", "delta_refused", "generation_crashed", "generation_end_refused", "generation_lost",
    "request_failed",
}  # fmt: skip


def check_logs(paths: Iterable[pathlib.Path], secrets: Iterable[str], texts: Iterable[str]) -> None:
    """Every line of these logs is fit to be read by anybody who runs the program."""
    finished: collections.Counter[str] = collections.Counter()
    for path in paths:
        printed = path.read_text()
        for word in (*secrets, *(text for text in texts if len(text) > 8)):
            assert word not in printed, f"{path.name} holds {word!r}"
        for event in _events(printed):
            assert event["event"] not in UNFORESEEN, event
            if event["event"] == "generation_finished":
                finished[event["generation_id"]] += 1
    assert max(finished.values(), default=1) == 1, "one thing was told twice"


def _events(printed: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
