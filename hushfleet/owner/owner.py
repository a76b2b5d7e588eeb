"""The documents that the owner signs with the root key: rosters, and key shares for the committee."""

from collections.abc import Sequence
from dataclasses import dataclass

from hushfleet.documents import DeviceEntry, KeyShareGrant, Policy, Roster, VerifiedRoster, open_roster, sign_grant, sign_roster
from hushfleet.encryption.paillier.dealing import Dealing
from hushfleet.encryption.sealing import SealingPublicKey, seal
from hushfleet.labels import Label
from hushfleet.signing import SigningKey


@dataclass(frozen=True)
class Owner:
    """The fleet's owner. The root key stays with the owner; everything returned here is public or sealed."""

    fleet: str
    root: SigningKey

    def roster(
        self,
        *,
        serial: int,
        key_epoch: int,
        orchestrator: DeviceEntry,
        devices: Sequence[DeviceEntry],
        committee: Sequence[str],
        dealing: Dealing | None,
        policy: Policy,
    ) -> VerifiedRoster:
        """Sign a roster. `orchestrator` carries the orchestrator's two public keys. Raises `FaultyOwner` for what no fleet may be."""
        roster = Roster(
            fleet=self.fleet,
            serial=serial,
            key_epoch=key_epoch,
            orchestrator_verify_key=orchestrator.verify_key,
            orchestrator_sealing_key=orchestrator.sealing_key,
            orchestrator_sealing_suite=orchestrator.sealing_suite,
            devices=tuple(devices),
            committee=tuple(committee),
            f=(len(committee) - 1) // 3,
            paillier=dealing.public.to_bytes() if dealing else b"",
            policy=policy,
        )
        return self.sign(roster)

    def sign(self, roster: Roster) -> VerifiedRoster:
        """The roster signed with the root key."""
        return open_roster(sign_roster(roster, self.root), self.root.verify_key)

    def grants(self, roster: VerifiedRoster, dealing: Dealing) -> dict[str, bytes]:
        """Member id -> its key share, signed and sealed to that member. Forget `dealing` afterwards."""
        return {
            name: self._grant(roster, name, share.index, share.to_bytes(dealing.public))
            for name, share in zip(roster.roster.committee, dealing.shares, strict=True)
        }

    def _grant(self, roster: VerifiedRoster, member_id: str, index: int, share: bytes) -> bytes:
        grant = KeyShareGrant(self.fleet, roster.key_id, member_id, index, share)
        recipient = SealingPublicKey(roster.device(member_id).sealing_key)
        return seal(recipient, Label.SEAL_KEY_SHARE, roster.key_id, sign_grant(grant, self.root))
