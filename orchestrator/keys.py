"""The orchestrator's own keys: made where they are used, kept in its state folder, never sent anywhere."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from hushfleet.encryption.sealing import SealingKey
from hushfleet.errors import LocalError, Refusal
from hushfleet.ids import device_id
from hushfleet.link.files import write_durably
from hushfleet.randomness import Randomness
from hushfleet.signing import KEY_BYTES, SigningKey

FILE = "orchestrator.keys"


@dataclass(frozen=True)
class OrchestratorKeys:
    """An id with its Ed25519 and X25519 key."""

    name: str
    signing: SigningKey
    sealing: SealingKey

    @classmethod
    def generate(cls, name: str, randomness: Randomness) -> Self:
        """Fresh keys under a valid id. Raises `PeerError(ID_MALFORMED)`."""
        return cls(device_id(name), SigningKey.generate(randomness), SealingKey.generate(randomness))

    def save(self, folder: Path) -> None:
        """Store in `folder`, readable by this user alone."""
        write_durably(folder / FILE, self.signing.seed() + self.sealing.seed() + self.name.encode())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `save` stored. Raises `LocalError(NOT_ENROLLED)` if there is nothing, or not that."""
        path = folder / FILE
        data = path.read_bytes() if path.exists() else b""
        if len(data) <= 2 * KEY_BYTES:
            raise LocalError(Refusal.NOT_ENROLLED, f"no orchestrator's keys in {folder}", next_step="hushfleet orchestrator enrol")
        seeds, name = data[: 2 * KEY_BYTES], data[2 * KEY_BYTES :].decode()
        return cls(device_id(name), SigningKey(seeds[:KEY_BYTES]), SealingKey(seeds[KEY_BYTES:]))
