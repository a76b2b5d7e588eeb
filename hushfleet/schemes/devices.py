"""The device's side of each scheme."""

from typing import Protocol

from hushfleet.privacy import EncodedVector
from hushfleet.randomness import Randomness
from hushfleet.schemes.base import EncryptedUpdate, RoundTerms
from hushfleet.schemes.paillier.device import PaillierDevice


class DeviceScheme(Protocol):
    """Turns an encoded vector into what leaves the device."""

    def encrypt(self, setting: RoundTerms, device_id: str, encoded: EncodedVector, randomness: Randomness) -> EncryptedUpdate:
        """Encrypt with fresh randomness; a second call makes a second, different contribution: never send both."""


DEVICE_SCHEMES: dict[str, DeviceScheme] = {"paillier": PaillierDevice()}
