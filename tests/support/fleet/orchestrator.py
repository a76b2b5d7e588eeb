"""The orchestrator's service, loop and commands on a memory link, with `Others` around them."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hushfleet.cli import ExitCode, run
from hushfleet.codec import encode
from hushfleet.documents import RoundRecord, VerifiedPlan, open_record
from hushfleet.link import Delivery, MemoryLink, Messenger
from hushfleet.rounds.coordinator import Collecting, CoordinatorState, Decrypting, NoRound
from hushfleet.rounds.effects import Publish
from hushfleet.wire import DeviceStatus, Kind, Topic, decode_signed
from hushfleet.wire.topics import subscription
from orchestrator import run as run_module
from orchestrator.absence import Absence
from orchestrator.attendance import Attendance
from orchestrator.loop import Goal, Loop, Pace, Surroundings
from orchestrator.service import Orchestrator
from orchestrator.store.archive_folder import Archive
from tests.support.chunked import wholes
from tests.support.fleet.links import LivelyLink, Others
from tests.support.fleet.paper import Fleet
from tests.support.jobs import joined


class OrchestratorOnALink:
    """The service. The test speaks for devices and members, or, with `lively`, they act before each message is received."""

    def __init__(self, folder: Path, fleet: Fleet, *, lively: bool = False) -> None:
        self.fleet, self.reports = fleet, []
        self.others = Others(fleet, folder)
        self.link: Any = self.others.lively_link() if lively else self.others.quiet_link()
        self.clock = self.others.clock
        self.messenger = Messenger(self.link, folder / "spool", now_s=self.clock)
        self.archive = Archive(folder / "archive", fleet.parties.owner.root.verify_key)
        self.orchestrator = Orchestrator(
            fleet.coordinator(),
            fleet.coordinator_state(),
            self.messenger,
            self.archive,
            now_ms=lambda: int(self.clock() * 1000),
            report=self.reports.append,
        )

    @property
    def state(self) -> CoordinatorState:
        return self.orchestrator.state

    @property
    def plan(self) -> VerifiedPlan:
        """That of the round under way."""
        assert not isinstance(self.state, NoRound)
        return self.state.terms.verified_plan

    def contribute(self, *names: str) -> int:
        """These devices contribute. The number of messages handled."""
        self.others.contribute(self.plan, *names)
        return self.orchestrator.pump()

    def answer(self, *names: str) -> int:
        """These members answer. The number of messages handled."""
        assert isinstance(self.state, Decrypting)
        self.others.answer(encode(self.state.request), self.plan.plan.round, *names)
        return self.orchestrator.pump()

    def retained(self, kind: Kind) -> list[bytes]:
        """Messages that a newcomer who may read this kind of topic gets at once."""
        newcomer = MemoryLink(self.others.broker, "newcomer")
        newcomer.allow((("read", subscription(self.others.name, kind)),))
        newcomer.subscribe(subscription(self.others.name, kind))
        found: list[Delivery] = []
        while (delivery := newcomer.receive()) is not None:
            found.append(delivery)
        return [data for _, data in wholes(found)]


@dataclass
class Log:
    """A watcher of a loop that remembers."""

    lines: list[tuple[object, ...]] = field(default_factory=list)

    def connected(self, connections: int) -> None:
        self.lines.append(("connected", connections))

    def waits(self, attendance: Attendance, _: Absence) -> None:
        self.lines.append(("waits", attendance.devices, attendance.members))

    def short(self, number: int, absence: Absence) -> None:
        self.lines.append(("short", number, str(absence)))

    def began(self, state: Collecting) -> None:
        self.lines.append(("began", state.terms.plan.round))

    def moved(self, state: Collecting | Decrypting) -> None:
        self.lines.append(("moved", len(state.accepted), len(state.answers) if isinstance(state, Decrypting) else 0))

    def ended(self, record: RoundRecord, _: object, wait_s: float) -> None:
        self.lines.append((record.outcome.value, record.round, wait_s))

    def of(self, kind: str) -> list[tuple[object, ...]]:
        return [line for line in self.lines if line[0] == kind]


class LoopOnALink(OrchestratorOnALink):
    """The loop of a job around the service, by a clock that only waiting moves; it also keeps the statuses that it hears."""

    def __init__(self, folder: Path, fleet: Fleet, *, wanted: int = 1, give_up: int = 20, pace: Pace | None = None) -> None:
        super().__init__(folder, fleet, lively=True)
        self.log, self.inbox = Log(), folder / "inbox"
        self.heard: dict[str, DeviceStatus] = {}
        self.inbox.mkdir()
        self._wish: str | None = None
        self.loop = Loop(
            self.orchestrator,
            self.messenger,
            self,
            self.log,
            Goal(released=0, wanted=wanted, give_up=give_up),
            surroundings=Surroundings(
                now_s=self.clock,
                pending_rosters=lambda: tuple(sorted(self.inbox.iterdir())),
                given_up=self._take_wish,
                stale_topics=lambda: (Publish(Topic(self.others.name, Kind.RECORD, number=77, chunk=0), b""),),
            ),
            pace=pace,
        )

    def give_up(self, reason: str = "the operator's word") -> None:
        self._wish = reason

    def _take_wish(self) -> str | None:
        wish, self._wish = self._wish, None
        return wish

    def begin(self) -> None:
        """Go on until a round collects."""
        self._until(Collecting)

    def decrypt(self) -> None:
        """Go on until the committee is asked."""
        self._until(Decrypting)

    def _until(self, phase: type) -> None:
        for _ in range(200):
            if isinstance(self.orchestrator.state, phase):
                return
            self.loop.step()
        raise AssertionError(f"{phase.__name__} does not come")

    def keep_statuses(self, statuses: dict[str, DeviceStatus]) -> None:
        self.heard |= statuses

    def keep_dropped(self, dropped: dict[str, int]) -> None:
        self.dropped = dropped

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            self.loop.step()


class TypedOrchestrator:
    """A person who types `hushfleet orchestrator`, and the fleet that answers over the memory link."""

    def __init__(self, folder: Path, fleet: Fleet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.state, self._capsys = folder, folder / "state", capsys
        self.fleet, self.joined = fleet, joined(fleet, self.state)
        self.others = Others(fleet, folder)
        self.asked = False  # True: `run` is typed without --yes
        self.before_receiving = _nothing
        monkeypatch.setattr(run_module, "connect_to_broker", self._connect)
        monkeypatch.setenv("HUSHFLEET_ORCHESTRATOR_TESTING_INSECURE_KEYS", "true")
        monkeypatch.setattr(os, "fsync", lambda _: None)

    def _connect(self, *_: object) -> LivelyLink:
        self.others.clock.seconds = 1000.0
        link = self.others.lively_link()
        link.before_receiving = self._now
        return link

    def _now(self) -> None:
        # A test may change what happens while the command runs.
        self.before_receiving()

    def type(self, *arguments: object) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        words = [*map(str, arguments), *(["--yes"] if arguments[0] == "run" and not self.asked else [])]
        code = run(["orchestrator", *words, "--state", str(self.state)])
        out, err = self._capsys.readouterr()
        return code, out, err

    def json(self, *arguments: object) -> Any:  # noqa: ANN401 -- JSON
        """The object that a command prints with --json; it must succeed."""
        code, out, err = self.type(*arguments, "--json")
        assert code == ExitCode.DONE, err
        return json.loads(out.splitlines()[-1])

    def records(self) -> list[RoundRecord]:
        """Everything that was published of ended rounds, by number."""
        heard = wholes(delivery for _, delivery in self.others.tape)
        sent = {data for topic, data in heard if topic.kind is Kind.RECORD and data}
        return sorted((open_record(decode_signed(data), self.fleet.roster.orchestrator) for data in sent), key=lambda one: one.round)


def _nothing() -> None:
    pass
