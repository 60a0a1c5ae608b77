"""Model files are brought here: downloaded into a part, checked as a whole, and only then there.

A pull that ended in any way is gone on with where the server can do that and the file is still the same one.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from pathlib import Path

import httpx
import structlog

from app.providers import failures
from app.providers.download import Answer, Target, fetch
from app.providers.errors import BadAnswer, BadRequest, ProviderError, TimedOut, Unreachable
from app.providers.gguf_header import NotGguf, read_header
from app.providers.keeping import Progress, Pull
from app.providers.off_loop import in_thread
from app.providers.part_file import PIECE_BYTES, DiskFull, Note, PartFile, room_fault
from app.providers.patience import Patience
from app.words import gettext as _

TRIES = 5
MAX_PAUSE_SECONDS = 30.0

log = structlog.get_logger()


class GgufPull:
    """One pull, from the first byte that is missing to the model. `seconds`: how long a server may be silent."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        target: Target,
        folder: Path,
        pull: Pull,
        *,
        seconds: float,
        pause_seconds: float,
    ) -> None:
        self.client = client
        self.target = target
        self.folder = folder
        self.wanted = pull
        self.seconds = seconds
        self.pause_seconds = pause_seconds
        self.part = PartFile(folder, pull.name)
        self.total_bytes = pull.total_bytes

    async def run(self) -> AsyncGenerator[Progress, None]:
        """Raises `ProviderError`."""
        try:
            await self._open()
            if await in_thread(self._is_there_already):
                await in_thread(self.part.remove)
            else:
                async with aclosing(self._download()) as steps:
                    async for progress in steps:
                        yield progress
                async with aclosing(self._check()) as steps:
                    async for progress in steps:
                        yield progress
            yield Progress("checking", self.total_bytes or 0, self.total_bytes)
        except DiskFull:
            await in_thread(self.part.remove)  # what else needs the disk, the database above all, comes first
            sentence = _("There was no room left in the models folder, so %(model)s was not pulled.")
            raise BadRequest(sentence % {"model": self.wanted.name}) from None
        except OSError as error:
            log.warning("pull_failed", model=self.wanted.name, reason=error.strerror)
            raise BadRequest(_("The models folder cannot be written to.")) from None
        finally:
            self.part.close()

    async def _open(self) -> None:
        try:
            await in_thread(self.part.open)
        except BlockingIOError:
            raise BadRequest(_("%(model)s is being pulled already.") % {"model": self.wanted.name}) from None
        self.part.is_hashed = bool(self.wanted.sha256)

    def _is_there_already(self) -> bool:
        """Whether an earlier pull was finished, and only the news of it got lost."""
        final, total = self.part.final, self.wanted.total_bytes
        if not os.path.lexists(final):
            return False
        with suppress(NotGguf):
            if total and not final.is_symlink() and final.stat().st_size == total and read_header(final):
                return True
        self.part.remove()
        raise BadRequest(_("There is a model named %(model)s already.") % {"model": self.wanted.name})

    async def _download(self) -> AsyncGenerator[Progress, None]:
        """Everything that is missing. What a broken line has brought is kept; who gets on may try for ever."""
        tries, most = 0, self.part.size
        while True:
            try:
                async with aclosing(self._fetch_rest()) as steps:
                    async for progress in steps:
                        yield progress
            except ProviderError as error:
                tries = 1 if self.part.size > most else tries + 1
                most = max(most, self.part.size)
                if not error.is_retryable or tries >= TRIES:
                    raise
                log.info("pull_retried", model=self.wanted.name, error=error.code, done_bytes=self.part.size)
                yield Progress("connecting", self.part.size, self.total_bytes, error.sentence)
                pause = error.retry_after_seconds or self.pause_seconds * 2 ** (tries - 1)
                await asyncio.sleep(min(pause, MAX_PAUSE_SECONDS))
            else:
                return

    async def _fetch_rest(self) -> AsyncGenerator[Progress, None]:
        note = await in_thread(self._usable_note)
        offset = self.part.size if note else 0
        if note and self.part.is_hashed:
            while await in_thread(self.part.hash_more):
                yield Progress("checking", self.part.hashed_bytes, note.total_bytes)
        if note and note.total_bytes == offset:
            self.total_bytes = offset
            return
        yield Progress("connecting", offset, self.total_bytes)
        answer = await self._ask(note, offset)
        if note and offset and not _goes_on(answer, note, offset) and answer.response.status_code != 200:
            await answer.response.aclose()
            answer, offset = await self._ask(None, 0), 0
        try:
            if answer.response.status_code == 200 or not offset:
                await self._start_over(answer)
            else:
                self.total_bytes = answer.total_bytes or self.total_bytes
            async with aclosing(self._take(answer)) as steps:
                async for progress in steps:
                    yield progress
        finally:
            await answer.response.aclose()

    def _usable_note(self) -> Note | None:
        """What is known of the part, if it can be gone on with: of the same file, and that can be told from another."""
        note, size = self.part.note(), self.part.size
        if note is None or note.url != self.wanted.url or not size or not (note.validator or self.wanted.sha256):
            return None
        return note if note.total_bytes is None or size <= note.total_bytes else None

    async def _ask(self, note: Note | None, offset: int) -> Answer:
        headers = {"Range": f"bytes={offset}-"} if note and offset else {}
        if headers and note and note.validator:
            headers["If-Range"] = note.validator
        return await fetch(self.client, self.target, headers, within_seconds=self.seconds)

    async def _start_over(self, answer: Answer) -> None:
        if answer.response.status_code == 416:
            raise BadAnswer(_("%(host)s does not say where the file ends.") % {"host": answer.host})
        total = answer.total_bytes
        if self.wanted.sha256 and None not in (total, self.wanted.total_bytes) and total != self.wanted.total_bytes:
            raise BadAnswer(_("The file at %(host)s is not the one that was looked up.") % {"host": answer.host})
        self.total_bytes = total or self.wanted.total_bytes
        await in_thread(self.part.begin, Note(self.wanted.url, total, answer.validator))

    async def _take(self, answer: Answer) -> AsyncGenerator[Progress, None]:
        """The body of an answer into the part. What came is written, also where the line breaks then."""
        missing = (self.total_bytes or 0) - self.part.size
        fault = await in_thread(room_fault, self.folder, self.wanted.name, self.total_bytes or 0)
        if fault:
            raise BadRequest(fault)
        chunks, patience = answer.response.aiter_raw(), Patience()
        pending = bytearray()
        try:
            while chunk := await self._next(chunks, patience, answer.host):
                pending += chunk
                if self.total_bytes and self.part.size + len(pending) > self.total_bytes:
                    break  # it is another file, perhaps one without end
                if len(pending) >= PIECE_BYTES:
                    await in_thread(self.part.write, bytes(pending))
                    pending.clear()
                yield Progress("downloading", self.part.size + len(pending), self.total_bytes)
        except ProviderError:
            await in_thread(self.part.write, bytes(pending))
            raise
        finally:
            patience.end()
        await in_thread(self.part.write, bytes(pending))
        if missing > 0 and self.total_bytes and self.part.size < self.total_bytes:
            raise Unreachable(_("%(host)s broke off in the middle of the file.") % {"host": answer.host})
        yield Progress("downloading", self.part.size, self.total_bytes)

    async def _next(self, chunks: AsyncIterator[bytes], patience: Patience, host: str) -> bytes:
        try:
            return await patience.wait(anext(chunks, b""), asyncio.get_running_loop().time() + self.seconds)
        except TimeoutError:
            sentence = _("%(host)s was silent for %(seconds)s seconds in the middle of the file.")
            raise TimedOut(sentence % {"host": host, "seconds": f"{self.seconds:g}"}) from None
        except failures.TRANSPORT_ERRORS:
            raise Unreachable(_("%(host)s broke off in the middle of the file.") % {"host": host}) from None

    async def _check(self) -> AsyncGenerator[Progress, None]:
        """Whether it is what was wanted. What is not is thrown away; what is becomes a model."""
        part = self.part
        while part.is_hashed and await in_thread(part.hash_more):
            yield Progress("checking", part.hashed_bytes, part.size)
        yield Progress("checking", part.size, part.size)
        fault = await in_thread(self._content_fault)
        if fault:
            await in_thread(part.remove)
            raise BadAnswer(fault % {"model": self.wanted.name})
        self.total_bytes = part.size
        try:
            await in_thread(part.finish)
        except FileExistsError:
            await in_thread(part.remove)
            raise BadRequest(_("There is a model named %(model)s already.") % {"model": self.wanted.name}) from None
        log.info("model_pulled", model=self.wanted.name, size_bytes=part.size)

    def _content_fault(self) -> str:
        """What is wrong with the file, with a place for the model's name; empty if nothing is."""
        if self.wanted.sha256 and self.part.sha256 != self.wanted.sha256:
            return _("What came of %(model)s has another checksum than it should have, so it was thrown away.")
        if self.total_bytes is not None and self.part.size != self.total_bytes:
            return _("What came of %(model)s has another size than it should have, so it was thrown away.")
        try:
            header = self.part.header()
        except NotGguf as error:
            log.warning("pulled_file_refused", model=self.wanted.name, reason=str(error))
            return _("What came of %(model)s is not a whole GGUF file, so it was thrown away.")
        if not header.is_chat_model:
            return _(
                "The file of %(model)s is no model of its own but a part or an addition to one; it was thrown away."
            )
        return ""


def _goes_on(answer: Answer, note: Note, offset: int) -> bool:
    """Whether an answer is the rest of the same file from there on."""
    if answer.response.status_code != 206 or answer.begins_at != offset:
        return False
    is_same_size = note.total_bytes is None or answer.total_bytes == note.total_bytes
    return is_same_size and answer.validator == note.validator
