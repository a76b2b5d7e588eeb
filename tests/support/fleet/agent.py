"""One agent on a memory link, the orchestrator's link beside it, and what the agent reported."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edge_agent.agent import Agent, Enrolment, Work
from edge_agent.daemon import Daemon, Voice
from edge_agent.data.room import KnownRows
from edge_agent.model_follower import ModelFollower
from edge_agent.reminders import Reminders
from edge_agent.slot import NoWaiting
from edge_agent.store import Store
from edge_agent.trainers import SameThread
from hushfleet.documents import RoundRecord, VerifiedPlan, VerifiedRoster, sign_record
from hushfleet.link import MemoryBroker, Messenger
from hushfleet.program.folder import Membership
from hushfleet.rounds.effects import Refused, ZeroContributed
from hushfleet.signing import SigningKey
from hushfleet.system.systemd import Notifier, Watch
from hushfleet.training import Data, GlobalModel
from hushfleet.wire import DeviceStatus, Kind, Topic, encode_signed, open_status
from models import catalogue
from tests.support import documents
from tests.support.fleet import allowing, make_fleet

TRAINER = catalogue.trainer("softmax:4x2")
FLEET = make_fleet(policy={"models": allowing(TRAINER.architecture)}, job={"architecture": TRAINER.architecture})
GOOD = Data(np.ones((3, 4)), np.array([0, 1, 0]))
NAME = "device-01"
BOOT = bytes(range(16))
FLEET_NAME = FLEET.roster.roster.fleet


@dataclass
class AgentOnALink:
    """The agent. `executor` None: the agent trains while it handles messages. `rows` None: those of `read_data`."""

    folder: Path
    read_data: Any = lambda: GOOD
    member: bool | None = True
    connects: bool = True
    executor: Executor | None = None
    threads: Executor | None = None
    configured: bool = True
    enabled: bool = True
    reminders: Reminders | None = None
    now_s: Any = field(default_factory=NoWaiting)
    trainer: Any = TRAINER
    rows: Any = None
    follows: bool = False
    recorded: int = 0
    reports: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.broker = MemoryBroker(FLEET_NAME)
        self.orchestrator = Messenger(self.broker.connect("orchestrator", orchestrator=True), self.folder / "orchestrator")
        for kind in (Kind.CONTRIBUTION, Kind.PARTIAL, Kind.EVIDENCE):
            self.orchestrator.subscribe(FLEET_NAME, kind)
        self.link = self.broker.connect(NAME, member=self.member is not False)
        self.store = Store.create(self.folder)
        self.start()

    def start(self) -> None:
        trainers = {TRAINER.architecture.digest: self.trainer} if self.configured else {}
        self.agent = Agent(
            Enrolment(FLEET.parties.devices[NAME], FLEET_NAME, FLEET.parties.owner.root.verify_key, insecure_keys=True),
            self.store,
            Messenger(self.link, self.folder / "spool"),
            Work(
                trainers,
                self.rows or KnownRows(self.read_data),
                catalogue.built_in,
                executor=self.executor or SameThread(),
                enabled=self.enabled,
            ),
            member=self.member,
            report=lambda _, happening: self.reports.append(happening),
            reminders=self.reminders,
            threads=self.threads,
            now_s=self.now_s,
            follower=ModelFollower(self.folder, FLEET_NAME) if self.follows else None,
        )
        if self.connects:
            self.agent.connect()

    def restart(self) -> None:
        self.store.close()
        self.store = Store(self.folder)
        self.start()

    def publish(self, kind: Kind, data: bytes, **fields: object) -> None:
        self.orchestrator.send(Topic(FLEET_NAME, kind, **fields), data)

    def release(self, record: RoundRecord, model: GlobalModel, *, signer: SigningKey | None = None) -> None:
        """A record and the model that it states, as the broker retains them; the orchestrator's unless there is another `signer`."""
        signed = sign_record(record, signer or FLEET.parties.orchestrator.signing)
        if self.recorded:
            self.publish(Kind.RECORD, b"", number=self.recorded, chunk=0)
        self.recorded = record.round
        self.publish(Kind.RECORD, encode_signed(signed), number=record.round, chunk=0)
        self.publish(Kind.MODEL, model.to_bytes(), digest=record.result.model_after.hex(), chunk=0)
        self.agent.pump()

    @staticmethod
    def signed(document: VerifiedRoster | VerifiedPlan) -> bytes:
        """The wire form of a roster or plan."""
        return encode_signed(document.signed)

    def announce(self, plan: VerifiedPlan | None = None, *, pump: bool = True) -> VerifiedPlan:
        """Roster, model and plan, as the broker retains them."""
        plan = plan or FLEET.plan()
        self.publish(Kind.ROSTER, encode_signed(FLEET.roster.signed), number=1, chunk=0)
        self.publish(Kind.MODEL, FLEET.model.to_bytes(), digest=FLEET.model.digest.hex(), chunk=0)
        self.publish(Kind.PLAN, encode_signed(plan.signed))
        if pump:
            self.agent.pump()
        return plan

    def arrived(self, kind: Kind) -> list[bytes]:
        """What reached the orchestrator since the last call."""
        data = []
        while (arrived := self.orchestrator.receive()) is not None:
            data += [arrived.data] if arrived.topic.kind is kind else []
        return data

    def texts(self) -> str:
        return " ".join(_text(report) for report in self.reports)


def _text(report: Any) -> str:  # noqa: ANN401 -- any of the happenings
    match report:
        case Refused(error):
            return str(error)
        case ZeroContributed(reason):
            return reason
    return str(report.text)


def released(version: int, *, before: GlobalModel | None = None, **changes: object) -> tuple[RoundRecord, GlobalModel]:
    """The model of this version and the record of its round, whose number is the version's; `changes` replace fields of the record."""
    model = GlobalModel(version, np.linspace(-version, version, TRAINER.architecture.dimension, dtype=np.float32))
    fields = {"fleet": FLEET_NAME, "key_id": FLEET.roster.key_id, "round": version, "rho_nano": 10**7, **changes}
    digests = {"model_before": (before or FLEET.model).digest, "model_after": model.digest, "version_after": version}
    return documents.record(**(digests | fields)), model


class OnDemand(Executor):
    """Runs what was submitted when the test says so."""

    def __init__(self) -> None:
        self.tasks: list[tuple[Future[Any], Any, tuple[Any, ...]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **_: Any) -> Future[Any]:  # noqa: ANN401 -- as any executor
        self.tasks.append((Future(), fn, args))
        return self.tasks[-1][0]

    def run(self, number: int = 0) -> None:
        future, fn, args = self.tasks.pop(number)
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(fn(*args))
        except Exception as error:  # noqa: BLE001 -- as any executor
            future.set_exception(error)


class Said(Notifier):
    """Notes what systemd would hear."""

    def __init__(self) -> None:
        super().__init__({})
        self.lines: list[str] = []

    def _send(self, line: str) -> None:
        self.lines.append(line)


class DaemonOnALink:
    """The daemon around an `AgentOnALink`, its `bench`. It is its own link; `connections` is what that says."""

    def __init__(self, folder: Path, **bench: Any) -> None:  # noqa: ANN401 -- whatever `AgentOnALink` takes
        self.bench = AgentOnALink(folder, executor=OnDemand(), connects=False, **bench)
        self.bench.orchestrator.subscribe(FLEET_NAME, Kind.STATUS)
        self.link, self.connections, self.said = self.bench.link, 1, Said()
        self.messenger = self.bench.agent._messenger
        self.messenger.link = self
        root = FLEET.parties.owner.root.verify_key.raw.hex()
        self.watch = Watch(self.said, lambda: True)
        voice = Voice(FLEET.parties.devices[NAME], FLEET_NAME, BOOT)
        membership = Membership(FLEET_NAME, NAME, root, "broker.lan", 8883)
        self.daemon = Daemon(
            self.bench.agent, self.messenger, membership, voice, notifier=self.said, watch=self.watch, folder=self.bench.folder
        )

    def __getattr__(self, name: str) -> object:
        return getattr(self.link, name)

    def statuses(self) -> list[DeviceStatus]:
        """What the device said of itself since the last call."""
        key = FLEET.parties.devices[NAME].signing.verify_key
        return [open_status(data, key, fleet=FLEET_NAME, device_id=NAME) for data in self.bench.arrived(Kind.STATUS)]
