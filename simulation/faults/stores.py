"""The real stores, with a moment for the power to go before and after every transaction, and a witness of what they keep."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from edge_agent.store import Store as DeviceStore
from hushfleet.rounds.effects import Change
from orchestrator.store.archive_folder import Archive
from orchestrator.store.begun import BegunJob
from orchestrator.store.store import Store
from simulation.faults.chance import Power, PowerCut

Witness = Callable[[str, Change], None]
"""Told of every change that is durable, with the party."""


class WitnessedDeviceStore(DeviceStore):
    """The memory of one agent."""

    power: Power
    witness: Witness

    @classmethod
    def under(cls, folder: Path, power: Power, witness: Witness) -> "WitnessedDeviceStore":
        """Open the store of `folder`, or make it at the first start."""
        if not (folder / "agent.db").exists():
            DeviceStore.create(folder).close()
        store = cls(folder)
        store.power, store.witness = power, witness
        return store

    def persist(self, changes: Iterable[Change]) -> None:
        """As in production."""
        changes = tuple(changes)
        self.power.moment(f"before storing {_names(changes)}")
        super().persist(changes)
        for change in changes:
            self.witness(self.power.party, change)
        self.power.moment(f"after storing {_names(changes)}")


class WitnessedStore(Store):
    """The memory of the orchestrator."""

    power: Power | None = None
    witness: Witness

    def persist(self, changes: tuple[Change, ...]) -> None:
        """As in production."""
        self._moment(f"before storing {_names(changes)}")
        try:
            super().persist(changes)
        except PowerCut:  # it came after the commit: between that and the archive
            self._tell(changes)
            raise
        self._tell(changes)
        self._moment(f"after storing {_names(changes)}")

    def archive(self, job: BegunJob) -> Archive:
        """An archive between whose preparation, commit and publication the power may go."""
        archive = _WitnessedArchive(self.folder / "archive" / f"{job.id:03d}-{job.name}", self.root)
        archive.moment = self._moment
        return archive

    def _tell(self, changes: tuple[Change, ...]) -> None:
        for change in changes:
            self.witness("orchestrator", change)

    def _moment(self, where: str) -> None:
        if self.power is not None:
            self.power.moment(where)


class _WitnessedArchive(Archive):
    moment: Callable[[str], None]

    def publish(self, name: str) -> Path:
        self.moment("between commit and archive")
        return super().publish(name)


def _names(changes: Iterable[Any]) -> str:
    return ", ".join(type(change).__name__ for change in changes)
