"""The machines of a `Fleet` without link or store: all three for a round by hand, or the orchestrator's alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from hushfleet.codec import decode, encode
from hushfleet.documents import VerifiedPlan
from hushfleet.encryption.sealing import SealingPublicKey, seal, unseal
from hushfleet.errors import HushfleetError, Refusal
from hushfleet.labels import Label, sha256
from hushfleet.randomness import Randomness, SeededRandomness, SystemRandomness
from hushfleet.rounds.coordinator import Collecting, CoordinatorState, Decrypting
from hushfleet.rounds.device import DeviceState
from hushfleet.rounds.effects import Change, DoTask, Effect, Fetch, Prepare, Publish
from hushfleet.rounds.events import (
    AnswerArrived,
    ContributionsArrived,
    DeadlinePassed,
    Fetched,
    PlanArrived,
    Prepared,
    ReceiptArrived,
    RequestArrived,
    RosterArrived,
    RoundWanted,
    TaskDone,
)
from hushfleet.rounds.machine import Running
from hushfleet.rounds.member import MemberState
from hushfleet.rounds.tasks.train import own
from hushfleet.training import GlobalModel, LocalUpdate
from hushfleet.wire import Answer, Kind, SealedAnswer, answer_seal_context, encode_signed
from hushfleet.wire.limits import LIMITS
from tests.support.fleet import Fleet, changes, of, published, raise_refusal, update_of
from tests.support.refusals import refused


@dataclass
class Machines:
    """Every party's machine with its state. Messages are handed over by the test; `kept` lists what each party stored."""

    fleet: Fleet
    randomness: Randomness = field(default_factory=lambda: SeededRandomness(b"machines"))
    kept: dict[str, list[Change]] = field(default_factory=dict)
    coordinator: Running[CoordinatorState] = field(init=False)
    devices: dict[str, Running[DeviceState]] = field(init=False)
    members: dict[str, Running[MemberState]] = field(init=False)
    plan: bytes = b""
    request: bytes = b""
    effects: list[tuple[str, Effect]] = field(default_factory=list)

    def __post_init__(self) -> None:
        fleet = self.fleet
        self.coordinator = self._running("orchestrator", fleet.coordinator(), fleet.coordinator_state())
        self.devices = {name: self._running(name, fleet.device(name), fleet.device_state()) for name in fleet.names}
        self.members = {
            name: self._running(f"{name} as member", fleet.member(name), fleet.member_state(name)) for name in fleet.parties.committee
        }

    def _running(self, party: str, machine: object, state: object) -> Running[Any]:
        kept = self.kept.setdefault(party, [])
        return Running(machine, state, kept.extend, self.randomness)

    def take(self, party: str, running: Running[Any], event: object) -> tuple[Effect, ...]:
        """One step; everything left to do is also noted in `effects`."""
        effects = running.step(event)
        self.effects += [(party, effect) for effect in effects]
        return effects

    def orchestrate(self, event: object) -> tuple[Effect, ...]:
        effects = self.take("orchestrator", self.coordinator, event)
        self.request = (published(effects, Kind.REQUEST) or [self.request])[-1]
        return effects

    def start(self) -> VerifiedPlan:
        self.plan = published(self.orchestrate(RoundWanted(1000)), Kind.PLAN)[0]
        assert isinstance(self.coordinator.state, Collecting)
        return self.coordinator.state.terms.verified_plan

    def contribute(self, name: str, update: npt.NDArray[np.float64] | None = None) -> bytes:
        """The plan arrives, the model arrives, training ends: the sealed contribution. No update means a failed training."""
        device, model = self.devices[name], self.coordinator.state.memory.progress.result
        prepare = of(self.take(name, device, PlanArrived(self.plan)), Prepare)[0]
        assert of(self.take(name, device, Prepared(prepare.plan_hash)), Fetch)[0].digest == sha256(model)
        task = of(self.take(name, device, Fetched(model)), DoTask)[0]
        trained = TaskDone(task.plan_hash, None if update is None else LocalUpdate(update), "no update in this test")
        return published(self.take(name, device, trained), Kind.CONTRIBUTION)[0]

    def collect(self, sealed: Mapping[str, bytes]) -> tuple[Effect, ...]:
        """One batch; each receipt goes back to its device."""
        effects = self.orchestrate(ContributionsArrived(tuple(sealed.items())))
        for effect in of(effects, Publish):
            if effect.topic.kind is Kind.RECEIPT and effect.topic.device is not None:
                self.take(effect.topic.device, self.devices[effect.topic.device], ReceiptArrived(effect.data))
        return effects

    def answer(self, name: str) -> bytes:
        return published(self.take(name, self.members[name], RequestArrived(self.request)), Kind.PARTIAL)[0]

    def decrypt(self, names: Iterable[str] | None = None) -> tuple[Effect, ...]:
        """Close the collection if it is open; these members (default: all) answer until the round is over."""
        effects: tuple[Effect, ...] = ()
        if isinstance(self.coordinator.state, Collecting):
            effects += self.orchestrate(DeadlinePassed())
        for name in names or self.fleet.parties.committee:
            if isinstance(self.coordinator.state, Decrypting):
                effects += self.orchestrate(AnswerArrived(name, self.answer(name), 3000))
        return effects

    def run_round(self, updates: Mapping[str, npt.NDArray[np.float64]] | None = None) -> tuple[Effect, ...]:
        """One honest round: each named device (default: k_min of them) contributes, the committee answers. What followed."""
        if updates is None:
            updates = {name: update_of(name.encode()) for name in self.fleet.names[: self.fleet.job.min_devices]}
        self.start()
        effects = self.collect({name: self.contribute(name, update) for name, update in updates.items()})
        return effects + self.decrypt()

    def renew(self, fleet: Fleet) -> None:
        """Everybody gets the roster of `fleet`."""
        event = RosterArrived(encode_signed(fleet.roster.signed))
        self.orchestrate(event)
        for party in (*self.devices.items(), *self.members.items()):
            self.take(*party, event)
        self.fleet = fleet


class OrchestratorMachine:
    """The orchestrator's machine alone, fed with what a test makes."""

    def __init__(self, fleet: Fleet, *, target: int | None = None) -> None:
        self.fleet, self.machine = fleet, fleet.coordinator(target=target)
        self.state: Any = fleet.coordinator_state()

    def take(self, event: object) -> tuple[Effect, ...]:
        self.state, effects = self.machine.step(self.state, event, SeededRandomness(b"coordinator"))
        return effects

    def refuses(self, reason: Refusal, kind: type[HushfleetError], event: object) -> tuple[Effect, ...]:
        """The event is refused for this reason; nothing is stored and the state is as it was."""
        before = self.state
        effects = self.take(event)
        assert not changes(effects)
        assert self.state == before
        with refused(reason, kind):
            raise_refusal(effects)
        return effects

    @property
    def plan(self) -> VerifiedPlan:
        return self.state.terms.verified_plan

    @property
    def model(self) -> GlobalModel:
        return own(self.state.memory.progress).model

    def sealed(self, name: str, values: Any = None, seed: bytes = b"") -> bytes:  # noqa: ANN401 -- an array or None
        return self.fleet.sealed(self.plan, name, self.fleet.body(self.plan, name, values, seed))

    def collect(self, *names: str, values: Any = None) -> tuple[Effect, ...]:  # noqa: ANN401 -- likewise
        return self.take(ContributionsArrived(tuple((name, self.sealed(name, values)) for name in names)))

    def answer(self, name: str, request: bytes | None = None) -> bytes:
        """What this member answers to the request that is out, sealed."""
        member, state = self.fleet.member(name), self.fleet.member_state(name)
        _, effects = member.step(state, RequestArrived(request or encode(self.state.request)), SystemRandomness())
        return published(effects, Kind.PARTIAL)[0]

    def reseal(self, name: str, place: int = 1, *, by: str | None = None, **fields: object) -> AnswerArrived:
        """A member's answer with other fields, signed by that member or another, sealed again."""
        context = answer_seal_context(self.fleet.roster.key_id, self.plan.plan.round, place)
        content = encode(msgspec.structs.replace(self.opened(name, place), **fields))
        signed = self.fleet.parties.devices[by or name].signing.sign(Label.ANSWER, content)
        recipient = SealingPublicKey(self.fleet.parties.orchestrator.entry.sealing_key)
        return AnswerArrived(name, seal(recipient, Label.SEAL_ANSWER, context, encode(SealedAnswer(signed))))

    def opened(self, name: str, index: int) -> Answer:
        context = answer_seal_context(self.fleet.roster.key_id, self.plan.plan.round, index)
        plain = unseal(self.fleet.parties.orchestrator.sealing, Label.SEAL_ANSWER, context, self.answer(name))
        return decode(Answer, decode(SealedAnswer, plain, max_bytes=LIMITS.answer).answer.content, max_bytes=LIMITS.answer)
