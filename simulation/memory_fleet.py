"""A whole fleet on one machine over the in-memory link: owner, devices, committee and orchestrator, each with its own keys.

Every device has its own state folder and link session. Committee answers and trainings run side by side on threads; the heavy
arithmetic releases the interpreter's lock.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

from edge_agent.agent import Agent, Enrolment, Work
from edge_agent.data.room import KnownRows
from edge_agent.folder import DeviceKeys
from edge_agent.slot import NoWaiting
from edge_agent.store import Store
from hushfleet.codec import encode
from hushfleet.encryption.paillier.dealing import Dealing
from hushfleet.link import MemoryBroker, MemoryLink, Messenger
from hushfleet.rounds.coordinator import Collecting, Coordinator, CoordinatorMemory, NoRound
from hushfleet.rounds.effects import Refused
from hushfleet.rounds.tasks.train import TrainingProgress
from hushfleet.system.clock import now_ms
from hushfleet.training import Trainer
from hushfleet.wire import Inbox, KeyShareDelivery, Kind, Topic
from orchestrator.service import Orchestrator
from orchestrator.store.archive_folder import Archive
from simulation.fleet import FleetSetup, PartyLog


class MemoryFleet:
    """The running fleet. `insecure_keys` is for tests with small keys."""

    def __init__(
        self,
        setup: FleetSetup,
        folder: Path,
        *,
        trainer: Trainer,
        executor: Executor,
        insecure_keys: bool = False,
    ) -> None:
        parties, self.folder = setup.parties, folder
        self.parties, self.job, self.log = parties, setup.job, PartyLog()
        self.broker = MemoryBroker(parties.owner.fleet)
        self.roster = parties.roster(setup.dealing, setup.policy)
        self._executor = executor
        root = parties.owner.root.verify_key
        self.orchestrator_link = self.broker.connect(parties.orchestrator.device_id, orchestrator=True)
        self.messenger = Messenger(
            self.orchestrator_link,
            folder / "spools" / "orchestrator",
            on_refused=lambda error: self.log.add("orchestrator", Refused(error)),
        )
        self.network = Messenger(self.broker.eavesdrop("network"), folder / "spools" / "network")
        self.network.subscribe(parties.owner.fleet, Kind.CONTRIBUTION)
        self._carried: dict[tuple[str, int], bytes] = {}
        self._held: set[str] = set()
        keys = parties.orchestrator
        self.coordinator = Coordinator(keys.signing, keys.sealing, root, setup.job, None, insecure_keys)
        self.orchestrator = Orchestrator(
            self.coordinator,
            NoRound(CoordinatorMemory(self.roster, TrainingProgress.start(setup.model))),
            self.messenger,
            Archive(folder / "archive", root),
            now_ms=now_ms,
            report=lambda happening: self.log.add("orchestrator", happening),
        )
        trainers: dict[bytes, Trainer] = {trainer.architecture.digest: trainer}
        self.links: dict[str, MemoryLink] = {}
        self.agents: dict[str, Agent] = {}
        self.stores: list[Store] = []
        for name, device_keys in parties.devices.items():
            work = Work(trainers, KnownRows(partial(setup.data.__getitem__, name)))
            self._add_agent(name, device_keys, work, insecure_keys=insecure_keys)
        self._deliver_grants(setup.dealing)

    def _add_agent(self, name: str, keys: DeviceKeys, work: Work, *, insecure_keys: bool) -> None:
        folder = self.folder / "devices" / name
        folder.mkdir(parents=True)
        keys.save(folder)
        store = Store.create(folder)
        member = name in self.parties.committee
        self.stores.append(store)
        self.links[name] = self.broker.connect(name, member=member)
        owner = self.parties.owner
        self.agents[name] = Agent(
            Enrolment(keys, owner.fleet, owner.root.verify_key, insecure_keys),
            store,
            Messenger(self.links[name], folder / "spool"),
            work,
            member=member,
            report=self.log.add,
            now_s=NoWaiting(),
        )

    def _deliver_grants(self, dealing: Dealing) -> None:
        """Roster first, then each member's sealed share on its inbox topic."""
        for agent in self.agents.values():
            agent.connect()
        self.orchestrator.connect()
        self.pump_agents()
        for name, grant in self.parties.owner.grants(self.roster, dealing).items():
            self.messenger.send(Topic(self.parties.owner.fleet, Kind.INBOX, device=name, chunk=0), encode(Inbox(KeyShareDelivery(grant))))
        self.pump_agents(self.parties.committee)

    def close(self) -> None:
        """Close the devices' databases."""
        for store in self.stores:
            store.close()

    def pump_agents(self, names: "tuple[str, ...] | None" = None) -> int:
        """Let these devices (default: all) handle what arrived, side by side; how many messages that was."""
        wanted = self.agents if names is None else {name: self.agents[name] for name in names}
        return sum(self._executor.map(lambda agent: agent.pump(), wanted.values()))

    def settle(self) -> None:
        """Deliver until nobody has anything left to say."""
        while self.pump_agents() + self.orchestrator.pump():
            pass

    def hold(self, name: str) -> None:
        """This device does nothing until it is released."""
        self._held.add(name)

    def release(self, name: str) -> None:
        """Let a device that was held back go on."""
        self._held.discard(name)

    def contribute(self) -> Iterator[int]:
        """Let all devices that are not held contribute to the open round, up to ten at a time; yields how many were accepted so far."""
        names = tuple(name for name in self.agents if name not in self._held)
        at_once = min(10, (len(names) + 1) // 2)
        for start in range(0, len(names), at_once):
            self.pump_agents(names[start : start + at_once])
            self.orchestrator.pump()
            yield self.orchestrator.arrived[0]

    def decrypt(self, progress: Callable[[int], None] = lambda _: None) -> bool:
        """Let the committee answer and the orchestrator release; whether it did."""
        version = self.orchestrator.state.memory.progress.version
        if isinstance(self.orchestrator.state, Collecting):
            self.orchestrator.end_collection()
        for future in [self._executor.submit(self.agents[name].pump) for name in self.parties.committee]:
            future.result()
            self.orchestrator.pump()
            progress(self.orchestrator.arrived[1])
        self.settle()
        return self.orchestrator.state.memory.progress.version > version

    def await_refusals(self, parties: set[str]) -> list[tuple[str, Refused]]:
        """The refusals since the last call: over this link everything is delivered at once."""
        self.pump_agents(tuple(parties - {"orchestrator"}) or self.parties.committee)
        self.orchestrator.pump()
        return self.log.take_refusals()

    def sealed_contribution(self, name: str, number: int) -> bytes:
        """The sealed contribution of a device in a round, as the network carried it."""
        while (arrived := self.network.receive()) is not None:
            self._carried[arrived.topic.device or "", arrived.topic.number or 0] = arrived.data
        return self._carried[name, number]

    def run_round(self) -> bool:
        """One whole round; whether it released a model."""
        self.orchestrator.start_round()
        for _ in self.contribute():
            pass
        return self.decrypt()
