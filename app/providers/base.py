"""What every provider is: an account at a model server that lists models, counts tokens and streams answers."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable
from datetime import datetime
from typing import Any, ClassVar, Literal

import httpx
import msgspec

from app.origins import origin_of
from app.parts import Delta, Finish, Part, Usage
from app.providers.errors import NOTHING_THERE, NoList, ProviderError
from app.providers.keeping import EngineOptions
from app.providers.known import MOST_TOKENS

Role = Literal["system", "user", "assistant", "tool"]

#: How long a model is to think before it answers, where it can be told.
ReasoningEffort = Literal["low", "medium", "high"]

#: What an image is taken for while tokens are estimated; providers count between 85 and 1,600 for one.
IMAGE_TOKENS = 1_600

#: Beyond these what a server says of a model is a mistake, or meant to be one.
MOST_NAME_CHARS, MOST_FAMILY_CHARS, MOST_QUANTISATION_CHARS = 300, 100, 50
MOST_BYTES = 2**50


class Account(msgspec.Struct, frozen=True):
    """Where a provider's server is and how to sign in there. `key` is in the clear: never log or show one of these.

    `key_origin` is where the key is sent, and nowhere else (`authorization`); '' is nowhere. None: the address is the one that
    the key is for; a later change of the address does not take the key along.
    `usual_path` is what the base URLs of such servers mostly end in, for who forgot it; None where nobody types them.
    `engine`: how our own engine runs the model that is asked. `has_bundled`: models that installed packages bring are
    among its own. `hub_url` and `hub_token`: where model files are pulled from by name.
    """

    name: str
    base_url: str = ""
    key: str = ""
    key_origin: str | None = None
    allows_private: bool = True
    models_folder: str = ""
    has_bundled: bool = False
    usual_path: str | None = None
    engine: EngineOptions = EngineOptions()
    hub_url: str = ""
    hub_token: str = ""

    def __post_init__(self) -> None:
        if self.key_origin is None:
            msgspec.structs.force_setattr(self, "key_origin", origin_of(self.base_url) if self.key else "")


class Model(msgspec.Struct, frozen=True):
    """A model as its server describes it. None means that the server does not say; unknown stays unknown.

    Prices are in US dollars per million tokens; `cached_price` is for tokens that came from a prompt cache. While it is
    loaded it takes `memory_bytes`, and stays until `expires_at` unless it is used. `is_bundled`: it came with Parley, is
    small, and cannot be deleted.
    """

    name: str
    context_window: int | None = None
    max_output_tokens: int | None = None
    size_bytes: int | None = None
    family: str | None = None
    quantisation: str | None = None
    is_loaded: bool | None = None
    memory_bytes: int | None = None
    expires_at: datetime | None = None
    has_vision: bool | None = None
    has_tools: bool | None = None
    has_reasoning: bool | None = None
    is_embedding: bool | None = None
    input_price: float | None = None
    output_price: float | None = None
    cached_price: float | None = None
    is_bundled: bool = False


def is_model_name(name: Any) -> bool:
    """Whether a model can be called so: by some printable characters, none of which stands for one that was lost."""
    return isinstance(name, str) and 0 < len(name) <= MOST_NAME_CHARS and name.isprintable() and "\ufffd" not in name


def listed(models: Iterable[Model]) -> list[Model]:
    """Models by name and each once, the last that was told. One that cannot be asked is left out, and what cannot be true
    of one is unknown."""
    found = {model.name: _possible(model) for model in models if is_model_name(model.name)}
    return [found[name] for name in sorted(found)]


def _possible(model: Model) -> Model:
    return msgspec.structs.replace(
        model,
        context_window=_number(model.context_window, MOST_TOKENS),
        max_output_tokens=_number(model.max_output_tokens, MOST_TOKENS),
        size_bytes=_number(model.size_bytes, MOST_BYTES),
        memory_bytes=_number(model.memory_bytes, MOST_BYTES),
        family=_word(model.family, MOST_FAMILY_CHARS),
        quantisation=_word(model.quantisation, MOST_QUANTISATION_CHARS),
    )


def _number(value: Any, most: int) -> int | None:
    return value if type(value) is int and 0 < value <= most else None


def _word(value: Any, most_chars: int) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= most_chars and value.isprintable() else None


class Parameters(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How to sample. None: leave it to the server. `context_window`: tokens, for servers that load models on demand."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    repeat_penalty: float | None = None
    max_tokens: int | None = None
    context_window: int | None = None
    stop: tuple[str, ...] = ()
    reasoning_effort: ReasoningEffort | None = None


class Limits(msgspec.Struct, frozen=True):
    """How long to wait for a server, and how much to take from it.

    The first token may take minutes: a local server loads its model first. Only what carries an event counts as a sign
    of life; comments, pings and single bytes of a frame do not. `max_answer_bytes` is of text in UTF-8, not of wire, and
    `max_call_bytes` of one tool call's name and arguments: no tool takes more, and the call is sent with every prompt after.
    """

    first_token_seconds: float = 120.0
    between_frames_seconds: float = 60.0
    max_answer_bytes: int = 8 * 1024 * 1024
    max_call_bytes: int = 1_000_000


class Tool(msgspec.Struct, frozen=True):
    """A tool that the model may call. `schema` is the JSON Schema of its arguments."""

    name: str
    description: str
    schema: dict[str, Any]


class Image(msgspec.Struct, frozen=True, tag="image"):
    """A picture as it is sent. `media_type` is image/png, image/jpeg, image/webp or image/gif."""

    media_type: str
    data: bytes


class ChatMessage(msgspec.Struct, frozen=True):
    """One entry of a prompt. A file of a message is an `Image` here, or its text: bytes are not looked up any more."""

    role: Role
    parts: tuple[Part | Image, ...]


class ChatRequest(msgspec.Struct, frozen=True):
    """Everything sent for one call of a model. With `continues`, the last message is an answer to go on from.

    `max_output_tokens` is what the model can give, where that is known, for protocols that want a limit in any case.
    """

    model: str
    messages: tuple[ChatMessage, ...]
    parameters: Parameters = Parameters()
    tools: tuple[Tool, ...] = ()
    continues: bool = False
    max_output_tokens: int | None = None


class TokenCount(msgspec.Struct, frozen=True):
    """How many tokens a prompt takes, and whether the model's own tokenizer counted."""

    tokens: int
    is_exact: bool


class Amended(msgspec.Struct, frozen=True):
    """The server refused the request as it was: this body is sent in its place as soon as the stream is read on."""

    body: dict[str, Any]


Event = Delta | Usage | Finish | Amended


class Provider(ABC):
    """An account at a model server. Subclasses speak one wire protocol each and know nothing of threads or tables.

    `takes` names the fields of `Parameters` that reach the server; what it does not name has no effect there.
    `usual_url` is the address of the service that a kind is named for, where there is one. Built-in kinds come with
    Parley; the others are connected by a person. A temperature above the highest is sent as that. Models of a kind that
    `runs_here` are run by processes of our workers. `usual_paths`: where below a host servers of this kind are, as base URLs
    have it, the most usual first; `endpoints`: what stands behind a base URL in the addresses that people copy, a regex.
    `has_list`: whether servers of this kind list their models, by which they can be told from others.
    """

    kind: ClassVar[str]
    takes: ClassVar[frozenset[str]]
    usual_url: ClassVar[str] = ""
    highest_temperature: ClassVar[float] = 2.0
    is_builtin: ClassVar[bool] = False
    runs_here: ClassVar[bool] = False
    usual_paths: ClassVar[tuple[str, ...]] = ()
    endpoints: ClassVar[str] = ""
    has_list: ClassVar[bool] = True

    listed_as = ""
    """The kind whose protocol the last list of models was written in, where that can be told. Others' lists are read too."""

    @classmethod
    def model_name(cls, typed: str) -> str:
        """A typed model name in the form that lists of this kind use."""
        return typed

    def __init__(self, account: Account, client: httpx.AsyncClient, limits: Limits | None = None) -> None:
        self.account = account
        self.client = client
        self.limits = limits or Limits()

    @classmethod
    @abstractmethod
    def label(cls) -> str:
        """What people call this kind."""

    async def list_models(self) -> list[Model]:
        """The models of this server, by name, of each what can be true. Raises `ProviderError`; `NoList` if it has no list."""
        try:
            return listed(await self.read_models())
        except ProviderError as error:
            if error.status not in NOTHING_THERE:
                raise
            missing = NoList(error.sentence)
            missing.status = error.status
            raise missing from None

    @abstractmethod
    async def read_models(self) -> Iterable[Model]:
        """The models as the server tells of them, whatever it says: `list_models` looks at it. Raises `ProviderError`."""

    async def takes_questions(self) -> bool:
        """Whether questions are taken at this address in this protocol: asked where no list says so. Raises `KeyRejected`."""
        return True

    async def server_version(self) -> str:
        """The version of the server's program; empty where it does not say."""
        return ""

    @abstractmethod
    def body(self, request: ChatRequest) -> dict[str, Any]:
        """The exact JSON body that `stream` would send: what the person can inspect. No I/O.

        The same request has another body once the server has refused a part of it (`amendments`).
        """

    def is_bundled(self, model: str) -> bool:
        """Whether a model came with Parley: it is small, and its word counts for less."""
        return False

    def refused(self, model: str) -> frozenset[str]:
        """The parameters that the server refused for a model, by name: `body` leaves them out from then on."""
        return frozenset()

    @abstractmethod
    def stream(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        """One answer: deltas as they come, at most one `Usage`, and a `Finish` exactly if the server ended it properly.
        One that breaks off or fails has its `Usage`, too, as far as the server had said.

        What is sent is what `body` says, or what an `Amended` event said before it was sent.
        Raises `ProviderError`. Closing the generator closes the upstream socket.
        """

    async def count_tokens(self, request: ChatRequest) -> TokenCount:
        """How many tokens the prompt takes. The default estimates: 3 UTF-8 bytes a token, 8 tokens a message; no signatures.

        English prose has about 4 bytes a token and code about 3 with the tokenizers in use, so this errs high.
        """
        parts = [part for message in request.messages for part in message.parts]
        signed = sum(len(getattr(part, "signature", None) or "") for part in parts)
        size = sum(len(msgspec.json.encode(part)) for part in parts if not isinstance(part, Image)) - signed
        images = IMAGE_TOKENS * sum(isinstance(part, Image) for part in parts)
        return TokenCount(tokens=size // 3 + images + 8 * len(request.messages), is_exact=False)
