"""What the owner does with a vault, and that no crash leaves one that does not open."""

import itertools
import shutil
import stat
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from hushfleet.documents import EnrolledRole, newer_roster, open_bundle, open_grant, open_roster
from hushfleet.encryption.paillier.secret import check_share
from hushfleet.encryption.paillier.share import KeyShare
from hushfleet.encryption.sealing import unseal
from hushfleet.errors import FaultyOwner, LocalError, PeerError, PhaseError, Refusal
from hushfleet.labels import Label
from hushfleet.owner.certificates import ends, serial_number
from hushfleet.signing import Signed
from provisioning import folder
from provisioning import proposals as changes
from provisioning.bundles import grant_in
from provisioning.contents import Address
from provisioning.passphrase import Passphrase
from provisioning.policy_text import with_settings
from provisioning.show import Known, explain
from provisioning.vault import Vault
from tests.support.enrolling import (
    FLEET,
    MEMBERS,
    NOW,
    ORCHESTRATOR,
    PASSPHRASE,
    POLICY,
    Founded,
    applicant,
    dealing,
    found,
    new_vault,
    orchestrator,
    reopened,
)
from tests.support.refusals import refused


def opened(fleet, name):
    """What the person of this name makes of its bundle file."""
    person = fleet.people[name]
    data = fleet.vault.folder.bundle_file(name).read_bytes()
    return open_bundle(data, root=None, device_id=name, keys=person.public)


def revoked(vault: Vault) -> set[int]:
    crl = x509.load_pem_x509_crl((vault.folder.path / "crl.pem").read_bytes())
    return {entry.serial_number for entry in crl}


def certificate(vault: Vault, name: str) -> bytes:
    return vault.registry.find(name).certificate.encode()


def edit_policy(vault: Vault, *assignments: str) -> None:
    file = vault.folder.policy_file
    file.write_text(with_settings(file.read_text(), assignments))


class TestCreation:
    def test_nobody_else_can_read_it(self, vault):
        for path in (vault.folder.path, *vault.folder.path.rglob("*")):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path

    def test_no_secret_lies_open_in_it(self, vault):
        seed, key = vault._keys.owner.root.seed(), vault._keys.authority.key_der()
        for path in vault.folder.path.rglob("*"):
            data = path.read_bytes() if path.is_file() else b""
            for secret in (seed, key, key[-64:], PASSPHRASE.raw):
                assert secret not in data
                assert secret.hex().encode() not in data

    def test_root_pub_is_the_file_that_verify_reads(self, vault):
        assert (vault.folder.path / "root.pub").read_text() == vault.registry.root_key.hex() + "\n"

    def test_another_one_in_its_place_is_refused(self, vault):
        vault.close()
        before = vault.folder.registry_file.read_bytes(), vault.folder.secrets_file.read_bytes()
        with refused(Refusal.VAULT_EXISTS, LocalError):
            new_vault(vault.folder.path)
        assert (vault.folder.registry_file.read_bytes(), vault.folder.secrets_file.read_bytes()) == before

    def test_a_folder_with_something_else_is_refused(self, tmp_path):
        (tmp_path / "photo.jpg").touch()
        with refused(Refusal.VAULT_EXISTS, LocalError):
            new_vault(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]

    def test_a_fleet_needs_an_id(self, tmp_path):
        with refused(Refusal.ID_MALFORMED, PeerError):
            Vault.create(tmp_path / "vault", "Green House", PASSPHRASE, broker=Address("broker.lan"))
        assert not (tmp_path / "vault").exists()


class TestOpening:
    def test_what_was_stored_is_there_again(self, fleet):
        before = fleet.vault.registry
        fleet.vault.close()
        with reopened(fleet.vault.folder.path) as again:
            assert again.registry == before
            assert again.roster == fleet.vault.roster

    def test_another_passphrase_does_not_open_it(self, vault):
        vault.close()
        with refused(Refusal.VAULT_PASSPHRASE, LocalError):
            Vault.open(vault.folder.path, Passphrase("something else"))

    def test_a_short_one_is_wrong_and_nothing_else(self, vault):
        vault.close()
        with pytest.raises(LocalError, match="does not open this vault"):
            Vault.open(vault.folder.path, Passphrase("x"))
        reopened(vault.folder.path).close()  # and the failed attempt holds no lock

    def test_there_must_be_one(self, tmp_path):
        with refused(Refusal.VAULT_MISSING, LocalError):
            Vault.open(tmp_path, PASSPHRASE)
        assert list(tmp_path.iterdir()) == []

    def test_two_commands_at_once_are_refused(self, vault):
        with refused(Refusal.STATE_IN_USE, LocalError):
            reopened(vault.folder.path)
        vault.close()
        reopened(vault.folder.path).close()

    @pytest.mark.parametrize("change", [{"version": 2}, {"root_key": bytes(32)}, {"roster": b"nothing"}, {"fleet": 5}], ids=repr)
    def test_a_registry_that_contradicts_itself_is_refused(self, vault, change):
        vault.close()
        file = vault.folder.registry_file
        content = msgspec.json.decode(file.read_bytes())
        file.write_bytes(msgspec.json.encode({**content, **change}))
        with refused(Refusal.VAULT_DAMAGED, LocalError), reopened(vault.folder.path) as again:
            again.registry.verified  # noqa: B018 -- a roster is looked at when it is needed

    def test_a_registry_that_is_none_is_refused(self, vault):
        vault.close()
        vault.folder.registry_file.write_bytes(b'{"version": 1')
        with refused(Refusal.VAULT_DAMAGED, LocalError):
            reopened(vault.folder.path)

    def test_a_roster_that_somebody_else_signed_is_refused(self, fleet, tmp_path):
        fleet.vault.close()
        with new_vault(tmp_path / "other") as other:
            foreign = found(other).vault.registry.roster
        file = fleet.vault.folder.registry_file
        file.write_bytes(msgspec.structs.replace(fleet.vault.registry, roster=foreign).to_json())
        with refused(Refusal.VAULT_DAMAGED, LocalError), reopened(fleet.vault.folder.path) as again:
            again.roster  # noqa: B018 -- a roster is looked at when it is needed

    def test_secrets_of_another_vault_are_refused(self, vault, tmp_path):
        vault.close()
        with new_vault(tmp_path / "other") as other:
            vault.folder.secrets_file.write_bytes(other.folder.secrets_file.read_bytes())
        with refused(Refusal.VAULT_DAMAGED, LocalError):
            reopened(vault.folder.path)

    def test_secrets_that_are_gone_are_refused(self, vault):
        vault.close()
        vault.folder.secrets_file.unlink()
        with refused(Refusal.VAULT_DAMAGED, LocalError):
            reopened(vault.folder.path)


class TestBeforeTheFirstRoster:
    def test_approving_only_records(self, vault):
        change = vault.approve(applicant("pi-01").request())
        assert (change.roster, vault.roster) == (None, None)
        assert vault.registry.find("pi-01").certificate
        assert not vault.folder.bundle_file("pi-01").exists()
        with refused(Refusal.NOT_ENROLLED, LocalError):
            vault.bundle("pi-01")

    def test_a_device_can_be_withdrawn(self, vault):
        vault.approve(applicant("pi-01").request())
        vault.revoke("pi-01")
        assert vault.registry.devices == ()

    def test_a_key_needs_an_orchestrator(self, vault):
        for name in MEMBERS:
            vault.approve(applicant(name).request())
        with refused(Refusal.NOT_ENROLLED, LocalError):
            vault.deal(MEMBERS, dealing())


class TestTheFirstRoster:
    def test_it_holds_everybody(self, fleet):
        roster = fleet.vault.roster.roster
        assert [entry.device_id for entry in roster.devices] == [*MEMBERS, "pi-05"]
        assert (roster.serial, roster.key_epoch, roster.committee, roster.f) == (1, 0, MEMBERS, 1)
        assert roster.policy == fleet.vault.policy.as_policy()
        assert roster.orchestrator_verify_key == fleet.people[ORCHESTRATOR].signing.verify_key.raw

    @pytest.mark.parametrize("name", [*MEMBERS, "pi-05", ORCHESTRATOR])
    def test_everybody_can_join_with_its_bundle(self, fleet, name):
        root, bundle, roster = opened(fleet, name)
        assert root == fleet.vault.registry.root
        assert roster == fleet.vault.roster
        assert bundle.role is (EnrolledRole.ORCHESTRATOR if name == ORCHESTRATOR else EnrolledRole.DEVICE)
        assert (bundle.broker.host, bundle.broker.port) == ("broker.lan", 8883)
        issued = x509.load_pem_x509_certificate(bundle.certificate)
        issued.verify_directly_issued_by(x509.load_pem_x509_certificate(bundle.ca_certificate))
        assert issued.subject.rfc4514_string() == f"CN={name}"
        assert issued.public_key() == x509.load_pem_x509_csr(fleet.people[name].certificate_request).public_key()

    def test_each_member_finds_its_share(self, fleet):
        for name in MEMBERS:
            root, bundle, roster = opened(fleet, name)
            plain = unseal(fleet.people[name].sealing, Label.SEAL_KEY_SHARE, roster.key_id, bundle.grant)
            grant = open_grant(plain, root, member_id=name, key_id=roster.key_id)
            check_share(dealing().public, KeyShare.from_bytes(dealing().public, grant.share))

    def test_nobody_else_finds_one(self, fleet):
        for name in ("pi-05", ORCHESTRATOR):
            assert opened(fleet, name)[1].grant == b""

    def test_a_bundle_is_for_its_own_keys_alone(self, fleet):
        data = fleet.vault.bundle("pi-05")
        with refused(Refusal.BUNDLE_FOR_ANOTHER, FaultyOwner):
            open_bundle(data, root=None, device_id="pi-05", keys=applicant("pi-05", 2).public)

    def test_no_share_is_left_in_the_vault(self, fleet):
        for path in fleet.vault.folder.path.rglob("*"):
            for share in dealing().shares:
                assert not path.is_file() or share.to_bytes(dealing().public)[2:] not in path.read_bytes()

    def test_seven_and_ten_members(self, tmp_path):
        names = tuple(f"pi-{number:02}" for number in range(1, 8))
        with new_vault(tmp_path / "vault") as vault:
            assert found(vault, names).vault.roster.threshold == 5


class TestKeyShares:
    """They travel once: what is deleted after a member has joined must not come back from the vault or a backup of it."""

    def test_the_registry_keeps_none(self, fleet):
        assert fleet.vault.registry.grants == {}
        assert msgspec.json.decode(fleet.vault.folder.registry_file.read_bytes())["grants"] == {}

    def test_a_bundle_that_is_written_anew_keeps_its_share(self, fleet):
        before = opened(fleet, "pi-01")[1].grant
        fleet.vault.move_broker(Address("elsewhere.lan"))
        fleet.vault.approve(fleet.people["pi-01"].request())
        assert opened(fleet, "pi-01")[1].grant == before != b""

    def test_a_deleted_one_comes_back_without(self, fleet):
        fleet.vault.folder.bundle_file("pi-01").unlink()
        fleet.vault.approve(fleet.people["pi-01"].request())
        assert opened(fleet, "pi-01")[1].grant == b""

    def test_a_share_of_an_older_key_is_not_carried_over(self, fleet):
        old = fleet.vault.folder.bundle_file("pi-01").read_bytes()
        fleet.vault.deal((*MEMBERS[1:], "pi-05"), dealing())
        fleet.vault.folder.bundle_file("pi-01").write_bytes(old)
        fleet.vault.approve(fleet.people["pi-01"].request())
        assert opened(fleet, "pi-01")[1].grant == b""

    @pytest.mark.parametrize("data", [b"", b"nothing"], ids=["empty", "garbage"])
    def test_a_spoiled_bundle_holds_none(self, fleet, data):
        fleet.vault.folder.bundle_file("pi-01").write_bytes(data)
        fleet.vault.approve(fleet.people["pi-01"].request())
        assert opened(fleet, "pi-01")[1].grant == b""


class TestCommittee:
    @pytest.mark.parametrize("ids", [(), MEMBERS[:3], (*MEMBERS, "pi-05")], ids=len)
    def test_of_another_size_is_refused(self, fleet, ids):
        with refused(Refusal.COMMITTEE_SIZE, LocalError):
            fleet.vault.deal(ids, dealing())

    def test_with_somebody_twice_is_refused(self, fleet):
        with refused(Refusal.ROSTER_DUPLICATE, LocalError):
            fleet.vault.deal(("pi-01", "pi-01", "pi-02", "pi-03"), dealing())

    @pytest.mark.parametrize("stranger", ["pi-99", ORCHESTRATOR])
    def test_with_somebody_who_is_no_device_is_refused(self, fleet, stranger):
        with refused(Refusal.NOT_ENROLLED, LocalError):
            fleet.vault.deal((*MEMBERS[:3], stranger), dealing())

    def test_a_new_one_is_a_new_epoch_with_new_bundles_for_all(self, fleet):
        before = fleet.vault.roster
        fleet.vault.deal((*MEMBERS[1:], "pi-05"), dealing())
        after = fleet.vault.roster
        assert (after.roster.serial, after.roster.key_epoch) == (2, 1)
        assert after.key_id != before.key_id
        assert opened(fleet, "pi-01")[1].grant == b""
        assert opened(fleet, "pi-05")[1].grant != b""
        assert {opened(fleet, name)[2].roster.serial for name in fleet.people} == {2}

    def test_a_plan_for_a_key_is_not_carried_out_without_one(self, fleet):
        change = changes.committee(fleet.vault.registry, fleet.vault.policy, MEMBERS)
        with refused(Refusal.PHASE, PhaseError):
            fleet.vault.carry_out(change)

    def test_a_member_cannot_be_revoked_before_the_next_key(self, fleet):
        with refused(Refusal.COMMITTEE_MEMBER, LocalError):
            fleet.vault.revoke("pi-01")
        fleet.vault.deal((*MEMBERS[1:], "pi-05"), dealing())
        fleet.vault.revoke("pi-01")
        assert "pi-01" not in [entry.device_id for entry in fleet.vault.roster.roster.devices]


class TestApproval:
    def test_a_new_device_is_in_the_next_roster_and_gets_its_bundle(self, fleet):
        before = fleet.vault.roster
        fleet.join(applicant("pi-06"))
        after = fleet.vault.roster
        assert newer_roster(before, after) is after
        assert after.key_id == before.key_id
        assert opened(fleet, "pi-06")[2] == after

    def test_the_same_request_again_renews_the_certificate_alone(self, fleet):
        before, old = fleet.vault.roster, certificate(fleet.vault, "pi-05")
        fleet.vault.close()
        later = NOW.replace(year=NOW.year + 1)
        with reopened(fleet.vault.folder.path, now=later) as vault:
            change = vault.approve(fleet.people["pi-05"].request())
            assert (change.roster, vault.roster) == (None, before)
            assert ends(certificate(vault, "pi-05")) > ends(old)
            assert revoked(vault) == set()
            fleet.vault = vault
            assert opened(fleet, "pi-05")[1].certificate == certificate(vault, "pi-05")

    def test_new_keys_under_an_old_id_begin_anew(self, fleet):
        old = certificate(fleet.vault, "pi-05")
        change = fleet.vault.approve(applicant("pi-05", 2).request())
        assert any("privacy budget starts again" in line for line in change.lines)
        assert fleet.vault.roster.device("pi-05") == fleet.vault.registry.find("pi-05").entry
        assert revoked(fleet.vault) == {serial_number(old)}

    def test_a_new_sealing_key_alone_does_not(self, fleet):
        change = fleet.vault.approve(fleet.people["pi-05"].request(sealing_key=applicant("pi-05", 2).sealing.public.raw))
        assert any("budget goes on" in line for line in change.lines)
        assert not any("starts again" in line for line in change.lines)
        assert revoked(fleet.vault) == set()

    def test_a_members_new_keys_wait_for_the_next_key(self, fleet):
        before, again = fleet.vault.roster, applicant("pi-01", 2)
        change = fleet.vault.approve(again.request())
        assert any("count from the next deal" in line for line in change.lines)
        assert fleet.vault.roster == before
        fleet.join(applicant("pi-06"))
        assert fleet.vault.roster.key_id == before.key_id
        assert not fleet.vault.folder.bundle_file("pi-01").exists() or opened(fleet, "pi-01")[2].roster.serial == 1
        fleet.people["pi-01"] = again
        fleet.vault.deal(MEMBERS, dealing())
        assert fleet.vault.roster.device("pi-01").verify_key == again.signing.verify_key.raw
        assert opened(fleet, "pi-01")[1].grant

    def test_another_orchestrator_replaces_the_first(self, fleet):
        old = certificate(fleet.vault, ORCHESTRATOR)
        change = fleet.vault.approve(orchestrator("hub-2", 2).request())
        assert any("replaces the orchestrator hub" in line for line in change.lines)
        assert fleet.vault.roster.roster.orchestrator_verify_key == fleet.vault.registry.orchestrator.verify_key
        assert fleet.vault.registry.find(ORCHESTRATOR) is None
        assert revoked(fleet.vault) == {serial_number(old)}
        assert not fleet.vault.folder.bundle_file(ORCHESTRATOR).exists()
        assert fleet.vault.folder.bundle_file("hub-2").exists()

    @pytest.mark.parametrize(
        "request_of",
        [
            lambda _: orchestrator("pi-05", 2).request(),
            lambda _: applicant(ORCHESTRATOR, 2).request(),
            lambda fleet: copied(fleet.people["pi-05"], "pi-06"),
            lambda fleet: applicant("pi-06").request(sealing_key=fleet.people["pi-05"].sealing.public.raw),
            lambda fleet: applicant("pi-06").request(sealing_key=fleet.people["pi-05"].signing.verify_key.raw),
            lambda fleet: applicant("pi-06").request(sealing_key=fleet.people[ORCHESTRATOR].sealing.public.raw),
        ],
        ids=["a device's id", "the orchestrator's id", "all keys", "a sealing key", "across uses", "the orchestrator's key"],
    )
    def test_an_id_or_key_of_somebody_else_is_refused(self, fleet, request_of):
        before = fleet.vault.registry
        with refused(Refusal.ROSTER_DUPLICATE, PeerError):
            fleet.vault.approve(request_of(fleet))
        assert fleet.vault.registry == before

    def test_a_tls_key_of_somebody_else_is_refused(self, fleet):
        stolen = rename(fleet.people["pi-05"], "pi-06")
        with refused(Refusal.ROSTER_DUPLICATE, PeerError):
            fleet.vault.approve(applicant("pi-06").request(certificate_request=stolen))

    def test_a_request_that_somebody_altered_is_refused(self, vault):
        good = applicant("pi-01").request()
        with refused(Refusal.SIGNATURE, PeerError):
            vault.approve(Signed(good.content.replace(b"pi-01", b"pi-02"), good.signature))

    def test_a_certificate_for_another_name_is_refused(self, vault):
        with refused(Refusal.CERTIFICATE_REQUEST, PeerError):
            vault.approve(applicant("pi-01").request(certificate_request=applicant("pi-02").certificate_request))


def rename(person, name):
    """A request for `name` with the TLS key of `person`."""
    key = serialization.load_pem_private_key(person.tls_key, None)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)


def copied(person, name):
    return person.request(device_id=name, certificate_request=rename(person, name))


class TestRevocation:
    def test_roster_certificate_and_bundle(self, fleet):
        old = certificate(fleet.vault, "pi-05")
        fleet.vault.revoke("pi-05")
        assert [entry.device_id for entry in fleet.vault.roster.roster.devices] == list(MEMBERS)
        assert revoked(fleet.vault) == {serial_number(old)}
        assert not fleet.vault.folder.bundle_file("pi-05").exists()

    @pytest.mark.parametrize("name", ["pi-99", ORCHESTRATOR, "+", ""])
    def test_nobody_and_the_orchestrator_cannot_be_revoked(self, fleet, name):
        with refused(Refusal.NOT_ENROLLED, LocalError):
            fleet.vault.revoke(name)

    def test_it_stays_withdrawn_when_others_come_and_go(self, fleet):
        old = certificate(fleet.vault, "pi-05")
        fleet.vault.revoke("pi-05")
        fleet.vault.approve(fleet.people["pi-05"].request())
        fleet.join(applicant("pi-06"))
        assert revoked(fleet.vault) == {serial_number(old)}
        assert serial_number(certificate(fleet.vault, "pi-05")) != serial_number(old)


class TestPolicy:
    def test_an_edited_file_counts_once_it_is_signed(self, fleet):
        edit_policy(fleet.vault, "cohort.min_devices=5")
        assert fleet.vault.roster.policy.min_devices == 4
        change = fleet.vault.renew()
        assert "~ cohort.min_devices: 4 -> 5" in change.lines
        assert (fleet.vault.roster.policy.min_devices, fleet.vault.roster.roster.serial) == (5, 2)

    def test_an_unchanged_file_signs_nothing(self, fleet):
        before = fleet.vault.registry
        assert fleet.vault.renew().is_empty
        assert fleet.vault.registry == before

    def test_it_comes_along_with_any_other_change_and_is_told(self, fleet):
        edit_policy(fleet.vault, "privacy.budget_rho=0.5")
        assert "~ privacy.budget_rho: 1 -> 0.5" in fleet.vault.revoke("pi-05").lines

    def test_a_wrong_file_stops_everything_that_would_sign_it(self, fleet):
        edit_policy(fleet.vault, "cohort.min_devices=1")
        before = fleet.vault.registry
        for attempt in (fleet.vault.renew, lambda: fleet.vault.revoke("pi-05"), lambda: fleet.join(applicant("pi-06"))):
            with refused(Refusal.CONFIG_INVALID, LocalError):
                attempt()
        assert fleet.vault.registry == before

    def test_what_would_not_work_is_said(self, tmp_path):
        with new_vault(tmp_path / "vault", policy="") as vault:
            fleet = found(vault)
            lines = changes.committee(fleet.vault.registry, vault.policy, MEMBERS).lines
        assert [line[:20] for line in lines if line.startswith("!")] == ["! the policy asks fo", "! no model is allowe"]


def test_the_broker_can_move(fleet):
    fleet.vault.move_broker(Address("elsewhere.lan", 18883))
    for name in fleet.people:
        assert (opened(fleet, name)[1].broker.host, opened(fleet, name)[1].broker.port) == ("elsewhere.lan", 18883)
    assert fleet.vault.roster.roster.serial == 1


def test_a_change_made_for_another_state_is_not_carried_out(fleet):
    change = changes.revocation(fleet.vault.registry, fleet.vault.policy, "pi-05", NOW)
    fleet.join(applicant("pi-06"))
    with refused(Refusal.PHASE, PhaseError):
        fleet.vault.carry_out(change)


def test_rosters_never_share_a_serial(fleet):
    seen = {fleet.vault.roster.roster.serial: fleet.vault.roster.digest}
    for act in (
        lambda: fleet.join(applicant("pi-06")),
        lambda: fleet.vault.revoke("pi-06"),
        lambda: fleet.vault.deal(MEMBERS, dealing()),
        lambda: fleet.vault.approve(orchestrator("hub", 2).request()),
    ):
        act()
        assert fleet.vault.roster.roster.serial not in seen
        seen[fleet.vault.roster.roster.serial] = fleet.vault.roster.digest
    assert sorted(seen) == [1, 2, 3, 4, 5]


class PowerCutError(Exception):
    """The machine goes off here."""


class PowerCut:
    """Lets `after` writes through, then cuts one off: before it, or half-way through the temporary file."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: int, *, torn: bool) -> None:
        self.left, self._torn, self._write = after, torn, folder.write_durably
        monkeypatch.setattr(folder, "write_durably", self)

    def __call__(self, path: Path, data: bytes) -> None:
        if self.left == 0:
            if self._torn:
                path.with_name(path.name + ".part").write_bytes(data[: len(data) // 2])
            raise PowerCutError
        self.left -= 1
        self._write(path, data)


ACTS = {
    "approve": lambda fleet: fleet.join(applicant("pi-06")),
    "re-enrol": lambda fleet: fleet.join(applicant("pi-05", 2)),
    "revoke": lambda fleet: fleet.vault.revoke("pi-05"),
    "deal": lambda fleet: fleet.vault.deal((*MEMBERS[1:], "pi-05"), dealing()),
    "move": lambda fleet: fleet.vault.move_broker(Address("elsewhere.lan")),
}


@pytest.mark.parametrize("torn", [False, True], ids=["before", "torn"])
@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_after_a_power_cut_anywhere_the_vault_opens_and_is_of_one_piece(fleet, monkeypatch, tmp_path, act, torn):
    before = fleet.vault.registry
    fleet.vault.close()
    counted = []
    for cut in itertools.count():
        copy = shutil.copytree(fleet.vault.folder.path, tmp_path / f"cut {cut}")
        with monkeypatch.context() as patch, reopened(copy) as vault:
            PowerCut(patch, cut, torn=torn)
            try:
                act(Founded(vault, dict(fleet.people)))
            except PowerCutError:
                pass
            else:
                break
        with reopened(copy) as again:
            assert_of_one_piece(again)
            counted.append(again.registry != before)
    assert counted == sorted(counted)  # from the first write on it counts
    assert (counted[0], counted[-1], len(counted) >= 3) == (False, True, True)


def assert_of_one_piece(vault: Vault) -> None:
    """What follows from the registry does: bundles hold roster keys and shares, the list the withdrawn certificates."""
    registry = vault.registry
    assert (registry.due, registry.grants) == ((), {})
    assert revoked(vault) == {int(one.serial_number, 16) for one in registry.withdrawn}
    assert open_roster(vault.roster.signed, registry.root) == vault.roster
    for identity in registry.identities():
        file = vault.folder.bundle_file(identity.device_id)
        told = explain(file.read_bytes(), Known.of(registry))
        assert told["signature"] == "that of this vault's owner"
        assert told["broker"] == f"{registry.broker.host}:{registry.broker.port}"
        assert bool(grant_in(file, vault.roster)) == (identity.device_id in vault.roster.roster.committee)


@pytest.mark.parametrize("torn", [False, True], ids=["before", "torn"])
def test_a_power_cut_while_a_vault_is_made_leaves_none_and_the_next_try_works(tmp_path, monkeypatch, torn):
    path = tmp_path / "vault"
    for cut in range(5):
        with monkeypatch.context() as patch:
            PowerCut(patch, cut, torn=torn)
            with pytest.raises(PowerCutError):
                new_vault(path)
        with refused(Refusal.VAULT_MISSING, LocalError):
            reopened(path)
    with monkeypatch.context() as patch:
        PowerCut(patch, 5, torn=torn)
        with pytest.raises(PowerCutError):
            new_vault(path)
    with reopened(path) as vault:  # the registry stood: what was missing is written now
        assert revoked(vault) == set()
        assert vault.registry.fleet == FLEET
        assert vault.folder.policy_file.read_text() == POLICY
