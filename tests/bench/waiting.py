"""`python -m tests.bench.waiting http://host:port path cookie`: one person who keeps asking for a page.

A process of its own, so that nothing the bench does is taken for a wait. Ends when its stdin does, and then prints
every request as JSON: when it began (seconds of the system's monotonic clock) and how long it waited.
"""

import http.client
import json
import select
import sys
import time

PAUSE_SECONDS = 0.01


def ask(address: str, path: str, cookie: str) -> list[tuple[float, float]]:
    """Until stdin ends."""
    line = http.client.HTTPConnection(address.removeprefix("http://"), timeout=120)
    asked: list[tuple[float, float]] = []
    while not select.select([sys.stdin], [], [], PAUSE_SECONDS)[0]:
        began = time.monotonic()
        line.request("GET", path, headers={"cookie": cookie, "accept": "text/html"})
        answer = line.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}")
        asked.append((began, time.monotonic() - began))
    return asked


if __name__ == "__main__":
    print(json.dumps(ask(*sys.argv[1:])))
