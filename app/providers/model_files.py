"""The model files of a folder: which there are, and what they say of themselves."""

from functools import lru_cache
from pathlib import Path

import structlog

from app.providers.errors import ModelMissing
from app.providers.gguf_header import GgufHeader, NotGguf, read_header
from app.words import gettext as _

MAX_FILES = 1000

log = structlog.get_logger(__name__)


def scan(folder: str) -> dict[Path, GgufHeader]:
    """The usable model files of a folder, by path. What cannot be used is logged once and left out."""
    found: dict[Path, GgufHeader] = {}
    try:
        paths = sorted(Path(folder).glob("*.gguf"))[:MAX_FILES] if folder else []
    except OSError as error:
        log.warning("models_folder_unreadable", reason=error.strerror)
        return found
    for path in paths:
        try:
            if path.is_file():
                state = path.stat()
                header = _header(path, state.st_mtime_ns, state.st_size)
                if header and header.is_chat_model and path.stem.isprintable():
                    found[path] = header
        except OSError as error:
            log.warning("model_file_unreadable", file=path.name, reason=error.strerror)
    return found


def find(folder: str, name: str) -> tuple[Path, GgufHeader]:
    """The file of a model. Raises `ModelMissing`. Names are compared with what is there and never put into a path."""
    for path, header in scan(folder).items():
        if path.stem == name:
            return path, header
    sentence = _("There is no model file named %(model)s in the models folder any more.")
    raise ModelMissing(sentence % {"model": name[:100]})


@lru_cache(maxsize=MAX_FILES)
def _header(path: Path, modified_ns: int, size_bytes: int) -> GgufHeader | None:
    """Read once for each version of a file: large vocabularies take a while, and the list is refreshed every minute."""
    try:
        return read_header(path)
    except NotGguf as error:
        log.warning("model_file_refused", file=path.name, reason=str(error))
        return None
