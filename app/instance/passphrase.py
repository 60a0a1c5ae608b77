"""Secrets in a file: sealed with a key that is made of a passphrase (scrypt, RFC 7914), which the file says how to make."""

import asyncio
import base64
import binascii
import secrets
from typing import Annotated, Literal

import msgspec
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from msgspec import Meta


class WrongPassphrase(Exception):
    """The passphrase does not open what was sealed, or that was changed since."""


class Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was sealed, and how the key is made of the passphrase. The limits keep a file from asking for too much.

    By itself it takes 64 MiB and about 0.2 s of one core for each guess.
    """

    salt: Annotated[str, Meta(min_length=16, max_length=100)]
    text: Annotated[str, Meta(max_length=10_000_000)]
    kdf: Literal["scrypt"] = "scrypt"
    cost: Literal[16384, 32768, 65536, 131072] = 65536
    block_size: Literal[8] = 8
    parallelism: Literal[1] = 1


async def seal(text: str, passphrase: str) -> Sealed:
    """Encrypt. Making the key runs in a thread."""
    sealed = Sealed(base64.urlsafe_b64encode(secrets.token_bytes(16)).decode(), "")
    fernet = await asyncio.to_thread(_fernet, sealed, passphrase)
    return msgspec.structs.replace(sealed, text=fernet.encrypt(text.encode()).decode())


async def unseal(sealed: Sealed, passphrase: str) -> str:
    """The text that was sealed. Raises `WrongPassphrase`."""
    try:
        fernet = await asyncio.to_thread(_fernet, sealed, passphrase)
        return fernet.decrypt(sealed.text.encode()).decode()
    except (InvalidToken, binascii.Error, ValueError) as error:
        raise WrongPassphrase from error


def _fernet(sealed: Sealed, passphrase: str) -> Fernet:
    salt = base64.urlsafe_b64decode(sealed.salt)
    key = Scrypt(salt=salt, length=32, n=sealed.cost, r=sealed.block_size, p=sealed.parallelism)
    return Fernet(base64.urlsafe_b64encode(key.derive(passphrase.encode())))
