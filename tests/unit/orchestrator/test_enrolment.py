"""From keys to a fleet: request, bundle, what joining leaves, and when a lost store is replaced."""

import os
import stat
from dataclasses import replace

import pytest

from hushfleet.documents import EnrolledRole, open_enrolment_request
from hushfleet.errors import FaultyOwner, LocalError, PeerError, Refusal
from hushfleet.owner.owner import Owner
from hushfleet.randomness import SeededRandomness
from hushfleet.signing import SigningKey
from hushfleet.wire import decode_signed
from orchestrator import pending_rosters
from orchestrator.enrolment import enrol, join, read_bundle
from orchestrator.folder import OrchestratorKeys, StateFolder
from orchestrator.store.store import Store, database
from tests.support.jobs import bundle_for, job_fleet, joined, with_policy
from tests.support.refusals import refused

FLEET = job_fleet()
ROOT = FLEET.parties.owner.root.verify_key


@pytest.fixture
def folder(tmp_path):
    return StateFolder(tmp_path / "state")


class TestEnrolling:
    def test_a_request_holds_public_keys_alone_and_proves_their_possession(self, folder):
        data = enrol(folder, "hub")
        request, keys = open_enrolment_request(decode_signed(data)), OrchestratorKeys.load(folder.path)

        assert (request.role, request.device_id) == (EnrolledRole.ORCHESTRATOR, "hub")
        assert (request.verify_key, request.sealing_key) == (keys.signing.verify_key.raw, keys.sealing.public.raw)
        assert b"CERTIFICATE REQUEST" in request.certificate_request
        for secret in (keys.signing.seed(), keys.sealing.seed(), folder.tls_key.read_bytes()):
            assert secret not in data

    def test_keys_are_this_users_alone(self, folder):
        enrol(folder, "hub")

        for path in (folder.path / OrchestratorKeys.FILE, folder.tls_key):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700

    def test_keys_are_never_replaced(self, folder):
        enrol(folder, "hub")
        before = (folder.path / OrchestratorKeys.FILE).read_bytes()

        with refused(Refusal.ALREADY_ENROLLED, LocalError):
            enrol(folder, "hub")
        assert (folder.path / OrchestratorKeys.FILE).read_bytes() == before

    def test_a_name_must_be_an_id(self, folder):
        with refused(Refusal.ID_MALFORMED, PeerError):
            enrol(folder, "The Hub")

    def test_without_keys_there_is_nothing_to_join_with(self, folder):
        folder.make()
        with refused(Refusal.NOT_ENROLLED, LocalError):
            read_bundle(folder, bundle_for(FLEET))


class TestJoining:
    def test_what_joining_leaves(self, tmp_path):
        folder = joined(FLEET, tmp_path)
        membership = folder.joined()

        assert (membership.fleet, membership.device_id, membership.root) == (FLEET.parties.owner.fleet, "orchestrator", ROOT)
        assert (membership.broker_host, membership.broker_port) == ("broker.lan", 8883)
        assert (folder.ca.read_bytes(), folder.certificate.read_bytes()) == (b"ca", b"certificate")
        store = Store(tmp_path, ROOT)
        assert store.roster() == FLEET.roster
        store.close()

    def test_the_first_bundle_pins_its_root_key_and_another_root_is_refused(self, tmp_path):
        folder = joined(FLEET, tmp_path)
        offer = read_bundle(folder, bundle_for(FLEET))
        assert offer.pinned
        assert offer.root_fingerprint == folder.joined().root_fingerprint

        stranger = replace(FLEET, parties=replace(FLEET.parties, owner=another_owner()))
        with refused(Refusal.SIGNATURE, PeerError):
            read_bundle(folder, bundle_for(stranger))

    def test_a_devices_bundle_is_refused(self, tmp_path):
        folder = StateFolder(tmp_path)
        keys = FLEET.parties.devices["device-05"]
        OrchestratorKeys("device-05", keys.signing, keys.sealing).save(tmp_path)

        with refused(Refusal.BUNDLE_FOR_ANOTHER, FaultyOwner):
            read_bundle(folder, bundle_for(FLEET, name="device-05", role=EnrolledRole.DEVICE))

    def test_the_same_bundle_again_changes_nothing(self, tmp_path):
        folder = joined(FLEET, tmp_path)
        before = (folder.path / "fleet.json").read_bytes()

        join(folder, read_bundle(folder, bundle_for(FLEET)))

        assert (folder.path / "fleet.json").read_bytes() == before

    def test_a_newer_roster_waits_for_the_next_run(self, tmp_path):
        folder = joined(FLEET, tmp_path)
        newer = FLEET.without("device-06")

        join(folder, read_bundle(folder, bundle_for(newer)))

        assert pending_rosters.newest(folder, FLEET.roster) == newer.roster

    def test_an_older_roster_is_refused_and_the_fleet_stays(self, tmp_path):
        """Also while the newer one still waits. Pending, it would stop every later run."""
        folder = joined(FLEET, tmp_path)
        old = read_bundle(folder, bundle_for(FLEET))
        newer = FLEET.without("device-06")
        join(folder, read_bundle(folder, bundle_for(newer)))
        folder.certificate.write_bytes(b"the newer one")

        with refused(Refusal.ROSTER_OLDER, FaultyOwner):
            join(folder, old)

        assert folder.certificate.read_bytes() == b"the newer one"
        assert pending_rosters.newest(folder, FLEET.roster) == newer.roster

    def test_a_lost_store_is_replaced_only_with_the_committees_key(self, tmp_path):
        folder = joined(FLEET, tmp_path)
        (tmp_path / database.FILE).unlink()

        with refused(Refusal.STORE_UNUSABLE, LocalError):
            join(folder, read_bundle(folder, bundle_for(FLEET)))

        dealt = FLEET.newer(key_epoch=1)
        join(folder, read_bundle(folder, bundle_for(dealt)))
        store = Store(tmp_path, ROOT)
        assert store.roster() == dealt.roster
        store.close()


def another_owner():
    return Owner(FLEET.parties.owner.fleet, SigningKey.generate(SeededRandomness(b"another owner")))


class TestFolder:
    """What any party's folder does is in `tests/unit/program/test_folder.py`."""

    def test_what_root_wrote_goes_to_the_owner_of_the_folder(self, folder, monkeypatch):
        given = {}
        folder.make()
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setattr(os, "chown", lambda name, uid, gid, **_: given.update({name: (uid, gid)}))
        owner = folder.path.stat()

        enrol(folder, "hub")

        assert given[OrchestratorKeys.FILE] == given["tls.key"] == (owner.st_uid, owner.st_gid)

    def test_who_is_not_root_gives_nothing_away(self, folder, monkeypatch):
        folder.path.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(folder.path, 1000, -1)
            monkeypatch.setattr(os, "geteuid", lambda: 1000)
        monkeypatch.setattr(os, "chown", pytest.fail)

        enrol(folder, "hub")


class TestInbox:
    def test_what_a_roster_changes_is_said(self):
        fleet = FLEET.without("device-06", policy=with_policy(FLEET.policy, max_devices=12))

        assert list(pending_rosters.differences(FLEET.roster, fleet.roster)) == [
            "serial 1 -> 2",
            "revoked: device-06",
            "policy: max_devices 10 -> 12",
        ]

    def test_what_comes_and_what_is_dealt_anew_is_said(self):
        small = FLEET.without("device-06")
        back = replace(FLEET, serial=3, key_epoch=1)

        lines = list(pending_rosters.differences(small.roster, back.roster))

        assert lines[:2] == ["serial 2 -> 3", "enrolled: device-06"]
        assert lines[2].startswith("committee's key dealt anew: device-01, device-02")

    def test_new_keys_of_a_device_are_said(self):
        other = job_fleet()
        keys = dict(FLEET.parties.devices)
        keys["device-06"] = replace(other.parties.devices["device-05"], device_id="device-06")
        keys["device-05"] = replace(other.parties.devices["device-06"], device_id="device-05")
        swapped = FLEET.newer(parties=replace(FLEET.parties, devices=keys))

        assert "enrolled anew, with new keys: device-05, device-06" in list(pending_rosters.differences(FLEET.roster, swapped.roster))

    def test_rosters_wait_in_the_order_of_their_serials(self, tmp_path):
        folder = StateFolder(tmp_path)
        fleets = [replace(FLEET, serial=serial) for serial in (10, 9)]
        for fleet in fleets:
            pending_rosters.hand_over(folder, fleet.roster)

        assert [path.name[-9:] for path in pending_rosters.waiting(folder)] == ["09.roster", "10.roster"]
        assert pending_rosters.newest(folder, FLEET.roster) == fleets[0].roster
