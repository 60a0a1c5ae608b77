"""Why a model server gave no answer, in our own words: names, certificates, addresses that are nearly right."""

import asyncio
import contextlib
import re
import socket
import ssl

import aiohttp
import httpx

from app.providers.addresses import Fault, check, fault_of_url, refusal_in, resolve
from app.providers.base import Account
from app.providers.errors import AddressRefused, BadAnswer, BadRequest, NotConnected, ProviderError, Unreachable
from app.providers.failures import USUAL_PATHS, address, did_you_mean
from app.settings import environment_name
from app.words import gettext as _

HANDSHAKE_SECONDS = 2.0

#: OpenSSL's codes (x509_vfy.h).
_UNKNOWN_ISSUER, _EXPIRED, _NOT_YET_VALID, _OTHER_HOST = (2, 18, 19, 20, 21), 10, 9, (62, 64)

#: What nginx, Go, Apache and Tomcat answer to plain http at a port for https.
_WANTS_TLS = re.compile(
    r"plain HTTP request was sent to HTTPS port|HTTP request to an HTTPS server|plain HTTP to an SSL-enabled|requires TLS\b",
    re.IGNORECASE,
)
#: A TLS alert (RFC 8446, 5.1), as aiohttp quotes bytes that are no status line.
_ALERT = r"b'\x15\x03"


def unreachable(account: Account, error: BaseException) -> ProviderError:
    """A failure before the answer's status line."""
    named = {"name": account.name, "address": address(account)}
    if fault := refusal_in(error):
        return AddressRefused(sentence_of(fault) % named)
    if isinstance(error, (httpx.InvalidURL, httpx.UnsupportedProtocol, aiohttp.InvalidURL)):
        return NotConnected(_("The address of %(name)s is not a valid http or https URL.") % named)
    if isinstance(error, aiohttp.ClientResponseError):
        return BadAnswer(_("%(name)s did not answer in HTTP at %(address)s.") % named)
    cause = error.__cause__ or error  # the transport wraps most of aiohttp's errors into its own
    if isinstance(cause, aiohttp.ClientConnectorCertificateError):
        return NotConnected(_certificate_sentence(cause.certificate_error) % named)
    if isinstance(cause, aiohttp.ClientSSLError):
        return NotConnected(_("No secure connection to %(name)s at %(address)s could be made.") % named)
    if isinstance(cause, aiohttp.ClientConnectorDNSError):
        return NotConnected(_name_sentence(cause.os_error) % named)
    if isinstance(cause, (aiohttp.ServerTimeoutError, TimeoutError)):
        return NotConnected(_("%(name)s could not be reached at %(address)s: the connection timed out.") % named)
    if isinstance(cause, aiohttp.ClientConnectorError):
        return NotConnected(_("%(name)s could not be reached at %(address)s. Is it running?") % named)
    if isinstance(cause, ValueError):
        return BadRequest(_("The request to %(name)s could not be written: its address or key is malformed.") % named)
    return Unreachable(_("%(name)s closed the connection before it answered.") % named)


async def unreachable_by(account: Account, error: BaseException, *, is_question: bool = True) -> ProviderError:
    """Like `unreachable`, and proposes https for http, or http for https, where the server seems to speak that.

    http is never proposed for a server on the internet: a person who followed that would send their key and their threads
    in the clear. A handshake finds out whether a server that hangs up speaks TLS, but no question waits for one.
    """
    failure, cause = unreachable(account, error), error.__cause__ or error
    if account.base_url.lower().startswith("https:"):
        if _seems_to_lack_tls(cause) and await fault_of_url(account.base_url, allows_private=False) == "private":
            return _proposing(account, failure, "http")
    elif _ALERT in str(cause):
        return _wants_https(account)
    elif not is_question and _has_hung_up(cause) and await _speaks_tls(account):
        return _proposing(account, failure, "https")
    return failure


def refused_plain_http(account: Account, status: int, body: bytes) -> ProviderError | None:
    """The error for an answer that says that the server expects https."""
    is_said = status == 400 and _WANTS_TLS.search(body[:4000].decode("utf-8", "replace"))
    return _wants_https(account) if is_said and account.base_url.lower().startswith("http:") else None


def sentence_of(fault: Fault) -> str:
    """Why an address is not called, with places for the name and the address."""
    if fault == "metadata":
        return _("%(address)s is where clouds keep their own secrets: %(name)s is never called there.")
    return _("%(address)s is on this machine or in a private network, which the owner has not allowed for %(name)s.")


def _certificate_sentence(error: Exception) -> str:
    code, reason = getattr(error, "verify_code", 0), str(getattr(error, "verify_message", "")).strip(" .")
    if code in _OTHER_HOST:
        return _("The certificate of %(name)s at %(address)s is not valid: it is for another name.")
    if code == _EXPIRED:
        return _("The certificate of %(name)s at %(address)s is not valid: it has expired.")
    if code == _NOT_YET_VALID:
        return _("The certificate of %(name)s at %(address)s is not valid yet. Is this machine's clock right?")
    if code in _UNKNOWN_ISSUER or not reason:
        why = _("The certificate of %(name)s at %(address)s is not valid: this machine does not trust its issuer.")
    else:
        why = _("The certificate of %(name)s at %(address)s is not valid:") + f" {reason.replace('%', '%%')}."
    how = _("If the issuer is your own, put the path of its certificate file in %(variable)s and restart Parley.")
    return f"{why} {how % {'variable': environment_name('ca_file')}}"


def _name_sentence(error: OSError) -> str:
    if error.errno == socket.EAI_AGAIN:
        return _("The address of %(name)s could not be looked up in time: %(address)s.")
    return _("The name of %(name)s's server was not found: %(address)s.")


def _seems_to_lack_tls(cause: BaseException) -> bool:
    """Some servers answer a handshake in HTTP, some hang up, and some wait for the end of what they take for a request."""
    if isinstance(cause, aiohttp.ClientConnectorCertificateError):
        return False
    has_reset = isinstance(getattr(cause, "os_error", None), ConnectionResetError)
    return has_reset or isinstance(cause, (aiohttp.ClientSSLError, aiohttp.ServerTimeoutError, TimeoutError))


def _has_hung_up(cause: BaseException) -> bool:
    is_connected = not isinstance(cause, aiohttp.ClientConnectorError)
    return is_connected and isinstance(cause, (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError))


async def _speaks_tls(account: Account) -> bool:
    """Whether a handshake gets as far as a certificate. No certificate is trusted here, and no request is sent."""
    url = httpx.URL(account.base_url)
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            found = await resolve(url.host)
            for each in found:
                check(each, allows_private=account.allows_private)
            for each in found:
                with contextlib.suppress(ConnectionRefusedError):
                    return await _shakes_hands(each, url)
    except (OSError, ValueError, TimeoutError):
        pass
    return False


async def _shakes_hands(ip: str, url: httpx.URL) -> bool:
    trusts_none = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        _reader, writer = await asyncio.open_connection(ip, url.port or 80, ssl=trusts_none, server_hostname=url.host)
    except ssl.SSLCertVerificationError:
        return True
    writer.close()
    return True


def _wants_https(account: Account) -> ProviderError:
    named = {"name": account.name, "address": address(account)}
    sentence = _("%(name)s expects https at %(address)s, but http was sent.") % named
    return _proposing(account, BadAnswer(sentence), "https")


def _proposing(account: Account, failure: ProviderError, scheme: str) -> ProviderError:
    """The same failure, with the question whether the other scheme was meant."""
    url = httpx.URL(account.base_url)
    path = url.path.rstrip("/")
    question = did_you_mean(scheme, url, path if path in USUAL_PATHS else "/…")
    asking = type(failure)(f"{failure.sentence} {question}")
    asking.meant_url = f"{scheme}://{url.netloc.decode()}{path}"
    return asking
