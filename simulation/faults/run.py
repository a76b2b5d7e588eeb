"""One seed, one run: a storm of faults, then calm, in which the job must end."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from hushfleet.audit import verify_job
from hushfleet.codec import encode
from hushfleet.encryption.paillier.dealing import deal
from hushfleet.errors import HushfleetError, Refusal
from hushfleet.program.archive_folder import read_archive
from hushfleet.randomness import SystemRandomness
from hushfleet.wire import Inbox, KeyShareDelivery, Kind, Topic
from simulation.faults.chance import Chance, PowerCut
from simulation.faults.fleet import DEVICES, FLEET, ROUNDS, Paper, SimulatedDevice, SimulatedOrchestrator
from simulation.faults.invariants import Witness
from simulation.faults.network import FaultyBroker

STORM_EVENTS = 150
CALM_TURNS = 150
SETTLED_TURNS = 3
STUCK_TURNS = 40
_CALM_S = 11.0
_INSECURE_BITS = 512
SITE_SHARE = 0.4
TIME, CUTS, CRASHES, RETURNS = 0.15, 0.03, 0.05, 0.03


@dataclass(frozen=True)
class SeedOutcome:
    """The end of a run. `violations` name invariants; `trace` has a line for everything that happened."""

    seed: int
    events: int
    faults: dict[str, int]
    rounds_released: int
    violations: tuple[str, ...]
    trace: tuple[str, ...] = field(repr=False)


class Simulator:
    """Runs seeds, one after the other, of one fleet on paper. A context: it keeps a folder meanwhile."""

    def __init__(self, paper: Paper | None = None) -> None:
        self.paper = paper or Paper.make()
        self._template: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._template is not None:
            self._template.cleanup()

    def _enrolled(self) -> Path:
        """The folder of an orchestrator that has begun its job: made once, for migrations take longer than a round."""
        if self._template is None:
            self._template = tempfile.TemporaryDirectory(prefix="hushfleet-")
            SimulatedOrchestrator.enrol(self.paper, Path(self._template.name) / "orchestrator")
        return Path(self._template.name) / "orchestrator"

    @classmethod
    def of(cls, scheme: str) -> "Simulator":
        """`shared`, or `paillier` by a fresh key that protects nobody."""
        return cls(Paper.make(deal(_INSECURE_BITS, 1, SystemRandomness(), insecure=True) if scheme == "paillier" else None))

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        memory = Path("/dev/shm")  # noqa: S108 -- a fresh folder in it; the disk's speed is no part of a run
        with tempfile.TemporaryDirectory(prefix="hushfleet-", dir=memory if memory.is_dir() else None) as folder:
            yield Path(folder)

    def run(self, seed: int, *, storm: bool = True) -> SeedOutcome:
        """One run. `storm` False: nothing goes wrong."""
        with self._folder() as folder:
            shutil.copytree(self._enrolled(), folder / "orchestrator")
            world = World(self.paper, folder, seed)
            try:
                return world.run(storm=storm)
            finally:
                world.close()


class World:
    """The fleet of one run."""

    def __init__(self, paper: Paper, folder: Path, seed: int) -> None:
        self.folder, self.chance = folder, Chance(seed)
        returning = self.chance.below(4 * (DEVICES + 1))
        if returning <= DEVICES:  # it may have to do without the one that forgets
            paper = replace(paper, job=replace(paper.job, min_devices=DEVICES - 1))
        self.paper = paper
        self.witness = Witness(paper.parties.orchestrator.signing.verify_key)
        broker = FaultyBroker(paper.parties.owner.fleet, self.chance, self.witness.left)
        self.site = SimulatedOrchestrator(paper, folder / "orchestrator", broker, self.witness.kept)
        self.devices = [SimulatedDevice(paper, name, folder / name, broker, self.witness.kept) for name in paper.parties.devices]
        self._parties: tuple[SimulatedOrchestrator | SimulatedDevice, ...] = (self.site, *self.devices)
        self._returns = self._parties[returning] if returning <= DEVICES else None
        self.events = 0
        self._old: Path | None = None

    def run(self, *, storm: bool) -> SeedOutcome:
        """Storm, calm, verdict."""
        self._meet()
        if storm:
            self.chance.storm = True
            while self.events < STORM_EVENTS and not self.witness.broken:
                self._event()
            self.chance.storm = False
        self._calm()
        broken = tuple(f"{one}" for one in self.witness.broken)
        return SeedOutcome(
            self.chance.seed, self.events, dict(self.chance.faults), len(self.witness.cohorts), broken, tuple(self.chance.trace)
        )

    def close(self) -> None:
        """End every program."""
        for party in self._parties:
            party.die()

    def _meet(self) -> None:
        """Everybody enrols; each member gets its share. Nothing goes wrong yet."""
        self.site.start()
        for device in self.devices:
            device.step()
        if self.paper.dealing is None:
            return
        self.site.orchestrator.connect()
        for device in self.devices:
            device.step()
        for name, grant in self.paper.parties.owner.grants(self.paper.roster, self.paper.dealing).items():
            self.site.messenger.send(Topic(FLEET, Kind.INBOX, device=name, chunk=0), encode(Inbox(KeyShareDelivery(grant))))
        for device in self.devices:
            device.step()

    def _event(self) -> None:
        """One event: somebody works, time passes, a connection breaks, or the power goes."""
        chance = self.chance
        party: SimulatedOrchestrator | SimulatedDevice = self.site if chance.share() < SITE_SHARE else chance.one_of(self.devices)
        what = chance.share()
        if what < TIME:
            chance.now_s += chance.one_of((1, 5, 11, 11, 70))
        elif what < TIME + CUTS and party.running:
            chance.hit("cut", party.name)
            party.link.reconnect()
        elif what < TIME + CUTS + CRASHES:
            party.power.cut_in = chance.below(12)
        elif self._returns and what > 1 - RETURNS:
            self._put_back(self._returns)
        self._step(party)

    def _put_back(self, party: "SimulatedOrchestrator | SimulatedDevice") -> None:
        """The first time a copy of the store is made, with the power off; the second time it is put back. Archives stay."""
        party.die()
        left_out = shutil.ignore_patterns("archive")
        if self._old is None:
            self._old = self.folder / "old"
            shutil.copytree(party.folder, self._old, ignore=left_out)
            self.chance.tell(party.name, "a backup is made")
        elif party.name not in self.witness.excused:
            for path in party.folder.iterdir():
                if path.name != "archive":
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            shutil.copytree(self._old, party.folder, dirs_exist_ok=True)
            self.chance.hit("put back", party.name)
            self.witness.excused.add(party.name)

    def _step(self, party: "SimulatedOrchestrator | SimulatedDevice") -> None:
        """One step of a party, and a look at what must hold."""
        self.events += 1
        try:
            party.step()
        except PowerCut:
            party.die()
        except HushfleetError as error:
            if error.reason is Refusal.STORE_ROLLED_BACK and party.name in self.witness.excused:
                party.recover()
                return
            self.witness.note("stands-up", f"{party.name} ended: {error}")
            party.die()
        except Exception as error:  # noqa: BLE001 -- a program that ends by a defect is what is looked for
            self.witness.note("stands-up", f"{party.name} ended: {type(error).__name__}: {error}")
            party.die()
        for device in self.devices:
            if device.running:
                self.witness.look(device.name, device.store)

    def _calm(self) -> None:
        """Nothing goes wrong any more: everybody reconnects, and the job ends."""
        for party in self._parties:
            party.power.cut_in = None
            if party.running:
                party.link.reconnect()
        for turn in range(CALM_TURNS):
            for party in self.devices if turn > SETTLED_TURNS else ():
                party.recover()
            if self._returns is self.site and turn == STUCK_TURNS:
                self.site.wish = "a store was put back in the midst of a round"
            for party in self._parties:
                self._step(party)
            self.chance.now_s += _CALM_S
            if self.witness.broken or self._done():
                break
        self._judge()

    def _done(self) -> bool:
        quiet = all(device.running and not device.store.waits_for_receipt() for device in self.devices)
        return quiet and self.site.loop is not None and self.site.loop.done

    def _judge(self) -> None:
        if self.witness.broken:
            return
        if not self._done():
            self.witness.note("liveness", f"{len(self.witness.cohorts)} of {ROUNDS} rounds were released")
            return
        for device in self.devices:
            self.witness.settled(device.name, device.store, whole=self._returns is None)
        job = self.site.store.job()
        root = self.paper.parties.owner.root.verify_key
        if job is not None:
            try:
                verify_job(read_archive(self.site.store.archive(job).folder), root, SystemRandomness(), insecure_keys=True)
            except HushfleetError as error:
                self.witness.note("exact-sum", str(error))
