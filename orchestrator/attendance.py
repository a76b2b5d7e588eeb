"""The devices and members that are present, by what they last said of themselves (PROTOCOL 5.1).

A broker can play an old status again: attendance decides when a round begins and nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hushfleet.documents import VerifiedRoster
from hushfleet.wire import DeviceStatus, Presence
from orchestrator.absence import takes_part


@dataclass(frozen=True, slots=True)
class Attendance:
    """The numbers that a round needs before it begins: contributors of `least_devices`, members of `least_members`."""

    devices: int
    least_devices: int
    members: int
    least_members: int

    @property
    def enough(self) -> bool:
        """True if a round may begin."""
        return self.devices >= self.least_devices and self.members >= self.least_members

    def __str__(self) -> str:
        return (
            f"{self.devices} of at least {self.least_devices} devices and "
            f"{self.members} of at least {self.least_members} committee members are present"
        )


def attendance(roster: VerifiedRoster, said: Mapping[str, DeviceStatus], least_devices: int, *, rho_nano: int = 0) -> Attendance:
    """The attendance by what devices said. The devices of one group count once: one of them has the turn.

    A device that only decrypts, or has less left of its budget than the `rho_nano` of a round, counts as a member alone.
    """
    present = {name for name, status in said.items() if status.presence is not Presence.OFFLINE}
    there = [entry for entry in roster.roster.devices if entry.device_id in present and takes_part(said[entry.device_id], rho_nano)]
    contributors = {("group", entry.group) if entry.group else ("device", entry.device_id) for entry in there}
    members = sum(name in present for name in roster.roster.committee)
    return Attendance(len(contributors), least_devices, members, roster.threshold)
