import stat
from contextlib import closing

import pytest

from edge_agent import enrolment
from edge_agent.folder import DeviceKeys, StateFolder
from edge_agent.store import Store
from hushfleet.codec import decode
from hushfleet.documents import open_enrolment_request
from hushfleet.documents.enrolment import EnrolledRole, fingerprint
from hushfleet.errors import FaultyOwner, LocalError, PeerError, Refusal
from hushfleet.rounds.member import Ready
from hushfleet.signing import Signed
from tests.support.bundles import CA, CERTIFICATE, DEVICE, MEMBER, approved, bundle, enrolled, joined
from tests.support.fleet import make_fleet
from tests.support.refusals import refused

SECRETS = ("device.keys", "tls.key", "agent.db")


@pytest.fixture
def folder(tmp_path):
    return StateFolder(tmp_path / "state")


def test_enrolling_makes_keys_that_nobody_else_can_read_and_a_request_without_them(folder, tmp_path):
    request = enrolment.enrol(folder, "pi-01")
    path = enrolment.write_request(request, tmp_path)

    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert {name: stat.S_IMODE((folder.path / name).stat().st_mode) for name in SECRETS} == dict.fromkeys(SECRETS, 0o600)
    asked = open_enrolment_request(decode(Signed, path.read_bytes(), max_bytes=10_000))
    keys = DeviceKeys.load(folder.path)
    assert (asked.device_id, asked.role, path.name) == ("pi-01", EnrolledRole.DEVICE, "pi-01.request")
    assert (asked.verify_key, asked.sealing_key) == (keys.signing.verify_key.raw, keys.sealing.public.raw)
    assert b"CERTIFICATE REQUEST" in asked.certificate_request
    for secret in (keys.signing.seed(), keys.sealing.seed(), b"PRIVATE KEY"):
        assert secret not in path.read_bytes()
    assert request.fingerprint == fingerprint(path.read_bytes())


def test_a_second_enrolment_is_refused_and_changes_nothing(folder):
    enrolment.enrol(folder, "pi-01")
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}

    with refused(Refusal.ALREADY_ENROLLED, LocalError):
        enrolment.enrol(folder, "pi-02")

    assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == before


def test_enrolling_anew_forgets_keys_ledger_and_fleet(tmp_path):
    folder, _ = joined(tmp_path / "state")
    before = DeviceKeys.load(folder.path)

    enrolment.enrol(folder, MEMBER, anew=True)

    assert DeviceKeys.load(folder.path).signing.seed() != before.signing.seed()
    assert folder.fleet() is None
    with closing(Store(folder.path)) as store:
        assert store.ledger().events == ()
        assert not (folder.path / "contribution.blob").exists()


def test_an_enrolment_that_was_interrupted_can_be_begun_again(folder, monkeypatch):
    def no_power(_, __):
        raise OSError("no power")

    with monkeypatch.context() as patch:
        patch.setattr(DeviceKeys, "save", no_power)
        with pytest.raises(OSError, match="no power"):
            enrolment.enrol(folder, "pi-01")

    assert not enrolment.enrolled(folder)
    enrolment.enrol(folder, "pi-01")
    assert DeviceKeys.load(folder.path).device_id == "pi-01"


def test_a_name_that_is_no_id_makes_nothing(folder):
    with refused(Refusal.ID_MALFORMED, PeerError):
        enrolment.enrol(folder, "Pi 01")
    assert not folder.path.exists()


def share_of(fleet):
    return fleet.dealing.shares[0].to_bytes(fleet.dealing.public)


def test_a_member_joins_with_roster_share_certificates_and_broker(tmp_path):
    folder, fleet = joined(tmp_path / "state")
    membership, root = folder.joined(), fleet.parties.owner.root.verify_key

    assert (membership.fleet, membership.device_id, membership.root) == ("testers", MEMBER, root)
    assert (membership.broker_host, membership.broker_port) == ("broker.lan", 8883)
    assert (folder.ca.read_bytes(), folder.certificate.read_bytes()) == (CA, CERTIFICATE)
    with closing(Store(folder.path)) as store:
        member = store.member_state(root)
        assert (store.roster(root), type(member), member.share.data) == (fleet.roster, Ready, share_of(fleet))


def test_a_device_that_is_no_member_joins_without_a_share(tmp_path):
    folder, fleet = joined(tmp_path / "state", DEVICE)

    with closing(Store(folder.path)) as store:
        assert not store.member_state(fleet.parties.owner.root.verify_key).share


def test_the_same_bundle_again_changes_nothing(tmp_path):
    folder, fleet = joined(tmp_path / "state")
    offer = enrolment.read_bundle(folder, bundle(fleet))

    assert offer.pinned
    enrolment.join(folder, offer, insecure_keys=True)

    with closing(Store(folder.path)) as store:
        assert store.member_state(fleet.parties.owner.root.verify_key).share.data == share_of(fleet)


def test_a_newer_bundle_brings_the_newer_roster_and_broker(tmp_path):
    folder, fleet = joined(tmp_path / "state", DEVICE)
    newer = fleet.newer()
    moved = bundle(newer, DEVICE, broker=type(enrolment.read_bundle(folder, bundle(fleet, DEVICE)).bundle.broker)("other.lan", 1883))

    enrolment.join(folder, enrolment.read_bundle(folder, moved))

    assert folder.joined().broker_host == "other.lan"
    with closing(Store(folder.path)) as store:
        assert store.roster(fleet.parties.owner.root.verify_key) == newer.roster


def test_an_older_roster_is_refused_and_the_fleet_stays(tmp_path):
    folder, fleet = enrolled(tmp_path / "state", DEVICE)
    enrolment.join(folder, enrolment.read_bundle(folder, bundle(fleet.newer(), DEVICE)))

    with refused(Refusal.ROSTER_OLDER, FaultyOwner):
        enrolment.join(folder, enrolment.read_bundle(folder, bundle(fleet, DEVICE)))


def test_another_root_key_is_refused_once_one_is_pinned(tmp_path):
    folder, fleet = joined(tmp_path / "state")
    impostor = approved(make_fleet(seed=b"impostor"), DeviceKeys.load(folder.path))

    with refused(Refusal.SIGNATURE, PeerError):
        enrolment.read_bundle(folder, bundle(impostor))
    assert folder.joined().root == fleet.parties.owner.root.verify_key


@pytest.mark.parametrize("changes", [{"device_id": "device-02"}, {"fleet": "others"}, {"role": EnrolledRole.ORCHESTRATOR}], ids=str)
def test_a_bundle_for_somebody_else_is_refused(tmp_path, changes):
    folder, fleet = enrolled(tmp_path / "state")

    with refused(Refusal.BUNDLE_FOR_ANOTHER, FaultyOwner):
        enrolment.read_bundle(folder, bundle(fleet, **changes))


def test_a_bundle_for_earlier_keys_is_refused(tmp_path):
    folder, fleet = enrolled(tmp_path / "state")
    enrolment.enrol(folder, MEMBER, anew=True)

    with refused(Refusal.BUNDLE_FOR_ANOTHER, FaultyOwner):
        enrolment.read_bundle(folder, bundle(fleet))


def test_a_share_for_another_member_joins_nothing(tmp_path):
    folder, fleet = enrolled(tmp_path / "state")

    with refused(Refusal.SEAL, PeerError):
        enrolment.join(folder, enrolment.read_bundle(folder, bundle(fleet, grant=fleet.grants["device-02"])), insecure_keys=True)
    assert folder.fleet() is None


def test_a_bundle_before_enrolling_says_what_to_do(folder):
    folder.make()
    with refused(Refusal.NOT_ENROLLED, LocalError):
        enrolment.read_bundle(folder, bundle(make_fleet()))


def test_joining_beside_a_running_agent_is_refused(tmp_path):
    folder, fleet = enrolled(tmp_path / "state")
    offer = enrolment.read_bundle(folder, bundle(fleet))

    with folder.locked(), refused(Refusal.STATE_IN_USE, LocalError):
        enrolment.join(folder, offer, insecure_keys=True)
