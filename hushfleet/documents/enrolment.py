"""The documents of joining: a request that leaves a device or orchestrator, and the bundle that the owner gives back (PROTOCOL 2).

Private keys are made where they are used and never travel.
"""

import base64
import re
from enum import StrEnum

from hushfleet.codec import Message, decode, encode
from hushfleet.documents.limits import MAX_BUNDLE_BYTES, MAX_ENROLMENT_REQUEST_BYTES
from hushfleet.documents.roster import VerifiedRoster, open_roster
from hushfleet.documents.validation import require_counts, require_hashes, require_ids, require_suite
from hushfleet.errors import FaultyOwner, PeerError, Refusal
from hushfleet.labels import Label, labelled_hash
from hushfleet.signing import Signed, SigningKey, VerifyKey

_FINGERPRINT_BYTES = 10
_HOST = re.compile(r"[0-9A-Za-z._:%-]{1,253}")


class EnrolledRole(StrEnum):
    """The role that a request asks for. A committee member is a device."""

    DEVICE = "device"
    ORCHESTRATOR = "orchestrator"


class EnrolmentRequest(Message, frozen=True):
    """The request that leaves a device: its id, its two public keys (32 bytes each) and a certificate request for TLS (PEM, P-256).

    Signed by its own Ed25519 key, which shows possession; who it is, only the fingerprint that a person compares can say.
    """

    role: EnrolledRole
    device_id: str
    verify_key: bytes
    sealing_key: bytes
    sealing_suite: int
    certificate_request: bytes

    def __post_init__(self) -> None:
        require_ids(self.device_id)
        require_suite(self.sealing_suite)
        require_hashes(self.verify_key, self.sealing_key)


class Broker(Message, frozen=True):
    """The address of the fleet's broker: a name or an address, and a TCP port."""

    host: str
    port: int

    def __post_init__(self) -> None:
        require_counts(self.port, least=1, most=65_535)
        if not _HOST.fullmatch(self.host):
            raise PeerError(Refusal.MESSAGE_MALFORMED, f"not the name or address of a host: {self.host[:80]!r}")


class Bundle(Message, frozen=True):
    """The owner's answer to a request, signed by the root key: everything public that a device or orchestrator needs to start.

    `grant` is a sealed key share, empty for who is no member. Certificates are PEM.
    """

    fleet: str
    role: EnrolledRole
    device_id: str
    roster: Signed
    grant: bytes
    broker: Broker
    ca_certificate: bytes
    certificate: bytes

    def __post_init__(self) -> None:
        require_ids(self.fleet, self.device_id)


class BundleFile(Message, frozen=True):
    """The content of `NAME.bundle`: the root public key, to be pinned after a look at its fingerprint, and the signed bundle."""

    root_key: bytes
    signed: Signed


def fingerprint(data: bytes) -> str:
    """The short form that people compare on both sides: 80 bits of a labelled hash, four groups of four letters and digits."""
    short = labelled_hash(Label.FINGERPRINT, data)[:_FINGERPRINT_BYTES]
    text = base64.b32encode(short).decode().lower()
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def sign_enrolment_request(request: EnrolmentRequest, own: SigningKey) -> Signed:
    """The contents of `NAME.request`."""
    return own.sign(Label.ENROLMENT, encode(request))


def open_enrolment_request(signed: Signed) -> EnrolmentRequest:
    """Decode, then verify with the key it brings. Proves possession of that key and nothing else. Raises `PeerError`."""
    request = decode(EnrolmentRequest, signed.content, max_bytes=MAX_ENROLMENT_REQUEST_BYTES)
    VerifyKey(request.verify_key).verify(Label.ENROLMENT, signed.content, signed.signature)
    return request


def sign_bundle(bundle: Bundle, root: SigningKey) -> bytes:
    """The contents of `NAME.bundle`."""
    return encode(BundleFile(root.verify_key.raw, root.sign(Label.BUNDLE, encode(bundle))))


def open_bundle(
    data: bytes, *, root: VerifyKey | None, device_id: str, keys: tuple[VerifyKey, bytes]
) -> tuple[VerifyKey, Bundle, VerifiedRoster]:
    """The root key, the bundle and its roster, for the keys of this very device or orchestrator: `keys` to verify and to seal.

    `root` is the pinned key, or None before the first bundle: then the key in the file is the one to pin, once a person has
    compared its fingerprint. Raises `PeerError`: `SIGNATURE` if another root signed it, `NOT_ENROLLED` if its roster does not name
    the device; `FaultyOwner(BUNDLE_FOR_ANOTHER)` if it names another id, or its roster holds another fleet or key.
    """
    file = decode(BundleFile, data, max_bytes=MAX_BUNDLE_BYTES)
    key = VerifyKey(file.root_key)
    if root is not None and key != root:
        raise PeerError(Refusal.SIGNATURE, "the bundle is signed by another root key than the one pinned here")
    bundle = decode(Bundle, key.open(Label.BUNDLE, file.signed), max_bytes=MAX_BUNDLE_BYTES)
    roster = open_roster(bundle.roster, key)
    if bundle.device_id != device_id or roster.roster.fleet != bundle.fleet or _enrolled_keys(bundle, roster) != (keys[0].raw, keys[1]):
        raise FaultyOwner(Refusal.BUNDLE_FOR_ANOTHER, f"a bundle for {bundle.device_id}, or for other keys than the ones here")
    return key, bundle, roster


def _enrolled_keys(bundle: Bundle, roster: VerifiedRoster) -> tuple[bytes, bytes]:
    if bundle.role is EnrolledRole.ORCHESTRATOR:
        return roster.roster.orchestrator_verify_key, roster.roster.orchestrator_sealing_key
    entry = roster.device(bundle.device_id)
    return entry.verify_key, entry.sealing_key
