"""S3, members that answer falsely: no false sum is released, who lied is named by its own proof, and an honest member never is.

The committee takes N-th roots modulo N (PROTOCOL 3). The opened sum proves itself; a member's proof says only who to leave out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import gmpy2
import pytest

from hushfleet.encryption.paillier.partials import Partial, open_one, verify_partial
from hushfleet.errors import FaultyMember, PeerError, Refusal
from hushfleet.rounds.cohort import cohort_of
from hushfleet.rounds.coordinator import Decrypting, decrypting
from hushfleet.schemes.paillier import orchestrator as paillier_orchestrator
from hushfleet.schemes.paillier.profile import answer_context
from hushfleet.sharing.interpolation import integer_coefficients
from tests.support.fleet.attacked import AttackedFleet, attack_fleet, staged, summed
from tests.support.keys import load
from tests.support.refusals import refused

FACTOR = 123456789


@pytest.fixture
def wide_committee(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AttackedFleet]:
    """Seven members, f = 2, five required; a cohort is collected and the request is out."""
    with staged(attack_fleet(key="insecure-512-f2"), tmp_path, monkeypatch) as stage:
        stage.collect()
        stage.running.orchestrator.end_collection()
        yield stage


def begin(stage: AttackedFleet) -> bytes:
    """A collected cohort whose request is out; its root."""
    stage.collect()
    root = cohort_of(stage.plan.digest, stage.bodies())
    stage.running.orchestrator.end_collection()
    return root


def times(partial: Partial, factors: Sequence[int], modulus: int) -> Partial:
    values = [int(value * factor % modulus) for value, factor in zip(partial.values, factors, strict=True)]
    return replace(partial, values=tuple(values))


def name_of(index: int) -> str:
    return f"device-{index:02d}"


def named(stage: AttackedFleet) -> set[int]:
    """The members that the orchestrator named, by index."""
    errors = [happening.error for who, happening in stage.running.log.entries if who == "orchestrator" and hasattr(happening, "error")]
    return {error.index for error in errors if isinstance(error, FaultyMember)}


def half_root_of_one(key: str) -> int:
    """A square root of 1 modulo N that is neither 1 nor -1: only who knows the factors can make one."""
    test = load(key)
    inverse = pow(test.p, -1, test.q)
    return (1 + test.p * ((-2 * inverse) % test.q)) % test.public.modulus


FALSE = {
    "times a number": lambda partial, n: times(partial, [FACTOR] * len(partial.values), n),
    "of ones": lambda partial, _: replace(partial, values=(1,) * len(partial.values)),
    "of minus ones": lambda partial, n: replace(partial, values=(n - 1,) * len(partial.values)),
    "in another order": lambda partial, _: replace(partial, values=partial.values[::-1]),
    "with one false value": lambda partial, n: times(partial, [FACTOR, *(1 for _ in partial.values[1:])], n),
}


@pytest.mark.parametrize("how", FALSE)
def test_a_false_answer_is_named_when_the_sum_does_not_open_and_the_others_open_it(stage: AttackedFleet, how: str) -> None:
    root = begin(stage)
    stage.answer_as("device-02", FALSE[how](stage.collude("device-02", stage.bodies()), stage.key.modulus), root)
    stage.pump("device-01", "device-03")
    stage.running.orchestrator.pump()
    assert stage.version == 0, "three answers are there, one of them is false"
    assert named(stage) == {2}
    with refused(Refusal.PARTIAL_PROOF, FaultyMember):
        stage.judge("orchestrator")
    stage.pump("device-04")
    stage.running.orchestrator.pump()
    assert stage.version == 1
    assert set(stage.archived_answers()) == {1, 3, 4}


@pytest.mark.parametrize("how", FALSE)
def test_control_without_the_proof_nobody_is_named_and_one_liar_ends_the_round(
    stage: AttackedFleet, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paillier_orchestrator, "verify_partial", lambda *_: None)
    root = begin(stage)
    stage.answer_as("device-02", FALSE[how](stage.collude("device-02", stage.bodies()), stage.key.modulus), root)
    stage.pump("device-01", "device-03")
    stage.running.orchestrator.pump()
    assert not named(stage)
    with refused(Refusal.COMBINE_RESIDUE, PeerError):
        stage.judge("orchestrator")


def opened_for(stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch, copies: int) -> int:
    """The number of times that the sum is opened while a liar sends its false answer this often."""
    opened = []
    original = paillier_orchestrator.combine
    monkeypatch.setattr(paillier_orchestrator, "combine", lambda *given, **options: opened.append(1) or original(*given, **options))
    root = begin(stage)
    lie = FALSE["of ones"](stage.collude("device-02", stage.bodies()), stage.key.modulus)
    stage.pump("device-01", "device-03")
    for _ in range(copies):
        stage.answer_as("device-02", lie, root)
    stage.running.orchestrator.pump()
    return len(opened)


def test_a_lie_is_opened_once_however_often_it_is_sent(stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening a sum is the orchestrator's heaviest work: a member must not have it done again and again."""
    assert opened_for(stage, monkeypatch, copies=12) == 1


def test_control_without_the_memory_of_liars_each_copy_costs_the_work_again(stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    original = decrypting._without
    monkeypatch.setattr(decrypting, "_without", lambda *given: forgetful(original(*given)))
    assert opened_for(stage, monkeypatch, copies=12) == 12


def forgetful(step: tuple[Decrypting, object]) -> tuple[Decrypting, object]:
    return replace(step[0], refuted=frozenset()), step[1]


@pytest.mark.parametrize("root_of_one", [-1, half_root_of_one("insecure-512")], ids=["minus one", "a root that needs the factors"])
def test_an_element_of_order_two_changes_nothing(stage: AttackedFleet, root_of_one: int) -> None:
    """Weights are even, so that whatever a proof cannot see is gone before the sum is opened."""
    root, n = begin(stage), stage.key.modulus
    true = stage.collude("device-02", stage.bodies())
    stage.answer_as("device-02", times(true, [root_of_one] * len(true.values), n), root)
    stage.pump("device-01", "device-03")
    stage.running.orchestrator.pump()
    assert stage.version == 1
    assert not named(stage)


def conspiring(stage: AttackedFleet, *, cancelling: bool) -> dict[int, Partial]:
    """Members 1 and 2 move their answers so that the quorum 1..5 still opens, or so that only an answer of 3 moved as well would fit."""
    n, bodies = stage.key.modulus, stage.bodies()
    weights = integer_coefficients((1, 2, 3, 4, 5), stage.key.members)
    one, two = (stage.collude(name_of(index), bodies) for index in (1, 2))
    count = len(one.values)
    first, second = (weights[2], -weights[1]) if cancelling else (weights[3], 0)
    powers = [int(gmpy2.powmod(FACTOR, exponent, n)) for exponent in (first, second)]
    return {1: times(one, [powers[0]] * count, n), 2: times(two, [powers[1]] * count, n)}


def test_two_that_cancel_each_other_release_the_true_sum_and_nobody_is_accused(wide_committee: AttackedFleet) -> None:
    stage = wide_committee
    root = cohort_of(stage.plan.digest, stage.bodies())
    for index, partial in conspiring(stage, cancelling=True).items():
        stage.answer_as(name_of(index), partial, root)
    stage.pump(*(name_of(index) for index in (3, 4, 5)))
    stage.running.orchestrator.pump()
    assert stage.version == 1
    assert not named(stage)


def test_two_that_err_together_to_frame_a_third_are_named_themselves(wide_committee: AttackedFleet) -> None:
    stage = wide_committee
    root = cohort_of(stage.plan.digest, stage.bodies())
    false = conspiring(stage, cancelling=False)
    false[2] = times(false[2], [FACTOR] * len(false[2].values), stage.key.modulus)
    for index, partial in false.items():
        stage.answer_as(name_of(index), partial, root)
    stage.pump(*(name_of(index) for index in (3, 4, 5, 6, 7)))
    stage.running.orchestrator.pump()
    assert stage.version == 1
    assert named(stage) == {1, 2}
    assert set(stage.archived_answers()) == {3, 4, 5, 6, 7}


def test_control_naming_by_interpolation_accuses_an_honest_member(wide_committee: AttackedFleet) -> None:
    """1 and 2 cancel in the quorum 1..5 and in no other: beside the root that it opens, the true answer of 6 does not fit to theirs."""
    stage = wide_committee
    bodies = stage.bodies()
    total, root = summed(stage.key, bodies), cohort_of(stage.plan.digest, bodies)
    answers = {index: stage.collude(name_of(index), bodies) for index in range(3, 8)} | conspiring(stage, cancelling=True)
    assert open_one(stage.key, total[0], {index: answers[index].values[0] for index in (1, 2, 3, 4, 5)})
    with refused(Refusal.COMBINE_RESIDUE, PeerError):
        open_one(stage.key, total[0], {index: answers[index].values[0] for index in (1, 2, 3, 4, 6)})
    verify_partial(stage.key, total, answers[6], answer_context(stage.terms, root, 6))
