"""Whether a model file can be pulled, before anything of it is stored: its server is asked for the first bytes."""

import asyncio
import os
from pathlib import Path

import httpx

from app.providers import failures
from app.providers.download import Answer, Target, fetch
from app.providers.errors import ProviderError
from app.providers.keeping import Pull, SourceRefused
from app.providers.off_loop import in_thread
from app.providers.part_file import room_fault
from app.words import gettext as _

_MAGIC = b"GGUF"


async def look_up(client: httpx.AsyncClient, target: Target, folder: Path, pull: Pull, *, seconds: float) -> Pull:
    """The pull with what its server says of the file. Raises `SourceRefused` where it cannot be pulled."""
    if await in_thread(os.path.lexists, folder / f"{pull.name}.gguf"):
        raise SourceRefused(_("There is a model named %(model)s already.") % {"model": pull.name})
    try:
        answer = await fetch(client, target, {"Range": "bytes=0-1023"}, within_seconds=seconds)
    except ProviderError as error:
        raise SourceRefused(error.sentence) from error
    try:
        beginning = await _beginning(answer, seconds)
    finally:
        await answer.response.aclose()
    total = answer.linked_bytes or answer.total_bytes
    if total == 0 or not beginning:
        raise SourceRefused(_("The file at %(host)s is empty.") % {"host": answer.host})
    if beginning != _MAGIC:
        raise SourceRefused(_("The file at %(host)s is no GGUF file.") % {"host": answer.host})
    if pull.sha256 and answer.linked_sha256 and pull.sha256 != answer.linked_sha256:
        raise SourceRefused(
            _("%(host)s says that the file has another checksum.") % {"host": answer.host}, field="sha256"
        )
    if total is not None and (fault := await in_thread(room_fault, folder, pull.name, total)):
        raise SourceRefused(fault)
    sha256 = pull.sha256 or answer.linked_sha256
    return Pull(pull.name, pull.url, total, sha256, pull.allows_private)


async def _beginning(answer: Answer, seconds: float) -> bytes:
    """The first bytes of the file, as many as tell what it is."""
    if answer.response.status_code == 416:
        return b""
    beginning = b""
    try:
        async with asyncio.timeout(seconds):
            async for chunk in answer.response.aiter_raw():
                beginning += chunk
                if len(beginning) >= len(_MAGIC):
                    break
    except (TimeoutError, *failures.TRANSPORT_ERRORS):
        sentence = _("%(host)s broke off before it sent anything of the file.")
        raise SourceRefused(sentence % {"host": answer.host}) from None
    return beginning[: len(_MAGIC)]
