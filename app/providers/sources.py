"""What a person types to get a model file → its address, and the name that the model will have. Pure, but for the hub."""

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import quote, unquote

import httpx

from app.origins import origin_of
from app.providers.keeping import SourceRefused
from app.words import gettext as _

MAX_CHARS = 2000
MAX_NAME_CHARS, MAX_NAME_BYTES = 150, 220
_HUB_NAME = re.compile(r"\w[\w.-]{0,95}", re.ASCII)
_HOST = re.compile(r"[a-z0-9_][a-z0-9._-]{0,252}", re.ASCII | re.IGNORECASE)
_ONE_OF_MANY = re.compile(r"-\d{5}-of-(\d{5})$")


class Named(NamedTuple):
    """Where a file is, and what its model will be called."""

    url: str
    name: str


def read_source(text: str, hub_url: str) -> Named:
    """`hf:org/repo/file.gguf`, or an address of such a file. Raises `SourceRefused`."""
    text = text.strip()
    if not text.isprintable() or len(text) > MAX_CHARS:
        raise SourceRefused(_expected())
    if text.lower().startswith("hf:"):
        return _from_hub(text[3:], hub_url)
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        raise SourceRefused(_expected()) from None
    if not can_be_fetched(url):
        raise SourceRefused(_expected())
    if url.userinfo:
        raise SourceRefused(_("An address with a password in it would be shown to others. Leave it out."))
    url = url.copy_with(fragment=None)
    if origin_of(str(url)) == origin_of(hub_url) and "/blob/" in url.path:  # the page about the file
        url = url.copy_with(path=url.path.replace("/blob/", "/resolve/", 1))
    return Named(str(url), name_of(unquote(url.raw_path.decode("ascii").partition("?")[0].rpartition("/")[2])))


def name_of(file_name: str) -> str:
    """The name of the model in a file of this name. Raises `SourceRefused`."""
    stem, dot, ending = file_name.rpartition(".")
    if not dot or ending.lower() != "gguf":
        raise SourceRefused(_("That is no model file: its name does not end in .gguf."))
    check_name(stem)
    if (parts := _ONE_OF_MANY.search(stem)) and int(parts[1]) > 1:
        raise SourceRefused(_("That is one part of a model in several files. Only models in one file can be pulled."))
    return stem


def check_name(name: str) -> None:
    """Raises `SourceRefused` for what cannot be the name of a file in the models folder, or should not."""
    is_short = 0 < len(name) <= MAX_NAME_CHARS and len(name.encode("utf-8", "replace")) <= MAX_NAME_BYTES
    is_plain = name.isprintable() and not re.search(r"[/\\:]", name) and name == name.strip()
    if not is_short or not is_plain or name.startswith("."):
        raise SourceRefused(
            _("The file's name cannot be the name of a model: it is too long, or has signs in it that none has.")
        )


def read_sha256(text: str) -> str:
    """64 digits in lower case, or nothing. Raises `SourceRefused`."""
    text = text.strip().lower().removeprefix("sha256:").strip()
    if text and not re.fullmatch(r"[0-9a-f]{64}", text):
        sentence = _("A SHA-256 checksum has 64 digits from 0 to 9 and a to f. Leave it empty if you do not know it.")
        raise SourceRefused(sentence, field="sha256")
    return text


def can_be_fetched(url: httpx.URL) -> bool:
    """Whether everybody who reads this address will see the same server in it."""
    host = url.raw_host.decode("ascii")
    if ":" in host:
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            return False
    elif not _HOST.fullmatch(host):
        return False
    return url.scheme in ("https", "http") and (url.port is None or 0 < url.port < 65_536)


def _from_hub(path: str, hub_url: str) -> Named:
    org, _slash, rest = path.partition("/")
    repo, _slash, file = rest.partition("/")
    segments = file.split("/")
    is_plain = all(segment.strip(" ") and not segment.startswith(".") and "\\" not in segment for segment in segments)
    if not all(_HUB_NAME.fullmatch(part) and ".." not in part for part in (org, repo)) or not is_plain:
        raise SourceRefused(_("A file on the hub is written as hf:organisation/repository/file.gguf."))
    if not origin_of(hub_url):
        raise SourceRefused(_("The address of the hub in the settings is not a valid one."))
    return Named(f"{hub_url.rstrip('/')}/{org}/{repo}/resolve/main/{quote(file)}", name_of(segments[-1]))


def _expected() -> str:
    return _("Give the address of a GGUF file, https://…/file.gguf, or hf:organisation/repository/file.gguf.")
