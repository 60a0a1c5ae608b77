"""Models that installed packages bring: found without running the package, read in place, never deleted."""

import os
import shutil
import stat
import sys
from pathlib import Path

import httpx
import pytest

from app.parts import TextPart
from app.providers import model_files
from app.providers.base import Account, ChatMessage, ChatRequest, Limits
from app.providers.engines import Engines
from app.providers.errors import BadRequest, ModelMissing
from app.providers.keeping import EngineOptions
from app.providers.llamacpp import LlamaCpp
from tests.providers.conftest import collect, question

PACKAGE, STARTER = next(iter(model_files.PACKAGES.items()))


def write_package(package: Path, model_file: Path) -> Path:
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('nobody asked for this package')")
    shutil.copy(model_file, package / STARTER.file)
    return package


@pytest.fixture
def package(model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package as the real one, with a tiny model, in a folder that only its owner may enter; running it would fail."""
    home = tmp_path / "home"
    package = write_package(home / "site" / PACKAGE, model_file)
    home.chmod(0o700)
    monkeypatch.syspath_prepend(str(package.parent))
    return package


@pytest.fixture
def bundled(folder: Path, package: Path, client: httpx.AsyncClient, engines: Engines) -> LlamaCpp:
    account = Account("This machine", models_folder=str(folder), has_bundled=True)
    return LlamaCpp(account, client, Limits(120, 120), engines)


async def test_it_stands_beside_the_files_of_the_folder(bundled: LlamaCpp) -> None:
    models = {model.name: model.is_bundled for model in await bundled.list_models()}
    assert models == {"tiny": False, STARTER.name: True}
    assert bundled.is_bundled(STARTER.name)
    assert not bundled.is_bundled("tiny")
    assert PACKAGE not in sys.modules


async def test_without_it_the_folder_alone_counts(local: LlamaCpp, package: Path) -> None:
    assert [model.name for model in await local.list_models()] == ["tiny"]
    outcome = await collect(local.stream(question("Why?", STARTER.name)))
    assert isinstance(outcome.error, ModelMissing)


def test_a_package_that_is_installed_meanwhile_is_found(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = model_files.scan("", with_bundled=True)
    write_package(tmp_path / PACKAGE, model_file)
    after = model_files.scan("", with_bundled=True)
    assert before[STARTER.name].path != after[STARTER.name].path
    assert after[STARTER.name].path == tmp_path / PACKAGE / STARTER.file


@pytest.mark.parametrize("content", [b"", b"GGUF", b"not a model" * 100])
async def test_a_broken_file_is_left_out(bundled: LlamaCpp, package: Path, content: bytes) -> None:
    (package / STARTER.file).write_bytes(content)
    assert [model.name for model in await bundled.list_models()] == ["tiny"]


async def test_a_file_of_that_name_in_the_folder_does_not_stand_in_for_it(bundled: LlamaCpp, folder: Path) -> None:
    shutil.copy(folder / "tiny.gguf", folder / f"{STARTER.name}.gguf")
    file = model_files.find(str(folder), STARTER.name, with_bundled=True)
    assert file.is_bundled
    assert file.path.name == STARTER.file


async def test_it_runs_from_a_closed_home_which_stays_closed(bundled: LlamaCpp, package: Path) -> None:
    """As under root, whose home others must not pass: the engine needs no right that was not there."""
    before = [(place, stat.S_IMODE(place.stat().st_mode)) for place in (package, *package.parents)]
    outcome = await collect(bundled.stream(question("Why?", STARTER.name, max_tokens=4)))
    assert outcome.error is None
    assert outcome.text
    (state,) = bundled.engines.states()
    assert state.model_name == STARTER.name
    assert [(place, stat.S_IMODE(place.stat().st_mode)) for place, _mode in before] == before
    assert set(os.listdir(package)) == {"__init__.py", STARTER.file}


async def test_it_is_loaded_unloaded_and_looked_at_but_not_deleted(
    bundled: LlamaCpp, package: Path, folder: Path
) -> None:
    steps = [step async for step in bundled.load(STARTER.name)]
    assert steps
    assert [model.is_loaded for model in await bundled.list_models() if model.is_bundled] == [True]
    assert (await bundled.details(STARTER.name)).template
    with pytest.raises(BadRequest, match="Hide it instead"):
        await bundled.delete(STARTER.name)
    assert (package / STARTER.file).exists()
    assert bundled.engines.is_running(package / STARTER.file)  # what cannot be done breaks no answer off
    await bundled.engines.unload(model_files.path_of(folder, STARTER.name))
    assert bundled.engines.states() == []


def test_what_the_person_leaves_open_is_what_suits_it(bundled: LlamaCpp) -> None:
    def sent(model: str, **parameters: float) -> list[object]:
        body = bundled.body(question("Why?", model, **parameters))
        return [body.get(name) for name in ("temperature", "top_p", "repeat_penalty", "max_tokens")]

    assert sent(STARTER.name) == [0.1, 0.9, 1.1, 512]
    assert sent(STARTER.name, temperature=0.0) == [0.0, 0.9, 1.1, 512]
    assert sent(STARTER.name, top_p=0.5, repeat_penalty=1.0, max_tokens=9) == [0.1, 0.5, 1.0, 9]
    assert sent("tiny") == [None] * 4


def test_a_system_prompt_of_the_person_takes_the_place_of_its_own(bundled: LlamaCpp) -> None:
    system, user = (ChatMessage(role, (TextPart(role),)) for role in ("system", "user"))  # type: ignore[arg-type]

    def roles(model: str, *messages: ChatMessage) -> list[tuple[str, str]]:
        return [(sent["role"], sent["content"]) for sent in bundled.body(ChatRequest(model, messages))["messages"]]

    assert roles(STARTER.name, user) == [("system", STARTER.system_prompt), ("user", "user")]
    assert roles(STARTER.name, system, user) == [("system", "system"), ("user", "user")]
    assert roles("tiny", user) == [("user", "user")]


def test_it_is_run_with_all_of_its_context_unless_somebody_says_otherwise(bundled: LlamaCpp) -> None:
    file = model_files.scan("", with_bundled=True)[STARTER.name]
    most = file.header.context_length
    assert most
    assert [bundled.context_tokens(file, asked) for asked in (None, 256, most * 2)] == [most, 256, most]
    small = LlamaCpp(Account("A", engine=EngineOptions(context_tokens=512)), bundled.client, engines=bundled.engines)
    assert small.context_tokens(file, None) == 512
