"""Model servers that look usable before anybody has connected one: on this machine, and named in the environment."""

import contextlib
import ipaddress
import os
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx
import msgspec

from app.database import fetch
from app.errors import Unavailable
from app.origins import origin_of, shown_url
from app.providers import PROVIDERS
from app.providers.base import Account, Limits
from app.providers.credentials import split_credentials
from app.providers.errors import ProviderError
from app.tables.provider import Address, open_base_url
from app.words import gettext as _


class Found(msgspec.Struct, frozen=True):
    """A model server that could be connected. `key_from` names a variable, never a key; `base_url` has none either.

    `source`: the variable that the key or else the address comes from.
    """

    kind: str
    name: str
    base_url: str
    key_from: str = ""
    source: str = ""
    models_count: int | None = None

    @property
    def shown_url(self) -> str:
        """What may be seen of the address."""
        return shown_url(self.base_url)


class Hosted(msgspec.Struct, frozen=True):
    """A service on the internet, and the variables that programs commonly read its key and another address from."""

    kind: str
    name: str
    key: str
    base_url: str
    usual_url: str


HOSTED = (
    Hosted("openai", "OpenAI", "OPENAI_API_KEY", "OPENAI_BASE_URL", PROVIDERS["openai"].usual_url),
    Hosted("anthropic", "Anthropic", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", PROVIDERS["anthropic"].usual_url),
    Hosted("gemini", "Google Gemini", "GEMINI_API_KEY", "", PROVIDERS["gemini"].usual_url),
    Hosted("gemini", "Google Gemini", "GOOGLE_API_KEY", "", PROVIDERS["gemini"].usual_url),
    Hosted("deepai", "DeepAI", "DEEPAI_API_KEY", "", PROVIDERS["deepai"].usual_url),
)

OLLAMA_PORT = 11434
#: What a server listens on that listens on all addresses, by IPv4 and by IPv6.
_ALL_ADDRESSES = (str(ipaddress.IPv4Address(0)), str(ipaddress.IPv6Address(0)))

#: The variables that a key may be taken from: those of keys, and those of addresses, which may have user and password in them.
SOURCES = (
    *(hosted.key for hosted in HOSTED),
    *(hosted.base_url for hosted in HOSTED if hosted.base_url),
    "OLLAMA_HOST",
)


def address_of(source: str, environment: Mapping[str, str] = os.environ) -> Address:
    """The address that belongs to one of `SOURCES`, and its key for that origin alone; no key if it holds none.

    A key belongs to the address that the environment gives its service, and to the service itself only where it gives none.
    """
    text = environment.get(source, "").strip()
    service = next((each for each in HOSTED if source in (each.key, each.base_url)), None)
    if service is None:
        bare, login = split_credentials(text)
        base_url = _address(bare)
    else:
        bare, login = split_credentials(environment.get(service.base_url, "").strip())
        base_url = bare or service.usual_url
    key = text if service is not None and source == service.key else login
    return Address(base_url, key, origin_of(base_url) if key else "")


async def list_found(client: httpx.AsyncClient, environment: Mapping[str, str] = os.environ) -> list[Found]:
    """Ollama on its usual address or OLLAMA_HOST, and the services that the environment names; not what is connected."""
    found = [*await _ollama(client, environment), *filter(None, (_named(each, environment) for each in HOSTED))]
    taken = await _taken()
    by_url: dict[str, Found] = {}
    for each in found:
        by_url.setdefault(_place(each.base_url), each)
    return [each for url, each in by_url.items() if url not in taken]


async def _taken() -> set[str]:
    """Where something is connected already. An address that cannot be read any more is nowhere."""
    found = set()
    for row in await fetch("SELECT base_url, base_url_sealed FROM provider WHERE is_enabled"):
        with contextlib.suppress(Unavailable):
            found.add(_place(open_base_url(row)))
    return found


def _place(url: str) -> str:
    """A base URL in one spelling: people write localhost where programs write 127.0.0.1."""
    return url.rstrip("/").replace("://localhost", "://127.0.0.1", 1)


async def _ollama(client: httpx.AsyncClient, environment: Mapping[str, str]) -> list[Found]:
    host, login = split_credentials(environment.get("OLLAMA_HOST", "").strip())
    source = "OLLAMA_HOST" if host else ""
    ollama = Found("ollama", "Ollama", _address(host or "127.0.0.1"), "OLLAMA_HOST" if login else "", source)
    try:
        account = Account(ollama.name, ollama.base_url, key=login, key_origin=origin_of(ollama.base_url))
        models = await PROVIDERS["ollama"](account, client, Limits()).list_models()
    except ProviderError:
        return [ollama] if host else []
    return [msgspec.structs.replace(ollama, models_count=len(models))]


def _named(service: Hosted, environment: Mapping[str, str]) -> Found | None:
    key = environment.get(service.key, "").strip()
    url, login = split_credentials(environment.get(service.base_url, "").strip())
    if not (key or url):
        return None
    name = _("%(name)s-compatible server") % {"name": service.name} if url else service.name
    named = service.key if key else service.base_url if login else ""
    return Found(service.kind, name, url or service.usual_url, named, named or service.base_url)


def _address(said: str) -> str:
    """OLLAMA_HOST as an address to call, with Ollama's usual port where it names none.

    It may say on which addresses Ollama listens: then this machine's is called.
    """
    if "://" in said:
        return said
    try:
        parts = urlsplit(f"//{said}")
        host, port = parts.hostname or "", parts.port or OLLAMA_PORT
    except ValueError:
        return f"http://{said}"
    host = "127.0.0.1" if host in ("", *_ALL_ADDRESSES) else f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}{parts.path}"
