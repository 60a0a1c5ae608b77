"""What an Ollama server says of its models and of itself: `/api/tags`, `/api/ps`, `/api/show`, `/api/version`.

https://github.com/ollama/ollama/blob/main/docs/api.md
"""

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec

from app.providers.base import Model, is_model_name
from app.providers.errors import ProviderError
from app.providers.http import Wire
from app.providers.listings import Entry, fetch_list, name_in, protocol_of
from app.providers.ollama_keeping import moment

MAX_MODELS = 1000
MAX_VERSION_CHARS = 50
_SHOWN_AT_ONCE = 4


async def read_models(wire: Wire) -> tuple[str, Iterable[Model]]:
    """The kind whose protocol the list is written in (see `protocol_of`), and the models. Raises `ProviderError`."""
    (around, tags), running = await asyncio.gather(fetch_list(wire, "/api/tags", MAX_MODELS), _running(wire))
    entries = {tag.name: tag for tag in map(_tag, tags) if is_model_name(tag.name)}
    at_once = asyncio.Semaphore(_SHOWN_AT_ONCE)

    async def describe(name: str, entry: _Tag) -> Model:
        async with at_once:
            shown = await _show(wire, name)
        return _model(name, entry, shown, running)

    models = await asyncio.gather(*(describe(name, entry) for name, entry in entries.items()))
    return protocol_of(around, tags), models


async def read_version(wire: Wire) -> str:
    """The version of the program; empty where it is not said: proxies and lookalikes do not have it."""
    try:
        said = await wire.fetch("GET", "/api/version", _Version)
    except ProviderError:
        return ""
    version = said.version.strip()
    return version if version.isprintable() and len(version) <= MAX_VERSION_CHARS else ""


async def _running(wire: Wire) -> "dict[str, _Running] | None":
    try:
        running = await wire.fetch("GET", "/api/ps", _AllRunning)
    except ProviderError:  # older servers and proxies do not have it: whether a model is loaded stays unknown
        return None
    return {entry.name: entry for entry in running.models or () if is_model_name(entry.name)}


async def _show(wire: Wire, name: str) -> "_Show":
    try:
        return await wire.fetch("POST", "/api/show", _Show, {"model": name})
    except ProviderError:  # one broken model must not hide the others
        return _Show()


class _Details(msgspec.Struct):
    family: Any = None
    quantization_level: Any = None


class _Tag(msgspec.Struct):
    name: Any = None
    size: Any = None
    details: _Details | None = None


class _Running(msgspec.Struct):
    """`size` is all that it takes, of which `size_vram` is on graphics cards."""

    name: Any = None
    size: Any = None
    expires_at: Any = None


class _AllRunning(msgspec.Struct):
    models: list[_Running] | None


class _Version(msgspec.Struct):
    version: str = ""


class _Show(msgspec.Struct):
    capabilities: list[str] | None = None
    model_info: dict[str, Any] | None = None


def _tag(entry: Entry) -> _Tag:
    name = name_in(entry, "name", "model", "id")
    try:
        return msgspec.structs.replace(msgspec.convert(entry, _Tag), name=name)
    except msgspec.ValidationError:  # details in another shape
        return _Tag(name)


def _model(name: str, entry: _Tag, shown: _Show, all_running: dict[str, _Running] | None) -> Model:
    running = (all_running or {}).get(entry.name)
    details = entry.details or _Details()
    info = shown.model_info or {}

    def has(capability: str) -> bool | None:
        return None if shown.capabilities is None else capability in shown.capabilities

    return Model(
        name=name,
        context_window=info.get(f"{info.get('general.architecture')}.context_length"),
        size_bytes=entry.size,
        family=details.family,
        quantisation=details.quantization_level,
        is_loaded=None if all_running is None else running is not None,
        memory_bytes=running.size if running else None,
        expires_at=moment(running.expires_at) if running else None,
        has_vision=has("vision"),
        has_tools=has("tools"),
        has_reasoning=has("thinking"),
        is_embedding=has("embedding"),
    )
