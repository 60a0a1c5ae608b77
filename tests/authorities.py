"""An authority of certificates, made at run time: what a company has that signs its servers' certificates itself."""

import datetime
import ipaddress
import pathlib
import ssl
import tempfile
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_PEM = serialization.Encoding.PEM
DAY = datetime.timedelta(days=1)


class Authority:
    """Signs certificates. `pem`: its own, for those who are to trust it."""

    def __init__(self, name: str = "Acme's own authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self._certificate = (
            _builder(self._name, self._name, self._key.public_key(), DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = self._certificate.public_bytes(_PEM)

    def write(self, folder: pathlib.Path) -> str:
        """Its certificate as a file."""
        path = folder / "authority.pem"
        path.write_bytes(self.pem)
        return str(path)

    def server_context(
        self, hosts: Sequence[str] = ("127.0.0.1", "localhost"), *, ends_in: datetime.timedelta = DAY
    ) -> ssl.SSLContext:
        """What a server with these names listens with."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        certificate = (
            _builder(x509.Name([]), self._name, key.public_key(), ends_in)
            .add_extension(names, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        secret = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile() as file:
            file.write(secret + certificate.public_bytes(_PEM))
            file.flush()
            context.load_cert_chain(file.name)
        return context


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, ends_in: datetime.timedelta
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * DAY)
        .not_valid_after(now + ends_in)
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
