"""Bundles as the owner gives them back, for keys that were really enrolled."""

from dataclasses import replace
from pathlib import Path

import msgspec

from edge_agent import enrolment
from edge_agent.folder import DeviceKeys, StateFolder
from hushfleet.documents.enrolment import Broker, Bundle, EnrolledRole, sign_bundle
from tests.support.fleet import Fleet, make_fleet

CA, CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nCA\n", b"-----BEGIN CERTIFICATE-----\nown\n"
MEMBER, DEVICE = "device-01", "device-05"


def enrolled(path: Path, name: str = MEMBER, fleet: Fleet | None = None) -> tuple[StateFolder, Fleet]:
    """A state folder in which `name` was enrolled, and a fleet whose owner approved it."""
    folder, fleet = StateFolder(path), fleet or make_fleet()
    enrolment.enrol(folder, name)
    return folder, approved(fleet, DeviceKeys.load(path))


def approved(fleet: Fleet, keys: DeviceKeys) -> Fleet:
    """The same fleet, in which the device of that id has these keys."""
    return replace(fleet, parties=replace(fleet.parties, devices={**fleet.parties.devices, keys.device_id: keys}))


def bundle(fleet: Fleet, name: str = MEMBER, /, **changes: object) -> bytes:
    """What stands in `NAME.bundle`; `changes` replace fields before it is signed."""
    grant = fleet.grants.get(name, b"")
    honest = Bundle(
        fleet.parties.owner.fleet, EnrolledRole.DEVICE, name, fleet.roster.signed, grant, Broker("broker.lan", 8883), CA, CERTIFICATE
    )
    return sign_bundle(msgspec.structs.replace(honest, **changes), fleet.parties.owner.root)


def joined(path: Path, name: str = MEMBER, fleet: Fleet | None = None) -> tuple[StateFolder, Fleet]:
    """A state folder that has joined."""
    folder, fleet = enrolled(path, name, fleet)
    enrolment.join(folder, enrolment.read_bundle(folder, bundle(fleet, name)), insecure_keys=True)
    return folder, fleet
