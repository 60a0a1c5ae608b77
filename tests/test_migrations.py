"""`make migration`: what Piccolo writes for tables that changed, and that it finds nothing where none did."""

import ast
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from app import schema
from tests.clusters import in_thread, run_sql
from tests.programs import ROOT, Program

MIGRATIONS = sorted((ROOT / "migrations").glob("*.py"))


@pytest.fixture
def checkout(tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of what `make migration` reads and writes."""
    for name in ("app", "migrations"):
        shutil.copytree(ROOT / name, tmp_path / "parley" / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "parley"


def make_migration(checkout: pathlib.Path) -> str:
    """What the command of the Makefile writes: the new file's text, "" if it finds no difference."""
    before = set((checkout / "migrations").glob("*.py"))
    subprocess.run(
        [pathlib.Path(sys.executable).parent / "piccolo", "migrations", "new", "parley", "--auto", "--desc=add a note"],
        cwd=checkout, env={**os.environ, "PICCOLO_CONF": "app.piccolo_conf"}, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    return "".join(path.read_text() for path in set((checkout / "migrations").glob("*.py")) - before)


def replace(path: pathlib.Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def calls(migration: str) -> list[str]:
    """What a migration asks of its `MigrationManager`."""
    called = [node.func for node in ast.walk(ast.parse(migration)) if isinstance(node, ast.Call)]
    return [
        f.attr
        for f in called
        if isinstance(f, ast.Attribute) and isinstance(f.value, ast.Name) and f.value.id == "manager"
    ]


def test_tables_that_did_not_change_need_no_migration(checkout: pathlib.Path) -> None:
    assert make_migration(checkout) == ""
    (checkout / "app/tables/worker.py").rename(checkout / "app/tables/process.py")
    replace(checkout / "app/tables/__init__.py", "from app.tables.worker", "from app.tables.process")
    assert make_migration(checkout) == "", "nor do tables that moved"


def test_a_migration_holds_the_difference_alone_and_is_applied(checkout: pathlib.Path, database_url: str) -> None:
    column = "    seen_at = Timestamptz()\n"
    replace(checkout / "app/tables/worker.py", column, f"{column}    note = Varchar(length=40)\n")
    written = make_migration(checkout)
    assert calls(written) == ["add_column"]
    assert 'tablename="worker"' in written
    assert 'column_name="note"' in written
    assert make_migration(checkout) == "", "the next one begins where this one ended"
    known = schema.known_ids(checkout / "migrations")
    migrated = subprocess.run(
        [sys.executable, "-m", "app", "migrate"],
        cwd=checkout, env={**Program(data=checkout).environment, "DATABASE_URL": database_url},
        check=True, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert migrated.stdout.startswith(f"Migrated the database: {known[-1]}.")
    assert len(known) == len(MIGRATIONS) + 1
    kind = "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'worker'::regclass AND attname = 'note'"
    assert [row[0] for row in in_thread(lambda: run_sql(database_url, kind))] == ["character varying(40)"]


@pytest.mark.parametrize("path", MIGRATIONS, ids=lambda path: path.stem)
def test_migrations_know_nothing_of_the_app(path: pathlib.Path) -> None:
    """They must stay as they are when the app's modules move or change."""
    modules = re.findall(r"^\s*(?:from|import)\s+(\w+)", path.read_text(), re.MULTILINE)
    assert "piccolo" in modules
    assert "app" not in modules
