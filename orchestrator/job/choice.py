"""The job that a `run` works on: the one in the store is continued, left for another, or a new one is begun."""

import time
from pathlib import Path

from rich.console import Console

from hushfleet.documents import newer_roster, open_roster
from hushfleet.errors import LocalError, Refusal
from hushfleet.randomness import SystemRandomness
from hushfleet.rounds.coordinator import Coordinator, CoordinatorState, NoRound
from hushfleet.rounds.effects import KeepRoster, require_accepted
from hushfleet.rounds.events import AbortWanted, RosterArrived
from hushfleet.rounds.machine import Running
from hushfleet.system.clock import now_ms
from hushfleet.training import Architecture
from hushfleet.wire import decode_signed
from models import catalogue
from orchestrator import pending_rosters
from orchestrator.config import Config
from orchestrator.folder import OrchestratorKeys, StateFolder
from orchestrator.job import file as job_file
from orchestrator.job.check import CheckedJob
from orchestrator.job.file import JobFile
from orchestrator.job.standing import Begun, Standing, standing
from orchestrator.store.begun import BegunJob
from orchestrator.store.restore import coordinator_state
from orchestrator.store.store import Store

_BYTES_A_VALUE = 4


class JobChoice:
    """The choice of the job that a `run` works on: the one in the store, continued or left, or the one in the file."""

    def __init__(self, folder: StateFolder, config: Config, keys: OrchestratorKeys, store: Store) -> None:
        self.folder, self.config, self.keys, self.store = folder, config, keys, store

    def coordinator(self, checked: CheckedJob) -> Coordinator:
        """The machine of a job."""
        signing, sealing, insecure = self.keys.signing, self.keys.sealing, self.config.testing.insecure_keys
        return Coordinator(signing, sealing, self.store.root, checked.job, checked.target, insecure)

    def state(self, coordinator: Coordinator, *, read_back: bool = True) -> CoordinatorState:
        """As of the last transaction; `read_back` as in `coordinator_state`."""
        return coordinator_state(self.store, coordinator, now_ms=now_ms(), now_s=time.time(), read_back=read_back)

    def take_waiting_rosters(self) -> None:
        """Take the rosters that wait: a job is checked against the newest one, and a round open under an older one ends."""
        for path in pending_rosters.waiting(self.folder):
            data = path.read_bytes()
            if self.store.job() is None:
                candidate = open_roster(decode_signed(data), self.store.root)
                current = self.store.roster()
                if newer_roster(current, candidate).digest != current.digest:
                    self.store.persist((KeepRoster(candidate.signed),))
            else:
                require_accepted(self._earlier().step(RosterArrived(data)))
            path.unlink()

    def standing(self, file: JobFile, *, new: bool) -> Standing:
        """The standing of `file` among the jobs of the store. Raises as `orchestrator.job.standing.standing`."""
        return standing(file, self.store.jobs(), new=new)

    def begin(self, checked: CheckedJob) -> BegunJob:
        """Begin a job. An open round of the one before it is closed first, under that one's own settings."""
        self._leave()
        self._score_with(checked)
        return self.store.begin_job(checked.file.job.name, checked.identity, checked.text, checked.first)

    def go_on(self, job: Begun, checked: CheckedJob, path: Path, console: Console) -> BegunJob:
        """Go on with the current job, under the settings of its file as they are."""
        self._score_with(checked)
        before = job_file.parse(job.settings, path.with_name(f"{job.name} as it began"))
        for change in job_file.changes(before, checked.file):
            console.print(f"changed since it began: {change}", markup=False, highlight=False, soft_wrap=True)
        return self.store.continue_job(checked.text)

    def _score_with(self, checked: CheckedJob) -> None:
        if checked.holdout is not None:
            self.store.score = checked.holdout.score_progress

    def _leave(self) -> None:
        """Abort the open round of the current job, if there is one, with its record."""
        current = self.store.job()
        if current is None or not self.store.has_open_round():
            return
        earlier = self._earlier()
        if not isinstance(earlier.state, NoRound):
            earlier.step(AbortWanted(f"{current.name} was left for another job", now_ms()))

    def _earlier(self) -> Running[CoordinatorState]:
        """The machine of the current job as it was begun, without a link."""
        current = self.store.job()
        if current is None:
            raise LocalError(Refusal.JOB_UNKNOWN, "no job was begun here")
        file = job_file.parse(current.settings, Path(current.name))
        job = file.to_job(self._architecture(file))
        insecure = self.config.testing.insecure_keys
        machine = Coordinator(self.keys.signing, self.keys.sealing, self.store.root, job, None, insecure)
        return Running(machine, self.state(machine), self.store.persist, SystemRandomness())

    def _architecture(self, file: JobFile) -> Architecture:
        """The architecture of an earlier job. Where its trainable model is gone, one of the same size: enough to close a round."""
        try:
            return catalogue.architecture(file.model.full_name)
        except LocalError:
            values = len(self.store.result()) // _BYTES_A_VALUE
            return Architecture(file.model.full_name, (("values", (values,)),), "unknown", b"")
