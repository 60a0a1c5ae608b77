"""The address of a database is understood in the forms that people paste, and asyncpg reads what comes of it."""

from typing import Any

import pytest
from asyncpg.connect_utils import _parse_connect_dsn_and_args

from app.database_url import BadAddress, to_dsn, without_secret

#: given → (host, port, user, password, database), as asyncpg understands it in the end.
FORMS = {
    "postgres://olive:s3cret@db.example:5433/parley": ("db.example", 5433, "olive", "s3cret", "parley"),
    "postgresql://olive@db.example/parley": ("db.example", 5432, "olive", None, "parley"),
    "POSTGRES://olive@db.example/parley": ("db.example", 5432, "olive", None, "parley"),
    "postgresql+asyncpg://olive:s3cret@db.example/parley": ("db.example", 5432, "olive", "s3cret", "parley"),
    "postgresql+psycopg2://olive:s3cret@db.example/parley": ("db.example", 5432, "olive", "s3cret", "parley"),
    "postgres+psycopg://olive:s3cret@db.example/parley": ("db.example", 5432, "olive", "s3cret", "parley"),
    "jdbc:postgresql://db.example:5433/parley?user=olive&password=s3cret": (
        "db.example", 5433, "olive", "s3cret", "parley",
    ),
    "host=db.example port=5433 user=olive password='s 3' dbname=parley": ("db.example", 5433, "olive", "s 3", "parley"),
    "host = db.example dbname = parley user = olive": ("db.example", 5432, "olive", None, "parley"),
    "psql 'postgresql://olive:s3cret@ep-x-1.eu.aws.neon.tech/parley?sslmode=require&channel_binding=require'": (
        "ep-x-1.eu.aws.neon.tech", 5432, "olive", "s3cret", "parley",
    ),
    '"postgres://olive@db.example/parley"': ("db.example", 5432, "olive", None, "parley"),
    "postgresql://postgres.abcdef:s3cret@aws-0-eu.pooler.supabase.com:6543/postgres?pgbouncer=true": (
        "aws-0-eu.pooler.supabase.com", 6543, "postgres.abcdef", "s3cret", "postgres",
    ),
    "postgres://olive:p%40ss%2Fw%23rd@db.example/parley": ("db.example", 5432, "olive", "p@ss/w#rd", "parley"),
    "postgres://olive:p@ss@db.example/parley": ("db.example", 5432, "olive", "p@ss", "parley"),
    "postgres://olive:p/a#s?s:w@db.example:5433/parley?sslmode=require": (
        "db.example", 5433, "olive", "p/a#s?s:w", "parley",
    ),
    "postgres://olive:50%25@db.example/parley": ("db.example", 5432, "olive", "50%", "parley"),
    "postgres://olive@db.example/parley/": ("db.example", 5432, "olive", None, "parley"),
    "postgres://olive@[::1]:5433/parley": ("::1", 5433, "olive", None, "parley"),
    "postgres://olive@db.example/my%20parley": ("db.example", 5432, "olive", None, "my parley"),
    "postgres://olive@db.example/?dbname=parley": ("db.example", 5432, "olive", None, "parley"),
    "  postgres://olive@db.example/parley\n": ("db.example", 5432, "olive", None, "parley"),
}  # fmt: skip


def read(dsn: str) -> tuple[list[Any], Any]:
    """(host and port of each server, everything else), as asyncpg reads them."""
    addresses, parameters = _parse_connect_dsn_and_args(
        dsn=dsn, host=None, port=None, user=None, password=None, passfile=None, database=None, ssl=None,
        direct_tls=None, server_settings=None, target_session_attrs=None, krbsrvname=None, gsslib=None,
        service=None, servicefile=None,
    )  # fmt: skip
    return addresses, parameters


@pytest.mark.parametrize("given", FORMS)
def test_every_form_means_the_same_to_asyncpg(given: str) -> None:
    [(host, port)], parameters = read(to_dsn(given))
    assert (host, port, parameters.user, parameters.password, parameters.database) == FORMS[given]
    assert not parameters.server_settings


@pytest.mark.parametrize("given", FORMS)
def test_an_address_that_was_read_once_stays_as_it_is(given: str) -> None:
    assert to_dsn(to_dsn(given)) == to_dsn(given)


def test_a_socket_s_folder_and_several_servers_are_left_as_they_are() -> None:
    [path], parameters = read(to_dsn("postgresql+psycopg2://olive@/parley?host=/run/postgresql"))
    assert (path, parameters.user, parameters.database) == ("/run/postgresql/.s.PGSQL.5432", "olive", "parley")
    [path], parameters = read(to_dsn("host=/run/postgresql dbname=parley"))
    assert (path, parameters.database) == ("/run/postgresql/.s.PGSQL.5432", "parley")
    addresses, _ = read(to_dsn("postgres://olive@one:5433,two:5434/parley?target_session_attrs=read-write"))
    assert addresses == [("one", 5433), ("two", 5434)]


@pytest.mark.parametrize(
    ("query", "mode"),
    [
        ("sslmode=require", "require"),
        ("sslmode=no-verify", "require"),
        ("ssl=true", "require"),
        ("ssl=1", "require"),
        ("ssl=verify-full", "verify-full"),
        ("ssl=false", "disable"),
        ("sslmode=disable", "disable"),
        ("sslmode=", None),
    ],
)
def test_tls_is_asked_for_in_everybody_s_words(query: str, mode: str | None) -> None:
    dsn = to_dsn(f"postgres://olive@db.example/parley?{query}")
    assert dsn.endswith("/parley" if mode is None else f"?sslmode={mode}")


def test_settings_of_a_session_reach_postgres_and_other_drivers_parameters_do_not() -> None:
    query = "options=-c%20statement_timeout%3D5s&connect_timeout=10&connection_limit=5&schema=parley&gssencmode=disable"
    _, parameters = read(to_dsn(f"postgres://olive@db.example/parley?{query}"))
    assert parameters.server_settings == {"options": "-c statement_timeout=5s", "search_path": "parley"}


@pytest.mark.parametrize(
    "given",
    [
        "mysql://olive:hunter2@db.example/parley",
        "db.example/parley",
        "postgres:/olive:hunter2@db.example",
        "postgres://db.example:hunter2/parley",
        "postgres://db.example/parley#hunter2",
        "host=db.example password='hunter2",
        "sqlite:///parley.db",
    ],
)
def test_what_is_no_address_is_refused_without_quoting_it(given: str) -> None:
    with pytest.raises(BadAddress, match="postgres://user:password@host:5432/name") as caught:
        to_dsn(given)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in without_secret(given)


def test_a_log_sees_no_account_and_no_parameters() -> None:
    dsn = to_dsn("postgres://olive:hunter2@db.example:5433/parley?password=hunter3")
    assert without_secret(dsn) == "postgres://db.example:5433/parley"
    assert without_secret("postgres://olive:hunter2@one:1,two:2/parley") == "postgres://one:1,two:2/parley"
    assert without_secret("postgresql:///parley?host=/tmp") == "postgres://local/parley"
