"""What can be done with the models that a server keeps: pull, load, unload, delete, look into. Ollama and our own engine."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from app.providers.errors import ProviderError

#: The most that `Details` tells of; no model has nearly as many.
MAX_TENSORS = 20_000

Phase = Literal["connecting", "downloading", "checking", "loading"]


class EngineOptions(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How our own engine runs a model file. None: as llama.cpp, or Parley, decides.

    `context_tokens` is what each slot holds; `slots` how many answers it writes at once; `gpu_layers` how many layers of
    the model go to a graphics card.
    """

    context_tokens: Annotated[int, Meta(ge=256, le=10_000_000)] | None = None
    threads: Annotated[int, Meta(ge=1, le=1024)] | None = None
    gpu_layers: Annotated[int, Meta(ge=0, le=10_000)] | None = None
    slots: Annotated[int, Meta(ge=1, le=64)] | None = None


class Source(msgspec.Struct, frozen=True):
    """What a person wants to pull, as typed. `sha256`: 64 hexadecimal digits, or empty."""

    text: str
    sha256: str = ""
    allows_private: bool = False


class Pull(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A source that was looked up: what the model will be called, and where it comes from. `sha256`, sizes: as far as known."""

    name: str
    url: str = ""
    total_bytes: int | None = None
    sha256: str = ""
    allows_private: bool = False


class SourceRefused(ProviderError):
    """Nothing can be pulled from there; `field` of the form says what is wrong: source, sha256."""

    code = "source_refused"

    def __init__(self, sentence: str, *, field: str = "source") -> None:
        super().__init__(sentence)
        self.field = field


class Progress(msgspec.Struct, frozen=True):
    """How far it is. `line` is something that the server said meanwhile."""

    phase: Phase
    done_bytes: int = 0
    total_bytes: int | None = None
    line: str = ""


class Tensor(msgspec.Struct, frozen=True):
    """One tensor of a model: its name, its dimensions, and the type of its numbers (F16, Q4_K, …)."""

    name: str
    shape: tuple[int, ...]
    type: str


class Details(msgspec.Struct, frozen=True):
    """What a model is made of. Texts are as the file or the server has them, and as untrusted."""

    template: str = ""
    parameters: str = ""
    licence: str = ""
    metadata: tuple[tuple[str, str], ...] = ()
    tensors: tuple[Tensor, ...] = ()


class Keeper(ABC):
    """A provider whose models can be managed. Every method raises `ProviderError`; names are those of `list_models`."""

    @abstractmethod
    async def look_up(self, source: Source) -> Pull:
        """Whether that can be pulled, and as what. Raises `SourceRefused` for what stands in the form."""

    @abstractmethod
    def pull(self, pull: Pull) -> AsyncGenerator[Progress, None]:
        """Bring the model here. Safe to begin again after any end: it goes on where it was. Nothing half is ever listed."""

    @abstractmethod
    async def discard(self, pull: Pull) -> None:
        """Throw away what a pull that is not wanted any more has left."""

    @abstractmethod
    def load(self, name: str) -> AsyncGenerator[Progress, None]:
        """Load a model into memory; ends when it is ready to answer."""

    @abstractmethod
    async def unload(self, name: str) -> None:
        """Take a model out of memory. What it is writing breaks off."""

    @abstractmethod
    async def delete(self, name: str) -> None:
        """Delete a model for good."""

    @abstractmethod
    async def details(self, name: str) -> Details:
        """What the model is made of."""
