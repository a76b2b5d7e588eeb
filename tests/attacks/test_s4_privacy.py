"""S4: the released sum is differentially private at the stated rho, whatever plans, peers and updates do.

Against at most f members and at most c = 2 of a cohort's contributors. Beyond f members each contribution keeps its own noise.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import chi2

from edge_agent.agent import Agent, Enrolment
from edge_agent.data.room import KnownRows
from edge_agent.folder import DeviceKeys
from edge_agent.store import Store
from hushfleet.audit import verify as verify_module
from hushfleet.audit import verify_job
from hushfleet.codec import encode
from hushfleet.documents import Outcome, Plan, PrivacyPlan, open_record, sign_record
from hushfleet.errors import BudgetError, FaultyOrchestrator, LocalError, PeerError, Refusal
from hushfleet.labels import Label
from hushfleet.link import Messenger
from hushfleet.privacy import Ledger, discrete_gaussian, rho_nano
from hushfleet.privacy import encode as encode_module
from hushfleet.privacy.clipping import ClippedVector
from hushfleet.privacy.noise import EncodedVector
from hushfleet.randomness import Randomness, SeededRandomness, SystemRandomness
from hushfleet.rounds import contributing, plan_check
from hushfleet.rounds import device as device_module
from hushfleet.rounds import member as member_module
from hushfleet.rounds.effects import ZeroContributed
from hushfleet.rounds.events import RosterArrived
from hushfleet.schemes.base import RoundTerms
from hushfleet.training import Architecture, Data, GlobalModel, LocalUpdate
from hushfleet.wire import Kind, Topic, decode_signed, encode_signed
from tests.support.fleet import FLEET_NAME, Fleet, allowing
from tests.support.fleet.attacked import AttackedFleet, IntVector, attack_fleet, staged
from tests.support.refusals import refused

VICTIM = "device-05"
FOUR = ("device-01", "device-02", "device-03", "device-04")
COLLUDING, HONEST = FOUR[:2], FOUR[2:]
WIDE = Architecture("wide", (("weights", (2000,)),), "none", b"wide")
UNLIKELY = 1e-9
"""Chance of a false alarm in each statistical assertion, were the noise not seeded."""


def wide_world(devices: int = 4) -> Fleet:
    """2,000 values, so that a variance shows; cohorts of 4."""
    fleet = attack_fleet(devices=devices, architecture=WIDE)
    policy = msgspec.structs.replace(fleet.policy, models=allowing(WIDE), max_values=2000)
    return replace(fleet, policy=policy, model=GlobalModel(0, np.zeros(2000, np.float32)))


@pytest.fixture
def wide_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AttackedFleet]:
    """Every update is zero: what devices encrypt is their noise, drawn from seeds."""
    fleet = wide_world(5)
    zero = Data(np.zeros((1, 2000)), np.zeros(1))
    with staged(fleet, tmp_path, monkeypatch, data=dict.fromkeys(fleet.names, zero)) as stage:
        for name in stage.names:
            stage.running.agents[name]._device._randomness = SeededRandomness(name.encode())
        yield stage


def opened_cohort(stage: AttackedFleet) -> IntVector:
    stage.collect(*FOUR)
    return stage.open_request(stage.fleet.request(stage.plan, stage.bodies()))


def least(variance: float, count: int) -> float:
    """Below this mean square, `count` draws do not have this variance."""
    return float(variance * chi2.ppf(UNLIKELY, count) / count)


def mean_square(values: IntVector) -> float:
    return float(np.mean(values.astype(np.float64) ** 2))


def proportional(nano: int, rho: Fraction) -> bool:
    """Whether h = 2 times what a ledger holds is this rho, up to the ledger's rounding up."""
    return 0 <= nano - 10**9 * rho < 2


def test_with_c_colluders_noise_removed_the_sum_keeps_the_promised_variance(wide_stage: AttackedFleet) -> None:
    """Exactly, in integers: h V >= z^2 B2. And as the opened sum shows: no part of it is missing."""
    left = opened_cohort(wide_stage) - wide_stage.total(COLLUDING)
    n, z2 = wide_stage.plan.plan.privacy, wide_stage.fleet.policy.min_noise_squared
    assert (n.min_devices - 2) * n.variance >= z2 * n.b2
    assert np.array_equal(left, wide_stage.total(HONEST))
    assert mean_square(left) > least(float(z2 * n.b2), left.size)


def test_a_plan_that_counts_on_the_colluders_noise_is_refused(wide_stage: AttackedFleet) -> None:
    """V = z^2 B2 / k_min would be enough if all four were honest."""
    n = wide_stage.fleet.plan().plan.privacy
    thin = wide_stage.fleet.plan(1, variance=-(-n.b2 // n.min_devices))
    for name in FOUR:
        wide_stage.offer_plan(name, thin)
        with refused(Refusal.PLAN_NOISE, FaultyOrchestrator):
            wide_stage.judge(name)
    bodies = [wide_stage.fleet.body(thin, name) for name in FOUR]
    wide_stage.refused_by_all(wide_stage.fleet.request(thin, bodies), Refusal.PLAN_NOISE, FaultyOrchestrator)


def test_control_without_that_check_too_little_noise_is_left(wide_stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    n = wide_stage.fleet.plan().plan.privacy
    thin = wide_stage.fleet.plan(1, variance=-(-n.b2 // n.min_devices))
    for module in (plan_check, member_module):  # where device and member look it up
        monkeypatch.setattr(module, "check_plan", lambda *_: None)
    for name in FOUR:
        wide_stage.offer_plan(name, thin)
    bodies = [wide_stage.fleet.unsealed(thin, name, wide_stage.sent(Kind.CONTRIBUTION, by=name)[0]).body for name in FOUR]
    opened = wide_stage.open_request(wide_stage.fleet.request(thin, bodies), terms=wide_stage.fleet.terms(thin))
    left = opened - wide_stage.total(COLLUDING)
    assert mean_square(left) < least(n.b2, left.size)


def test_beyond_f_members_each_contribution_keeps_its_own_noise(wide_stage: AttackedFleet) -> None:
    """Two full roots subtract; what is left of the victim is its update plus N_Z(0, V): rho_local = B2 / (2 V) = h rho."""
    wide_stage.collect()
    four, five = wide_stage.bodies(*FOUR), wide_stage.bodies()
    opened = []
    for honest, bodies in (("device-01", four), ("device-02", five)):
        one = wide_stage.ask(honest, wide_stage.fleet.request(wide_stage.plan, bodies))
        assert one is not None
        opened.append(wide_stage.opened([one, *(wide_stage.collude(member, bodies) for member in ("device-03", "device-04"))], bodies))
    alone = opened[1] - opened[0]
    n = wide_stage.plan.plan.privacy
    assert mean_square(alone) > least(n.variance, alone.size)
    assert proportional(2 * wide_stage.spent(VICTIM), Fraction(n.b2, 2 * n.variance))


def test_control_without_local_noise_nothing_is_left_of_it(wide_stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The victim's zeros, read exactly."""
    monkeypatch.setattr(encode_module, "add_noise", lambda rounded, *_: EncodedVector(rounded.copy()))
    assert not opened_cohort(wide_stage).any()


def test_a_device_without_usable_data_contributes_full_noise_that_looks_like_anybodys(wide_stage: AttackedFleet) -> None:
    """Refusing would tell about its data. Only its own log knows."""
    agent = wide_stage.running.agents[VICTIM]
    agent._work = replace(agent._work, rows=KnownRows(lambda: Data(np.empty((0, 2000)), np.empty(0))))
    wide_stage.collect()
    sizes = {len(wide_stage.sent(Kind.CONTRIBUTION, by=name)[0]) for name in wide_stage.names}
    assert len(sizes) == 1
    assert mean_square(wide_stage.encoded(VICTIM)) > least(wide_stage.plan.plan.privacy.variance, 2048)
    zeros = [what.reason for who, what in wide_stage.running.log.entries if who == VICTIM and isinstance(what, ZeroContributed)]
    assert zeros == ["no rows to train on [data-empty]"]
    assert not any(b"no rows" in delivery.data for _, delivery in wide_stage.tape)


def test_control_a_device_that_stays_out_for_want_of_data_tells_about_them(
    wide_stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refusing instead of zero plus noise: who is in the record then follows from who has data."""
    honest = device_module.protect

    def refuse_without_an_update(terms: RoundTerms, update: LocalUpdate | None, reason: str, randomness: Randomness) -> object:
        if update is None:
            raise LocalError(Refusal.DATA_EMPTY, reason)
        return honest(terms, update, reason, randomness)

    monkeypatch.setattr(device_module, "protect", refuse_without_an_update)
    agent = wide_stage.running.agents[VICTIM]
    agent._work = replace(agent._work, rows=KnownRows(lambda: Data(np.empty((0, 2000)), np.empty(0))))
    wide_stage.collect()
    assert set(wide_stage.accepted) == set(wide_stage.names) - {VICTIM}


def test_each_ledger_holds_the_exact_cost_of_the_round(stage: AttackedFleet) -> None:
    stage.collect(*FOUR)
    n = stage.plan.plan.privacy
    exact = Fraction(n.b2, 2 * (n.min_devices - 2) * n.variance)
    for name in FOUR:
        assert stage.spent(name) == math.ceil(10**9 * exact)
        assert stage.spent(name) <= 10**9 / (2 * stage.fleet.policy.min_noise_squared)


def test_fewer_honest_contributors_than_assumed_cost_in_proportion(wide_stage: AttackedFleet) -> None:
    """With h' = 1 of h = 2 the noise left has variance h' V, hence the cost rho h / h'."""
    left = opened_cohort(wide_stage) - wide_stage.total(FOUR[:3])
    n = wide_stage.plan.plan.privacy
    assert proportional(2 * wide_stage.spent(FOUR[3]), Fraction(n.b2, 2 * n.variance))
    assert mean_square(left) > least(n.variance, left.size)


def test_control_counted_as_if_all_were_honest_the_noise_is_too_little(wide_stage: AttackedFleet) -> None:
    """The same sum, held against the variance of h = 2 contributors: a cost of rho would be understated."""
    left = opened_cohort(wide_stage) - wide_stage.total(FOUR[:3])
    n = wide_stage.plan.plan.privacy
    assert mean_square(left) < least(2 * n.variance, left.size)
    assert not proportional(wide_stage.spent(FOUR[3]), Fraction(n.b2, 2 * n.variance))


def poor_world(rounds: int) -> Fleet:
    """A budget that lasts for so many rounds and not for one more."""
    fleet = attack_fleet()
    n = fleet.plan().plan.privacy
    cost = rho_nano(n.b2, n.min_devices - 2, n.variance)
    return replace(fleet, policy=msgspec.structs.replace(fleet.policy, budget_nano_rho=(rounds + 1) * cost - 1))


def rounds_of(stage: AttackedFleet, *names: str) -> None:
    stage.collect(*names)
    stage.running.orchestrator.abort("the budget is spent either way")


def test_the_budget_ends_across_rounds_and_key_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with staged(poor_world(2), tmp_path, monkeypatch) as stage:
        rounds_of(stage, VICTIM)
        epoch_1 = renew(stage, key_epoch=1)
        assert epoch_1.roster.key_id != stage.memory(VICTIM).ledger.events[0].key_id
        rounds_of(stage, VICTIM)
        renew(stage, serial=3, key_epoch=2)
        stage.running.orchestrator.start_round()
        stage.pump(VICTIM)
        with refused(Refusal.BUDGET_EXHAUSTED, BudgetError):
            stage.judge(VICTIM)
        assert [event.round_number for event in stage.memory(VICTIM).ledger.events] == [1, 1]
        assert len(stage.all_encoded(VICTIM)) == 2


def renew(stage: AttackedFleet, **changes: int) -> Fleet:
    """A new roster reaches everybody, the orchestrator first. Rounds count anew under the new key."""
    fleet, orchestrator = stage.fleet.newer(**changes), stage.running.orchestrator
    orchestrator._carry_out(orchestrator._running.step(RosterArrived(encode_signed(fleet.roster.signed))))
    stage.pump()
    stage.fleet = fleet
    return fleet


def test_control_without_the_budget_the_victim_spends_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ledger, "_paid", lambda ledger, event, _: Ledger((*ledger.events, event)))
    with staged(poor_world(2), tmp_path, monkeypatch) as stage:
        for _ in range(4):
            rounds_of(stage, VICTIM)
        assert stage.spent(VICTIM) > stage.fleet.policy.budget_nano_rho


def test_a_resend_costs_nothing_and_is_the_same_bytes(stage: AttackedFleet) -> None:
    """After a reconnection, and after a restart from what is on disk."""
    stage.network = lambda _, delivery: None if "/receipt/" in delivery.topic else delivery
    stage.collect(VICTIM)
    once = stage.spent(VICTIM)
    for _ in range(3):
        stage.running.agents[VICTIM].connect()
    restart(stage, VICTIM)
    stage.running.agents[VICTIM].connect()
    stage.offer_plan(VICTIM, stage.plan)
    stage.judge(VICTIM)
    assert len(stage.sent(Kind.CONTRIBUTION, by=VICTIM)) == 5
    assert len(set(stage.sent(Kind.CONTRIBUTION, by=VICTIM))) == 1
    assert stage.spent(VICTIM) == once


def restart(stage: AttackedFleet, name: str) -> None:
    """Nothing is left of the device's agent but its folder."""
    running, position = stage.running, stage.names.index(name)
    folder, root = running.folder / "devices" / name, stage.fleet.parties.owner.root.verify_key
    running.stores[position].close()
    running.stores[position] = store = Store(folder)
    work, report = running.agents[name]._work, running.log.add
    running.agents[name] = Agent(
        Enrolment(DeviceKeys.load(folder), FLEET_NAME, root, insecure_keys=True),
        store,
        Messenger(running.links[name], folder / "spool"),
        work,
        report=report,
    )


def test_a_device_whose_memory_was_taken_does_not_start_anew(stage: AttackedFleet) -> None:
    """Else whoever can delete a file gives it a new budget. An older file put back: test_rolled_back.py."""
    stage.collect(VICTIM)
    folder = stage.running.folder / "devices" / VICTIM
    (folder / "agent.db").unlink()
    with refused(Refusal.LEDGER_MISSING, LocalError):
        Store(folder)


def test_control_with_an_empty_memory_it_contributes_to_the_same_round_twice(stage: AttackedFleet) -> None:
    stage.collect(VICTIM)
    running = stage.running.agents[VICTIM]._device
    running.state, running._persist = (
        replace(running.state, memory=replace(running.state.memory, ledger=Ledger(), done=b"")),
        lambda _: None,
    )
    stage.offer_plan(VICTIM, stage.plan)
    first, second = stage.all_encoded(VICTIM)
    assert not np.array_equal(first, second)


HOSTILE: dict[str, Callable[[], npt.NDArray[np.float64]]] = {
    "huge": lambda: np.full(2000, 1e300),
    "infinite": lambda: np.where(np.arange(2000) == 7, np.inf, 0.0),
    "not a number": lambda: np.full(2000, np.nan),
    "in one value": lambda: np.where(np.arange(2000) == 0, 1e9, 0.0),
    "in one block": lambda: np.where(np.arange(2000) < 64, 1e9, 0.0),
    "of alternating signs": lambda: 1e6 * (-1.0) ** np.arange(2000),
}


class Direct:
    """A trainer whose update is whatever its device holds, sound or not."""

    architecture = WIDE

    def __init__(self, update: npt.NDArray[np.float64]) -> None:
        self.update = update

    def check(self, _: object, __: object) -> None:
        pass

    def gradient(self, _: object, __: object, ___: object) -> tuple[float, npt.NDArray[np.float64]]:
        return 0.0, -self.update


def watch_rounding(monkeypatch: pytest.MonkeyPatch) -> list[IntVector]:
    """Everything that noise is added to from now on."""
    seen: list[IntVector] = []
    add_noise = encode_module.add_noise

    def watched(rounded: IntVector, variance: int, randomness: Randomness) -> EncodedVector:
        seen.append(rounded)
        return add_noise(rounded, variance, randomness)

    monkeypatch.setattr(encode_module, "add_noise", watched)
    return seen


def rounded_by_victim(stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch, update: npt.NDArray[np.float64]) -> IntVector:
    """What the victim adds its noise to if this is its update. It is accepted."""
    seen, agent = watch_rounding(monkeypatch), stage.running.agents[VICTIM]
    agent._trainers._configured[WIDE.digest] = Direct(update)
    stage.collect(VICTIM)
    assert VICTIM in stage.accepted
    return seen[0]


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_update_exceeds_the_integer_bound(wide_stage: AttackedFleet, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rounded = rounded_by_victim(wide_stage, monkeypatch, HOSTILE[kind]())
    n = wide_stage.plan.plan.privacy
    assert int(np.dot(rounded, rounded)) <= n.b2
    assert int(np.abs(rounded).max()) <= n.bound


@pytest.mark.parametrize("kind", ["huge", "in one block", "of alternating signs"])
def test_without_the_clip_the_integer_check_alone_holds_the_bound(
    wide_stage: AttackedFleet, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in floating point is relied on."""
    monkeypatch.setattr(contributing, "clip", unclipped)
    rounded = rounded_by_victim(wide_stage, monkeypatch, np.minimum(HOSTILE[kind](), 1e12))
    assert int(np.dot(rounded, rounded)) <= wide_stage.plan.plan.privacy.b2


def test_control_without_the_integer_check_the_bound_is_broken(wide_stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contributing, "clip", unclipped)
    monkeypatch.setattr(encode_module, "round_within", lambda scaled, *, bound, **_: np.clip(scaled, -bound, bound).astype(np.int64))
    rounded = rounded_by_victim(wide_stage, monkeypatch, HOSTILE["of alternating signs"]())
    assert int(np.dot(rounded, rounded)) > wide_stage.plan.plan.privacy.b2


def unclipped(update: npt.NDArray[np.float64], clip_norm: float) -> ClippedVector:
    """A vector that claims to be clipped."""
    found = ClippedVector.zero(update.size, clip_norm)
    object.__setattr__(found, "values", update)
    return found


@pytest.mark.parametrize("lie", [{"scale": 1e-9}, {"scale": 1e9}, {"clip_norm": 1e6}, {"clip_norm": 1e-6}, {"b2": 400}], ids=str)
def test_a_plan_cannot_ask_one_device_a_question_by_what_passes_the_check(stage: AttackedFleet, lie: dict[str, float]) -> None:
    """With scale, clip norm and B2 at odds, 'zero or not' would tell whether one update was long: such a plan costs nobody anything."""
    stage.offer_plan(VICTIM, stage.fleet.plan(1, **lie))
    with refused(Refusal.PLAN_SENSITIVITY, FaultyOrchestrator):
        stage.judge(VICTIM)
    assert not stage.spent(VICTIM)


@pytest.mark.parametrize("lie", [{"scale": 1e-9}, {"scale": 1e9}, {"clip_norm": 1e6}, {"clip_norm": 1e-6}], ids=str)
def test_control_even_without_that_check_cost_and_bound_stay(
    stage: AttackedFleet, lie: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_check, "check_plan", lambda *_: None)
    seen, plan = watch_rounding(monkeypatch), stage.fleet.plan(1, **lie)
    stage.offer_plan(VICTIM, plan)
    n = plan.plan.privacy
    assert stage.spent(VICTIM) == rho_nano(n.b2, n.min_devices - 2, n.variance)
    assert int(np.dot(seen[0], seen[0])) <= n.b2


def test_the_cost_follows_the_integers_that_are_enforced(stage: AttackedFleet) -> None:
    """A plan may be kinder than it must be; then it is cheaper, and truly so."""
    n = stage.fleet.plan(1, variance=919).plan.privacy
    stage.offer_plan(VICTIM, stage.fleet.plan(1, variance=919))
    assert stage.spent(VICTIM) == rho_nano(n.b2, 2, n.variance) < 5 * 10**8
    assert max(abs(stage.encoded(VICTIM))) <= discrete_gaussian(n.variance).half_width + n.bound


class PlanWithCost(Plan, frozen=True):
    """A plan that states what it costs."""

    rho_nano: int = 1


def test_a_plan_has_no_place_for_a_stated_cost(stage: AttackedFleet) -> None:
    honest = stage.fleet.plan().plan
    fields = {name: getattr(honest, name) for name in Plan.__struct_fields__}
    signed = stage.fleet.parties.orchestrator.signing.sign(Label.PLAN, encode(PlanWithCost(**fields, rho_nano=1)))
    stage.deliver(VICTIM, Topic(FLEET_NAME, Kind.PLAN), encode_signed(signed))
    stage.pump(VICTIM)
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        stage.judge(VICTIM)
    assert not stage.spent(VICTIM)
    assert PrivacyPlan.__struct_fields__[:5] == ("b2", "variance", "bound", "min_devices", "max_devices")


def test_a_record_that_understates_the_cost_does_not_pass_an_audit(stage: AttackedFleet) -> None:
    stage.collect()
    stage.running.orchestrator.end_collection()
    stage.running.settle()
    files = stage.archive()
    root = stage.fleet.parties.owner.root.verify_key
    assert verify_job([files], root, SystemRandomness(), insecure_keys=True).rho_nano == stage.spent(VICTIM)
    record = open_record(decode_signed(files["record"]), stage.fleet.roster.orchestrator)
    assert record.outcome is Outcome.RELEASED
    lie = sign_record(msgspec.structs.replace(record, rho_nano=1), stage.fleet.parties.orchestrator.signing)
    with refused(Refusal.ARCHIVE, PeerError):
        verify_job([{**files, "record": encode_signed(lie)}], root, SystemRandomness(), insecure_keys=True)


def test_control_without_recomputing_it_the_understated_cost_passes(stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.collect()
    stage.running.orchestrator.end_collection()
    stage.running.settle()
    files = stage.archive()
    record = open_record(decode_signed(files["record"]), stage.fleet.roster.orchestrator)
    lie = sign_record(msgspec.structs.replace(record, rho_nano=1), stage.fleet.parties.orchestrator.signing)
    monkeypatch.setattr(verify_module, "nano_rho", lambda *_: 1)
    root = stage.fleet.parties.owner.root.verify_key
    assert verify_job([{**files, "record": encode_signed(lie)}], root, SystemRandomness(), insecure_keys=True).rho_nano == 1
