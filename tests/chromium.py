"""Where Chromium is for the browser tests, and `python -m tests.chromium`, which installs one if there is none."""

import os
import pathlib
import shutil
import subprocess
import sys

#: Ten times what a busy machine needs for anything that a page does.
MOST_MS = 60_000

#: Chromium without windows: the same pages for four fifths of the processor's time, most of it of the browser process.
SHELL = "chromium-headless-shell"
NAMES = (SHELL, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

#: What Playwright switches off: only the last --disable-features counts, so ours says it again. And the list under the
#: address bar: some versions load two pages of their own for it with every window, half a second's work.
_FEATURES = (
    *("AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose", "HttpsUpgrades", "LensOverlay"),
    *("HttpsFirstBalancedModeAutoEnable", "MediaRouter", "PaintHolding", "ThirdPartyStoragePartitioning"),
    *("AvoidCorsURLLoaderRestartOnRedirect", "OptimizationHints", "NetworkTimeServiceQuerying", "AimEnabled"),
    *("PreconnectToSearch", "WebUIOmniboxPopup", "WebUIOmniboxAimPopup"),
)

#: No sandbox, because tests run as root in containers; nothing that talks to the world by itself.
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
    f"--disable-features={','.join(_FEATURES)}",
]


def on_path() -> str | None:
    """The browser on PATH; None leaves it to Playwright to find its own."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def find() -> str | None:
    """The browser on PATH, else Playwright's own, else None."""
    if found := on_path():
        return found
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if pathlib.Path(own).is_file() else None


def main() -> None:
    """Install Chromium in the first way that works; end with one sentence if none does."""
    _try_shell()
    if find():
        return
    print("No Chromium found; installing it …", flush=True)
    for commands in _ways():
        if all(_succeeds(command) for command in commands) and find():
            return
    sys.exit(
        "The browser tests need Chromium: install the package `chromium` of your system, or run "
        f"`{sys.executable} -m playwright install --with-deps chromium` with the rights to do so."
    )


def _try_shell() -> None:
    """Debian packages the shell. Tried once for each venv, and done without elsewhere."""
    tried = pathlib.Path(sys.prefix) / ".chromium-shell-tried"
    if shutil.which(SHELL) or tried.exists() or os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    print("Installing Chromium's headless shell …", flush=True)
    tried.touch()
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", SHELL]
    if _succeeds(["apt-get", "update", "-qq"]):
        _succeeds(install)


def _ways() -> list[list[list[str]]]:
    own = [sys.executable, "-m", "playwright", "install"]
    if os.geteuid() != 0:
        return [[[*own, "chromium"]]]
    debian = [["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"]]
    return [[[*own, "--with-deps", "chromium"]], debian]


def _succeeds(command: list[str]) -> bool:
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            timeout=900,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


if __name__ == "__main__":
    main()
