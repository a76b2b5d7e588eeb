"""The fleet's certificate authority for TLS: who may speak to the broker, and the broker itself. P-256 throughout.

It decides nothing about the fleet: enrolment is the root key's. Certificates begin a day early, for clocks that are behind.
"""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)

from hushfleet.documents import EnrolmentRequest
from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.typed import typed

_EARLY = timedelta(days=1)
_CA_LIFE = timedelta(days=3652)
_DEVICE_LIFE = timedelta(days=365)
_BROKER_LIFE = timedelta(days=730)
_RENEW_BROKER = timedelta(days=365)
_HOST_PART = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_LONGEST_HOST = 253
_PEM = Encoding.PEM
_UNREADABLE = (
    *(ValueError, TypeError, OverflowError, UnsupportedAlgorithm, InvalidSignature),
    *(x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType),
)
"""The errors of the library for what is no certificate, no request, or one with strange contents."""
_EKU = x509.oid.ExtendedKeyUsageOID


@dataclass(frozen=True)
class Authority:
    """A CA certificate with its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def create(cls, fleet: str, now: datetime) -> Self:
        """A fresh key and a certificate of ten years. Randomness is the operating system's."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(f"hushfleet {fleet}"[:64])
        builder = _builder(name, name, key.public_key(), now, now + _CA_LIFE)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
        return cls(builder.sign(key, hashes.SHA256()), key)

    @classmethod
    def load(cls, certificate: bytes, key: bytes) -> Self:
        """From a PEM certificate and a PKCS 8 DER key. Raises `LocalError(VAULT_DAMAGED)` if they do not belong together."""
        try:
            loaded, secret = x509.load_pem_x509_certificate(certificate), load_der_private_key(key, None)
        except _UNREADABLE as error:
            raise _damaged("the CA's certificate or key cannot be read") from error
        if not isinstance(secret, ec.EllipticCurvePrivateKey) or loaded.public_key() != secret.public_key():
            raise _damaged("the CA's certificate is not of its key")
        return cls(loaded, secret)

    @property
    def certificate_pem(self) -> bytes:
        """The CA certificate that everybody trusts."""
        return self.certificate.public_bytes(_PEM)

    def key_der(self) -> bytes:
        """The private key, for the strongbox."""
        return self.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    def issue_to(self, device_id: str, certificate_request: bytes, now: datetime) -> bytes:
        """A client certificate of a year, CN = `device_id`, for the key in a request that `check_request` accepted. PEM."""
        public = x509.load_pem_x509_csr(certificate_request).public_key()
        builder = self._leaf(device_id, public, now, _DEVICE_LIFE)
        builder = builder.add_extension(x509.ExtendedKeyUsage([_EKU.CLIENT_AUTH]), critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(_PEM)

    def issue_to_broker(self, hosts: Sequence[str], now: datetime) -> tuple[bytes, bytes]:
        """A fresh key (PKCS 8 PEM) and a server certificate of two years (PEM) for these host names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._leaf("broker", key.public_key(), now, _BROKER_LIFE)
        builder = builder.add_extension(x509.ExtendedKeyUsage([_EKU.SERVER_AUTH]), critical=False)
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        certificate = builder.add_extension(names, critical=False).sign(self.key, hashes.SHA256())
        return key.private_bytes(_PEM, PrivateFormat.PKCS8, NoEncryption()), certificate.public_bytes(_PEM)

    def serves(self, key: bytes, certificate: bytes, hosts: Sequence[str], now: datetime) -> bool:
        """True if this broker certificate is ours, belongs to `key`, names exactly `hosts` and lasts for another year."""
        try:
            loaded, secret = x509.load_pem_x509_certificate(certificate), load_pem_private_key(key, None)
            loaded.verify_directly_issued_by(self.certificate)
            names = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (*_UNREADABLE, x509.ExtensionNotFound):
            return False
        wanted = {_general_name(host) for host in hosts}
        lasts = loaded.not_valid_after_utc - now >= _RENEW_BROKER
        return lasts and set(names) == wanted and loaded.public_key() == secret.public_key()

    def revocations(self, serial_numbers: Iterable[tuple[int, datetime]], now: datetime) -> bytes:
        """The list (PEM) of withdrawn certificates. It holds as long as the CA: an expired list would shut everybody out."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        builder = builder.last_update(now - _EARLY).next_update(self.certificate.not_valid_after_utc)
        for number, date in serial_numbers:
            entry = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(date).build()
            builder = builder.add_revoked_certificate(entry)
        builder = builder.add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
        builder = builder.add_extension(self._authority_key_identifier(), critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(_PEM)

    def _leaf(self, name: str, public: object, now: datetime, life: timedelta) -> x509.CertificateBuilder:
        if not isinstance(public, ec.EllipticCurvePublicKey):
            raise TypeError("certificates are for P-256 keys")
        until = min(now + life, self.certificate.not_valid_after_utc)
        builder = _builder(_name(name), self.certificate.subject, public, now, until)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
        return builder.add_extension(self._authority_key_identifier(), critical=False)

    def _authority_key_identifier(self) -> x509.AuthorityKeyIdentifier:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())


def check_request(request: EnrolmentRequest) -> None:
    """`PeerError(CERTIFICATE_REQUEST)` unless it asks, with a P-256 key it holds, for a certificate in its own name."""
    try:
        asked = x509.load_pem_x509_csr(request.certificate_request)
        public = asked.public_key() if asked.is_signature_valid else None
        named = asked.subject == _name(request.device_id)
        alone = asked.public_bytes(_PEM) == request.certificate_request
    except _UNREADABLE as error:
        raise _wrong(request, "is not a certificate request") from error
    if not alone:
        raise _wrong(request, "has more in it than a certificate request")
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise _wrong(request, "is not signed by the P-256 key that it names")
    if not named:
        raise _wrong(request, f"is for {asked.subject.rfc4514_string()[:80]!r}")


def public_key_of(certificate_request: bytes) -> bytes:
    """The public key (DER) in an accepted request: what must not stand for two identities."""
    key = x509.load_pem_x509_csr(certificate_request).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def serial_number(certificate: bytes) -> int:
    """The serial number of a PEM certificate."""
    return x509.load_pem_x509_certificate(certificate).serial_number


def ends(certificate: bytes) -> datetime:
    """The time at which a PEM certificate expires, UTC. Raises `PeerError(MESSAGE_MALFORMED)` for anything else."""
    try:
        return x509.load_pem_x509_certificate(certificate).not_valid_after_utc
    except _UNREADABLE as error:
        raise PeerError(Refusal.MESSAGE_MALFORMED, "a certificate that cannot be read") from error


def now() -> datetime:
    """This machine's clock, UTC, in whole seconds as certificates have them."""
    return datetime.now(UTC).replace(microsecond=0)


def is_host(text: str) -> bool:
    """True if a certificate can name this host: an ASCII host name or an IP address."""
    with suppress(ValueError):
        ip_address(text)
        return True
    return len(text) <= _LONGEST_HOST and all(_HOST_PART.fullmatch(part) for part in text.split("."))


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public)
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - _EARLY).not_valid_after(until)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _wrong(request: EnrolmentRequest, what: str) -> PeerError:
    return PeerError(
        Refusal.CERTIFICATE_REQUEST,
        f"the certificate request of {request.device_id} {what}",
        next_step="Enrol again on the device and fetch its new request file.",
    )


def _damaged(what: str) -> LocalError:
    next_step = f"Put a backup of the vault in place, then: {typed('provision', 'vault', 'recover', '--roster', 'FILE')}"
    return LocalError(Refusal.VAULT_DAMAGED, what, next_step=next_step)
