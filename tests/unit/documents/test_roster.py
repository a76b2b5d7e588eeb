import hashlib

import pytest

from hushfleet.documents import DeviceEntry, newer_roster, open_roster, sign_roster
from hushfleet.errors import FaultyOwner, PeerError, Refusal
from hushfleet.labels import Label
from hushfleet.signing import Signed
from tests.support.documents import (
    COMMITTEE,
    DEVICES,
    FLEET,
    NAMES,
    enrolment,
    entry,
    orchestrator,
    orchestrator_sealing,
    owner,
    roster,
    verified_roster,
)
from tests.support.refusals import refused


def lp(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def crew(*names: str) -> tuple[DeviceEntry, ...]:
    return tuple(entry(name) for name in names)


class TestConstructor:
    def test_a_device_needs_no_committee_place_and_rosters_of_f_1_to_3_hold_3f_plus_1_members(self):
        for f in (1, 2, 3):
            names = [f"box-{number}" for number in range(3 * f + 1)]
            entries = tuple(DeviceEntry.make(name, f"v {name}".ljust(32).encode(), f"s {name}".ljust(32).encode()) for name in names)
            assert roster(devices=(*entries, entry("pi-05")), committee=tuple(names), f=f).f == f

    @pytest.mark.parametrize(
        ("committee", "f"),
        [((), 0), (COMMITTEE[:1], 0), (COMMITTEE[:3], 1), (NAMES, 1), (COMMITTEE, 2), (COMMITTEE, 0), ((), -1), (COMMITTEE, 2**63)],
    )
    def test_any_other_size_is_refused(self, committee, f):
        with refused(Refusal.COMMITTEE_SIZE, FaultyOwner):
            roster(committee=committee, f=f)

    def test_f_above_3_is_refused_even_with_3f_plus_1_members(self):
        names = [f"box-{number}" for number in range(13)]
        entries = tuple(DeviceEntry.make(name, f"v {name}".ljust(32).encode(), f"s {name}".ljust(32).encode()) for name in names)
        with refused(Refusal.COMMITTEE_SIZE, FaultyOwner):
            roster(devices=entries, committee=tuple(names), f=4)

    def test_an_id_stands_once(self):
        again = DeviceEntry.make("pi-01", b"v" * 32, b"s" * 32)
        with refused(Refusal.ROSTER_DUPLICATE, FaultyOwner):
            roster(devices=(*crew(*NAMES), again))

    @pytest.mark.parametrize(
        "stranger",
        [
            pytest.param(("pi-06", DEVICES["pi-01"][0].verify_key.raw, b"s" * 32), id="a verify key of another device"),
            pytest.param(("pi-06", b"v" * 32, DEVICES["pi-01"][1].public.raw), id="a sealing key of another device"),
            pytest.param(("pi-06", DEVICES["pi-01"][1].public.raw, b"s" * 32), id="a sealing key as verify key"),
            pytest.param(("pi-06", orchestrator.verify_key.raw, b"s" * 32), id="the verify key of the orchestrator"),
            pytest.param(("pi-06", b"v" * 32, orchestrator_sealing.public.raw), id="the sealing key of the orchestrator"),
            pytest.param(("pi-06", b"v" * 32, b"v" * 32), id="one key for both uses"),
        ],
    )
    def test_a_key_stands_once(self, stranger):
        with refused(Refusal.ROSTER_DUPLICATE, FaultyOwner):
            roster(devices=(*crew(*NAMES), DeviceEntry.make(*stranger)))

    def test_the_orchestrator_has_two_different_keys(self):
        with refused(Refusal.ROSTER_DUPLICATE, FaultyOwner):
            roster(orchestrator_sealing_key=orchestrator.verify_key.raw)

    def test_a_member_sits_once_on_the_committee(self):
        with refused(Refusal.ROSTER_DUPLICATE, FaultyOwner):
            roster(committee=("pi-01", "pi-02", "pi-03", "pi-01"))

    def test_a_member_is_enrolled(self):
        with refused(Refusal.ROSTER_INVALID, FaultyOwner):
            roster(devices=crew("pi-01", "pi-02", "pi-03", "pi-05"))

    @pytest.mark.parametrize("counters", [{"serial": 0}, {"serial": -1}, {"serial": 2**63}, {"key_epoch": -1}, {"key_epoch": 2**63}])
    def test_counters_out_of_range_are_refused(self, counters):
        with refused(Refusal.ROSTER_INVALID, FaultyOwner):
            roster(**counters)

    @pytest.mark.parametrize("counters", [{"serial": 1, "key_epoch": 0}, {"serial": 2**63 - 1, "key_epoch": 2**63 - 1}])
    def test_counters_at_the_ends_of_their_range_have_a_key_id(self, counters):
        assert len(verified_roster(**counters).key_id) == 32

    @pytest.mark.parametrize("fleet", ["", "Greenhouse", "a/b", "+"])
    def test_the_fleet_has_an_id(self, fleet):
        with refused(Refusal.ID_MALFORMED, PeerError):
            roster(fleet=fleet)

    def test_a_group_has_an_id_and_one_device_in_this_version(self):
        grouped = DeviceEntry.make("pi-06", b"v" * 32, b"s" * 32, group="the-smiths")
        assert roster(devices=(*crew(*NAMES), grouped)).devices[-1].group == "the-smiths"
        with refused(Refusal.ROSTER_GROUP, FaultyOwner):
            roster(devices=(*crew(*NAMES), grouped, DeviceEntry.make("pi-07", b"w" * 32, b"t" * 32, group="the-smiths")))
        with refused(Refusal.ID_MALFORMED, PeerError):
            DeviceEntry.make("pi-06", b"v" * 32, b"s" * 32, group="The Smiths")

    @pytest.mark.parametrize("suite", [0, 2, 255])
    def test_sealing_keys_of_another_suite_are_refused_by_name(self, suite):
        for make in (
            lambda: DeviceEntry("pi-06", b"v" * 32, b"s" * 32, suite, ""),
            lambda: roster(orchestrator_sealing_suite=suite),
            lambda: enrolment(sealing_suite=suite),
        ):
            with refused(Refusal.SEALING_SUITE, PeerError):
                make()

    def test_a_device_has_an_id(self):
        with refused(Refusal.ID_MALFORMED, PeerError):
            DeviceEntry.make("pi/01", b"v" * 32, b"s" * 32)

    @pytest.mark.parametrize("size", [0, 31, 33])
    def test_every_key_has_32_bytes(self, size):
        for make in (
            lambda: DeviceEntry.make("pi-06", bytes(size), b"s" * 32),
            lambda: DeviceEntry.make("pi-06", b"v" * 32, bytes(size)),
            lambda: roster(orchestrator_verify_key=bytes(size)),
            lambda: roster(orchestrator_sealing_key=bytes(size)),
        ):
            with refused(Refusal.KEY_MALFORMED, FaultyOwner):
                make()


class TestKeyId:
    def test_it_is_the_hash_that_the_protocol_states(self):
        label = b"hushfleet/v2/hash/key-id"
        content = lp(label) + owner.verify_key.raw + lp(FLEET.encode()) + (2).to_bytes(8, "big") + bytes([4, 1])
        for name in COMMITTEE:
            signing, sealing = DEVICES[name]
            content += lp(name.encode()) + signing.verify_key.raw + sealing.public.raw
        content += lp(b"the public part")
        assert verified_roster().key_id == hashlib.sha256(content).digest()

    def test_whatever_makes_another_committee_or_key_makes_another_id(self):
        spare = tuple(entry(name) if name != "pi-02" else DeviceEntry.make("pi-02", entry(name).verify_key, b"s" * 32) for name in NAMES)
        variants = [
            verified_roster(),
            verified_roster(fleet="orchard"),
            verified_roster(key_epoch=3),
            verified_roster(committee=("pi-02", "pi-01", "pi-03", "pi-04")),
            verified_roster(committee=("pi-01", "pi-02", "pi-03", "pi-05")),
            verified_roster(devices=spare),
            verified_roster(paillier=b"another part"),
            verified_roster(paillier=b""),
        ]
        root = DEVICES["pi-05"][0]
        assert len({variant.key_id for variant in variants} | {roster().key_id(root.verify_key)}) == len(variants) + 1

    def test_it_stays_while_only_others_come_and_go(self):
        changed = verified_roster(serial=8, devices=crew(*COMMITTEE), orchestrator_verify_key=b"o" * 32)
        assert changed.key_id == verified_roster().key_id


class TestOpening:
    def test_what_the_owner_signed_opens_with_everything_that_follows_from_it(self):
        verified = verified_roster()
        assert verified.roster == roster()
        assert verified.digest == hashlib.sha256(verified.signed.content).digest()
        assert verified.key_id == roster().key_id(owner.verify_key)
        assert (verified.threshold, verified.policy) == (3, roster().policy)
        assert verified.orchestrator == orchestrator.verify_key

    def test_another_signer_is_refused(self):
        for impostor in (orchestrator, DEVICES["pi-01"][0]):
            with refused(Refusal.SIGNATURE, PeerError):
                open_roster(sign_roster(roster(), impostor), owner.verify_key)

    def test_another_document_of_the_owner_is_no_roster(self):
        content = sign_roster(roster(), owner).content
        with refused(Refusal.SIGNATURE, PeerError):
            open_roster(owner.sign(Label.KEY_SHARE, content), owner.verify_key)

    def test_the_signature_is_checked_before_the_content_is_read(self):
        with refused(Refusal.SIGNATURE, PeerError):
            open_roster(Signed(b"no roster", bytes(64)), owner.verify_key)
        with refused(Refusal.MESSAGE_MALFORMED, PeerError):
            open_roster(owner.sign(Label.ROSTER, b"no roster"), owner.verify_key)

    def test_a_roster_above_its_ceiling_is_refused(self):
        with refused(Refusal.MESSAGE_TOO_LARGE, PeerError):
            open_roster(owner.sign(Label.ROSTER, bytes((1 << 20) + 1)), owner.verify_key)

    def test_devices_and_members_are_found_by_id(self):
        verified = verified_roster()
        assert verified.device("pi-05") == entry("pi-05")
        assert [verified.member_index(name) for name in COMMITTEE] == [1, 2, 3, 4]

    @pytest.mark.parametrize("name", ["pi-06", "orchestrator", "", "PI-01", "x" * 1000])
    def test_who_is_not_enrolled_is_not_found(self, name):
        with refused(Refusal.NOT_ENROLLED, PeerError):
            verified_roster().device(name)

    @pytest.mark.parametrize("name", ["pi-05", "pi-06", ""])
    def test_who_is_on_no_committee_has_no_index(self, name):
        with refused(Refusal.NOT_ENROLLED, PeerError):
            verified_roster().member_index(name)


class TestNewer:
    def test_the_first_roster_is_taken(self):
        assert newer_roster(None, verified_roster()) == verified_roster()

    @pytest.mark.parametrize("serial", [8, 9, 2**63 - 1])
    def test_a_higher_serial_replaces_and_may_skip(self, serial):
        candidate = verified_roster(serial=serial)
        assert newer_roster(verified_roster(serial=7), candidate) is candidate

    def test_the_same_again_changes_nothing(self):
        current = verified_roster()
        assert newer_roster(current, verified_roster()) is current

    @pytest.mark.parametrize("serial", [1, 6])
    def test_an_older_one_is_refused(self, serial):
        with refused(Refusal.ROSTER_OLDER, FaultyOwner):
            newer_roster(verified_roster(serial=7), verified_roster(serial=serial))

    def test_two_for_one_serial_are_a_conflict_with_advice(self):
        current, other = verified_roster(), verified_roster(devices=crew(*COMMITTEE))
        with refused(Refusal.ROSTER_CONFLICT, FaultyOwner):
            newer_roster(current, other)
        with pytest.raises(FaultyOwner, match="Stop and ask the fleet owner"):
            newer_roster(current, other)

    @pytest.mark.parametrize("serial", [6, 7, 8])
    def test_another_fleet_of_the_same_owner_never_replaces_this_one(self, serial):
        with refused(Refusal.ROSTER_INVALID, FaultyOwner):
            newer_roster(verified_roster(serial=7), verified_roster(fleet="orchard", serial=serial))
