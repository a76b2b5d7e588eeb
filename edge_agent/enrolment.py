"""Joining a fleet: keys made on the device, a request that leaves it, a bundle that comes back (PROTOCOL 2)."""

from dataclasses import dataclass
from pathlib import Path

from edge_agent.config import Config
from edge_agent.folder import DeviceKeys, StateFolder
from edge_agent.store import Store
from hushfleet.documents import fingerprint
from hushfleet.errors import LocalError, Refusal
from hushfleet.link.tls import make_key_and_request
from hushfleet.program.folder import Offer
from hushfleet.program.terminal import ask, say
from hushfleet.randomness import SystemRandomness
from hushfleet.rounds.device import Device
from hushfleet.rounds.effects import require_accepted
from hushfleet.rounds.events import GrantArrived, RosterArrived
from hushfleet.rounds.machine import Running, together
from hushfleet.rounds.member import Member
from hushfleet.system.durable import write_durably
from hushfleet.typed import typed
from hushfleet.wire import encode_signed

_STORE = ("agent.db", "agent.db-journal", "agent.db-wal", "agent.db-shm", "reserve", "contribution.blob")
_DATABASES = (*_STORE, "fleet.json", "tls.crt", "ca.crt")


@dataclass(frozen=True, slots=True)
class RequestFile:
    """A device's request as it leaves, and the fingerprint of it that people compare."""

    device_id: str
    data: bytes

    @property
    def fingerprint(self) -> str:
        """The request's fingerprint, shown here and by `hushfleet provision approve`."""
        return fingerprint(self.data)


def enrol(folder: StateFolder, name: str, *, anew: bool = False) -> RequestFile:
    """Make keys and an empty ledger in `folder` and return the request for `NAME.request`.

    `anew`: forget keys, ledger and fleet that are there; the budget starts again, which only the owner may decide. Without it
    raises `LocalError(ALREADY_ENROLLED)`. Raises `PeerError(ID_MALFORMED)`, `LocalError(STATE_IN_USE)`.
    """
    keys = DeviceKeys.generate(name, SystemRandomness())
    folder.make()
    with folder.locked():
        if enrolled(folder) and not anew:
            raise LocalError(
                Refusal.ALREADY_ENROLLED,
                f"{folder.path} holds the keys of {DeviceKeys.load(folder.path).device_id} already",
                next_step=f"To make new keys and start an empty ledger, for the owner to approve: {typed('agent', 'enrol', '--anew')}",
            )
        _forget(folder)
        tls_key, certificate_request = make_key_and_request(keys.device_id)
        write_durably(folder.tls_key, tls_key)
        Store.create(folder.path).close()
        keys.save(folder.path)  # last: with the keys a device is enrolled
        folder.hand_over()
    return RequestFile(keys.device_id, keys.request(certificate_request))


def enrolled(folder: StateFolder) -> bool:
    """True if a device's keys are here."""
    return (folder.path / DeviceKeys.FILE).exists()


def _forget(folder: StateFolder) -> None:
    """Delete everything in the folder, the keys first: without keys nothing else there means anything."""
    for name in (DeviceKeys.FILE, "tls.key", *_DATABASES):
        (folder.path / name).unlink(missing_ok=True)


def read_bundle(folder: StateFolder, data: bytes) -> Offer[DeviceKeys]:
    """Verify a bundle against this folder's keys and pinned root key.

    Raises `LocalError(NOT_ENROLLED)` without keys, `PeerError` as `open_bundle`, `FaultyOwner(BUNDLE_FOR_ANOTHER)` for an
    orchestrator's.
    """
    return folder.read_bundle(data, DeviceKeys.load(folder.path))


def join(folder: StateFolder, offer: Offer[DeviceKeys], *, insecure_keys: bool = False) -> None:
    """Pin the root key and take roster, key share, certificates and broker from the bundle. The same bundle again changes nothing.

    Raises `PeerError` for what device or member refuse, for example an older roster; `LocalError(STATE_IN_USE)`.
    """
    with folder.locked():
        store = Store(folder.path)
        try:
            _through_the_machines(store, offer, insecure_keys=insecure_keys)
        finally:
            store.close()
        folder.keep_fleet(offer.fleet, ca=offer.bundle.ca_certificate, certificate=offer.bundle.certificate)
        folder.hand_over()


def _through_the_machines(store: Store, offer: Offer[DeviceKeys], *, insecure_keys: bool) -> None:
    """Give roster and share to the machines as if the broker had brought them: checked, then stored in one transaction for both."""
    keys, root, randomness = offer.keys, offer.root, SystemRandomness()
    roster = RosterArrived(encode_signed(offer.roster.signed))
    device = Device(keys.device_id, keys.signing, root, insecure_keys)
    member = Member(keys.device_id, keys.signing, keys.sealing, root, insecure_keys)
    as_device = Running(device, store.device_state(root), store.persist, randomness)
    as_member = Running(member, store.member_state(root), store.persist, randomness)
    require_accepted(together((as_device, as_member), roster))
    if offer.is_member and offer.bundle.grant:
        require_accepted(as_member.step(GrantArrived(offer.bundle.grant)))


def write_request(request: RequestFile, folder: Path) -> Path:
    """Write `NAME.request` into `folder` and return its path."""
    path = folder / f"{request.device_id}.request"
    write_durably(path, request.data, mode=0o644)
    return path


def join_fleet(folder: StateFolder, bundle: Path, *, yes: bool, config: Config, err: bool) -> Offer[DeviceKeys]:
    """Show whose bundle it is, ask, join, and delete a bundle that held a key share (PROTOCOL 2)."""
    offer = read_bundle(folder, folder.bundle_bytes(bundle))
    say(f"Fleet {offer.bundle.fleet}, root key {offer.root_fingerprint}" + (" (pinned)" if offer.pinned else ""), err=err)
    if not offer.pinned:
        ask(f"Is this the root key's fingerprint that the owner sees ({typed('provision', 'show')})?", yes=yes)
    join(folder, offer, insecure_keys=config.testing.insecure_keys)
    say(f"Joined as {offer.bundle.device_id}{', a committee member' if offer.is_member else ''}.", err=err)
    if offer.bundle.grant:
        bundle.unlink()
        say(f"{bundle} is deleted: it held this member's key share. Delete copies of it.", err=err)
    return offer
