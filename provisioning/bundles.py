"""`NAME.bundle`: what the owner gives back to whoever was approved."""

from contextlib import suppress
from pathlib import Path

from hushfleet.codec import decode
from hushfleet.documents import Broker, Bundle, VerifiedRoster, open_roster, sign_bundle
from hushfleet.documents.enrolment import BundleFile
from hushfleet.documents.limits import MAX_BUNDLE_BYTES
from hushfleet.errors import HushfleetError
from hushfleet.labels import Label
from hushfleet.owner.owner import Owner
from provisioning.contents import Identity, VaultContents


def bundle_of(registry: VaultContents, identity: Identity, roster: VerifiedRoster, grant: bytes, owner: Owner) -> bytes:
    """The file's content, under the root key. `grant` is a sealed key share, empty for who is no member."""
    bundle = Bundle(
        fleet=registry.fleet,
        role=identity.role,
        device_id=identity.device_id,
        roster=roster.signed,
        grant=grant,
        broker=Broker(registry.broker.host, registry.broker.port),
        ca_certificate=registry.ca_certificate.encode(),
        certificate=identity.certificate.encode(),
    )
    return sign_bundle(bundle, owner.root)


def grant_in(bundle_file: Path, roster: VerifiedRoster) -> bytes:
    """The sealed key share in a bundle, if it is one of the key in force; else nothing."""
    with suppress(FileNotFoundError, HushfleetError):
        file = decode(BundleFile, bundle_file.read_bytes(), max_bytes=MAX_BUNDLE_BYTES)
        bundle = decode(Bundle, roster.root.open(Label.BUNDLE, file.signed), max_bytes=MAX_BUNDLE_BYTES)
        if open_roster(bundle.roster, roster.root).key_id == roster.key_id:
            return bundle.grant
    return b""
