"""Bundles as the owner gives them back, for keys that were really enrolled."""

from dataclasses import replace
from pathlib import Path

import msgspec

from edge_agent import enrolment
from edge_agent.folder import DeviceKeys, StateFolder
from hushfleet.documents.enrolment import Broker, Bundle, EnrolledRole, sign_bundle
from tests.support.world import World, make_world

CA, CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nCA\n", b"-----BEGIN CERTIFICATE-----\nown\n"
MEMBER, DEVICE = "device-01", "device-05"


def enrolled(path: Path, name: str = MEMBER, world: World | None = None) -> tuple[StateFolder, World]:
    """A state folder in which `name` was enrolled, and a world whose owner approved it."""
    folder, world = StateFolder(path), world or make_world()
    enrolment.enrol(folder, name)
    return folder, approved(world, DeviceKeys.load(path))


def approved(world: World, keys: DeviceKeys) -> World:
    """The same fleet, in which the device of that id has these keys."""
    return replace(world, parties=replace(world.parties, devices={**world.parties.devices, keys.device_id: keys}))


def bundle(world: World, name: str = MEMBER, **changes: object) -> bytes:
    """What stands in `NAME.bundle`; `changes` replace fields before it is signed."""
    grant = world.grants.get(name, b"")
    honest = Bundle(
        world.parties.owner.fleet, EnrolledRole.DEVICE, name, world.roster.signed, grant, Broker("broker.lan", 8883), CA, CERTIFICATE
    )
    return sign_bundle(msgspec.structs.replace(honest, **changes), world.parties.owner.root)


def joined(path: Path, name: str = MEMBER, world: World | None = None) -> tuple[StateFolder, World]:
    """A state folder that has joined."""
    folder, world = enrolled(path, name, world)
    enrolment.join(folder, enrolment.read_bundle(folder, bundle(world, name)), insecure_keys=True)
    return folder, world
