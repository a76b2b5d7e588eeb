"""Joining a fleet: keys made here, a request that leaves, a bundle that comes back (PROTOCOL 2)."""

from contextlib import closing

from hushfleet.documents import newer_roster
from hushfleet.errors import LocalError, Refusal
from hushfleet.link.tls import make_key_and_request
from hushfleet.program.folder import Offer
from hushfleet.randomness import SystemRandomness
from hushfleet.system.durable import write_durably
from orchestrator.folder import OrchestratorKeys, StateFolder
from orchestrator.pending_rosters import hand_over, newest
from orchestrator.store import database
from orchestrator.store.store import Store

_KEY_ID = "dealt"  # of the committee's key at the last join


def enrol(folder: StateFolder, name: str) -> bytes:
    """Make keys in `folder` and return the contents of `orchestrator.request`; its `fingerprint` is what people compare.

    Raises `LocalError(ALREADY_ENROLLED)` if there are keys, `PeerError(ID_MALFORMED)`, `LocalError(STATE_IN_USE)`.
    """
    keys = OrchestratorKeys.generate(name, SystemRandomness())
    folder.make()
    with folder.locked():
        if (folder.path / OrchestratorKeys.FILE).exists():
            message = f"{folder.path} holds an orchestrator's keys already"
            next_step = "Choose another --state. An orchestrator's keys are replaced by a new fleet only: every device pins them."
            raise LocalError(Refusal.ALREADY_ENROLLED, message, next_step=next_step)
        tls_key, certificate_request = make_key_and_request(keys.device_id)
        write_durably(folder.tls_key, tls_key)
        keys.save(folder.path)  # last: with these keys it is enrolled
        folder.hand_over()
    return keys.request(certificate_request)


def read_bundle(folder: StateFolder, data: bytes) -> Offer[OrchestratorKeys]:
    """Verify a bundle against the keys and the pinned root key here.

    Raises `LocalError(NOT_ENROLLED)` without keys, `PeerError` as `open_bundle`, `FaultyOwner(BUNDLE_FOR_ANOTHER)` for a device's.
    """
    return folder.read_bundle(data, OrchestratorKeys.load(folder.path))


def join(folder: StateFolder, offer: Offer[OrchestratorKeys], *, url: str | None = None) -> None:
    """Pin the root key and take roster, certificates and broker from the bundle. The same bundle again changes nothing.

    A store that is lost is replaced only together with the committee's key: under the old one this orchestrator may have signed
    rounds that it no longer knows. A newer roster waits for the next `run`; for an older one `PeerError` as `newer_roster`, and all
    stays as it is. Raises `LocalError`: `STORE_UNUSABLE`, `STATE_IN_USE`.
    """
    with folder.locked():
        epoch = folder.path / _KEY_ID
        if database.exists(folder.path, url):
            _hand_over_newer(folder, offer, url)
        elif epoch.exists() and epoch.read_bytes() == offer.roster.key_id:
            raise database.lost(str(folder.path))
        else:
            Store.create(folder.path, offer.roster, url=url).close()
        write_durably(epoch, offer.roster.key_id)
        folder.keep_fleet(offer.fleet, ca=offer.bundle.ca_certificate, certificate=offer.bundle.certificate)
        folder.hand_over()


def _hand_over_newer(folder: StateFolder, offer: Offer[OrchestratorKeys], url: str | None) -> None:
    """An older pending roster would stop every later `run`."""
    with closing(Store(folder.path, offer.root, url=url)) as store:
        current = newest(folder, store.roster())
    if newer_roster(current, offer.roster).digest != current.digest:
        hand_over(folder, offer.roster)
