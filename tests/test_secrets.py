"""Passwords, tokens, the key file, and what is sealed with it."""

import concurrent.futures
import os
import pathlib
import stat
import time

import pytest

from app.errors import Unavailable
from app.secrets import (
    NOBODYS_HASH,
    Keyring,
    hash_password,
    hash_token,
    is_outdated,
    keyed_digest,
    new_token,
    open_keyring,
    seal,
    unseal,
    verify_password,
)
from app.settings import BadSetting

KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
OTHER_KEY = "YWJjZGVmZ2hpamFiY2RlZmdoaWphYmNkZWZnaGlqYWI="


async def test_a_password_opens_its_own_hash_alone() -> None:
    hashed = await hash_password("pässword 12345")
    assert hashed.startswith("$argon2id$")
    assert await verify_password("pässword 12345", hashed)
    assert not await verify_password("password 12345", hashed)
    assert await hash_password("pässword 12345") != hashed


async def test_nobodys_hash_costs_what_everybodys_costs_and_opens_for_nobody() -> None:
    assert not is_outdated(NOBODYS_HASH)
    assert not await verify_password("", None)
    started = time.process_time()
    assert not await verify_password("some password", None)
    assert time.process_time() - started > 0.01


async def test_a_damaged_hash_opens_for_nobody() -> None:
    assert not await verify_password("anything", "$argon2id$v=19$broken")


def test_tokens_are_long_different_and_stored_as_hashes() -> None:
    tokens = {new_token() for _ in range(100)}
    assert {len(token) for token in tokens} == {43}
    assert len(tokens) == 100
    assert len({hash_token(token) for token in tokens}) == 100


def test_a_sealed_text_comes_back_and_shows_nothing() -> None:
    sealed = seal("sk-geheim-ß")
    assert "geheim" not in sealed
    assert unseal(sealed) == "sk-geheim-ß"
    assert seal("sk-geheim-ß") != sealed


def test_another_key_says_in_a_sentence_that_it_cannot_read(tmp_path: pathlib.Path) -> None:
    sealed = open_keyring(KEY, tmp_path).seal("secret")
    with pytest.raises(Unavailable, match="sealed with another secret key"):
        open_keyring(OTHER_KEY, tmp_path).unseal(sealed)
    with pytest.raises(Unavailable, match="sealed with another secret key"):
        open_keyring(KEY, tmp_path).unseal(sealed[:-4])
    with pytest.raises(Unavailable):
        open_keyring(KEY, tmp_path).unseal("")


def test_a_key_is_replaced_by_putting_a_new_one_before_it(tmp_path: pathlib.Path) -> None:
    sealed = open_keyring(KEY, tmp_path).seal("secret")
    both = open_keyring(f"{OTHER_KEY}, {KEY}", tmp_path)
    assert both.unseal(sealed) == "secret"
    assert open_keyring(OTHER_KEY, tmp_path).unseal(both.seal("new")) == "new"


def test_digests_differ_by_purpose_text_and_key() -> None:
    keyring = Keyring(KEY.encode())
    digests = {
        keyring.keyed_digest("a", "b"),
        keyring.keyed_digest("a", "c"),
        keyring.keyed_digest("ab", ""),
        Keyring(OTHER_KEY.encode()).keyed_digest("a", "b"),
    }
    assert len(digests) == 4
    assert keyed_digest("a", "b") == keyed_digest("a", "b")


def test_the_key_file_is_made_once_and_for_its_owner_alone(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "data"
    mask = os.umask(0)
    try:
        sealed = open_keyring("", folder).seal("secret")
    finally:
        os.umask(mask)
    assert [path.name for path in folder.iterdir()] == ["secret.key"]
    assert stat.S_IMODE((folder / "secret.key").stat().st_mode) == 0o600
    assert open_keyring("", folder).unseal(sealed) == "secret"


def test_processes_that_start_together_get_one_key(tmp_path: pathlib.Path) -> None:
    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        rings = list(threads.map(lambda _: open_keyring("", tmp_path), range(16)))
    assert len({ring.keyed_digest("a", "b") for ring in rings}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]


@pytest.mark.parametrize("text", ["short", "ä" * 44, "A" * 42, "two keys,", "=" * 44])
def test_a_key_that_is_none_is_said_in_a_sentence(tmp_path: pathlib.Path, text: str) -> None:
    with pytest.raises(BadSetting, match=r"PARLEY_SECRET_KEY does not hold a secret key"):
        open_keyring(text, tmp_path)
    (tmp_path / "secret.key").write_text(text)
    with pytest.raises(BadSetting, match=r"secret\.key does not hold a secret key"):
        open_keyring("", tmp_path)
