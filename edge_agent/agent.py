"""One device at work: link and store around the device machine and, on a committee member, the member machine."""

import math
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

from edge_agent.data.room import RowSource
from edge_agent.folder import DeviceKeys
from edge_agent.model_follower import ModelFollower
from edge_agent.reminders import Reminders
from edge_agent.slot import Clock, SendingSlot
from edge_agent.store import Store
from edge_agent.trainers import Build, SameThread, Trainers
from hushfleet.documents import JournalHead, TrainTask, VerifiedRoster
from hushfleet.errors import DataError, HushfleetError, LocalError, PhaseError, Refusal
from hushfleet.link import Arrived, LinkError, Messenger
from hushfleet.randomness import Randomness, SystemRandomness
from hushfleet.rounds.device import Device, DeviceState, Enrolled, Fetching, Idle, Preparing, Unenrolled, Working
from hushfleet.rounds.effects import Alert, DoTask, Effect, Fetch, Note, Prepare, Publish, Refused, ZeroContributed
from hushfleet.rounds.events import (
    Connected,
    EvidenceArrived,
    Fetched,
    InboxArrived,
    PlanArrived,
    PlanCleared,
    Prepared,
    ReadBack,
    ReceiptArrived,
    RequestArrived,
    RolledBack,
    RosterArrived,
    TaskDone,
)
from hushfleet.rounds.machine import Running, together, unforeseen
from hushfleet.rounds.member import Member, MemberState
from hushfleet.rounds.tasks.device import wanted_input
from hushfleet.signing import VerifyKey
from hushfleet.training import Trainer, TrainingRun, fetch_update, start_training
from hushfleet.wire import Kind, Presence, Readiness, Topic, open_status

TRAINING_S = 0.05
"""The longest wait for a message while a result may come from the training thread."""

Happening = Note | Alert | Refused | ZeroContributed
Report = Callable[[str, Happening], None]
"""A listener for every note, alert, refusal and zero, with the device id. For the local log: nothing of it leaves the machine."""

_EVENTS: Mapping[Kind, Callable[[bytes], object]] = {
    Kind.PLAN: PlanArrived,
    Kind.MODEL: Fetched,
    Kind.RECEIPT: ReceiptArrived,
}
_MEMBER_EVENTS: Mapping[Kind, Callable[[bytes], object]] = {
    Kind.REQUEST: RequestArrived,
    Kind.INBOX: InboxArrived,
}


_FOR_MEMBERS = (Kind.INBOX, Kind.REQUEST)


@dataclass(frozen=True)
class Work:
    """The training that a device can do, its prepared rows, and the executor that it runs on."""

    trainers: Mapping[bytes, Trainer]
    rows: RowSource
    build: Build = lambda _: None
    """Builds the trainer of a plan that is not among `trainers`, by the model's name."""
    randomness: Randomness = field(default_factory=SystemRandomness)
    """Picks batches; may be seeded. Keys, noise and masks never come from here."""
    executor: Executor = field(default_factory=SameThread)
    """Runs one training after the other."""
    enabled: bool = True
    """False on a box that only decrypts: it stays out of every round, and its status says so."""


@dataclass(frozen=True)
class Enrolment:
    """A device's keys and the fleet that they belong to. `insecure_keys` accepts threshold keys that anyone can break: for tests."""

    keys: DeviceKeys
    fleet: str
    root: VerifyKey
    insecure_keys: bool = False


@dataclass(frozen=True)
class _Training:
    """The training of one plan. `why`: the reason why it runs on made-up rows, or None."""

    plan_hash: bytes
    run: TrainingRun
    why: DataError | None


class Agent:
    """A device at work: deliveries are fed to its machines, and their effects carried out. Not for two threads at once; it locks itself.

    Trainings run on the executor of `work`, one at a time, while `pump` goes on handling what arrives; a later `pump` takes the
    result in. `boot_id`: that of the statuses which the program publishes; nothing is contributed or answered before one of them was
    read back, and with it what others held of this device. None: there is nobody to ask. `threads`: those that a committee answer is
    spread on. `member` None: it answers for the committee whenever the roster in force names it.
    """

    def __init__(
        self,
        enrolment: Enrolment,
        store: Store,
        messenger: Messenger,
        work: Work,
        *,
        member: bool | None = False,
        report: Report = lambda _, __: None,
        reminders: Reminders | None = None,
        threads: Executor | None = None,
        now_s: Clock = time.monotonic,
        boot_id: bytes | None = None,
        follower: ModelFollower | None = None,
    ) -> None:
        """`now_s`: the clock of the sending slot. `follower`: keeps what the fleet releases; None on a device that keeps no model."""
        self._follower = follower
        self._boot_id = boot_id
        self._strange_words = 0
        self._unstored: Arrived | None = None
        self.trouble: Refusal | None = None
        """The trouble with storage that keeps this device out of rounds for the moment, told by the program."""
        self._messenger, self._work, self._report, self._store = messenger, work, report, store
        self._keys, self._fleet, self._root = enrolment.keys, enrolment.fleet, enrolment.root
        self._insecure_keys, self._follows_roster = enrolment.insecure_keys, member is None
        self._trainers = Trainers(work.trainers, work.build)
        self._training: _Training | None = None
        self._left_nano: int | None = None
        self._told_head: JournalHead | None = None
        self._reminders = reminders or Reminders()
        self._slot = SendingSlot(now_s)
        self._lock = threading.Lock()
        randomness = SystemRandomness()
        device = Device(self._keys.device_id, self._keys.signing, self._root, self._insecure_keys)
        self._device = Running(device, store.device_state(self._root, read_back=boot_id is None), store.persist, randomness)
        self._threads = threads
        self._member = self._new_member() if member or (member is None and self._on_committee()) else None

    @property
    def device_id(self) -> str:
        """This device's id."""
        return self._keys.device_id

    @property
    def is_member(self) -> bool:
        """True if this agent answers decryption requests."""
        return self._member is not None

    @property
    def roster(self) -> VerifiedRoster | None:
        """The roster in force here."""
        state = self._device.state
        return None if isinstance(state, Unenrolled) else state.roster

    @property
    def state(self) -> DeviceState:
        """The device's phase with everything it remembers."""
        return self._device.state

    @property
    def presence(self) -> Presence:
        """The state that everybody may know: working from an accepted plan to the sending slot, then waiting for its receipt."""
        if not isinstance(self.state, Unenrolled | Idle) or self._slot.holding:
            return Presence.WORKING
        return Presence.SENT if self.state.memory.sent is not None else Presence.IDLE

    def readiness(self, certificate_day: int = 0, shown: str = "") -> Readiness:
        """The part that this device can take in rounds, as everybody may know. Follows plan, ledger and installation, never data.

        While it works, what is left is what was left when the work began: the charge is shown once the contribution leaves.
        """
        if isinstance(self.state, Unenrolled):
            return Readiness(None, None, certificate_day, shown)
        out = self.state.out if isinstance(self.state, Idle) else None
        if self._left_nano is None or self.presence is not Presence.WORKING:
            self._left_nano = self._left(self.state)
        out = self.trouble or out
        return Readiness(out if self._work.enabled else Refusal.TRAINING_DISABLED, self._left_nano, certificate_day, shown)

    @staticmethod
    def _left(state: Enrolled) -> int:
        return max(0, state.roster.policy.budget_nano_rho - state.memory.ledger.spent_nano)

    @property
    def round(self) -> int:
        """The last round seen under the key in force; 0 before the first."""
        roster = self.roster
        return self._device.state.memory.seen.get(roster.key_id, 0) if roster else 0

    @property
    def journal(self) -> JournalHead:
        """The head of this agent's journal, for its status. Until the sending slot it is that of before: a finished work must not show."""
        if self._told_head is None or not self._slot.holding:
            self._told_head = self._store.told_head()
        return self._told_head

    @property
    def training(self) -> bool:
        """True if a training runs, or its result waits for the next `pump`."""
        return self._training is not None

    @property
    def wait_s(self) -> float:
        """The time after which `pump` has something to do even if nothing arrives."""
        return min(self._slot.wait_s, TRAINING_S if self.training else math.inf)

    @property
    def models(self) -> dict[str, Trainer]:
        """The models that this device may be asked to train, by name: the policy's, as far as it has trainers for them."""
        allowed = self.roster.policy.models if self.roster else ()
        return self._trainers.known({one.name: one.digest for one in allowed})

    def connect(self) -> None:
        """Subscribe, and send again what may have been lost."""
        # Its own status first: what is retained of it comes before what this process says of itself.
        own = (Kind.STATUS,) if self._boot_id is not None else ()
        released = (Kind.RECORD,) if self._follower else ()
        for kind in (*own, Kind.ROSTER, Kind.PLAN, Kind.RECEIPT, Kind.EVIDENCE, *released, *(_FOR_MEMBERS if self._member else ())):
            self._messenger.subscribe(self._fleet, kind, device=self._addressee(kind))
        self._fetch_released()
        with self._lock:
            self._carry_out(self._device.offer(Connected()))
            if self._member:
                self._carry_out(self._member.offer(Connected()))

    def pump(self, timeout_s: float = 0) -> int:
        """Handle what has arrived, or the first message that arrives within `timeout_s`, and return the number of messages."""
        handled = 0
        with self._lock:
            self._take_in_training()
            self._send_what_is_due()
            # A message that cannot be stored now is kept, unacknowledged, and taken first the next time.
            while (arrived := self._unstored or self._messenger.receive(0 if handled else timeout_s)) is not None:
                self._unstored = arrived
                self._handle(arrived)
                self._unstored = None
                self._messenger.acknowledge(arrived)
                handled += 1
                self._take_in_training()
            self._send_what_is_due()
        return handled

    def remind(self) -> None:
        """Ask again for a roster or model that does not come, send again what has no receipt. Often, while there is a connection."""
        with self._lock:
            for kind in () if self._has_twin else self._reminders.due(self._device.state, self._messenger.incomplete()):
                if kind is Kind.CONTRIBUTION:
                    self._carry_out(self._device.offer(Connected()))
                else:
                    self._messenger.subscribe(self._fleet, kind, digest=self._fetching() if kind is Kind.MODEL else None)
            if self._reminders.released_due(self._released()):
                self._fetch_released()

    def _handle(self, arrived: Arrived) -> None:
        topic = arrived.topic
        if arrived.data:
            self._look_for_a_twin(arrived)
            if not self._has_twin:
                self._dispatch(topic, arrived.data)
        elif topic.kind is Kind.PLAN:
            self._carry_out(self._device.offer(PlanCleared()))
            self._drop_training()
        # Other bytes than the plan names may come first: the device listens on until it has its model.
        if topic.kind is Kind.MODEL and topic.digest not in (self._fetching(), self._released()):
            self._messenger.unsubscribe(self._fleet, Kind.MODEL, digest=topic.digest)

    def _look_for_a_twin(self, arrived: Arrived) -> None:
        """Stop, until a restart, when this device hears its own word under another boot id twice after its own (PROTOCOL 8).

        Once it may be a broker that was put back to an earlier state, which then retains a word of this device's last life.
        """
        if arrived.topic.kind is not Kind.STATUS or self._has_twin or not self.state.memory.read_back:
            return
        status = open_status(arrived.data, self._keys.signing.verify_key, fleet=self._fleet, device_id=self.device_id)
        self._strange_words += status.boot_id != self._boot_id
        if self._has_twin:
            self._drop_training()
            text = "another program works with this device's identity: this one contributes and answers nothing more"
            self._report(self.device_id, Alert(f"{text}. Its folder was copied: stop one of the two, enrol it anew, and restart this one."))

    @property
    def _has_twin(self) -> bool:
        """True once another program was heard to work with this identity."""
        return self._strange_words > 1

    def _dispatch(self, topic: Topic, data: bytes) -> None:
        kind = topic.kind
        if kind is Kind.RECEIPT:
            self._reminders.heard()
        if kind is Kind.STATUS:
            self._read_back(data)
        if kind is Kind.ROSTER:
            self._take_roster(data)
        released = self._released()
        self._follow(topic, data)
        if kind in _EVENTS and (kind is not Kind.MODEL or topic.digest != released or topic.digest == self._fetching()):
            self._carry_out(self._device.offer(_EVENTS[kind](data)))
        if kind is Kind.EVIDENCE:
            self._carry_out(self._device.offer(EvidenceArrived(topic.device or "", data)))
        if self._member and kind in _MEMBER_EVENTS:
            self._carry_out(self._member.offer(_MEMBER_EVENTS[kind](data)))

    def _follow(self, topic: Topic, data: bytes) -> None:
        """Keep what the fleet releases; that follows the orchestrator's word alone."""
        if self._follower is None:
            return
        before = self._released()
        for happening in self._follower.offer(topic, data, self.roster, lambda: self.models):
            self._report(self.device_id, happening)
        if self._released() != before:
            self._fetch_released()
            if before is not None and before != self._fetching():
                self._messenger.unsubscribe(self._fleet, Kind.MODEL, digest=before)

    def _released(self) -> str | None:
        """The hash, in hex, of the released model that is still to be fetched."""
        return self._follower.wanted if self._follower else None

    def _fetch_released(self) -> None:
        if (digest := self._released()) is not None:
            self._messenger.subscribe(self._fleet, Kind.MODEL, digest=digest)

    def _take_roster(self, data: bytes) -> None:
        """One step for both sides: device and member follow the same roster, stored in one transaction."""
        sides: tuple[Running[Any], ...] = (self._device, *((self._member,) if self._member else ()))
        self._carry_out(together(sides, RosterArrived(data)))
        if self._follows_roster and self._on_committee() != self.is_member:
            self._change_sides()

    def _read_back(self, data: bytes) -> None:
        """Compare what this device said of itself with its store; its own word of this boot comes after all that others held."""
        status = open_status(data, self._keys.signing.verify_key, fleet=self._fleet, device_id=self.device_id)
        head = self._store.head()
        ahead = status.journal.number > head.number or (status.journal.number == head.number and status.journal.head != head.head)
        if ahead and not isinstance(self.state, Unenrolled):
            left, budget = status.readiness.left_nano, self.state.roster.policy.budget_nano_rho
            self._both(RolledBack(data, None if left is None else max(0, budget - left), status.round))
        if status.boot_id == self._boot_id and not self.state.memory.read_back:
            self._both(ReadBack())

    def _both(self, event: object) -> None:
        """One event for device and member, in one transaction."""
        self._carry_out(together((self._device, *((self._member,) if self._member else ())), event))

    def _on_committee(self) -> bool:
        return self.roster is not None and self.device_id in self.roster.roster.committee

    def _new_member(self) -> Running[MemberState]:
        keys, state = self._keys, self._store.member_state(self._root, read_back=self._device.state.memory.read_back)
        machine = Member(keys.device_id, keys.signing, keys.sealing, self._root, self._insecure_keys, self._threads)
        return Running(machine, state, self._store.persist, SystemRandomness())

    def _change_sides(self) -> None:
        """Begin or end answering for the committee."""
        self._member = None if self._member else self._new_member()
        listen = self._messenger.subscribe if self._member else self._messenger.unsubscribe
        for kind in _FOR_MEMBERS:
            listen(self._fleet, kind, device=self._addressee(kind))
        self._report(self.device_id, Note(f"this device is {'now' if self._member else 'no longer'} on the committee"))

    def _addressee(self, kind: Kind) -> str | None:
        return self.device_id if kind in (Kind.RECEIPT, Kind.INBOX, Kind.STATUS) else None

    def _fetching(self) -> str | None:
        state = self._device.state
        digest = wanted_input(state.terms.plan.task) if isinstance(state, Fetching) else None
        return digest.hex() if digest is not None else None

    def _carry_out(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            match effect:
                case Publish():
                    self._send(effect)
                case Fetch(digest):
                    self._messenger.subscribe(self._fleet, Kind.MODEL, digest=digest.hex())
                case Prepare():
                    self._prepare(effect)
                case DoTask():
                    self._start_task(effect)
                case Note() | Alert() | Refused() | ZeroContributed():
                    self._report(self.device_id, effect)

    def _send(self, wanted: Publish) -> None:
        """Publish. A message that cannot be sent is sent again after the next connection: it is in the store."""
        if self._has_twin:
            return
        if wanted.topic.kind is Kind.CONTRIBUTION and self._slot.hold(wanted):
            return
        try:
            self._messenger.send(wanted.topic, wanted.data, ranges=wanted.ranges)
        except LinkError as error:
            self._report(self.device_id, Refused(error))

    def _send_what_is_due(self) -> None:
        publish = self._slot.due()
        if publish is not None:
            self._send(publish)

    def _prepare(self, wanted: Prepare) -> None:
        if isinstance(self._device.state, Preparing):
            self._slot.plan_arrived(self._device.state.terms.plan.sending_slot_s)
            self._left_nano, self._told_head = self._left(self._device.state), self._store.told_head()  # what is told until the slot
        try:
            self._trainer(wanted)
        except LocalError as error:
            prepared = Prepared(wanted.plan_hash, error)
        except Exception as error:  # noqa: BLE001 -- whatever a trainer's maker raises, the daemon goes on
            prepared = Prepared(wanted.plan_hash, unforeseen("preparing a trainer", error))
        else:
            prepared = Prepared(wanted.plan_hash)
        self._carry_out(self._device.offer(prepared))

    def _trainer(self, wanted: Prepare) -> Trainer:
        if not self._work.enabled:
            raise LocalError(Refusal.TRAINING_DISABLED, "this device does not train", next_step="Set [training] enabled in agent.toml.")
        if not isinstance(wanted.task, TrainTask):
            raise LocalError(Refusal.PLAN_TASK, "this device cannot do this task", next_step="Install a version that can.")
        return self._trainers.require(wanted.task, wanted.dimension)

    def _start_task(self, wanted: DoTask) -> None:
        if isinstance(self._device.state, Working):
            self._reminders.deadline_s = self._device.state.terms.plan.deadline_s
        self._drop_training()
        try:
            self._training = self._start_training(wanted)
        except HushfleetError as error:  # no trainer for the plan: that does not follow the data
            self._end_task(TaskDone(wanted.plan_hash, None, str(error)))
        else:
            self._take_in_training()

    def _drop_training(self) -> None:
        """Give up a training whose round is over: one that runs goes on, and what it comes to is dropped."""
        if self._training is not None:
            self._training.run.cancel()
            self._training = None

    def _start_training(self, wanted: DoTask) -> _Training:
        if wanted.model is None or not isinstance(wanted.task, TrainTask):
            raise PhaseError("only training is prepared for")
        trainer, work = self._trainers.require(wanted.task, wanted.model.dimension), self._work
        found = work.rows.rows_for(trainer)
        rows, why = (None, found) if isinstance(found, DataError) else (found, None)
        run = start_training(trainer, wanted.model, wanted.task.training, rows, work.randomness, executor=work.executor)
        return _Training(wanted.plan_hash, run, why)

    def _take_in_training(self) -> None:
        training = self._training
        if training is None or not training.run.done:
            return
        try:
            done = TaskDone(training.plan_hash, fetch_update(training.run))
        except HushfleetError as error:  # whatever is wrong with its data, this device contributes (PROTOCOL 5.2)
            done = TaskDone(training.plan_hash, None, str(training.why or error))
        self._end_task(done)

    def _end_task(self, done: TaskDone) -> None:
        # What cannot be stored now is offered again: the result is dropped once it is.
        effects = self._device.offer(done)
        self._training = None
        self._slot.done()
        if any(isinstance(effect, Publish) for effect in effects):
            self._work.rows.ended(next((effect.reason for effect in effects if isinstance(effect, ZeroContributed)), ""))
        self._carry_out(effects)
