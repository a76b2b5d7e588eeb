"""Attacks on a running fleet: real parties over the memory link, a network that records everything, and hands to play any party.

Every device learns its data by heart: its update is its one row of data, so that a leaked vector is a leaked row.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edge_agent import store as store_module
from edge_agent.folder import DeviceKeys
from hushfleet.codec import decode, encode
from hushfleet.documents import DecryptionRequest, VerifiedPlan
from hushfleet.encryption.paillier.key import PublicKey
from hushfleet.encryption.paillier.packing import pack, unpack
from hushfleet.encryption.paillier.partials import Partial, combine
from hushfleet.encryption.paillier.public import sum_ciphertexts
from hushfleet.encryption.paillier.secret import answer
from hushfleet.encryption.sealing import SealingPublicKey, seal, unseal
from hushfleet.errors import HushfleetError, Refusal
from hushfleet.labels import Label, labelled, sha256
from hushfleet.link import Delivery, MemoryBroker, MemoryLink
from hushfleet.link.link import DEFAULT_MAX_BYTES
from hushfleet.privacy import EncodedVector
from hushfleet.randomness import Randomness, SeededRandomness, SystemRandomness
from hushfleet.rounds.cohort import cohort_of
from hushfleet.rounds.coordinator import ClosedRound, Collecting, Decrypting, NoRound
from hushfleet.rounds.device import DeviceMemory, DeviceState, Sent
from hushfleet.rounds.effects import AcceptedContribution, Refused
from hushfleet.rounds.member import MemberState
from hushfleet.rounds.tasks.train import TrainingTask
from hushfleet.schemes.base import DeviceScheme, EncryptedUpdate, RoundTerms, SchemeProfile, VerifiedBody
from hushfleet.schemes.devices import DEVICE_SCHEMES
from hushfleet.schemes.paillier.answers import from_wire, to_wire
from hushfleet.schemes.paillier.profile import answer_context
from hushfleet.signing import Signed
from hushfleet.training import Architecture, Data
from hushfleet.wire import Answer, Body, Kind, SealedAnswer, Topic, answer_seal_context, decode_signed, encode_signed
from hushfleet.wire.limits import LIMITS
from simulation import memory_fleet as fleet_module
from simulation.fleet import FleetSetup
from simulation.memory_fleet import MemoryFleet
from tests.support.chunked import framed, wholes
from tests.support.fleet import ARCHITECTURE, FLEET_NAME, Fleet, make_fleet, update_of
from tests.support.refusals import refused

IntVector = npt.NDArray[np.int64]
Network = Callable[[str, Delivery], Delivery | None]


class ByHeart:
    """A trainer whose update is the mean of the rows it sees, for two local steps at learning rate 0.5."""

    def __init__(self, architecture: Architecture = ARCHITECTURE) -> None:
        self.architecture = architecture

    def check(self, features: npt.NDArray[np.float64], targets: npt.NDArray[np.float64]) -> None:
        pass

    def gradient(
        self, _: npt.NDArray[np.float64], features: npt.NDArray[np.float64], __: npt.NDArray[np.float64]
    ) -> tuple[float, npt.NDArray[np.float64]]:
        return 0.0, -features.mean(axis=0)


@dataclass
class Watcher:
    """The device's side of a scheme, which also remembers what each device encrypted: what no attack may ever find."""

    scheme: DeviceScheme
    encoded: dict[str, list[IntVector]] = field(default_factory=dict)

    @property
    def profile(self) -> SchemeProfile:
        return self.scheme.profile

    def encrypt(self, terms: RoundTerms, device_id: str, encoded: EncodedVector, randomness: Randomness) -> EncryptedUpdate:
        self.encoded.setdefault(device_id, []).append(encoded.values)
        return self.scheme.encrypt(terms, device_id, encoded, randomness)


class AttackedFleet:
    """A running fleet and what the attackers have: every byte on the network, and the keys of whoever colludes."""

    def __init__(self, fleet: Fleet, running: MemoryFleet, watcher: Watcher, tape: list[tuple[str, Delivery]]) -> None:
        self.fleet, self.running, self.tape = fleet, running, tape
        self.network: Network = lambda _, delivery: delivery
        self._watcher = watcher

    @property
    def names(self) -> tuple[str, ...]:
        return self.fleet.names

    @property
    def committee(self) -> tuple[str, ...]:
        return self.fleet.parties.committee

    @property
    def key(self) -> PublicKey:
        return self.fleet.dealing.public

    @property
    def open_round(self) -> Collecting | Decrypting:
        """The round under way; there must be one."""
        state = self.running.orchestrator.state
        assert not isinstance(state, NoRound)
        return state

    @property
    def closed_round(self) -> ClosedRound:
        """The round that ended last; none may be under way."""
        state = self.running.orchestrator.state
        assert isinstance(state, NoRound)
        assert state.closed is not None
        return state.closed

    @property
    def terms(self) -> RoundTerms:
        """Those of the round under way."""
        return self.open_round.terms

    @property
    def accepted(self) -> Mapping[str, AcceptedContribution]:
        """What the orchestrator has accepted in the round under way."""
        return self.open_round.accepted

    @property
    def answered(self) -> set[int]:
        """Members whose answers the orchestrator has taken in, in the round under way."""
        state = self.open_round
        assert isinstance(state, Decrypting)
        return set(state.answers)

    @property
    def version(self) -> int:
        """Of the model in force."""
        return self.running.orchestrator.state.memory.progress.version

    def archive(self) -> dict[str, bytes]:
        """The files of the only round that has ended so far, by name."""
        (folder,) = (self.running.folder / "archive").glob("epoch-*")
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    def archived_answers(self) -> dict[int, Answer]:
        """The answers that opened the only round that has ended so far, by member index."""
        files = {name: data for name, data in self.archive().items() if name.startswith("answer-")}
        contents = {int(name.removeprefix("answer-")): decode_signed(data).content for name, data in files.items()}
        return {index: decode(Answer, content, max_bytes=LIMITS.answer) for index, content in sorted(contents.items())}

    @property
    def plan(self) -> VerifiedPlan:
        return self.terms.verified_plan

    def encoded(self, name: str) -> IntVector:
        """What this device last encrypted."""
        return self._watcher.encoded[name][-1]

    def all_encoded(self, name: str) -> list[IntVector]:
        return self._watcher.encoded.get(name, [])

    def total(self, names: Iterable[str]) -> IntVector:
        return np.sum([self.encoded(name) for name in names], axis=0)

    def device(self, name: str) -> DeviceState:
        return self.running.agents[name]._device.state

    def memory(self, name: str) -> DeviceMemory:
        """Everything durable that this device remembers."""
        return self.device(name).memory

    def waiting_for_receipt(self, name: str) -> Sent | None:
        """The contribution that this device keeps until its receipt is final."""
        return self.memory(name).sent

    def member(self, name: str) -> MemberState:
        running = self.running.agents[name]._member
        assert running is not None
        return running.state

    def spent(self, name: str) -> int:
        return self.memory(name).ledger.spent_nano

    def pump(self, *names: str) -> None:
        for name in names or self.names:
            self.running.agents[name].pump()

    def collect(self, *names: str) -> tuple[Signed, ...]:
        """A round in which these devices (default: all) contribute; the bodies as the orchestrator then holds them."""
        self.running.orchestrator.start_round()
        self.pump(*names)
        self.running.orchestrator.pump()
        self.pump(*names)
        return self.bodies()

    def bodies(self, *names: str) -> tuple[Signed, ...]:
        """Accepted bodies, of these devices or of all, in id order."""
        return tuple(self.accepted[name].verified.signed for name in sorted(names or self.accepted))

    def deliver(self, name: str, topic: Topic, data: bytes) -> None:
        """One message for one party alone: only signatures say who made it."""
        for delivery in framed(topic, data):
            self._session(name).offer(delivery)

    def sent(self, kind: Kind, *, by: str | None = None) -> list[bytes]:
        """Everything that was published on this kind of topic, in order."""
        seen = wholes(delivery for who, delivery in self.tape if by in (None, who))
        return [data for topic, data in seen if data and topic.kind is kind]

    def contribute_as(self, name: str, sealed: bytes, *, number: int | None = None) -> None:
        """Sealed bytes on a device's topic; the orchestrator handles them."""
        round_number = self.plan.plan.round if number is None else number
        self.deliver("orchestrator", Topic(FLEET_NAME, Kind.CONTRIBUTION, device=name, number=round_number, chunk=0), sealed)
        self.running.orchestrator.pump()

    def judge(self, party: str) -> None:
        """Raise what this party refused first since it was last judged."""
        entries = self.running.log.entries
        found = [happening.error for who, happening in entries if who == party and isinstance(happening, Refused)]
        entries[:] = [(who, happening) for who, happening in entries if who != party]
        if found:
            raise found[0]

    def _session(self, name: str) -> MemoryLink:
        return self.running.orchestrator_link if name == "orchestrator" else self.running.links[name]

    def offer_plan(self, name: str, plan: VerifiedPlan) -> None:
        """A plan for one device alone."""
        self.deliver(name, Topic(FLEET_NAME, Kind.PLAN), encode_signed(plan.signed))
        self.pump(name)

    def ask(self, member: str, request: DecryptionRequest, *, number: int = 1) -> Partial | None:
        """A request for one member alone; the member's partials for it, if it answers."""
        mark = len(self.tape)
        self.deliver(member, Topic(FLEET_NAME, Kind.REQUEST, number=number, chunk=0), encode(request))
        self.pump(member)
        seen = wholes(delivery for who, delivery in self.tape[mark:] if who == member)
        answers = [data for topic, data in seen if topic.kind is Kind.PARTIAL]
        return self.open_answer(member, answers[-1], number=number) if answers else None

    def ask_all(self, request: DecryptionRequest, *, members: Sequence[str] = (), number: int = 1) -> list[Partial]:
        """The same request to each of these members (default: all): the partials of those that answer."""
        found = [self.ask(member, request, number=number) for member in members or self.committee]
        return [one for one in found if one is not None]

    def refused_by_all(self, request: DecryptionRequest, reason: Refusal, kind: type[HushfleetError], *, number: int = 1) -> None:
        """No member answers this request, each for this reason."""
        for member in self.committee:
            assert self.ask(member, request, number=number) is None
            with refused(reason, kind):
                self.judge(member)

    def open_answer(self, member: str, sealed: bytes, *, number: int = 1) -> Partial:
        """What only the orchestrator can read of an answer."""
        index = self.committee.index(member) + 1
        context = answer_seal_context(self.fleet.roster.key_id, number, index)
        plain = unseal(self.fleet.parties.orchestrator.sealing, Label.SEAL_ANSWER, context, sealed)
        found = decode(Answer, decode(SealedAnswer, plain, max_bytes=LIMITS.answer).answer.content, max_bytes=LIMITS.answer)
        return from_wire(self.key, index, found.items, found.proof)

    def open_request(self, request: DecryptionRequest, *, terms: RoundTerms | None = None) -> IntVector:
        """The vector that the committee's answers to this request open, int64 (d',)."""
        return self.opened(self.ask_all(request), request.bodies, terms=terms)

    def opened(self, partials: Sequence[Partial], bodies: Sequence[Signed], *, terms: RoundTerms | None = None) -> IntVector:
        """The vector that a quorum's partials open of the sum of these bodies, int64 (d',)."""
        where = terms or self.terms
        return unpack(self.plaintexts(partials, bodies), where.length, where.plan.privacy.slot_bits, self.key)

    def plaintexts(self, partials: Sequence[Partial], bodies: Sequence[Signed]) -> tuple[int, ...]:
        """The numbers in [0, N) that a quorum's partials open of the sum of these bodies, one for each ciphertext."""
        return combine(self.key, summed(self.key, bodies), partials)

    def packed(self, values: IntVector) -> list[int]:
        return pack(values, self.fleet.plan().plan.privacy.slot_bits, self.key)

    def collude(self, member: str, bodies: Sequence[Signed], *, terms: RoundTerms | None = None) -> Partial:
        """A colluding member answers for anything, as often as it is asked, with a correct proof."""
        where, share = terms or self.terms, self.fleet.dealing.shares[self.committee.index(member)]
        context = answer_context(where, cohort_of(where.plan_hash, bodies), share.index)
        return answer(self.key, share, summed(self.key, bodies), context, SystemRandomness())

    def answer_as(self, member: str, partials: Partial, root: bytes, *, claimed: int | None = None) -> None:
        """A colluding member publishes any partials as its answer, properly signed and sealed; the orchestrator handles them."""
        plan, index = self.plan, self.committee.index(member) + 1
        wire = to_wire(self.key, partials)
        content = Answer(plan.plan.key_id, plan.plan.round, plan.digest, root, claimed or index, wire.items, wire.proof)
        signed = self.fleet.parties.devices[member].signing.sign(Label.ANSWER, encode(content))
        recipient = SealingPublicKey(self.fleet.parties.orchestrator.entry.sealing_key)
        context = answer_seal_context(plan.plan.key_id, plan.plan.round, index)
        sealed = seal(recipient, Label.SEAL_ANSWER, context, encode(SealedAnswer(signed)))
        topic = Topic(FLEET_NAME, Kind.PARTIAL, device=member, number=plan.plan.round, chunk=0)
        self.deliver("orchestrator", topic, sealed)
        self.running.orchestrator.pump()


def opened_bodies(bodies: Iterable[Signed]) -> list[Body]:
    return [decode(Body, signed.content, max_bytes=LIMITS.body) for signed in bodies]


def ciphertexts(signed: Signed) -> tuple[int, ...]:
    """What anybody who holds a body can compute with."""
    return tuple(int.from_bytes(item, "big") for item in opened_bodies([signed])[0].items)


def summed(key: PublicKey, bodies: Iterable[Signed]) -> tuple[int, ...]:
    """The ciphertexts of the sum of these bodies."""
    return sum_ciphertexts(key, [ciphertexts(signed) for signed in bodies])


def with_sybils(fleet: Fleet, count: int) -> Fleet:
    """The same fleet with devices that the owner never enrolled. Its roster is nobody's: take bodies from it, no roster."""
    made = [DeviceKeys.generate(f"sybil-{number}", SeededRandomness(b"sybil%d" % number)) for number in range(count)]
    devices = {**fleet.parties.devices, **{keys.device_id: keys for keys in made}}
    return replace(fleet, parties=replace(fleet.parties, devices=devices))


def open_body_of_any_plan(_: object, signed: Signed) -> VerifiedBody:
    """Control: `open_body` without signature, membership and plan."""
    return VerifiedBody(opened_bodies([signed])[0], signed, sha256(signed.content))


def unbound_unseal(key: object, label: Label, _: bytes, sealed: bytes) -> bytes:
    """`unseal` without the check of the context: control for every attack that moves a sealed box somewhere else."""
    plain = key.unbox(sealed)  # type: ignore[attr-defined]  # a SealingKey
    start = len(labelled(label))
    return bytes(plain[start + 4 + int.from_bytes(plain[start : start + 4], "big") :])


def attack_fleet(*, devices: int = 8, key: str = "insecure-512", noise_multiplier: int = 1, **job: object) -> Fleet:
    """Cohorts of 4 to 2,800, so that slots are wide; two assumed colluders; the budget of each device lasts for 20 rounds."""
    budget = {"budget_nano_rho": 10**10}
    wanted = {"noise_multiplier": noise_multiplier, **job}
    return make_fleet(devices=devices, min_devices=4, max_devices=2800, key=key, policy=budget, job=wanted)


def _without_syncing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody pulls the plug in these tests, and waiting for disks is most of their time."""
    connect = store_module._connect

    def connect_loosely(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = MEMORY")
        return connection

    monkeypatch.setattr(store_module, "_connect", connect_loosely)
    monkeypatch.setattr(os, "fsync", lambda _: None)


@contextmanager
def staged(
    fleet: Fleet,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    data: Mapping[str, Data] | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> Iterator[AttackedFleet]:
    """The fleet, running; `data` replaces what single devices know, `max_bytes` is the greatest message of the broker."""
    tape: list[tuple[str, Delivery]] = []
    stages: list[AttackedFleet] = []

    def tap(identity: str, delivery: Delivery) -> Delivery | None:
        tape.append((identity, delivery))
        return stages[0].network(identity, delivery) if stages else delivery

    watcher = Watcher(DEVICE_SCHEMES["paillier"])
    monkeypatch.setitem(DEVICE_SCHEMES, "paillier", watcher)
    monkeypatch.setattr(fleet_module, "MemoryBroker", partial(MemoryBroker, tap=tap, max_bytes=max_bytes))
    _without_syncing(monkeypatch)
    known = {name: Data(update_of(name.encode())[None, :], np.zeros(1)) for name in fleet.names} if data is None else data
    assert isinstance(fleet.job.task, TrainingTask)
    with ThreadPoolExecutor(1) as executor:
        running = MemoryFleet(
            FleetSetup(fleet.parties, fleet.dealing, fleet.policy, fleet.job, fleet.model, known),
            folder,
            trainer=ByHeart(fleet.job.task.architecture),
            executor=executor,
            insecure_keys=True,
        )
        stages.append(AttackedFleet(fleet, running, watcher, tape))
        try:
            yield stages[0]
        finally:
            running.close()
