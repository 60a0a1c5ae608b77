"""What our own engine does with its models: pulls, loads, unloads, deletes their files, and says what they are made of."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import httpx
import structlog

from app.parts import clean
from app.providers import gguf_look_up, model_files
from app.providers.base import Account, Limits
from app.providers.download import Target
from app.providers.engines import Engines
from app.providers.errors import BadRequest
from app.providers.gguf_header import GgufHeader, NotGguf, read_header
from app.providers.gguf_pull import GgufPull
from app.providers.keeping import Details, Keeper, Progress, Pull, Source, Tensor
from app.providers.model_files import ModelFile
from app.providers.off_loop import in_thread
from app.providers.part_file import PartFile
from app.providers.sources import check_name, read_sha256, read_source
from app.words import gettext as _

DEFAULT_CONTEXT_WINDOW = 4096
_SHOWN_APART = ("tokenizer.chat_template", "general.license")

log = structlog.get_logger()


class LlamaCppKeeping(Keeper):
    """The half of `LlamaCpp` that manages models: files in a folder, and an engine for each that is loaded."""

    account: Account
    client: httpx.AsyncClient
    limits: Limits
    engines: Engines
    pause_seconds = 1.0

    async def look_up(self, source: Source) -> Pull:
        url, name = read_source(source.text, self.account.hub_url)
        pull = Pull(name, url, None, read_sha256(source.sha256), source.allows_private)
        seconds = self.limits.between_frames_seconds
        return await gguf_look_up.look_up(self.client, self._target(pull), self._folder(), pull, seconds=seconds)

    async def pull(self, pull: Pull) -> AsyncGenerator[Progress, None]:
        check_name(pull.name)
        work = GgufPull(
            self.client,
            self._target(pull),
            self._folder(),
            pull,
            seconds=self.limits.between_frames_seconds,
            pause_seconds=self.pause_seconds,
        )
        async with aclosing(work.run()) as steps:
            async for progress in steps:
                yield progress

    async def discard(self, pull: Pull) -> None:
        check_name(pull.name)
        part = PartFile(self._folder(), pull.name)
        try:
            await in_thread(part.open)
            await in_thread(part.remove)
        except BlockingIOError:
            raise BadRequest(_("%(model)s is being pulled already.") % {"model": pull.name}) from None
        except OSError as error:
            log.warning("part_not_removed", model=pull.name, reason=error.strerror)
            raise BadRequest(_("The models folder cannot be written to.")) from None
        finally:
            part.close()

    async def load(self, name: str) -> AsyncGenerator[Progress, None]:
        file = await self._file_of(name)
        yield Progress("loading")
        lines = self.engines.load(file.path, self.context_tokens(file, None), self.account.engine)
        async with aclosing(lines):
            async for line in lines:
                yield Progress("loading", line=clean(line))

    async def unload(self, name: str) -> None:
        await self.engines.unload((await self._file_of(name)).path)

    async def delete(self, name: str) -> None:
        """Where the file is a link, the link goes and what it leads to stays."""
        file = await self._file_of(name)
        if file.is_bundled:
            raise BadRequest(_("%(model)s came with Parley and cannot be deleted. Hide it instead.") % {"model": name})
        await self.engines.unload(file.path)
        try:
            await asyncio.to_thread(file.path.unlink, missing_ok=True)
        except OSError as error:
            log.warning("model_not_deleted", model=name, reason=error.strerror)
            raise BadRequest(_("The file of %(model)s could not be deleted.") % {"model": name}) from None
        log.info("model_deleted", model=name)

    async def details(self, name: str) -> Details:
        file = await self._file_of(name)
        try:
            header = await asyncio.to_thread(read_header, file.path, keeps_tensors=True)
        except (NotGguf, OSError):
            raise BadRequest(_("The file of %(model)s cannot be read.") % {"model": name}) from None
        return Details(
            template=clean(header.chat_template),
            licence=clean(str(header.values.get("general.license") or "")),
            metadata=tuple(_entries(header)),
            tensors=tuple(Tensor(clean(tensor.name), tensor.shape, tensor.type) for tensor in header.tensors),
        )

    def _target(self, pull: Pull) -> Target:
        return Target(pull.url, pull.allows_private, self.account.hub_url, self.account.hub_token)

    def _folder(self) -> Path:
        if not self.account.models_folder:
            raise BadRequest(_("There is no folder for models."))
        return Path(self.account.models_folder)

    def context_tokens(self, file: ModelFile, asked: int | None) -> int:
        """What each slot holds: what the thread asks for, or the model's own setting, and no more than it can take.

        A bundled model is small enough for all that it can take.
        """
        most = file.header.context_length
        default = most if file.is_bundled and most else DEFAULT_CONTEXT_WINDOW
        wanted = asked or self.account.engine.context_tokens or default
        return min(wanted, most or wanted)

    async def _files(self) -> dict[str, ModelFile]:
        folder, with_bundled = self.account.models_folder, self.account.has_bundled
        return await asyncio.to_thread(model_files.scan, folder, with_bundled=with_bundled)

    async def _file_of(self, name: str) -> ModelFile:
        folder, with_bundled = self.account.models_folder, self.account.has_bundled
        return await asyncio.to_thread(model_files.find, folder, name, with_bundled=with_bundled)


def _entries(header: GgufHeader) -> list[tuple[str, str]]:
    """What the file says of the model in single values; what is shown on its own, and vocabularies, are left out."""
    values = {name: value for name, value in header.values.items() if value is not None and name not in _SHOWN_APART}
    return [(clean(name), clean(str(value))) for name, value in sorted(values.items())]
