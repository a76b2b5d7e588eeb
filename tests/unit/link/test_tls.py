import socket
import ssl
import threading
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, load_pem_private_key

from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.link.tls import client_context, diagnose, explain, make_key_and_request
from hushfleet.owner.certificates import now
from tests.support.mosquitto import HOST, Certificates
from tests.support.refusals import refused


@pytest.fixture
def certificates(tmp_path):
    return Certificates(tmp_path, "greenhouse")


class TestKeyAndRequest:
    def test_the_request_is_for_the_key_and_names_its_owner(self):
        key_pem, request_pem = make_key_and_request("pi-01")
        key, request = load_pem_private_key(key_pem, None), x509.load_pem_x509_csr(request_pem)
        assert isinstance(key.curve, ec.SECP256R1)
        assert request.is_signature_valid
        assert request.public_key() == key.public_key()
        assert request.subject.rfc4514_string() == "CN=pi-01"

    def test_every_key_is_fresh(self):
        assert make_key_and_request("pi-01")[0] != make_key_and_request("pi-01")[0]

    @pytest.mark.parametrize("name", ["", "+", "pi 01", "x" * 64])
    def test_a_name_that_is_no_id(self, name):
        with refused(Refusal.ID_MALFORMED, PeerError):
            make_key_and_request(name)


class TestContext:
    def test_it_trusts_no_other_ca_checks_names_and_takes_nothing_old(self, certificates):
        context = certificates.context("pi-01")
        assert len(context.get_ca_certs()) == 1
        assert context.check_hostname
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2

    @pytest.mark.parametrize("missing", ["ca.pem", "pi-01.pem", "pi-01.key"])
    @pytest.mark.parametrize("instead", [None, b"no PEM"])
    def test_a_file_that_is_missing_or_no_pem(self, certificates, missing, instead):
        files = [certificates.ca(), *certificates.issue("pi-01")]
        path = certificates.folder / missing
        path.unlink()
        if instead is not None:
            path.write_bytes(instead)
        with refused(Refusal.LINK_CERTIFICATE, LocalError):
            client_context(*files)

    def test_a_key_of_another_certificate(self, certificates):
        certificate, _ = certificates.issue("pi-01")
        _, key = certificates.issue("pi-02")
        with refused(Refusal.LINK_CERTIFICATE, LocalError):
            client_context(certificates.ca(), certificate, key)

    def test_an_encrypted_key_is_refused_and_nobody_is_asked(self, certificates):
        certificate, key = certificates.issue("pi-01")
        plain = load_pem_private_key(key.read_bytes(), None)
        key.write_bytes(plain.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"a passphrase")))
        with refused(Refusal.LINK_CERTIFICATE, LocalError):
            client_context(certificates.ca(), certificate, key)


class TestDiagnose:
    """What a real broker answers is tried in tests/end_to_end/test_link_losses.py."""

    def test_somebody_who_speaks_another_protocol(self, certificates):
        with Listener(lambda stream: stream.sendall(b"220 mail.example ESMTP\r\n")) as port:
            assert "does not speak TLS" in str(diagnose(HOST, port, certificates.context("pi-01")))

    def test_somebody_who_hangs_up(self, certificates):
        with Listener(lambda _: None) as port:
            assert "TLS port (8883)" in str(diagnose(HOST, port, certificates.context("pi-01")))

    def test_a_broker_that_hangs_up_after_the_handshake(self, certificates):
        certificate, key = certificates.broker()
        side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        side.load_cert_chain(certificate, key)

        def serve(stream):
            with side.wrap_socket(stream, server_side=True):
                pass

        with Listener(serve) as port:
            assert "may be revoked" in str(diagnose(HOST, port, certificates.context("pi-01")))

    def test_a_broker_that_wants_no_certificate_of_a_time_to_come(self, certificates):
        certificate, key = certificates.broker(at=now() + timedelta(days=30))
        side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        side.load_cert_chain(certificate, key)
        with Listener(lambda stream: side.wrap_socket(stream, server_side=True).close()) as port:
            diagnosis = diagnose(HOST, port, certificates.context("pi-01"))
        assert "not yet valid by this clock" in diagnosis.problem
        assert "NTP" in diagnosis.next_step

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (TimeoutError(), "broker.lan:8883 does not answer"),
            (BrokenPipeError(), "drops the connection"),
            (OSError(113, "No route to host"), "cannot be reached: No route to host"),
            (ssl.SSLError(1, "[SSL: TLSV1_ALERT_PROTOCOL_VERSION]"), "broker.lan:8883 speaks no TLS 1.2"),
            (ssl.SSLError(1, "[SSL: RECORD_LAYER_FAILURE]"), "does not speak TLS"),
            (ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED]"), "asks for a certificate"),
            (ssl.SSLEOFError(8, "EOF occurred"), "ends the TLS handshake"),
            (ssl.SSLError(1, "[SSL: SOMETHING_ELSE]"), "No TLS with broker.lan:8883"),
        ],
    )
    def test_errors_that_no_peer_sends_on_demand(self, error, words):
        assert words in str(explain(error, "broker.lan", 8883))


class Listener:
    """Serves one connection on an ephemeral port with `serve`."""

    def __init__(self, serve) -> None:
        self.serve = serve
        self.socket = socket.create_server((HOST, 0))
        self.thread = threading.Thread(target=self.run)

    def __enter__(self) -> int:
        self.thread.start()
        return self.socket.getsockname()[1]

    def __exit__(self, *_: object) -> None:
        self.thread.join()
        self.socket.close()

    def run(self):
        stream, _ = self.socket.accept()
        with stream:
            try:
                self.serve(stream)
            except OSError:
                return
