"""TLS towards the broker: the P-256 key made where it is used, the client's side of a connection, and why one failed.

Needs `cryptography` (extra `agent-numpy`) for the key alone; imported where it is used.
"""

import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hushfleet.errors import LocalError, Refusal
from hushfleet.ids import parse_id
from hushfleet.typed import typed

_PROBE_S = 5.0
_DAY_S = 24 * 3600
_REJECTION_S = 5.0  # a busy broker, or one at the end of a slow line

_NOT_YET_VALID, _EXPIRED, _UNKNOWN_ISSUERS, _WRONG_NAMES = 9, 10, (2, 18, 19, 20, 21), (62, 64)  # openssl's X509_V_ERR numbers
_REJECTIONS = {
    "REVOKED": "this certificate is revoked",
    "EXPIRED": "this certificate is expired by the broker's clock",
    "UNKNOWN_CA": "this certificate is not of the broker's CA",
    "CERTIFICATE_REQUIRED": "it asks for a certificate and got none",
    "BAD_CERTIFICATE": "this certificate is not accepted",
}
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
_OLD_TLS = ("ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The reason why no connection comes about, and what a person can do."""

    problem: str
    next_step: str

    def __str__(self) -> str:
        return f"{self.problem} {self.next_step}"


def make_key_and_request(name: str) -> tuple[bytes, bytes]:
    """A fresh P-256 private key (PKCS 8 PEM, unencrypted: keep it in a file of mode 0600) and a request for its certificate (PEM).

    The request's subject is CN=`name`, an id. Randomness is the operating system's. Raises `PeerError(ID_MALFORMED)`.
    """
    from cryptography import x509  # noqa: PLC0415 -- the library does without it
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 -- likewise
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 -- likewise

    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, parse_id(name))])
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    key_pem = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key_pem, request.public_bytes(pem)


def client_context(ca: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 or later, the broker's name checked, no CA trusted but `ca`. Files are PEM.

    Raises `LocalError(LINK_CERTIFICATE)`: a file is missing or unreadable, or key and certificate do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks names and certificates
    context.sslsocket_class = _Stream
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(ca)
    except OSError as error:
        raise _unusable(f"the CA certificate {ca}", error) from error
    try:
        context.load_cert_chain(certificate, key, password=_never_asked)
    except (OSError, ValueError) as error:
        raise _unusable(f"the certificate {certificate} with the key {key}", error) from error
    return context


def certificate_day(certificate: Path) -> int:
    """The day, counted from 1970-01-01 in UTC, on which a certificate in PEM ends; 0 where none can be read."""
    from cryptography import x509  # noqa: PLC0415 -- likewise

    try:
        ends = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return 0
    return max(0, int(ends.timestamp()) // _DAY_S)


def diagnose(host: str, port: int, context: ssl.SSLContext) -> Diagnosis | None:
    """Connect once and say why it fails; None if the broker took this certificate. Takes up to some seconds."""
    try:
        with socket.create_connection((host, port), _PROBE_S) as plain, context.wrap_socket(plain, server_hostname=host) as secured:
            secured.settimeout(_REJECTION_S)
            # With TLS 1.3 a refused certificate shows only here: the handshake is over for us before the broker has looked.
            with suppress(TimeoutError):
                if not secured.recv(1):
                    return _dropped(host, port)
    except OSError as error:
        return explain(error, host, port)
    return None


def explain(error: OSError, host: str, port: int) -> Diagnosis:
    """The diagnosis of an error of connecting."""
    where = f"{host}:{port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return _distrusted(error, where)
    if isinstance(error, ssl.SSLError):
        return _handshake_failed(error, where)
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return _dropped(host, port)
    return _unreachable(error, host, where)


def _unreachable(error: OSError, host: str, where: str) -> Diagnosis:
    if isinstance(error, socket.gaierror):
        return Diagnosis(f"The name {host} is not known here.", "Check [broker] host and this device's DNS.")
    if isinstance(error, ConnectionRefusedError):
        return Diagnosis(f"Nothing listens at {where}.", "Check that the broker runs there, and [broker] port.")
    if isinstance(error, TimeoutError):
        return Diagnosis(f"{where} does not answer.", "Check the network and the broker's firewall.")
    return Diagnosis(f"{where} cannot be reached: {error.strerror or error}.", "Check this device's network.")


class _Stream(ssl.SSLSocket):
    """Closed when the handshake fails: paho would leave it to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def _distrusted(error: ssl.SSLCertVerificationError, where: str) -> Diagnosis:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    if error.verify_code == _NOT_YET_VALID:
        return Diagnosis(f"The certificate of {where} is not yet valid by this clock ({now}).", "Set the clock, or wait for NTP.")
    if error.verify_code == _EXPIRED:
        return Diagnosis(
            f"The certificate of {where} is expired by this clock ({now}).",
            f"If the clock is right, the owner renews it: {typed('provision', 'broker')}",
        )
    if error.verify_code in _UNKNOWN_ISSUERS:
        return Diagnosis(f"The certificate of {where} is not of this fleet's CA.", "Check that host and bundle are of the same fleet.")
    if error.verify_code in _WRONG_NAMES:
        return Diagnosis(
            f"The certificate of {where} is for another name.",
            f"Use a name it holds as [broker] host, or the owner adds this one: {typed('provision', 'broker', '--host', 'NAME')}",
        )
    return Diagnosis(
        f"The certificate of {where} is refused: {error.verify_message}.", f"The owner renews it: {typed('provision', 'broker')}"
    )


def _handshake_failed(error: ssl.SSLError, where: str) -> Diagnosis:
    text = str(error)
    for word, meaning in _REJECTIONS.items():
        if word in text:
            return Diagnosis(f"The broker at {where} refuses: {meaning}.", "Ask the owner for a new bundle.")
    if any(word in text for word in _NO_TLS):
        return Diagnosis(f"What listens at {where} does not speak TLS.", "Use the broker's TLS port (8883) as [broker] port.")
    if any(word in text for word in _OLD_TLS):
        return Diagnosis(f"{where} speaks no TLS 1.2 or later.", "Update the broker.")
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return Diagnosis(f"{where} ends the TLS handshake.", "Use the broker's TLS port (8883); look into the broker's log.")
    return Diagnosis(f"No TLS with {where}: {text}.", "Look into the broker's log.")


def _dropped(host: str, port: int) -> Diagnosis:
    return Diagnosis(
        f"{host}:{port} drops the connection without a reason.",
        "Check that [broker] port is the TLS port (8883); then look into the broker's log: the certificate may be revoked.",
    )


def _unusable(what: str, error: Exception) -> LocalError:
    return LocalError(Refusal.LINK_CERTIFICATE, f"{what} cannot be used: {error}.", next_step="Join with the bundle again.")


def _never_asked() -> str:
    raise ValueError("the key is encrypted")
