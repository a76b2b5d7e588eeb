"""Somebody with the owner's disk alters the registry, and an owner goes on from a backup that has forgotten what was signed since."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from hushfleet.documents import newer_roster
from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.signing import Signed
from provisioning.contents import VaultContents
from provisioning.recovery import adopting, skipping
from provisioning.vault import Vault
from tests.support.enrolling import NOW, PASSPHRASE, Founded, applicant, found, new_vault, reopened
from tests.support.refusals import refused


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Founded]:
    with new_vault(tmp_path / "vault") as vault:
        yield found(vault, others=["pi-05", "pi-06"])


def altered(fleet: Founded) -> Path:
    """The registry after the attacker put keys of his own in the place of a device's."""
    fleet.vault.close()
    file, thief = fleet.vault.folder.registry_file, applicant("pi-05", generation=66)
    registry = VaultContents.from_json(file.read_bytes())
    devices = tuple(
        msgspec.structs.replace(one, verify_key=thief.signing.verify_key.raw, sealing_key=thief.sealing.public.raw)
        if one.device_id == "pi-05"
        else one
        for one in registry.devices
    )
    file.write_bytes(msgspec.structs.replace(registry, devices=devices).to_json())
    return fleet.vault.folder.path


def test_an_altered_registry_is_not_signed_from(fleet: Founded) -> None:
    path = altered(fleet)

    with refused(Refusal.VAULT_DAMAGED, LocalError):
        reopened(path)


def test_the_authenticator_of_another_vault_does_not_help(fleet: Founded) -> None:
    path = altered(fleet)
    registry = VaultContents.from_json((path / "registry.json").read_bytes())
    (path / "registry.json").write_bytes(registry.sealed(bytes(32)).to_json())

    with refused(Refusal.VAULT_DAMAGED, LocalError):
        reopened(path)


def test_control_without_the_authenticator_the_attackers_keys_are_signed(fleet: Founded, monkeypatch: pytest.MonkeyPatch) -> None:
    path = altered(fleet)
    monkeypatch.setattr(VaultContents, "is_sealed", lambda *_: True)

    with reopened(path) as vault:
        vault.approve(applicant("pi-07").request())

        thief = applicant("pi-05", generation=66)
        assert vault.roster.device("pi-05").verify_key == thief.signing.verify_key.raw


class TestBackup:
    @pytest.fixture
    def restored(self, fleet: Founded, tmp_path: Path) -> tuple[Vault, Founded, Signed]:
        """A vault from before pi-05 was revoked and pi-07 approved; and the newest roster, as the orchestrator holds it."""
        shutil.copytree(fleet.vault.folder.path, tmp_path / "backup")
        fleet.vault.revoke("pi-05")
        fleet.join(applicant("pi-07"))
        newest = fleet.vault.roster.signed
        return reopened(tmp_path / "backup"), fleet, newest

    def test_a_newer_roster_is_adopted_and_the_next_one_follows_it(self, restored: tuple[Vault, Founded, Signed]) -> None:
        vault, fleet, newest = restored
        with vault:
            before = {one.serial_number for one in vault.registry.issued if one.device_id == "pi-05"}
            vault.recover(adopting(vault.registry, newest, NOW))

            assert vault.registry.find("pi-05") is None
            assert before <= {one.serial_number for one in vault.registry.withdrawn}
            vault.approve(fleet.people["pi-07"].request())
            vault.approve(applicant("pi-08").request())
            assert newer_roster(fleet.vault.roster, vault.roster).roster.serial == fleet.vault.roster.roster.serial + 1
            assert {"pi-07", "pi-08"} <= {one.device_id for one in vault.roster.roster.devices}
            assert "pi-05" not in {one.device_id for one in vault.roster.roster.devices}

    def test_serial_numbers_are_skipped_once(self, restored: tuple[Vault, Founded, Signed]) -> None:
        vault, fleet, _ = restored
        with vault:
            serial = vault.roster.roster.serial
            vault.recover(skipping(vault.registry, 100))
            vault.approve(applicant("pi-08").request())
            assert vault.roster.roster.serial == serial + 101
            vault.approve(applicant("pi-09").request())
            assert vault.roster.roster.serial == serial + 102
            assert newer_roster(fleet.vault.roster, vault.roster) == vault.roster

    def test_control_without_recovery_a_serial_number_is_signed_twice(self, restored: tuple[Vault, Founded, Signed]) -> None:
        vault, fleet, _ = restored
        with vault:
            vault.approve(applicant("pi-08").request())
            vault.approve(applicant("pi-09").request())

            with pytest.raises(PeerError) as caught:
                newer_roster(fleet.vault.roster, vault.roster)
            assert caught.value.reason is Refusal.ROSTER_CONFLICT

    def test_an_older_or_foreign_roster_is_not_adopted(self, restored: tuple[Vault, Founded, Signed], tmp_path: Path) -> None:
        vault, fleet, _ = restored
        with vault, new_vault(tmp_path / "other") as other:
            old = vault.roster.signed
            with refused(Refusal.VAULT_DAMAGED, LocalError):
                adopting(fleet.vault.registry, old, NOW)
            with refused(Refusal.SIGNATURE, PeerError):
                adopting(vault.registry, found(other).vault.roster.signed, NOW)


def test_what_was_recovered_opens_again(fleet: Founded) -> None:
    path = altered(fleet)
    with Vault.open(path, PASSPHRASE, now=lambda: NOW, altered=True) as vault:
        vault.recover(skipping(vault.registry, 1))

    with reopened(path) as vault:
        assert vault.registry.skipped == 1
