from dataclasses import replace

import pytest

from hushfleet.documents import open_grant, open_roster
from hushfleet.encryption.paillier.secret import check_share
from hushfleet.encryption.paillier.share import KeyShare
from hushfleet.encryption.sealing import unseal
from hushfleet.errors import FaultyOwner, PeerError, Refusal
from hushfleet.labels import Label
from tests.support.fleet import make_fleet
from tests.support.keys import load
from tests.support.refusals import refused

FLEET = make_fleet()
OWNER = FLEET.parties.owner
ROOT = OWNER.root.verify_key
ENTRIES = [keys.entry for keys in FLEET.parties.devices.values()]


def roster(**changes: object):
    given = {
        "serial": 1,
        "key_epoch": 0,
        "orchestrator": FLEET.parties.orchestrator.entry,
        "devices": ENTRIES,
        "committee": FLEET.parties.committee,
        "dealing": FLEET.dealing,
        "policy": FLEET.policy,
    }
    return OWNER.roster(**{**given, **changes})


class TestRoster:
    def test_anybody_with_the_root_key_can_check_it(self):
        signed = roster().signed

        assert open_roster(signed, ROOT) == roster()

    def test_nobody_elses_signature_passes_for_the_owners(self):
        with refused(Refusal.SIGNATURE, PeerError):
            open_roster(roster().signed, FLEET.parties.orchestrator.signing.verify_key)

    def test_it_names_the_orchestrators_two_keys_and_the_public_part(self):
        content, entry = roster().roster, FLEET.parties.orchestrator.entry

        assert (content.orchestrator_verify_key, content.orchestrator_sealing_key) == (entry.verify_key, entry.sealing_key)
        assert content.paillier == FLEET.dealing.public.to_bytes()

    @pytest.mark.parametrize(("key", "f"), [("insecure-512", 1), ("insecure-512-f2", 2)])
    def test_f_follows_from_the_committee(self, key, f):
        fleet = make_fleet(devices=8, key=key)

        assert (fleet.roster.roster.f, fleet.roster.threshold) == (f, 2 * f + 1)

    def test_without_a_dealing_there_is_no_public_part_and_another_key_id(self):
        without = roster(dealing=None)

        assert without.roster.paillier == b""
        assert without.key_id != roster().key_id

    @pytest.mark.parametrize(
        "changes",
        [{"key_epoch": 1}, {"committee": FLEET.names[1:5]}, {"committee": FLEET.names[3::-1]}],
        ids=["epoch", "members", "order"],
    )
    def test_the_key_id_names_epoch_and_members_in_order(self, changes):
        assert roster(**changes).key_id != roster().key_id

    def test_the_key_id_stays_whatever_else_the_roster_says(self):
        other = make_fleet(max_devices=9, policy={"max_values": 5}).policy
        assert roster(serial=9, devices=ENTRIES[:5], policy=other).key_id == roster().key_id

    @pytest.mark.parametrize("count", [1, 3, 5, 6])
    def test_a_committee_of_another_size_is_refused(self, count):
        with refused(Refusal.COMMITTEE_SIZE, FaultyOwner):
            roster(committee=FLEET.names[:count])

    def test_a_member_that_is_not_enrolled_is_refused(self):
        with refused(Refusal.ROSTER_INVALID, FaultyOwner):
            roster(devices=ENTRIES[1:])

    def test_a_device_twice_is_refused(self):
        with refused(Refusal.ROSTER_DUPLICATE, FaultyOwner):
            roster(devices=[*ENTRIES, ENTRIES[0]])

    def test_a_device_with_the_orchestrators_key_is_refused(self):
        with refused(Refusal.ROSTER_DUPLICATE, FaultyOwner):
            roster(orchestrator=ENTRIES[0])

    @pytest.mark.parametrize("serial", [0, -1, 2**63])
    def test_a_serial_out_of_range_is_refused(self, serial):
        with refused(Refusal.ROSTER_INVALID, FaultyOwner):
            roster(serial=serial)


class TestGrants:
    GRANTS = OWNER.grants(FLEET.roster, FLEET.dealing)

    def test_every_member_gets_its_own_share_which_fits_the_key(self):
        assert tuple(self.GRANTS) == FLEET.parties.committee
        for index, name in enumerate(FLEET.parties.committee, start=1):
            keys = FLEET.parties.devices[name]
            plain = unseal(keys.sealing, Label.SEAL_KEY_SHARE, FLEET.roster.key_id, self.GRANTS[name])
            grant = open_grant(plain, ROOT, member_id=name, key_id=FLEET.roster.key_id)
            share = KeyShare.from_bytes(FLEET.dealing.public, grant.share)
            assert grant.index == share.index == index
            check_share(FLEET.dealing.public, share)

    def test_no_other_member_can_open_it(self):
        for name, sealed in self.GRANTS.items():
            for other in FLEET.names:
                if other != name:
                    with refused(Refusal.SEAL, PeerError):
                        unseal(FLEET.parties.devices[other].sealing, Label.SEAL_KEY_SHARE, FLEET.roster.key_id, sealed)

    def test_a_grant_is_bound_to_its_key(self):
        keys = FLEET.parties.devices[FLEET.names[0]]
        with refused(Refusal.SEAL, PeerError):
            unseal(keys.sealing, Label.SEAL_KEY_SHARE, bytes(32), self.GRANTS[FLEET.names[0]])

    def test_no_share_stands_in_clear_in_any_grant(self):
        for share, sealed in zip(FLEET.dealing.shares, self.GRANTS.values(), strict=True):
            assert share.to_bytes(FLEET.dealing.public) not in sealed

    def test_a_dealing_for_another_committee_is_not_dealt(self):
        with pytest.raises(ValueError, match="zip"):
            OWNER.grants(FLEET.roster, replace(FLEET.dealing, shares=load("insecure-512-f2").shares))


def test_the_owner_shows_no_root_key():
    assert OWNER.root.seed().hex() not in repr(OWNER)
    assert repr(OWNER.root.seed())[2:-1] not in repr(OWNER)
