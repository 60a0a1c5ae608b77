"""A model file that is being pulled: a hidden file that no list shows, until all of it is there and was looked at.

Everything here blocks, so it is called in threads. Beside the part lies a note of where it comes from, for going on.
"""

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from app.providers.engine_memory import size_text
from app.providers.gguf_header import GgufHeader, read_header
from app.words import gettext as _

PIECE_BYTES = 1024 * 1024
_HASHED_AT_ONCE = 16 * 1024 * 1024
_LOOKED_EVERY_BYTES = 64 * 1024 * 1024
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MOST_RESERVED_BYTES = 1024 * 1024 * 1024


class DiskFull(Exception):
    """There is no room for more: the disk's end, a quota, or what is kept for the rest of the app."""


class Note(msgspec.Struct, frozen=True):
    """What a part is a part of. `validator` is the strong ETag that its server gave it."""

    url: str
    total_bytes: int | None = None
    validator: str = ""


class PartFile:
    """The part of one model. Open from `open` to `close`, and locked meanwhile, also against other processes."""

    def __init__(self, folder: Path, name: str) -> None:
        self.final = folder / f"{name}.gguf"
        self.path = folder / f".{name}.gguf.part"
        self.note_path = folder / f".{name}.gguf.part.json"
        self.size = 0
        self.hashed_bytes = 0
        self.is_hashed = True
        self._hash = hashlib.sha256()
        self._unlooked_bytes = 0
        self._descriptor = -1

    def open(self) -> None:
        """Raises `BlockingIOError` where somebody else has it open."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_still_there = _is_same(descriptor, self.path)  # another may have finished or discarded it
            except BaseException:
                os.close(descriptor)
                raise
            if is_still_there:
                break
            os.close(descriptor)
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def note(self) -> Note | None:
        """Where what is here comes from; None where that is not known."""
        try:
            return msgspec.json.decode(self.note_path.read_bytes(), type=Note)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def begin(self, note: Note) -> None:
        """Start over: from now on it is a part of this."""
        self.note_path.unlink(missing_ok=True)
        os.ftruncate(self._descriptor, 0)
        self.size = self.hashed_bytes = 0
        self._hash = hashlib.sha256()
        written = self.note_path.with_suffix(".new")
        with _full_disk_told():
            written.write_bytes(msgspec.json.encode(note))
        written.replace(self.note_path)

    def write(self, piece: bytes) -> None:
        """Append. Raises `DiskFull`."""
        with _full_disk_told():
            view = memoryview(piece)
            while view:
                count = os.pwrite(self._descriptor, view, self.size)
                if self.is_hashed and self.hashed_bytes == self.size:
                    self._hash.update(view[:count])
                    self.hashed_bytes += count
                self.size += count
                view = view[count:]
        self._unlooked_bytes += len(piece)
        if self._unlooked_bytes >= _LOOKED_EVERY_BYTES:
            self._unlooked_bytes = 0
            if free_bytes(self.path.parent) < 0:
                raise DiskFull

    def hash_more(self) -> bool:
        """Catch up with what an earlier process has written, a bit at a time. Whether there is more."""
        for _piece in range(_HASHED_AT_ONCE // PIECE_BYTES):
            piece = os.pread(self._descriptor, min(PIECE_BYTES, self.size - self.hashed_bytes), self.hashed_bytes)
            if not piece:
                return False
            self._hash.update(piece)
            self.hashed_bytes += len(piece)
        return self.hashed_bytes < self.size

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def header(self) -> GgufHeader:
        """What it says of itself. Raises `NotGguf` unless it is whole."""
        return read_header(self.path)

    def finish(self) -> None:
        """It becomes the model, at once and for good. Raises `FileExistsError` where there is one of that name."""
        with _full_disk_told():
            os.fsync(self._descriptor)
        if os.path.lexists(self.final):
            raise FileExistsError
        self.path.rename(self.final)
        _sync_folder(self.final.parent)
        self.note_path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Leave nothing. The lock goes with `close`."""
        self.note_path.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


def free_bytes(folder: Path) -> int:
    """What may be written into a folder before what is kept for the rest of the app begins; negative: less than nothing.

    A full disk would stop the database, which mostly lies on the same one.
    """
    usage = shutil.disk_usage(folder)
    return usage.free - min(_MOST_RESERVED_BYTES, usage.total // 20)


def room_fault(folder: Path, name: str, total_bytes: int) -> str:
    """What is wrong with the room that there is for a file, of which a part may be here; empty if nothing is."""
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):
        total_bytes -= PartFile(folder, name).path.lstat().st_size
    free = free_bytes(folder)
    if total_bytes <= free:
        return ""
    sentence = _("There is no room for it: %(needed)s more are needed, and the models folder may have %(free)s more.")
    return sentence % {"needed": size_text(total_bytes), "free": size_text(max(free, 0))}


@contextmanager
def _full_disk_told() -> Iterator[None]:
    """Foreign errors of a full disk → `DiskFull`."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull from None
        raise


def _is_same(descriptor: int, path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    return False


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
