import re
from dataclasses import dataclass

import msgspec
import pytest

from hushfleet.codec import encode
from hushfleet.documents import (
    Broker,
    EnrolledRole,
    fingerprint,
    open_bundle,
    open_enrolment_request,
    sign_bundle,
    sign_enrolment_request,
    sign_roster,
)
from hushfleet.documents.enrolment import BundleFile
from hushfleet.documents.limits import MAX_BUNDLE_BYTES, MAX_ENROLMENT_REQUEST_BYTES
from hushfleet.errors import FaultyOwner, PeerError, Refusal
from hushfleet.labels import Label
from hushfleet.signing import Signed
from tests.support import documents as example
from tests.support.documents import DEVICES, FLEET, bundle, enrolment, orchestrator, owner
from tests.support.refusals import refused
from tests.support.twins import flipped

OWN, SEALING = DEVICES["pi-05"]
OWNER = owner.verify_key


@dataclass(frozen=True)
class Joining:
    """Whoever opens a bundle: a device, or the orchestrator."""

    device_id: str = "pi-05"
    verify_key: object = OWN.verify_key
    sealing_key: bytes = SEALING.public.raw

    def opens(self, data, root=OWNER):
        return open_bundle(data, root=root, device_id=self.device_id, keys=(self.verify_key, self.sealing_key))


DEVICE = Joining()
AS_ORCHESTRATOR = {"device_id": "orchestrator", "role": EnrolledRole.ORCHESTRATOR}
ORCHESTRATOR = Joining("orchestrator", orchestrator.verify_key, example.orchestrator_sealing.public.raw)


class TestRequest:
    @pytest.mark.parametrize("role", EnrolledRole)
    def test_it_opens_as_it_was_made(self, role):
        request = enrolment(role=role)
        assert open_enrolment_request(sign_enrolment_request(request, OWN)) == request

    def test_a_request_for_keys_of_another_is_refused(self):
        """Who signs does not hold the key it asks to have enrolled."""
        with refused(Refusal.SIGNATURE, PeerError):
            open_enrolment_request(sign_enrolment_request(enrolment(verify_key=DEVICES["pi-01"][0].verify_key.raw), OWN))

    def test_a_signature_made_for_something_else_is_refused(self):
        with refused(Refusal.SIGNATURE, PeerError):
            open_enrolment_request(OWN.sign(Label.BUNDLE, encode(enrolment())))

    @pytest.mark.parametrize("field", ["role", "device_id", "sealing_key", "certificate_request"])
    def test_nothing_in_it_can_be_exchanged(self, field):
        changes = {
            "role": EnrolledRole.ORCHESTRATOR,
            "device_id": "pi-06",
            "sealing_key": bytes(32),
            "certificate_request": b"of another key",
        }
        signed = sign_enrolment_request(enrolment(), OWN)
        altered = encode(msgspec.structs.replace(enrolment(), **{field: changes[field]}))
        with refused(Refusal.SIGNATURE, PeerError):
            open_enrolment_request(Signed(altered, signed.signature))

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"device_id": "Pi"}, Refusal.ID_MALFORMED),
            ({"device_id": "../../root"}, Refusal.ID_MALFORMED),
            ({"verify_key": bytes(31)}, Refusal.MESSAGE_MALFORMED),
            ({"sealing_key": bytes(33)}, Refusal.MESSAGE_MALFORMED),
        ],
    )
    def test_fields_out_of_range_are_refused(self, changes, reason):
        with refused(reason, PeerError):
            enrolment(**changes)

    def test_an_unknown_role_is_refused(self):
        content = encode(enrolment()).replace(b"\xa6device", b"\xa6master")
        with refused(Refusal.MESSAGE_MALFORMED, PeerError):
            open_enrolment_request(OWN.sign(Label.ENROLMENT, content))

    def test_a_request_above_its_ceiling_is_refused(self):
        with refused(Refusal.MESSAGE_TOO_LARGE, PeerError):
            open_enrolment_request(sign_enrolment_request(enrolment(certificate_request=bytes(MAX_ENROLMENT_REQUEST_BYTES)), OWN))


class TestBundle:
    @pytest.mark.parametrize("root", [OWNER, None])
    def test_it_opens_for_its_device_pinned_or_not(self, root):
        key, found, roster = DEVICE.opens(sign_bundle(bundle(), owner), root)
        assert (key, found) == (OWNER, bundle())
        assert roster.device("pi-05").verify_key == OWN.verify_key.raw

    def test_it_opens_for_the_orchestrator(self):
        made = bundle(role=EnrolledRole.ORCHESTRATOR, device_id="orchestrator")
        assert ORCHESTRATOR.opens(sign_bundle(made, owner))[1] == made

    def test_another_root_than_the_pinned_one_is_refused_whoever_it_says_it_is(self):
        with refused(Refusal.SIGNATURE, PeerError):
            DEVICE.opens(sign_bundle(bundle(roster=sign_roster(example.roster(), orchestrator)), orchestrator))
        with refused(Refusal.SIGNATURE, PeerError):
            DEVICE.opens(encode(BundleFile(OWNER.raw, orchestrator.sign(Label.BUNDLE, encode(bundle())))))

    def test_control_without_a_pin_the_key_in_the_file_is_the_root_that_a_person_has_to_look_at(self):
        made = sign_bundle(bundle(roster=sign_roster(example.roster(), orchestrator)), orchestrator)
        assert DEVICE.opens(made, None)[0] == orchestrator.verify_key != OWNER

    @pytest.mark.parametrize("root", [OWNER, None])
    def test_a_roster_that_another_root_signed_is_refused(self, root):
        with refused(Refusal.SIGNATURE, PeerError):
            DEVICE.opens(sign_bundle(bundle(roster=sign_roster(example.roster(), orchestrator)), owner), root)

    def test_a_signature_made_for_something_else_is_refused(self):
        with refused(Refusal.SIGNATURE, PeerError):
            DEVICE.opens(encode(BundleFile(OWNER.raw, owner.sign(Label.ROSTER, encode(bundle())))))

    @pytest.mark.parametrize(
        ("who", "changes"),
        [
            (DEVICE, {"device_id": "pi-01"}),
            (Joining("pi-01", OWN.verify_key), {"device_id": "pi-01"}),
            (Joining(sealing_key=DEVICES["pi-01"][1].public.raw), {}),
            (Joining("pi-05", DEVICES["pi-01"][0].verify_key), {}),
            (DEVICE, {"fleet": "orchard"}),
            (DEVICE, {"roster": sign_roster(example.roster(fleet="orchard"), owner)}),
            (DEVICE, {"role": EnrolledRole.ORCHESTRATOR}),
            (Joining("pi-05", orchestrator.verify_key), {}),
            (Joining("orchestrator", orchestrator.verify_key), AS_ORCHESTRATOR),
            (Joining("orchestrator", OWN.verify_key, ORCHESTRATOR.sealing_key), AS_ORCHESTRATOR),
        ],
    )
    def test_a_bundle_for_another_id_role_key_or_fleet_is_refused(self, who, changes):
        with refused(Refusal.BUNDLE_FOR_ANOTHER, FaultyOwner):
            who.opens(sign_bundle(bundle(**changes), owner))

    def test_a_bundle_whose_roster_does_not_name_the_device_is_refused(self):
        revoked = example.roster(devices=tuple(example.entry(name) for name in example.COMMITTEE))
        with refused(Refusal.NOT_ENROLLED, PeerError):
            DEVICE.opens(sign_bundle(bundle(roster=sign_roster(revoked, owner)), owner))

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [({"fleet": ""}, Refusal.ID_MALFORMED), ({"device_id": "-"}, Refusal.ID_MALFORMED), ({"device_id": "a/b"}, Refusal.ID_MALFORMED)],
    )
    def test_fields_out_of_range_are_refused(self, changes, reason):
        with refused(reason, PeerError):
            bundle(**changes)

    @pytest.mark.parametrize("data", [b"", b"no bundle", encode(bundle()), encode(Signed(b"", b""))])
    def test_what_is_no_bundle_file_is_refused(self, data):
        with refused(Refusal.MESSAGE_MALFORMED, PeerError):
            DEVICE.opens(data, None)

    @pytest.mark.parametrize("size", [0, 31, 33])
    def test_a_root_key_of_another_length_is_refused(self, size):
        signed = owner.sign(Label.BUNDLE, encode(bundle()))
        with refused(Refusal.KEY_MALFORMED, PeerError):
            DEVICE.opens(encode(BundleFile(bytes(size), signed)), None)

    def test_a_bundle_above_its_ceiling_is_refused(self):
        with refused(Refusal.MESSAGE_TOO_LARGE, PeerError):
            DEVICE.opens(sign_bundle(bundle(grant=bytes(MAX_BUNDLE_BYTES)), owner))


class TestBroker:
    @pytest.mark.parametrize("host", ["broker.lan", "192.168.1.2", "::1", "fe80::1%eth0", "b", "a" * 253])
    @pytest.mark.parametrize("port", [1, 8883, 65_535])
    def test_names_and_addresses(self, host, port):
        assert Broker(host, port).host == host

    @pytest.mark.parametrize("port", [0, -1, 65_536])
    def test_a_port_out_of_range_is_refused(self, port):
        with refused(Refusal.MESSAGE_MALFORMED, PeerError):
            Broker("broker.lan", port)

    @pytest.mark.parametrize("host", ["", " ", "a b", "host\nlistener 1883", "user@host", "host/path", "a" * 254, "b\u00fccher"])
    def test_what_is_no_host_is_refused(self, host):
        with refused(Refusal.MESSAGE_MALFORMED, PeerError):
            Broker(host, 8883)


class TestFingerprint:
    def test_it_is_short_readable_and_always_the_same(self):
        assert re.fullmatch(r"([a-z2-7]{4}-){3}[a-z2-7]{4}", fingerprint(b"data"))
        assert fingerprint(b"data") == fingerprint(b"data")

    def test_every_flipped_bit_changes_it(self):
        data = encode(sign_enrolment_request(enrolment(), OWN))
        all_of_them = {fingerprint(flipped(data, bit)) for bit in range(8 * len(data))}
        assert len(all_of_them) == 8 * len(data)
        assert fingerprint(data) not in all_of_them

    def test_what_it_is_a_fingerprint_of_is_in_a_room_of_its_own(self):
        assert FLEET not in fingerprint(FLEET.encode())
        assert fingerprint(b"") != fingerprint(b"\0")
