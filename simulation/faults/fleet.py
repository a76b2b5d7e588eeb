"""The fleet of every run: five devices, four of them members, a model of ten values, and programs as in production."""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from edge_agent.agent import Agent, Enrolment, Work
from edge_agent.daemon import Daemon, Voice
from edge_agent.data.room import KnownRows
from edge_agent.reminders import Reminders
from hushfleet.documents import LocalTraining, NamedHash, Policy, RoundRecord, VerifiedRoster
from hushfleet.encryption.paillier.dealing import Dealing
from hushfleet.link import Messenger
from hushfleet.program.folder import Membership
from hushfleet.randomness import SeededRandomness
from hushfleet.rounds.coordinator import Collecting, Coordinator, CoordinatorState, Decrypting
from hushfleet.rounds.planning import Job
from hushfleet.rounds.tasks.train import TrainingProgress, TrainingTask
from hushfleet.system.systemd import Notifier, Watch
from hushfleet.training import Data, GlobalModel
from hushfleet.wire import Kind, Presence, Topic
from hushfleet.wire.topics import build
from models import catalogue
from orchestrator.absence import Absence
from orchestrator.attendance import Attendance
from orchestrator.loop import Goal, Loop, Surroundings
from orchestrator.service import Orchestrator
from orchestrator.store.recovery import recover
from orchestrator.store.restore import coordinator_state
from orchestrator.store.stale_topics import removals
from simulation.faults.chance import Chance, Power
from simulation.faults.network import FaultyBroker
from simulation.faults.stores import Witness, WitnessedDeviceStore, WitnessedStore
from simulation.parties import Parties

FLEET, DEVICES, MEMBERS, ROUNDS = "simulated", 5, 4, 2
TRAINER = catalogue.trainer("softmax:4x2")
_DATA = Data(np.ones((3, 4)), np.array([0, 1, 0]))
BUDGET_NANO = 10**12
DEADLINE_S = 60


@dataclass(frozen=True)
class Paper:
    """Keys, roster and job. `dealing` None: scheme `shared`, which needs no dealt key."""

    parties: Parties
    dealing: Dealing | None
    roster: VerifiedRoster
    job: Job

    @classmethod
    def make(cls, dealing: Dealing | None = None) -> "Paper":
        """The same for every seed."""
        parties = Parties.generate(FLEET, DEVICES, MEMBERS, SeededRandomness(b"faults"))
        architecture, scheme = TRAINER.architecture, "paillier" if dealing else "shared"
        policy = Policy.make(
            min_devices=DEVICES - 1,
            max_devices=DEVICES,
            models=(NamedHash(architecture.name, architecture.digest),),
            max_values=100,
            schemes=(scheme,),
            budget_nano_rho=BUDGET_NANO,
        )
        task = TrainingTask(architecture, LocalTraining.make(2, 4, 0.5))
        job = Job(task, 1.0, 4, DEVICES, DEVICES, scheme=scheme, deadline_s=DEADLINE_S)
        return cls(parties, dealing, parties.roster(dealing, policy), job)


class SimulatedDevice:
    """One device: its daemon, which is gone while the power is."""

    def __init__(self, paper: Paper, name: str, folder: Path, broker: FaultyBroker, witness: Witness) -> None:
        self.paper, self.name, self.folder, self.witness = paper, name, folder, witness
        self.broker, self.chance = broker, broker.chance
        self.power = Power(name, self.chance)
        self.daemon: Daemon | None = None
        folder.mkdir(parents=True)

    @property
    def running(self) -> bool:
        """True while its program runs."""
        return self.daemon is not None

    def start(self) -> None:
        """As `hushfleet agent run`."""
        keys, owner = self.paper.parties.devices[self.name], self.paper.parties.owner
        root = owner.root.verify_key
        self.store = WitnessedDeviceStore.under(self.folder, self.power, self.witness)
        self.link = self.broker.join(self.power, member=self.name in self.paper.parties.committee)
        voice = Voice(keys, FLEET, self.chance.octets(16))
        offline = voice.signed(voice.status(Presence.OFFLINE, 0, journal=self.store.told_head()))
        self.link.will = build(Topic(FLEET, Kind.STATUS, device=self.name)), offline
        messenger = Messenger(self.link, self.folder / "spool", now_s=self.chance)
        randomness = SeededRandomness(self.chance.octets(16))
        self.agent = Agent(
            Enrolment(keys, FLEET, root, insecure_keys=True),
            self.store,
            messenger,
            Work({TRAINER.architecture.digest: TRAINER}, KnownRows(lambda: _DATA), randomness=randomness),
            member=None,
            report=lambda _, happening: self.chance.tell(self.name, str(happening)[:160]),
            reminders=Reminders(self.chance, randomness),
            now_s=self.chance,
            boot_id=voice.boot_id,
        )
        membership, notifier = Membership(FLEET, self.name, root.raw.hex(), "broker", 8883), Notifier({})
        watch = Watch(notifier, lambda: True)
        self.daemon = Daemon(self.agent, messenger, membership, voice, notifier=notifier, watch=watch, folder=self.folder)

    def step(self) -> None:
        """One step of its main loop; a start where it is not running."""
        if self.daemon is None:
            self.start()
        if self.daemon is not None:
            self.daemon.step()

    def recover(self) -> None:
        """As `hushfleet agent recover`, if the device has noticed that its store forgets. It goes on at the next step."""
        if self.running and self.paper.roster.key_id in self.agent.state.memory.rolled_back:
            self.die()
            store = WitnessedDeviceStore.under(self.folder, self.power, self.witness)
            store.recover()
            store.close()
            self.chance.tell(self.name, "its owner says that it goes on")

    def die(self) -> None:
        """The power is gone, and with it what was not stored."""
        if self.daemon is not None:
            self.store.close()
            self.link.die()
            self.daemon = None


class SimulatedOrchestrator:
    """The orchestrator's program, which is gone while the power is."""

    def __init__(self, paper: Paper, folder: Path, broker: FaultyBroker, witness: Witness) -> None:
        """`folder` is a copy of what `enrol` made."""
        self.paper, self.name, self.folder, self.witness = paper, "orchestrator", folder, witness
        self.broker, self.chance = broker, broker.chance
        self.power = Power("orchestrator", self.chance)
        self.loop: Loop | None = None
        self.wish: str | None = None

    @staticmethod
    def enrol(paper: Paper, folder: Path) -> None:
        """Make the store of an orchestrator that has begun its job: the same for every seed."""
        first = TrainingProgress.start(GlobalModel(0, np.zeros(TRAINER.architecture.dimension, np.float32)))
        folder.mkdir(parents=True)
        store = WitnessedStore.create(folder, paper.roster)
        store.begin_job("job", bytes(32), "", first)
        store.close()

    @property
    def running(self) -> bool:
        """True while its program runs."""
        return self.loop is not None

    def start(self) -> None:
        """As `hushfleet orchestrator run`."""
        keys, root = self.paper.parties.orchestrator, self.paper.parties.owner.root.verify_key
        self.power.cut_in, cut_in = None, self.power.cut_in
        self.store = WitnessedStore(self.folder, root, now_s=self.chance)
        self.store.power, self.store.witness = self.power, self.witness
        self.power.cut_in = cut_in
        machine = Coordinator(keys.signing, keys.sealing, root, self.paper.job, None, insecure_keys=True)
        now_ms = int(self.chance() * 1000)
        state = coordinator_state(self.store, machine, now_ms=now_ms, now_s=self.chance(), read_back=False)
        self.link = self.broker.join(self.power, orchestrator=True)
        self.messenger = Messenger(self.link, self.folder / "spool", now_s=self.chance)
        self.orchestrator = Orchestrator(
            machine,
            state,
            self.messenger,
            self.store,
            now_ms=lambda: int(self.chance() * 1000),
            report=lambda happening: self.chance.tell("orchestrator", str(happening)[:160]),
        )
        job = self.store.job()
        around = Surroundings(now_s=self.chance, stale_topics=partial(removals, self.store), given_up=self._take_wish)
        goal = Goal(job.released if job else 0, ROUNDS)
        self.loop = Loop(self.orchestrator, self.messenger, self.store, _Silent(self.chance), goal, surroundings=around)

    def step(self) -> None:
        """One step of its loop; a start where it is not running."""
        if self.loop is None:
            self.start()
        if self.loop is not None:
            self.loop.step()

    def _take_wish(self) -> str | None:
        wish, self.wish = self.wish, None
        return wish

    def recover(self) -> None:
        """As `hushfleet orchestrator recover`."""
        self.die()
        store = WitnessedStore(self.folder, self.paper.parties.owner.root.verify_key, now_s=self.chance, recovering=True)
        store.witness = self.witness
        recover(store, self.paper.parties.orchestrator.signing.verify_key, _restored)
        store.close()
        self.chance.tell(self.name, "its operator recovers it")

    def die(self) -> None:
        """The power is gone, and with it what was not stored."""
        if self.loop is not None:
            self.store.close()
            self.loop = None


def _restored(result: bytes, version: int) -> TrainingProgress:
    dimension = TRAINER.architecture.dimension
    return TrainingProgress.start(GlobalModel.from_bytes(result, version=version, dimension=dimension, max_abs=math.inf))


class _Silent:
    """The listener to the loop, which writes the trace."""

    def __init__(self, chance: Chance) -> None:
        self._tell = partial(chance.tell, "orchestrator")

    def connected(self, connections: int) -> None:
        self._tell(f"connection {connections}")

    def waits(self, attendance: Attendance, absence: Absence) -> None:
        self._tell(f"waits: {attendance} {absence}")

    def short(self, number: int, absence: Absence) -> None:
        self._tell(f"round {number} is short: {absence}")

    def began(self, state: Collecting | Decrypting) -> None:
        self._tell(f"round {state.terms.plan.round} is under way")

    def moved(self, state: Collecting | Decrypting) -> None:
        self._tell(f"round {state.terms.plan.round}: {len(state.accepted)} contributions")

    def ended(self, record: RoundRecord, _: CoordinatorState, __: float) -> None:
        self._tell(f"round {record.round}: {record.outcome} {record.reason}")
