"""Certificates against other implementations: the openssl program, and handshakes of Python's own ssl module."""

import ssl
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from hushfleet.documents import open_enrolment_request
from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.link.tls import client_context, make_key_and_request
from hushfleet.owner import certificates
from hushfleet.owner.certificates import Authority, check_request, ends, is_host, serial_number
from tests.support.enrolling import applicant
from tests.support.refusals import refused

NOW = certificates.now()
AUTHORITY = Authority.create("greenhouse", NOW)
KEY, REQUEST = make_key_and_request("pi-01")
DEVICE = AUTHORITY.issue_to("pi-01", REQUEST, NOW)
BROKER_KEY, BROKER = AUTHORITY.issue_to_broker(["localhost", "127.0.0.1", "::1"], NOW)
EMPTY = AUTHORITY.revocations([], NOW)
WITH_DEVICE = AUTHORITY.revocations([(serial_number(DEVICE), NOW)], NOW)


@pytest.fixture
def folder(tmp_path):
    contents = {"ca.pem": AUTHORITY.certificate_pem, "pi-01.pem": DEVICE, "pi-01.key": KEY, "broker.pem": BROKER, "broker.key": BROKER_KEY}
    for name, data in {**contents, "crl.pem": EMPTY}.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def openssl(folder: Path, *arguments: str) -> str:
    result = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    return result.stdout + result.stderr


def server_context(folder: Path, *, crl: bytes) -> ssl.SSLContext:
    (folder / "crl.pem").write_bytes(crl)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "broker.pem", folder / "broker.key")
    context.load_verify_locations(folder / "ca.pem")
    context.load_verify_locations(folder / "crl.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return context


def handshake(client: ssl.SSLContext, server: ssl.SSLContext, host: str = "localhost") -> ssl.SSLObject:
    """Both sides in memory until both are done. Raises `ssl.SSLError`; returns the server's side."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    waiting = list(sides)
    while waiting:
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                continue
    return sides[1]


def trusted(folder: Path) -> ssl.SSLContext:
    return client_context(folder / "ca.pem", folder / "pi-01.pem", folder / "pi-01.key")


@pytest.mark.parametrize("arguments", [("-purpose", "sslclient", "pi-01.pem"), ("-purpose", "sslserver", "broker.pem")], ids=" ".join)
def test_openssl_accepts_each_for_its_purpose(folder, arguments):
    assert f"{arguments[-1]}: OK" in openssl(folder, "verify", "-x509_strict", "-CAfile", "ca.pem", *arguments)


@pytest.mark.parametrize("arguments", [("-purpose", "sslserver", "pi-01.pem"), ("-purpose", "sslclient", "broker.pem")], ids=" ".join)
def test_and_for_no_other(folder, arguments):
    assert "unsuitable certificate purpose" in openssl(folder, "verify", "-CAfile", "ca.pem", *arguments)


@pytest.mark.parametrize(("crl", "says"), [(EMPTY, "pi-01.pem: OK"), (WITH_DEVICE, "certificate revoked")], ids=["empty", "revoked"])
def test_openssl_reads_the_revocation_list(folder, crl, says):
    (folder / "crl.pem").write_bytes(crl)
    assert says in openssl(folder, "verify", "-crl_check", "-CAfile", "ca.pem", "-CRLfile", "crl.pem", "pi-01.pem")


def test_another_ca_does_not_vouch_for_it(folder):
    (folder / "ca.pem").write_bytes(Authority.create("greenhouse", NOW).certificate_pem)
    assert "pi-01.pem: OK" not in openssl(folder, "verify", "-CAfile", "ca.pem", "pi-01.pem")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_device_and_broker_shake_hands(folder, host):
    server = handshake(trusted(folder), server_context(folder, crl=EMPTY), host)
    subject = server.getpeercert()["subject"]
    assert subject == ((("commonName", "pi-01"),),)


def test_the_device_checks_the_brokers_name(folder):
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        handshake(trusted(folder), server_context(folder, crl=EMPTY), "elsewhere.lan")


def test_a_withdrawn_device_is_not_let_in(folder):
    with pytest.raises(ssl.SSLError, match="revoked"):
        handshake(trusted(folder), server_context(folder, crl=WITH_DEVICE))


def test_a_device_without_a_certificate_is_not_let_in(folder):
    stranger = ssl.create_default_context(cafile=folder / "ca.pem")
    with pytest.raises(ssl.SSLError, match="did not return a certificate"):
        handshake(stranger, server_context(folder, crl=EMPTY))


def test_a_device_of_another_fleet_is_not_let_in(folder):
    (folder / "pi-01.pem").write_bytes(Authority.create("orchard", NOW).issue_to("pi-01", REQUEST, NOW))
    with pytest.raises(ssl.SSLError, match=r"unable to get local issuer|self.signed|unknown ca"):
        handshake(trusted(folder), server_context(folder, crl=EMPTY))


def test_a_devices_certificate_does_not_make_a_broker(folder):
    (folder / "broker.pem").write_bytes(DEVICE)
    (folder / "broker.key").write_bytes(KEY)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(trusted(folder), server_context(folder, crl=EMPTY), "pi-01")


def test_lifetimes():
    certificate = x509.load_pem_x509_certificate(DEVICE)
    assert certificate.not_valid_before_utc == NOW - timedelta(days=1)
    assert ends(DEVICE) == NOW + timedelta(days=365)
    assert ends(BROKER) == NOW + timedelta(days=730)
    assert ends(AUTHORITY.certificate_pem) == NOW + timedelta(days=3652)


def test_nothing_outlives_the_ca():
    late = ends(AUTHORITY.certificate_pem) - timedelta(days=3)
    assert ends(AUTHORITY.issue_to("pi-01", REQUEST, late)) == ends(AUTHORITY.certificate_pem)
    assert x509.load_pem_x509_crl(EMPTY).next_update_utc == ends(AUTHORITY.certificate_pem)


def test_the_subject_is_the_name_and_nothing_else():
    assert x509.load_pem_x509_certificate(DEVICE).subject.rfc4514_string() == "CN=pi-01"


def test_an_authority_survives_its_store():
    again = Authority.load(AUTHORITY.certificate_pem, AUTHORITY.key_der())
    assert again.key.private_numbers() == AUTHORITY.key.private_numbers()
    assert again.certificate == AUTHORITY.certificate


@pytest.mark.parametrize(
    ("certificate", "key"),
    [(b"", AUTHORITY.key_der()), (AUTHORITY.certificate_pem, b""), (Authority.create("orchard", NOW).certificate_pem, AUTHORITY.key_der())],
    ids=["no certificate", "no key", "not its key"],
)
def test_parts_that_do_not_belong_together_are_refused(certificate, key):
    with refused(Refusal.VAULT_DAMAGED, LocalError):
        Authority.load(certificate, key)


def test_it_shows_no_key():
    assert f"{AUTHORITY.key.private_numbers().private_value:x}"[:16] not in repr(AUTHORITY)
    assert "key" not in repr(AUTHORITY)


class TestServes:
    HOSTS = ("localhost", "127.0.0.1", "::1")

    def test_a_fitting_certificate_is_kept(self):
        assert AUTHORITY.serves(BROKER_KEY, BROKER, self.HOSTS, NOW)
        assert AUTHORITY.serves(BROKER_KEY, BROKER, self.HOSTS[::-1], NOW + timedelta(days=364))

    @pytest.mark.parametrize(
        ("key", "certificate", "hosts", "days"),
        [
            (BROKER_KEY, BROKER, HOSTS, 366),
            (BROKER_KEY, BROKER, HOSTS[:2], 0),
            (BROKER_KEY, BROKER, (*HOSTS, "more.lan"), 0),
            (KEY, BROKER, HOSTS, 0),
            (BROKER_KEY, Authority.create("orchard", NOW).issue_to_broker(HOSTS, NOW)[1], HOSTS, 0),
            (b"", BROKER, HOSTS, 0),
            (BROKER_KEY, b"", HOSTS, 0),
        ],
        ids=["soon over", "a name too many", "a name too few", "not its key", "another CA", "no key", "no certificate"],
    )
    def test_any_other_is_not(self, key, certificate, hosts, days):
        assert not AUTHORITY.serves(key, certificate, hosts, NOW + timedelta(days=days))


def request_of(name: str, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, *more: x509.NameAttribute) -> bytes:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name), *more])
    built = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return built.public_bytes(serialization.Encoding.PEM)


def tampered() -> bytes:
    """A request whose signature is not by the key it names."""
    good = x509.load_pem_x509_csr(REQUEST).public_bytes(serialization.Encoding.DER)
    body = good[:-1] + bytes([good[-1] ^ 1])
    return ssl.DER_cert_to_PEM_cert(body).replace("CERTIFICATE", "CERTIFICATE REQUEST").encode()


ORGANIZATION = x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "x")
WRONG_REQUESTS = {
    "nothing": b"",
    "a certificate": DEVICE,
    "another's name": make_key_and_request("pi-02")[1],
    "a name and more": request_of("pi-01", ec.generate_private_key(ec.SECP256R1()), ORGANIZATION),
    "another curve": request_of("pi-01", ec.generate_private_key(ec.SECP384R1())),
    "RSA": request_of("pi-01", rsa.generate_private_key(65537, 2048)),
    "a broken signature": tampered(),
}


@pytest.mark.parametrize("wrong", WRONG_REQUESTS.values(), ids=WRONG_REQUESTS)
def test_a_wrong_certificate_request_is_refused(wrong):
    with refused(Refusal.CERTIFICATE_REQUEST, PeerError):
        check_request(open_enrolment_request(applicant("pi-01").request(certificate_request=wrong)))


def test_a_good_one_is_not():
    check_request(open_enrolment_request(applicant("pi-01").request()))


@pytest.mark.parametrize("text", ["broker.lan", "localhost", "a", "192.168.1.5", "::1", "my_host", "x-1.y-2"])
def test_hosts(text):
    assert is_host(text)
    AUTHORITY.issue_to_broker([text], NOW)


@pytest.mark.parametrize("text", ["", "a b", "a..b", "-a", "a-", "x" * 64, "a." * 127 + "a", "bröker", "a/b", "*.lan", "a\nb"])
def test_no_hosts(text):
    assert not is_host(text)
