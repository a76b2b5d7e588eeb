"""The device's side of each scheme."""

from typing import Protocol

from hushfleet.privacy import EncodedVector
from hushfleet.randomness import Randomness
from hushfleet.schemes.paillier.device import PaillierDevice
from hushfleet.schemes.parts import Parts
from hushfleet.schemes.setting import RoundSetting


class DeviceScheme(Protocol):
    """Turns an encoded vector into what leaves the device."""

    def encrypt(self, setting: RoundSetting, device_id: str, encoded: EncodedVector, randomness: Randomness) -> Parts:
        """Encrypt with fresh randomness; a second call makes a second, different contribution: never send both."""


DEVICE_SCHEMES: dict[str, DeviceScheme] = {"paillier": PaillierDevice()}
