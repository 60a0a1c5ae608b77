"""The address of a database as people paste it, made into one that asyncpg reads. Pure."""

import re
import shlex
import ssl
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, unquote, urlencode

#: What begins an address of Postgres: with the driver that SQLAlchemy names, or in JDBC's way.
_SCHEME = r"(?:jdbc:)?(?:postgresql|postgres|pgsql|psql)(?:\+\w+)?://"
_HOST = r"(?:\[[0-9a-fA-F:.%\w]+\]|[^@/?#:,\[\]]*)(?::\d*)?"
_REST = rf"(?P<hosts>{_HOST}(?:,{_HOST})*)(?:/(?P<name>[^?#@]*?)/*)?(?:\?(?P<query>[^#]*))?"
_URL = re.compile(rf"{_SCHEME}(?:(?P<user>[^:@/?#]*)(?::(?P<password>[^@/?#]*))?@)?{_REST}", re.IGNORECASE)
#: The same with a password that holds @, / or # unencoded; such a password is taken literally.
_RAW_PASSWORD = re.compile(rf"{_SCHEME}(?P<user>[^:@/?#]*):(?P<password>.*)@{_REST}", re.IGNORECASE | re.DOTALL)
#: libpq's other form: host=… dbname=…
_KEYWORDS = re.compile(r"\s*(?:host|hostaddr|port|dbname|user|password|service|sslmode)\s*=")

#: Parameters of libpq, of other drivers and of object mappers that mean nothing to us; sent to Postgres, it would refuse them.
_NOT_FOR_US = frozenset(
    # asyncpg has no channel binding: with TLS it signs in without.
    "channel_binding gssencmode sslcompression sslsni sslcertmode require_auth load_balance_hosts connect_timeout"
    " keepalives keepalives_idle keepalives_interval keepalives_count tcp_user_timeout fallback_application_name"
    " client_encoding requiressl pgbouncer connection_limit pool_timeout pool_size max_overflow statement_cache_size"
    " prepared_statement_cache_size statement_cache_capacity async_fallback sslaccept uselibpqcompat supa workaround"
    " prepareThreshold binaryTransfer tcpKeepAlive ApplicationName loginTimeout socketTimeout connectTimeout"
    " reWriteBatchedInserts sslfactory".split()
)

#: What other drivers call a setting of ours, and what they call its values.
_SAME = {"ssl": "sslmode", "schema": "search_path", "currentSchema": "search_path"}
_SSL_MODES = {
    "true": "require",
    "1": "require",
    "on": "require",
    "no-verify": "require",
    "false": "disable",
    "0": "disable",
}

ADVICE = "it should look like postgres://user:password@host:5432/name"


class BadAddress(ValueError):
    """It is no address of a Postgres; the text is one sentence, and quotes nothing that may be a secret."""


def to_dsn(text: str) -> str:
    """The address in the form that asyncpg reads. Raises `BadAddress`."""
    address = _without_quotes(text)
    if _KEYWORDS.match(address):
        return _of_keywords(address)
    if found := _URL.fullmatch(address):
        return _joined(found, unquote(found["password"] or ""))
    if found := _RAW_PASSWORD.fullmatch(address):
        return _joined(found, found["password"])
    raise BadAddress(f"This is not the address of a Postgres: {ADVICE}.")


def without_secret(url: str) -> str:
    """An address fit for a log: no user, no password, no parameters."""
    found = _URL.fullmatch(url)
    return f"postgres://{found['hosts'] or 'local'}/{found['name'] or ''}" if found else "the address in DATABASE_URL"


def _without_quotes(text: str) -> str:
    """What consoles hand out to be pasted: `psql 'postgres://…'`; and quotes that an environment file kept."""
    address = re.sub(r"^psql\s+", "", text.strip())
    return address[1:-1] if len(address) > 1 and address[0] == address[-1] and address[0] in "'\"" else address


def _joined(found: re.Match[str], password: str) -> str:
    parameters = dict(parse_qsl(found["query"] or ""))
    return _url(unquote(found["user"] or ""), password, found["hosts"], unquote(found["name"] or ""), parameters)


def _of_keywords(address: str) -> str:
    try:
        pairs = [word.partition("=") for word in shlex.split(re.sub(r"(?<!\s)\s*=\s*", "=", address))]
    except ValueError as error:
        raise BadAddress(f"A quote is missing: {ADVICE}.") from error
    said = {key: value for key, _equals, value in pairs}
    hosts = ""
    if said.get("host", "/")[:1] != "/":
        port = said.pop("port", "")
        hosts = said.pop("host") + (f":{port}" if port else "")
    return _url(said.pop("user", ""), said.pop("password", ""), hosts, said.pop("dbname", ""), said)


def _url(user: str, password: str, hosts: str, name: str, parameters: Mapping[str, str]) -> str:
    secret = f":{quote(password, safe='')}" if password else ""
    account = f"{quote(user, safe='')}{secret}@" if user or secret else ""
    path = f"/{quote(name, safe='')}" if name else ""
    # Without a name there is no slash either: asyncpg would take it for an empty name, and pass over `dbname`.
    return f"postgresql://{account}{hosts}{path}{_query(parameters)}"


def _query(parameters: Mapping[str, str]) -> str:
    kept = {_SAME.get(name, name): value for name, value in parameters.items() if name not in _NOT_FOR_US and value}
    if mode := kept.get("sslmode", ""):
        kept["sslmode"] = _SSL_MODES.get(mode.lower(), mode)
    if kept.get("sslrootcert") == "system" and (path := ssl.get_default_verify_paths().cafile):
        kept["sslrootcert"] = path
    return f"?{urlencode(kept, quote_via=quote)}" if kept else ""
