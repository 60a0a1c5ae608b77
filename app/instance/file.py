"""The file that carries an instance's settings elsewhere: JSON, closed, of one format that says its version."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from app import __version__
from app.errors import Invalid
from app.instance import passphrase
from app.instance.passphrase import Sealed, WrongPassphrase
from app.providers.base import MOST_NAME_CHARS
from app.words import gettext as _

#: The newest version of the format that is read here.
VERSION = 2
MOST_BYTES = 2_000_000

_PLAIN = r"^[^\x00-\x1f\x7f-\x9f]*$"
_NO_NUL = r"^[^\x00]*$"
FileName = Annotated[str, Meta(min_length=1, max_length=100, pattern=_PLAIN)]
AddedName = Annotated[str, Meta(min_length=1, max_length=MOST_NAME_CHARS)]
Prompt = Annotated[str, Meta(max_length=100_000, pattern=_NO_NUL)]


class FileProvider(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A connected provider. Its key is among the secrets. `models`: those that were added by name.

    `hides_path`: there is more of its address than the origin, which may be a secret: all of it is among the secrets.
    """

    kind: Annotated[str, Meta(max_length=30)]
    name: FileName
    base_url: Annotated[str, Meta(max_length=2000, pattern=_PLAIN)]
    hides_path: bool = False
    allows_private: bool = False
    models: Annotated[list[AddedName], Meta(max_length=5000)] = []


class FileModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model, as people call it."""

    provider: Annotated[str, Meta(max_length=100)]
    name: Annotated[str, Meta(max_length=1000, pattern=_NO_NUL)]


class FileOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Parameters, as threads have them (`chat/options.py`)."""

    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0, le=1000)] | None = None
    repeat_penalty: Annotated[float, Meta(gt=0, le=10)] | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    context_window: Annotated[int, Meta(ge=256, le=10_000_000)] | None = None
    stop: Annotated[tuple[Annotated[str, Meta(max_length=200, pattern=_NO_NUL)], ...], Meta(max_length=8)] = ()
    reasoning_effort: Literal["low", "medium", "high"] | None = None


class FilePreset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A preset that the owner shares."""

    name: FileName
    model: FileModel | None = None
    system_prompt: Prompt = ""
    options: FileOptions = FileOptions()


class FileSlashPrompt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A slash-prompt that the owner shares."""

    name: Annotated[str, Meta(pattern=r"^[^\W_][\w-]{0,39}$")]
    text: Annotated[str, Meta(min_length=1, max_length=50_000, pattern=_NO_NUL)]
    description: Annotated[str, Meta(max_length=200, pattern=_PLAIN)] = ""


class File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of it. `settings` are those that were set; their types are looked at with their limits."""

    format: Literal["parley-settings"] = "parley-settings"
    version: Literal[1, 2] = 2
    parley: Annotated[str, Meta(max_length=100)] = __version__
    made_at: datetime
    settings: dict[str, Any] = {}
    providers: Annotated[list[FileProvider], Meta(max_length=100)] = []
    presets: Annotated[list[FilePreset], Meta(max_length=1000)] = []
    slash_prompts: Annotated[list[FileSlashPrompt], Meta(max_length=1000)] = []
    secrets: Sealed | None = None


class Secrets(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is sealed: secret settings, and of the file's providers, in their order, addresses and keys, '' for none.

    A key is for the address beside it, and a setting for the one in `origins`. Files of version 1 have neither.
    """

    settings: dict[str, str] = {}
    origins: dict[str, str] = {}
    keys: list[Annotated[str, Meta(max_length=2000)]] = []
    base_urls: list[Annotated[str, Meta(max_length=2000)]] = []


class _Head(msgspec.Struct):
    format: str = ""
    version: int = 0


def encode(file: File) -> bytes:
    """JSON for people and programs."""
    return msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"


def decode(body: bytes) -> File:
    """Raises `Invalid` with a sentence about the field `file`."""
    if len(body) > MOST_BYTES:
        sentence = _("This file is too large: such files have at most %(most)s bytes.") % {"most": f"{MOST_BYTES:,}"}
        raise Invalid(sentence, field="file")
    try:
        head = msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"), type=_Head)
    except msgspec.ValidationError as error:
        raise Invalid(_("This is not a file of Parley’s settings."), field="file") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(_("This file cannot be read: it is not JSON, or was cut off."), field="file") from error
    if head.format != "parley-settings":
        raise Invalid(_("This is not a file of Parley’s settings."), field="file")
    if head.version > VERSION:
        sentence = _(
            "A newer Parley made this file (format %(version)s; this one reads up to %(newest)s). Upgrade first."
        )
        raise Invalid(sentence % {"version": head.version, "newest": VERSION}, field="file")
    return _decode_known(body.removeprefix(b"\xef\xbb\xbf"))


def _decode_known(body: bytes) -> File:
    try:
        return msgspec.json.decode(body, type=File)
    except (msgspec.DecodeError, RecursionError) as error:
        place = str(error).rpartition(" - at ")[2].strip("`$.") if " - at " in str(error) else ""
        sentence = _("The file holds something that does not belong there, or that is not allowed there: %(place)s.")
        raise Invalid(sentence % {"place": place[:100] or "{}"}, field="file") from error


async def seal_secrets(kept: Secrets, words: str) -> Sealed:
    """The secrets, for who knows the passphrase."""
    return await passphrase.seal(msgspec.json.encode(kept).decode(), words)


async def unseal_secrets(sealed: Sealed, words: str) -> Secrets:
    """Raises `Invalid` with a sentence about the field `passphrase`."""
    try:
        return msgspec.json.decode(await passphrase.unseal(sealed, words), type=Secrets)
    except (WrongPassphrase, msgspec.DecodeError) as error:
        raise Invalid(_("This passphrase does not open the secrets of the file."), field="passphrase") from error
