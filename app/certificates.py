"""The certificates that we trust: the machine's own, and those in a file that the owner names."""

import functools
import pathlib
import ssl
import sys

import httpx
import truststore

from app.settings import BadSetting, environment_name


def make_context(ca_file: str = "") -> ssl.SSLContext:
    """The context that verifies servers. Raises `BadSetting` if the file cannot be read or has no certificates."""
    if not ca_file:
        return _machine_context()
    context = _read_machine_context()
    _add(context, pathlib.Path(ca_file).expanduser())
    return context


@functools.cache
def _machine_context() -> ssl.SSLContext:
    """One for the whole process: reading the machine's store takes 20 ms."""
    return _read_machine_context()


def _read_machine_context() -> ssl.SSLContext:
    context: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if sys.platform in ("darwin", "win32"):
        return context  # the system itself verifies
    # Elsewhere truststore reads the machine's whole store for each connection: 16 ms on the event loop. The context that
    # it fills for one connection serves them all.
    filled = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost").context
    if filled.cert_store_stats()["x509_ca"] or _has_folder():
        return filled
    return httpx.create_ssl_context(trust_env=False)  # a machine without a store of its own: certifi's


def _has_folder() -> bool:
    """Whether OpenSSL has a folder of certificates, which it reads on demand."""
    folder = ssl.get_default_verify_paths().capath
    return folder is not None and any(pathlib.Path(folder).glob("*.0"))


def _add(context: ssl.SSLContext, ca_file: pathlib.Path) -> None:
    def refused(reason: str) -> BadSetting:
        return BadSetting(f"{environment_name('ca_file')}={str(ca_file)!r} cannot be used: {reason}.")

    try:
        context.load_verify_locations(cafile=ca_file)
    except ssl.SSLError as error:
        raise refused("it has no certificates in PEM form (-----BEGIN CERTIFICATE-----)") from error
    except OSError as error:
        raise refused((error.strerror or str(error)).lower()) from error
