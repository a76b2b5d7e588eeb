"""The device's own keys: made on the device, kept in its state folder, never sent anywhere."""

from typing import ClassVar

from hushfleet.documents import DeviceEntry, EnrolledRole
from hushfleet.link.party import PartyKeys


class DeviceKeys(PartyKeys):
    """An id with its Ed25519 and X25519 key."""

    FILE: ClassVar[str] = "device.keys"
    ROLE: ClassVar[EnrolledRole] = EnrolledRole.DEVICE
    ENROL: ClassVar[str] = "hushfleet agent enrol"

    @property
    def entry(self) -> DeviceEntry:
        """The public half, as it stands in a roster."""
        return DeviceEntry(self.device_id, self.signing.verify_key.raw, self.sealing.public.raw)
