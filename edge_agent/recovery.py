"""`hushfleet agent recover`: a person's word that a state folder that was moved or restored is the only one of its device."""

from contextlib import closing

from edge_agent.enrolment import enrolled
from edge_agent.folder import StateFolder
from edge_agent.store import Store
from hushfleet.errors import LocalError, Refusal
from hushfleet.typed import typed


def recover(folder: StateFolder) -> tuple[bytes, ...]:
    """The key ids under which the device had stopped and goes on. Raises `LocalError`: `NOT_ENROLLED`, `STATE_IN_USE`, as `Store`."""
    if not enrolled(folder):
        raise LocalError(Refusal.NOT_ENROLLED, f"no device is enrolled in {folder.path}", next_step=f"Run: {typed('agent', 'enrol')}")
    with folder.locked(), closing(Store(folder.path)) as store:
        return store.recover()
