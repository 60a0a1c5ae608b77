"""Secrets: passwords (argon2id), tokens (kept as hashes), and what is sealed with a key that is not in the database."""

import asyncio
import base64
import binascii
import concurrent.futures
import contextlib
import functools
import hashlib
import hmac
import os
import pathlib
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from app.errors import Unavailable
from app.settings import BadSetting, settings
from app.words import gettext as _

#: Two passes over 46 MiB: more than RFC 9106 §4 and OWASP ask of one lane, about 50 ms of one core.
_hasher = PasswordHasher(time_cost=2, memory_cost=47_104, parallelism=1)

#: The hash of a password that nobody has, with the same parameters: what a sign-in to no account is compared with.
NOBODYS_HASH = "$argon2id$v=19$m=47104,t=2,p=1$2cIqn3ef4vrBgqM5i5YO8A$qFk3U+CYVtuybszJeduilzMnEwA+PaHel5YrdNaFkSE"

#: Two at a time: more would only take memory (46 MiB each) and other people's share of the processor.
_threads = concurrent.futures.ThreadPoolExecutor(max_workers=2, thread_name_prefix="password")

KEY_FILE = "secret.key"


async def hash_password(password: str) -> str:
    """argon2id's own format, with salt and parameters. Runs in a thread."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _hasher.hash, password)


async def verify_password(password: str, password_hash: str | None) -> bool:
    """Whether the password belongs to the hash. None (no such account) takes the same time and says no."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _verify, password, password_hash)


def is_outdated(password_hash: str) -> bool:
    """Whether the hash was made with other parameters than today's and should be made anew at the next sign-in."""
    return _hasher.check_needs_rehash(password_hash)


def new_token() -> str:
    """43 characters out of 256 random bits, fit for cookies and addresses."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> bytes:
    """SHA-256: enough for a token that nobody can guess, and who reads the database cannot go back."""
    return hashlib.sha256(token.encode()).digest()


def seal(text: str) -> str:
    """Encrypt for storage."""
    return keyring().seal(text)


def unseal(sealed: str) -> str:
    """The text that was sealed. Raises `Unavailable` when it was sealed with a key that this instance does not have."""
    return keyring().unseal(sealed)


def keyed_digest(purpose: str, text: str) -> bytes:
    """HMAC-SHA-256 of the text under this instance's key, different for every purpose."""
    return keyring().keyed_digest(purpose, text)


class Keyring:
    """The instance's keys. The first seals, all unseal: a key is replaced by putting a new one before it."""

    def __init__(self, *keys: bytes) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys])
        self._digest_key = hmac.digest(base64.urlsafe_b64decode(keys[0]), b"parley: keyed digests", "sha256")

    def seal(self, text: str) -> str:
        return self._fernet.encrypt(text.encode()).decode()

    def unseal(self, sealed: str) -> str:
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken as error:
            raise Unavailable(
                _(
                    "A stored secret cannot be read, because it was sealed with another secret key. "
                    "Enter it again, or give this instance its former key back."
                )
            ) from error

    def keyed_digest(self, purpose: str, text: str) -> bytes:
        return hmac.digest(self._digest_key, f"{purpose}\0{text}".encode(), "sha256")


@functools.cache
def keyring() -> Keyring:
    """This instance's keyring, opened once. Raises `BadSetting`."""
    return open_keyring(settings.secret_key, settings.data)


def open_keyring(secret_key: str, folder: pathlib.Path) -> Keyring:
    """The keys of the setting (several are separated by commas), else of the key file in `folder`, made if missing.

    Raises `BadSetting` with a sentence for the console.
    """
    if secret_key:
        return _keyring_of(secret_key, "PARLEY_SECRET_KEY")
    path = folder / KEY_FILE
    if not path.exists():
        _write_new_key(path)
    return _keyring_of(path.read_text(encoding="ascii", errors="replace"), str(path))


def _keyring_of(text: str, place: str) -> Keyring:
    keys = [key.strip().encode("ascii", "replace") for key in text.split(",")]
    try:
        return Keyring(*keys)
    except (ValueError, binascii.Error) as error:
        raise BadSetting(f"{place} does not hold a secret key: 32 bytes in url-safe base64, 44 characters.") from error


def _write_new_key(path: pathlib.Path) -> None:
    """Readable by us alone from its first byte, whole from its first moment, and the same for processes that race."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(Fernet.generate_key())
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def _verify(password: str, password_hash: str | None) -> bool:
    try:
        _hasher.verify(password_hash or NOBODYS_HASH, password)
    except VerificationError:
        return False
    return password_hash is not None
