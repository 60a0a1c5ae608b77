"""The workflows ask for few rights, run what exists, and can be read; nothing but the forge itself can run them whole."""

import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

from tests.programs import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

#: The only jobs that may write, and what.
WRITERS = {
    ("release.yml", "publish"): {"packages"},
    ("release.yml", "announce"): {"contents", "pull-requests"},
    ("dependencies.yml", "propose"): {"contents", "pull-requests"},
}


def read(path: pathlib.Path) -> dict[Any, Any]:
    """A workflow; its triggers stand under `True`, which is how YAML 1.1 reads `on`."""
    return yaml.safe_load(path.read_text())


JOBS = [
    pytest.param(path.name, name, job, read(path), id=f"{path.stem}-{name}")
    for path in WORKFLOWS
    for name, job in read(path)["jobs"].items()
]
STEPS = [
    pytest.param(job, step, id=f"{path.stem}-{name}-{number}")
    for path in WORKFLOWS
    for name, job in read(path)["jobs"].items()
    for number, step in enumerate(job.get("steps", ()))
]
COMMANDS = [
    pytest.param(values[1]["run"], id=name)
    for name, values in ((one.id, one.values) for one in STEPS)
    if "run" in values[1]
]


def test_there_is_a_workflow_for_changes_for_releases_and_for_dependencies() -> None:
    triggers = {path.name: set(read(path)[True]) for path in WORKFLOWS}
    assert triggers == {
        "ci.yml": {"push", "pull_request", "workflow_call"},
        "release.yml": {"push"},
        "dependencies.yml": {"schedule", "workflow_dispatch"},
    }
    assert read(ROOT / ".github/workflows/release.yml")[True]["push"] == {"tags": ["v*"]}


@pytest.mark.parametrize(("file", "name", "job", "workflow"), JOBS)
def test_a_job_may_write_only_what_it_publishes(
    file: str, name: str, job: dict[str, Any], workflow: dict[Any, Any]
) -> None:
    assert workflow["permissions"] in ({}, {"contents": "read"})
    permissions = job.get("permissions", workflow["permissions"])
    assert permissions
    assert {scope for scope, right in permissions.items() if right != "read"} == WRITERS.get((file, name), set())


@pytest.mark.parametrize(("file", "name", "job", "workflow"), JOBS)
def test_a_job_that_runs_the_code_of_others_keeps_no_token(
    file: str, name: str, job: dict[str, Any], workflow: dict[Any, Any]
) -> None:
    runs_others = any("install" in run or ".ci/run" in run or "make" in run for run in runs_of(job))
    for step in job.get("steps", ()):
        if runs_others and step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
    if "uses" not in job:
        assert 0 < job["timeout-minutes"] <= 60
    assert not (runs_others and "contents" in WRITERS.get((file, name), set()))


@pytest.mark.parametrize(("job", "step"), STEPS)
def test_actions_are_pinned_by_commit(job: dict[str, Any], step: dict[str, Any]) -> None:
    assert ("uses" in step) != ("run" in step)
    if "uses" in step:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", step["uses"])


def test_a_pinned_commit_carries_its_version_and_is_the_same_everywhere() -> None:
    found = {line for path in WORKFLOWS for line in re.findall(r"uses: (actions/.*)", path.read_text())}
    assert all(re.fullmatch(r"\S+@\S+ # v\d+\.\d+\.\d+", line) for line in found)
    assert len({line.partition("@")[0] for line in found}) == len(found)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_no_workflow_trusts_what_strangers_send_or_shows_a_secret(path: pathlib.Path) -> None:
    text = path.read_text()
    assert "pull_request_target" not in text
    assert "workflow_run" not in text
    assert "secrets." not in text, "the token of the run is enough"
    for run in (run for job in read(path)["jobs"].values() for run in runs_of(job)):
        assert "${{" not in run, "a name of a branch or tag would be run as shell; pass it in the environment"
        assert not re.search(r"(echo|printf|cat)\b.*TOKEN|set -x|\benv\b *$", run, re.MULTILINE)


@pytest.mark.parametrize("run", COMMANDS)
def test_a_command_is_shell_and_names_what_exists(run: str) -> None:
    subprocess.run(["bash", "-n"], input=run, text=True, check=True, timeout=60)
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)", run)) <= targets
    for module in re.findall(r"python -m (scripts\S*)", run):
        assert importlib.util.find_spec(module)
    for script in re.findall(r"(?<![\w./])\.ci/\S+", run):
        assert os.access(ROOT / script, os.X_OK)
    for file in re.findall(r"\b(?:requirements[\w.]*\.lock|CHANGELOG\.md)", run):
        assert (ROOT / file).is_file()


def test_an_image_is_tried_before_it_is_published() -> None:
    release = read(ROOT / ".github" / "workflows" / "release.yml")["jobs"]
    assert release["test"]["uses"] == "./.github/workflows/ci.yml"
    assert release["publish"]["needs"] == "test"
    assert release["announce"]["needs"] == "publish"
    whole = "\n".join(runs_of(release["publish"]))
    order = ["scripts.changelog check", "make build", "docker run", "scripts.smoke", "docker login", "docker push"]
    assert sorted(order, key=whole.index) == order


def test_the_image_is_published_under_its_version_and_as_the_latest(tmp_path: pathlib.Path) -> None:
    """The commands of the workflow themselves, with a docker that notes what it is asked for."""
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\necho "$@" >>"$NOTES"\n[ "$1" != login ] || cat >>"$NOTES"\n')
    docker.chmod(0o755)
    (push,) = [run for run in runs_of(job_of("release.yml", "publish")) if "docker push" in run]
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "NOTES": str(tmp_path / "notes"),
        "GITHUB_REPOSITORY": "Olive/Parley",
        "GITHUB_REF_NAME": "v1.2.0",
        "GITHUB_ACTOR": "olive",
        "REGISTRY": "images.example",
        "TOKEN": "hunter2",
    }
    done = subprocess.run(
        ["bash", "-e", "-c", push], env=environment, check=True, timeout=60, capture_output=True, text=True
    )
    assert (tmp_path / "notes").read_text().splitlines() == [
        "login images.example --username olive --password-stdin",
        "hunter2",
        "tag parley:1.2.0 images.example/olive/parley:1.2.0",
        "push images.example/olive/parley:1.2.0",
        "tag parley:1.2.0 images.example/olive/parley:latest",
        "push images.example/olive/parley:latest",
    ]
    assert "hunter2" not in done.stdout + done.stderr


def test_vulnerabilities_are_looked_for_weekly_and_updates_are_proposed() -> None:
    dependencies = read(ROOT / ".github" / "workflows" / "dependencies.yml")
    ((_minute, _hour, day, month, weekday),) = [one["cron"].split() for one in dependencies[True]["schedule"]]
    assert (day, month, weekday) == ("*", "*", "1")
    assert "make audit" in runs_of(dependencies["jobs"]["audit"])
    update = runs_of(dependencies["jobs"]["update"])
    assert ".ci/run" in update
    assert any("make lock ARGS=--upgrade" in run for run in update)
    assert dependencies["jobs"]["propose"]["needs"] == "update"
    assert "pip-audit" in makefile_rule("audit")
    assert "$(ARGS)" in makefile_rule("lock")


def test_dependabot_looks_after_actions_and_images() -> None:
    updates = read(ROOT / ".github" / "dependabot.yml")
    assert updates["version"] == 2
    assert {one["package-ecosystem"] for one in updates["updates"]} == {"github-actions", "docker", "docker-compose"}
    assert all(one["schedule"] == {"interval": "weekly"} and one["directory"] == "/" for one in updates["updates"])


def test_continuous_integration_covers_the_oldest_python() -> None:
    matrix = job_of("ci.yml", "check-and-test")["strategy"]["matrix"]["python"]
    assert (ROOT / ".python-version").read_text().strip() in matrix
    assert all(re.fullmatch(r"3\.1[1-4]", version) for version in matrix), json.dumps(matrix)


def job_of(file: str, name: str) -> dict[str, Any]:
    return read(ROOT / ".github" / "workflows" / file)["jobs"][name]


def runs_of(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job.get("steps", ()) if "run" in step]


def makefile_rule(target: str) -> str:
    """What the Makefile runs for a target."""
    return re.search(rf"^{target}:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]


def test_what_workflows_run_needs_no_package() -> None:
    """They run it with the runner's Python, before anything is installed."""
    code = "import scripts.changelog, scripts.smoke"
    subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, check=True, timeout=60)
