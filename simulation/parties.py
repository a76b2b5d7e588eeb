"""All keys of a fleet. A test or the demo may play any party with them; the machines get only their own."""

from collections.abc import Mapping
from dataclasses import dataclass

from edge_agent.folder import DeviceKeys
from hushfleet.documents import Policy, VerifiedRoster
from hushfleet.encryption.paillier.dealing import Dealing
from hushfleet.owner.owner import Owner
from hushfleet.randomness import Randomness
from hushfleet.signing import SigningKey


@dataclass(frozen=True)
class Parties:
    """The owner, the orchestrator, every device by id, and who of them is the committee, in order."""

    owner: Owner
    orchestrator: DeviceKeys
    devices: Mapping[str, DeviceKeys]
    committee: tuple[str, ...]

    @classmethod
    def generate(cls, fleet: str, devices: int, committee: int, randomness: Randomness) -> "Parties":
        """Fresh keys for `devices` devices, the first `committee` of which are the committee."""
        names = [f"device-{number:02d}" for number in range(1, devices + 1)]
        keys = {name: DeviceKeys.generate(name, randomness) for name in names}
        owner = Owner(fleet, SigningKey.generate(randomness))
        return cls(owner, DeviceKeys.generate("orchestrator", randomness), keys, tuple(names[:committee]))

    def roster(self, dealing: Dealing | None, policy: Policy, *, serial: int = 1, key_epoch: int = 0) -> VerifiedRoster:
        """The roster of all devices, signed by the owner."""
        return self.owner.roster(
            serial=serial,
            key_epoch=key_epoch,
            orchestrator=self.orchestrator.entry,
            devices=[keys.entry for keys in self.devices.values()],
            committee=self.committee,
            dealing=dealing,
            policy=policy,
        )
