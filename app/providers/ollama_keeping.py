"""What an Ollama server does with its models: pulls, loads, unloads, deletes them, and says what they are made of.

https://github.com/ollama/ollama/blob/main/docs/api.md
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec

from app.parts import clean
from app.providers import failures
from app.providers.answers import Reader
from app.providers.base import Account, Limits
from app.providers.errors import BadRequest, ModelMissing, ProviderError, StreamCut, Unreachable
from app.providers.frames import SseFrame
from app.providers.http import NDJSON, Wire
from app.providers.keeping import MAX_TENSORS, Details, Keeper, Progress, Pull, Source, SourceRefused, Tensor
from app.providers.reasons import reason_of
from app.words import gettext as _

DEFAULT_CONTEXT_WINDOW = 8192
MAX_NAME_CHARS = 200
_MAX_LAYERS = 10_000
_KEPT_LOADED = "30m"
_FAR = timedelta(days=20 * 365)

# Ollama's own grammar (types/model/name.go), which is case-insensitive; hosts may have a port.
_HOST, _NAMESPACE, _WORD = r"\w[\w.:-]{0,349}", r"\w[\w-]{0,79}", r"\w[\w.-]{0,79}"
_NAME = re.compile(rf"(?:(?:{_HOST}/)?{_NAMESPACE}/)?{_WORD}(?::{_WORD})?", re.ASCII)
_USUAL = re.compile(r"(?:registry\.ollama\.ai/)?library/")
_UNKNOWN = re.compile(r"file does not exist|\bnot found\b|invalid model name", re.IGNORECASE)
_FINAL = re.compile(r"no space left|(?<![\w.])4\d\d:", re.IGNORECASE)


class OllamaKeeping(Keeper):
    """The half of `Ollama` that manages models. Servers verify what they pulled, and load from slow disks, in silence."""

    account: Account
    client: httpx.AsyncClient
    silence_seconds = 600.0

    async def look_up(self, source: Source) -> Pull:
        name = source.text.strip()
        if not _is_name(name):
            raise SourceRefused(_("This is not the name of a model, as llama3.2 or hf.co/org/repo:Q4_K_M are."))
        if source.sha256.strip():
            sentence = _("%(name)s checks by itself what it pulls, and takes no checksum.")
            raise SourceRefused(sentence % {"name": self.account.name}, field="sha256")
        name = _USUAL.sub("", name, count=1) if _USUAL.match(name) else name
        return Pull(name if ":" in name.rpartition("/")[2] else f"{name}:latest")

    async def pull(self, pull: Pull) -> AsyncGenerator[Progress, None]:
        """Ollama goes on by itself where an earlier pull of the same model ended."""
        if not _is_name(pull.name):
            raise BadRequest(_("This is not the name of a model, as llama3.2 or hf.co/org/repo:Q4_K_M are."))
        wire = self._patient_wire()
        yield Progress("connecting")
        response = await wire.open("/api/pull", {"model": pull.name, "stream": True}, NDJSON)
        try:
            async with aclosing(wire.events(response, PullReader(wire, pull.name))) as events:
                async for progress in events:
                    yield progress
        except StreamCut:
            sentence = _("%(name)s broke off before the model was pulled.")
            raise Unreachable(sentence % {"name": self.account.name}) from None

    async def discard(self, pull: Pull) -> None:
        """Ollama has no order for it: it removes what nobody needs when it is started."""

    async def load(self, name: str) -> AsyncGenerator[Progress, None]:
        """With the context window that threads have: asked for another one, Ollama would load the model again."""
        yield Progress("loading")
        options = {"num_ctx": DEFAULT_CONTEXT_WINDOW}
        body = {"model": name, "stream": False, "keep_alive": _KEPT_LOADED, "options": options}
        await self._patient_wire().fetch("POST", "/api/generate", _Said, body)

    async def unload(self, name: str) -> None:
        await self._patient_wire().fetch(
            "POST", "/api/generate", _Said, {"model": name, "stream": False, "keep_alive": 0}
        )

    async def delete(self, name: str) -> None:
        await self._patient_wire().ask("DELETE", "/api/delete", {"model": name})

    async def details(self, name: str) -> Details:
        shown = await self._shown({"model": name})
        if not shown.tensors:
            with suppress(ProviderError):  # some say it only when asked for everything, and then it may be too much
                shown = await self._shown({"model": name, "verbose": True})
        return Details(
            template=clean(shown.template or ""),
            parameters=clean(shown.parameters or ""),
            licence=clean(shown.license if isinstance(shown.license, str) else ""),
            metadata=tuple(_entries(shown.model_info or {})),
            tensors=tuple(
                Tensor(clean(tensor.name), tuple(tensor.shape), clean(tensor.type))
                for tensor in (shown.tensors or ())[:MAX_TENSORS]
            ),
        )

    async def _shown(self, body: dict[str, Any]) -> "_Shown":
        wire = self._patient_wire()
        answer = await wire.ask("POST", "/api/show", body)
        return await asyncio.to_thread(wire.decode, answer, _Shown)  # with vocabularies it has megabytes

    def _patient_wire(self) -> Wire:
        limits = Limits(self.silence_seconds, self.silence_seconds)
        return Wire(self.account, self.client, limits, json_seconds=self.silence_seconds)


class PullReader(Reader[Progress]):
    """Lines of a pull → how far it is: the sum over the layers named so far. Lines without news are no sign of life."""

    def __init__(self, wire: Wire, name: str) -> None:
        self._wire = wire
        self._name = name
        self._layers: dict[str, tuple[int, int]] = {}
        self._last = Progress("connecting")
        self._status = ""

    def read(self, frame: SseFrame) -> Sequence[Progress]:
        line = self._wire.decode(frame.data, _PullLine)
        if line.error:
            raise self._refusal(line.error)
        status = failures.shown(self._wire.account, line.status or "")
        self.has_ended = self.is_complete = status == "success"
        if line.digest and line.total and (line.digest in self._layers or len(self._layers) < _MAX_LAYERS):
            total = min(max(line.total, 0), 2**53)
            self._layers[line.digest] = (min(max(line.completed or 0, 0), total), total)
        news, self._status = "" if status == self._status else status, status
        done, total = (sum(sizes) for sizes in zip(*self._layers.values(), strict=True)) if self._layers else (0, 0)
        is_layer = bool(line.digest)
        phase = "downloading" if is_layer else "checking" if self._layers else "connecting"
        progress = Progress(phase, done, total or None, news)  # type: ignore[arg-type]  # one of the words above
        if not news and progress == msgspec.structs.replace(self._last, line=""):
            return ()
        self._last = progress
        return (progress,)

    def end(self) -> Sequence[Progress]:
        return ()

    def _refusal(self, error: Any) -> ProviderError:
        account = self._wire.account
        message = reason_of(error).message
        named = {"name": account.name, "model": self._name, "reason": failures.shown(account, message)}
        if _UNKNOWN.search(message[:2000]):
            return ModelMissing(_("%(name)s knows no model named %(model)s, and so it cannot be pulled.") % named)
        if _FINAL.search(message[:2000]):
            return BadRequest(_("%(name)s could not pull %(model)s: %(reason)s") % named)
        return failures.event(account, error)


class _PullLine(msgspec.Struct):
    status: str | None = None
    digest: str | None = None
    total: int | None = None
    completed: int | None = None
    error: Any = None


class _Said(msgspec.Struct):
    done: bool | None = None


class _Tensor(msgspec.Struct):
    name: str = ""
    type: str = ""
    shape: list[int] = []


class _Shown(msgspec.Struct):
    template: str | None = None
    parameters: str | None = None
    license: Any = None
    model_info: dict[str, Any] | None = None
    tensors: list[_Tensor] | None = None


def moment(text: Any) -> datetime | None:
    """When a loaded model goes, as Ollama writes it: RFC 3339 with nanoseconds. Never and unknown are years far away."""
    try:
        found = datetime.fromisoformat(text).astimezone(UTC) if isinstance(text, str) else None
    except (ValueError, OverflowError):
        return None
    return found if found and abs(found - datetime.now(UTC)) < _FAR else None


def _is_name(name: str) -> bool:
    return len(name) <= MAX_NAME_CHARS and ".." not in name and _NAME.fullmatch(name) is not None


def _entries(info: dict[str, Any]) -> list[tuple[str, str]]:
    """What a server says of a model in single values; vocabularies and the like are left out."""
    scalars = {name: value for name, value in sorted(info.items()) if isinstance(value, str | int | float | bool)}
    return [(clean(name), clean(value if isinstance(value, str) else str(value))) for name, value in scalars.items()]
