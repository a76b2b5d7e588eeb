"""The registry of the device's side of each scheme. A new scheme is one line here and one in each of the two other registries."""

from hushfleet.schemes.base import DeviceScheme
from hushfleet.schemes.paillier.device import PaillierDevice
from hushfleet.schemes.shared.device import SharedDevice

DEVICE_SCHEMES: dict[str, DeviceScheme] = {"paillier": PaillierDevice(), "shared": SharedDevice()}
