"""The device's own keys: made on the device, kept in its state folder, never sent anywhere."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from hushfleet.documents import DeviceEntry
from hushfleet.encryption.sealing import SealingKey
from hushfleet.errors import LocalError, Refusal
from hushfleet.ids import device_id
from hushfleet.link.files import write_durably
from hushfleet.randomness import Randomness
from hushfleet.signing import KEY_BYTES, SigningKey

_FILE = "device.keys"


@dataclass(frozen=True)
class DeviceKeys:
    """An id with its Ed25519 and X25519 key."""

    device_id: str
    signing: SigningKey
    sealing: SealingKey

    @classmethod
    def generate(cls, name: str, randomness: Randomness) -> Self:
        """Fresh keys under a valid id."""
        return cls(device_id(name), SigningKey.generate(randomness), SealingKey.generate(randomness))

    @property
    def entry(self) -> DeviceEntry:
        """The public half, as it stands in a roster."""
        return DeviceEntry(self.device_id, self.signing.verify_key.raw, self.sealing.public.raw)

    def save(self, folder: Path) -> None:
        """Store in `folder`, readable by this user alone."""
        write_durably(folder / _FILE, self.signing.seed() + self.sealing.seed() + self.device_id.encode())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `save` stored. Raises `LocalError(NOT_ENROLLED)` if there is nothing, or not that."""
        path = folder / _FILE
        data = path.read_bytes() if path.exists() else b""
        if len(data) <= 2 * KEY_BYTES:
            raise LocalError(Refusal.NOT_ENROLLED, f"no device keys in {folder}", next_step="Run: hushfleet agent enrol")
        seeds, name = data[: 2 * KEY_BYTES], data[2 * KEY_BYTES :].decode()
        return cls(device_id(name), SigningKey(seeds[:KEY_BYTES]), SealingKey(seeds[KEY_BYTES:]))
