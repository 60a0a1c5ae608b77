"""Origins: scheme, host and port of an address, in one spelling. A secret belongs to one (docs/decisions/0059). Pure."""

import ipaddress
import re
import socket
from urllib.parse import unquote

import httpx

#: Stands for what is not shown of an address.
MASK = "•••"

_DEFAULT_PORTS = {"https": 443, "http": 80}
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9._-]{0,251}[a-z0-9_-])?")
_NUMBER = re.compile(r"(?:.*\.)?(?:\d+|0x[0-9a-f]*)")
#: Parts of paths that everybody uses: they cannot be a secret.
_PUBLIC = frozenset(
    (
        "", "anthropic", "api", "audio", "chat", "compatibility", "compatible-mode", "completions", "deployments", "embeddings",
        "engines", "gemini", "generate", "generative", "inference", "litellm", "llama.cpp", "llm", "messages", "models", "ollama",
        "openai", "paas", "proxy", "responses", "serving", "serving-endpoints", "tags", "text-generator", "vllm",
    )
)  # fmt: skip
_VERSION = re.compile(r"v\d{1,3}(?:(?:alpha|beta)\d{0,2})?")


def origin_of(url: str | httpx.URL) -> str:
    """`https://api.example.org` or `http://[::1]:8080`; '' for what is no address of a server, which has no origin.

    A usual port, a dot at the end of the host, capitals, other spellings of an IP address or of an international name make
    no difference. The other scheme, another name of the same machine, and another port do.
    """
    try:
        url = httpx.URL(url)
        scheme, host, port = url.scheme, _host(url), url.port
    except (httpx.InvalidURL, ValueError, TypeError, UnicodeError):
        return ""
    has_two_readings = b"%5C" in url.userinfo or (port is not None and not 0 < port < 65_536)
    if scheme not in _DEFAULT_PORTS or not host or has_two_readings:
        return ""
    return f"{scheme}://{host}" if port in (None, _DEFAULT_PORTS[scheme]) else f"{scheme}://{host}:{port}"


def shown_url(url: str) -> str:
    """An address without what may be a secret in it: user and password, unusual parts of its path, its query."""
    origin = origin_of(url)
    if not origin:
        return MASK if url else ""
    parsed = httpx.URL(url)
    path = "/".join(name if _is_public(name) else MASK for name in parsed.path.rstrip("/").split("/"))
    return f"{origin}{path}{'?' + MASK if parsed.query else ''}"


def hides_path(url: str) -> bool:
    """Whether `shown_url` leaves out a part of this address that is sent to its server, in whatever form."""
    return MASK in shown_url(url) or bool(httpx.URL(url).userinfo)


def hidden_parts(url: str) -> list[str]:
    """What `shown_url` leaves out of an address, part by part, as it is sent and as it is read: a server may repeat it."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return []
    path, _mark, query = parsed.raw_path.decode("ascii").partition("?")
    values = (pair.partition("=")[2] or pair for pair in query.split("&"))
    parts = [part for part in (*path.split("/"), *values) if not _is_public(unquote(part))]
    return list(dict.fromkeys([*parts, *map(unquote, parts)]))


def is_same_url(one: str, other: str) -> bool:
    """Whether two base URLs are one address in different spellings."""
    try:
        return httpx.URL(one.rstrip("/")) == httpx.URL(other.rstrip("/"))
    except httpx.InvalidURL:
        return one == other


def _is_public(name: str) -> bool:
    return name in _PUBLIC or _VERSION.fullmatch(name) is not None


def _host(url: httpx.URL) -> str:
    """Raises `ValueError` for an IP address that is none."""
    host = url.raw_host.decode("ascii").lower()
    if ":" in host:
        return f"[{ipaddress.IPv6Address(host).compressed}]"
    host = host.removesuffix(".")
    if not _HOST.fullmatch(host):
        return ""
    if not _NUMBER.fullmatch(host):
        return host
    try:
        return str(ipaddress.IPv4Address(socket.inet_aton(host)))
    except OSError:
        return ""
