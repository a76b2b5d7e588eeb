"""Whatever order events come in, repeated, cut or garbled: each machine raises nothing but `PhaseError` and keeps its promises."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from hushfleet.codec import encode
from hushfleet.documents import Receipt, ReceiptStatus, VerifiedPlan, sign_receipt
from hushfleet.errors import LocalError, PhaseError, Refusal
from hushfleet.labels import sha256
from hushfleet.privacy import Ledger
from hushfleet.randomness import SeededRandomness
from hushfleet.rounds import member as member_phases
from hushfleet.rounds.coordinator import Collecting, CoordinatorState, Decrypting, NoRound
from hushfleet.rounds.device import DeviceMemory, DeviceState, Fetching, Preparing, Unenrolled, Working
from hushfleet.rounds.effects import (
    Effect,
    KeepAccepted,
    KeepAnswer,
    KeepContribution,
    KeepOutcome,
    KeepRequest,
    KeepRound,
    Persist,
    Publish,
)
from hushfleet.rounds.events import (
    AbortWanted,
    AnswerArrived,
    Connected,
    ContributionsArrived,
    DeadlinePassed,
    EvidenceArrived,
    Fetched,
    GrantArrived,
    InboxArrived,
    PlanArrived,
    Prepared,
    ReceiptArrived,
    RequestArrived,
    RosterArrived,
    RoundWanted,
    TaskDone,
)
from hushfleet.rounds.plan_check import nano_rho
from hushfleet.training import LocalUpdate
from hushfleet.wire import Evidence, Inbox, KeyShareDelivery, Kind, SharesDelivery, encode_signed
from tests.support.fleet import make_fleet, of, update_of
from tests.support.fleet.machines import Machines

FLEET = make_fleet(policy={"budget_nano_rho": 10**8})
NEWER, NEW_KEY = FLEET.newer(), FLEET.newer(serial=3, key_epoch=1)
TWIN = replace(NEWER, policy=msgspec.structs.replace(FLEET.policy, max_values=999))
NAME, MEMBER = "device-05", "device-01"
COST = nano_rho(FLEET.plan().plan, FLEET.roster)


def _messages_of_all() -> tuple[Machines, dict[str, bytes]]:
    machines = Machines(FLEET)
    machines.start()
    return machines, {name: machines.contribute(name, update_of(name.encode())) for name in FLEET.names}


MACHINES, SEALED = _messages_of_all()
PLANS = [
    *(FLEET.plan(number) for number in (1, 2, 3)),
    FLEET.plan(1, clip_norm=2.0),
    FLEET.plan(2, variance=16),
    FLEET.plan(4, selection=0),
    FLEET.plan(2**63 - 1),
    *(fleet.plan(number) for fleet in (NEWER, NEW_KEY, TWIN) for number in (1, 2)),
]
ROSTERS = [encode_signed(fleet.roster.signed) for fleet in (FLEET, NEWER, NEW_KEY, TWIN)]
REQUESTS = [
    *(encode(FLEET.request(plan, FLEET.bodies(plan, names))) for plan in PLANS[:4] for names in (FLEET.names[:4], FLEET.names[1:5])),
    *(encode(fleet.request(fleet.plan(), fleet.bodies(fleet.plan()))) for fleet in (NEWER, NEW_KEY)),
]
EVIDENCE = [
    encode(Evidence(*(FLEET.request(PLANS[0], FLEET.bodies(PLANS[0], names)).header for names in (FLEET.names[:4], FLEET.names[1:5]))))
]
MODEL = FLEET.model.to_bytes()
GRANTS = [FLEET.grants[MEMBER], NEW_KEY.grants[MEMBER], FLEET.grants["device-02"]]
INBOX = [
    *(encode(Inbox(KeyShareDelivery(grant))) for grant in GRANTS),
    encode(Inbox(SharesDelivery(PLANS[0].digest, bytes(32), (b"share",)))),
]
NO_TRAINER = LocalError(Refusal.MODEL_ABSENT, "no trainer", next_step="Install it.")


def flipped(data: bytes, bit: int) -> bytes:
    return (int.from_bytes(data, "big") ^ 1 << bit).to_bytes(len(data) + 1, "big")[1:]


def garbled(data: bytes) -> st.SearchStrategy[bytes]:
    """Mostly as it was; sometimes cut, longer, or with a bit flipped."""
    return st.one_of(
        st.just(data),
        st.just(data),
        st.just(data),
        st.integers(0, len(data)).map(lambda end: data[:end]),
        st.binary(min_size=1, max_size=4).map(lambda more: data + more),
        st.integers(0, max(0, 8 * len(data) - 1)).map(lambda bit: flipped(data, bit)),
        st.binary(max_size=40),
    )


@dataclass
class Watch:
    """One machine under watch. `kept` is every sealed byte string or request that it asked to be stored."""

    machine: Any
    state: Any
    randomness: SeededRandomness = field(default_factory=lambda: SeededRandomness(b"watch"))
    kept: set[bytes] = field(default_factory=set)

    def take(self, event: object) -> tuple[Effect, ...]:
        before = self.state
        try:
            after, effects = self.machine.step(before, event, self.randomness)
        except PhaseError:
            assert self.state is before
            return ()
        self._stored_before_it_is_sent(effects)
        self.state = after
        return effects

    def _stored_before_it_is_sent(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            match effect:
                case Persist(changes):
                    self.kept |= {sealed for change in changes for sealed in _bytes_of(change)}
                case Publish(topic, data) if topic.kind in (Kind.CONTRIBUTION, Kind.PARTIAL, Kind.REQUEST):
                    assert data in self.kept


def _bytes_of(change: object) -> Iterator[bytes]:
    match change:
        case KeepContribution(_, sealed) | KeepAnswer(_, _, _, _, sealed):
            yield sealed
        case KeepRequest(_, request):
            yield request


def changes_of(effects: tuple[Effect, ...], kind: type) -> list[Any]:
    return [change for persist in of(effects, Persist) for change in persist.changes if isinstance(change, kind)]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_device_charges_a_round_once_and_contributes_to_it_at_most_once(data):
    device = Watch(FLEET.device(NAME), data.draw(st.sampled_from([FLEET.device_state(), Unenrolled(DeviceMemory(Ledger()))])))
    sent: dict[tuple[bytes, int], bytes] = {}

    def receipt(status: ReceiptStatus, whole: bytes) -> bytes:
        known = device.state.memory.sent
        key_id, number = (known.key_id, known.round) if known else (FLEET.roster.key_id, 1)
        made = Receipt(FLEET.roster.roster.fleet, NAME, key_id, number, sha256(whole), status, (), "")
        return encode_signed(sign_receipt(made, FLEET.parties.orchestrator.signing))

    for _ in range(data.draw(st.integers(5, 40))):
        before, memory = device.state, device.state.memory
        underway = plan_under_way(before)
        own = memory.sent.sealed if memory.sent else b""
        messages = st.one_of(
            st.sampled_from(ROSTERS).flatmap(garbled).map(RosterArrived),
            st.sampled_from([encode_signed(plan.signed) for plan in PLANS]).flatmap(garbled).map(PlanArrived),
            st.builds(Prepared, st.sampled_from([underway, bytes(32)]), st.sampled_from([None, NO_TRAINER])),
            garbled(MODEL).map(Fetched),
            st.sampled_from([underway, bytes(32)]).map(lambda digest: TaskDone(digest, LocalUpdate(update_of(b"u")))),
            st.sampled_from([underway, bytes(32)]).map(lambda digest: TaskDone(digest, None, "nothing")),
            st.builds(receipt, st.sampled_from(ReceiptStatus), st.sampled_from([own, b"other"])).flatmap(garbled).map(ReceiptArrived),
            st.sampled_from(EVIDENCE).flatmap(garbled).map(lambda data: EvidenceArrived(MEMBER, data)),
            st.just(Connected()),
            st.sampled_from([RoundWanted(), RequestArrived(REQUESTS[0]), object()]),
        )
        fresh = [RosterArrived(ROSTERS[0]), *(PlanArrived(encode_signed(plan.signed)) for plan in PLANS[:3])]
        onward = {
            Preparing: st.just(Prepared(underway)),
            Fetching: st.just(Fetched(MODEL)),
            Working: st.sampled_from([TaskDone(underway, None), TaskDone(underway, LocalUpdate(update_of(b"v")))]),
        }.get(type(before), st.sampled_from(fresh))
        effects = device.take(data.draw(messages if data.draw(st.integers(0, 2)) == 0 else onward))

        kept, after = changes_of(effects, KeepContribution), device.state.memory
        assert len(after.ledger.events) == len(memory.ledger.events) + len(kept)
        assert after.ledger.spent_nano == COST * len(after.ledger.events) <= FLEET.policy.budget_nano_rho
        for one in kept:
            assert (one.entry.key_id, one.entry.round_number) not in sent
            sent[one.entry.key_id, one.entry.round_number] = one.sealed
        for publish in of(effects, Publish):
            assert publish.data in sent.values()
            assert after.sent.sealed == publish.data
        assert all(after.seen.get(key_id, 0) >= number for key_id, number in memory.seen.items())
        assert memory.stopped <= after.stopped
        assert not {one.entry.key_id for one in kept} & memory.stopped


def plan_under_way(state: DeviceState) -> bytes:
    """The hash of the plan that a device works on, or that of none."""
    return state.terms.plan_hash if isinstance(state, Preparing | Fetching | Working) else bytes(32)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_member_holds_at_most_one_answer_a_round(data):
    without_share = member_phases.Ready(member_phases.MemberMemory(), FLEET.roster)
    start = data.draw(st.sampled_from([FLEET.member_state(MEMBER), without_share, member_phases.Unenrolled()]))
    member, answered = Watch(FLEET.member(MEMBER), start), {}
    messages = st.one_of(
        st.sampled_from(ROSTERS).flatmap(garbled).map(RosterArrived),
        st.sampled_from(GRANTS).flatmap(garbled).map(GrantArrived),
        st.sampled_from(INBOX).flatmap(garbled).map(InboxArrived),
        st.sampled_from(REQUESTS).flatmap(garbled).map(RequestArrived),
        st.sampled_from(REQUESTS).map(RequestArrived),
        st.just(Connected()),
        st.sampled_from([PlanArrived(b""), object()]),
    )
    for _ in range(data.draw(st.integers(5, 40))):
        before = member.state.memory
        effects = member.take(data.draw(messages))

        for keep in changes_of(effects, KeepAnswer):
            assert (keep.key_id, keep.round) not in answered
            assert all(number < keep.round for key_id, number in answered if key_id == keep.key_id)
            answered[keep.key_id, keep.round] = keep.sealed
        partials = [publish.data for publish in of(effects, Publish) if publish.topic.kind is Kind.PARTIAL]
        assert set(partials) <= set(answered.values())
        after = member.state.memory
        assert all(after.answered[key_id].round >= one.round for key_id, one in before.answered.items())
        assert before.stopped <= after.stopped
        assert not {keep.key_id for keep in changes_of(effects, KeepAnswer)} & before.stopped


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_a_coordinator_asks_for_one_cohort_a_round_and_ends_what_it_begins(data):
    coordinator = Watch(FLEET.coordinator(), FLEET.coordinator_state())
    begun: list[tuple[bytes, int]] = []
    ended: list[tuple[bytes, int]] = []
    asked: set[tuple[bytes, int]] = set()
    stored: set[bytes] = set()
    members = {name: Watch(FLEET.member(name), FLEET.member_state(name)) for name in FLEET.parties.committee}

    def batch(names: list[str]) -> list[tuple[str, bytes]]:
        plan = latest_plan(coordinator.state) or FLEET.plan()
        if plan.digest == FLEET.plan().digest:
            return [(name, SEALED[name]) for name in names]
        return [(name, FLEET.sealed(plan, name, FLEET.body(plan, name))) for name in names if plan.plan.key_id == FLEET.roster.key_id]

    def answers() -> list[bytes]:
        if not isinstance(coordinator.state, Decrypting):
            return [b""]
        request = RequestArrived(encode(coordinator.state.request))
        return [p.data for watch in members.values() for p in of(watch.take(request), Publish) if p.topic.kind is Kind.PARTIAL] or [b""]

    def one_contribution(pair: tuple[str, bytes]) -> ContributionsArrived:
        return ContributionsArrived((pair,))

    for _ in range(data.draw(st.integers(5, 25))):
        messages = st.one_of(
            st.sampled_from([RoundWanted(), DeadlinePassed(), AbortWanted("x"), Connected(), object()]),
            st.just(RoundWanted()),
            st.lists(st.sampled_from(FLEET.names), max_size=6).map(batch).map(tuple).map(ContributionsArrived),
            st.lists(st.sampled_from(FLEET.names), min_size=4, max_size=6, unique=True).map(batch).map(tuple).map(ContributionsArrived),
            st.tuples(st.sampled_from(FLEET.names), st.sampled_from(list(SEALED.values())).flatmap(garbled)).map(one_contribution),
            st.builds(AnswerArrived, st.sampled_from(FLEET.names), st.sampled_from(answers()).flatmap(garbled)),
            st.sampled_from(ROSTERS).flatmap(garbled).map(RosterArrived),
        )
        before = coordinator.state
        onward = {
            NoRound: st.just(RoundWanted()),
            Collecting: st.just(ContributionsArrived(tuple(batch(list(FLEET.names[:5]))))),
            Decrypting: st.sampled_from([AnswerArrived(*pair) for pair in zip(members, answers(), strict=False)]),
        }[type(before)]
        effects = coordinator.take(data.draw(messages if data.draw(st.integers(0, 2)) == 0 else onward))

        begun += [(change.key_id, change.round) for change in changes_of(effects, KeepRound)]
        ended += [(before.terms.plan.key_id, change.round) for change in changes_of(effects, KeepOutcome)]
        stored |= {one.whole_hash for change in changes_of(effects, KeepAccepted) for one in change.contributions}
        if changes_of(effects, KeepRequest):
            assert begun[-1] not in asked
            asked.add(begun[-1])
        assert len(set(begun)) == len(begun)
        assert ended == begun[: len(ended)]
        assert len(begun) - len(ended) == (not isinstance(coordinator.state, NoRound))
        assert accepted_bytes(coordinator.state) <= stored
        released = coordinator.state.memory.progress.version - before.memory.progress.version
        assert released in (0, 1)
        if released:
            assert ended[-1] in asked


def latest_plan(state: CoordinatorState) -> VerifiedPlan | None:
    """That of the round under way or of the one before, if there was any."""
    if isinstance(state, NoRound):
        return state.closed.plan if state.closed else None
    return state.terms.verified_plan


def accepted_bytes(state: CoordinatorState) -> set[bytes]:
    """The hashes of all contributions that were accepted in that round."""
    if isinstance(state, NoRound):
        return set(state.closed.accepted.values()) if state.closed else set()
    return {one.whole_hash for one in state.accepted.values()}
