"""Model servers that look usable before anybody has connected one: on this machine, and named in the environment."""

import ipaddress
import os
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx
import msgspec

from app.database import fetch
from app.providers import PROVIDERS
from app.providers.base import Account, Limits
from app.providers.credentials import split_credentials
from app.providers.errors import ProviderError
from app.words import gettext as _


class Found(msgspec.Struct, frozen=True):
    """A model server that could be connected. `key_from` names a variable, never a key; `base_url` has none either."""

    kind: str
    name: str
    base_url: str
    key_from: str = ""
    models_count: int | None = None


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


def key_from(source: str, environment: Mapping[str, str] = os.environ) -> str:
    """The key that one of `SOURCES` holds; empty if it holds none."""
    text = environment.get(source, "").strip()
    return text if source in [hosted.key for hosted in HOSTED] else split_credentials(text)[1]


async def list_found(client: httpx.AsyncClient, environment: Mapping[str, str] = os.environ) -> list[Found]:
    """Ollama on its usual address or OLLAMA_HOST, and the services that the environment names; not what is connected."""
    found = [*await _ollama(client, environment), *filter(None, (_named(each, environment) for each in HOSTED))]
    taken = {_place(row["base_url"]) for row in await fetch("SELECT base_url FROM provider WHERE is_enabled")}
    by_url: dict[str, Found] = {}
    for each in found:
        by_url.setdefault(_place(each.base_url), each)
    return [each for url, each in by_url.items() if url not in taken]


def _place(url: str) -> str:
    """A base URL in one spelling: people write localhost where programs write 127.0.0.1."""
    return url.rstrip("/").replace("://localhost", "://127.0.0.1", 1)


async def _ollama(client: httpx.AsyncClient, environment: Mapping[str, str]) -> list[Found]:
    host, login = split_credentials(environment.get("OLLAMA_HOST", "").strip())
    ollama = Found("ollama", "Ollama", _address(host or "127.0.0.1"), "OLLAMA_HOST" if login else "")
    try:
        account = Account(name=ollama.name, base_url=ollama.base_url, key=login)
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
    return Found(
        service.kind, name, url or service.usual_url, service.key if key else service.base_url if login else ""
    )


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
