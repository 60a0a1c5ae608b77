"""Asks a Parley that was just started for what a new owner sees first: `python -m scripts.smoke http://127.0.0.1:8000`."""

import http.client
import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

START_SECONDS = 60
ANSWER_SECONDS = 10


class Failed(Exception):
    """Parley does not do what it should; the text is one sentence for the console."""


def wait_until_healthy(base_url: str, timeout_seconds: float = START_SECONDS) -> str:
    """The version of the Parley that answers there. Raises `Failed`."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            health = json.loads(fetch(f"{base_url}/health")[1])
        except (OSError, ValueError, http.client.HTTPException, Failed) as error:
            if time.monotonic() > deadline:
                raise Failed(f"{base_url}/health did not answer within {timeout_seconds:g} s: {error}") from error
            time.sleep(0.5)
            continue
        if health.get("status") != "ok":
            raise Failed(f"{base_url}/health says {health}.")
        return str(health["version"])


def check_first_page(base_url: str) -> None:
    """The first page asks for the owner's account, and its stylesheets are there. Raises `Failed`."""
    address, page = fetch(f"{base_url}/")
    if urllib.parse.urlsplit(address).path != "/first-run" or 'name="password"' not in page:
        raise Failed(f"{base_url}/ leads to {address}, which does not ask for an owner.")
    styles = re.findall(r'href="(/static/[^"]+\.css[^"]*)"', page)
    if not styles:
        raise Failed(f"{address} names no stylesheet.")
    for path in styles:
        fetch(base_url + path)


def fetch(url: str) -> tuple[str, str]:
    """Where a URL led and what was there. Raises `OSError`, `http.client.HTTPException`, or `Failed` for an error status."""
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_SECONDS) as answer:  # noqa: S310  the address is the caller's
            return answer.url, answer.read().decode()
    except urllib.error.HTTPError as error:
        raise Failed(f"{url} answered {error.code}.") from error


def main(base_url: str) -> None:
    """Check the Parley at this address; say its version, or what is wrong with it."""
    try:
        version = wait_until_healthy(base_url)
        check_first_page(base_url)
    except Failed as error:
        sys.exit(str(error))
    print(f"Parley {version} is healthy and shows its first page.")


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"))
