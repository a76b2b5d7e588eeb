"""S3, the one thing that different roots for honest members yield: a weighted sum of two disjoint cohorts of at least k_min each.

f members collude. The f + 1 honest members `first` + `middle` are asked for a sum with the cohort X in it, the f + 1 honest
members `middle` + `second` for one with Y; `middle` alone sees both. Neither sum has a quorum: f + 1 honest and f colluding
members are 2f + 1 only if all are asked for the same. But the weights of interpolation can be matched at `middle`.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import gmpy2
import numpy as np
import pytest

from hushfleet.codec import encode
from hushfleet.encryption.paillier.packing import unpack
from hushfleet.encryption.paillier.partials import Partial
from hushfleet.errors import FaultyOrchestrator, LocalError, PeerError, Refusal
from hushfleet.rounds.evidence import open_evidence
from hushfleet.sharing.interpolation import integer_coefficients
from hushfleet.signing import Signed
from hushfleet.wire import Evidence
from tests.support.fleet.attacked import AttackedFleet, attack_fleet, staged, summed
from tests.support.refusals import refused


@dataclass(frozen=True)
class Split:
    """Member indices. `first`, `middle` and `second` are honest."""

    first: tuple[int, ...]
    middle: int
    second: tuple[int, ...]
    colluding: tuple[int, ...]

    def quorums(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return (*self.first, self.middle, *self.colluding), (self.middle, *self.second, *self.colluding)


SPLITS = {"insecure-512": Split((1,), 2, (3,), (4,)), "insecure-512-f2": Split((1, 2), 4, (5, 6), (3, 7))}
WEIGHTS = {"insecure-512": (-3, 1), "insecure-512-f2": (45, 1)}
X = ("device-01", "device-02", "device-03", "device-04")
Y = ("device-05", "device-06", "device-07", "device-08")


@pytest.fixture(params=SPLITS)
def split_stage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[AttackedFleet, Split]]:
    with staged(attack_fleet(key=request.param), tmp_path, monkeypatch) as stage:
        stage.collect()
        yield stage, SPLITS[request.param]


@dataclass(frozen=True)
class Answers:
    """What comes back: by member index, from honest members for what they were asked, from colluding ones for X and for Y."""

    x: Sequence[Signed]
    y: Sequence[Signed]
    honest: dict[int, Partial]
    colluding_x: dict[int, Partial]
    colluding_y: dict[int, Partial]


def attack(stage: AttackedFleet, split: Split, x: Sequence[Signed], y: Sequence[Signed]) -> Answers:
    """Every honest member is asked once, for a cohort that it has no reason to refuse."""
    both = tuple(sorted({*x, *y}, key=lambda signed: stage.bodies().index(signed)))
    asked = {**dict.fromkeys(split.first, x), split.middle: both, **dict.fromkeys(split.second, y)}
    honest = {index: stage.ask(name_of(index), stage.fleet.request(stage.plan, bodies)) for index, bodies in asked.items()}
    assert all(honest.values())
    for index in asked:
        stage.judge(name_of(index))
    return Answers(
        x,
        y,
        {index: one for index, one in honest.items() if one is not None},
        {index: stage.collude(name_of(index), x) for index in split.colluding},
        {index: stage.collude(name_of(index), y) for index in split.colluding},
    )


def name_of(index: int) -> str:
    return f"device-{index:02d}"


def weights(stage: AttackedFleet, split: Split) -> tuple[int, int]:
    """(a, b) with a times the first quorum's coefficient of `middle` equal to b times the second's: the smallest such integers."""
    one, other = (integer_coefficients(quorum, stage.key.members)[split.middle] for quorum in split.quorums())
    common = math.gcd(one, other)
    return other // common, one // common


def combined(stage: AttackedFleet, split: Split, answers: Answers) -> tuple[int, ...] | None:
    """a M_X + b M_Y mod N for each ciphertext, or None if what comes out is no plaintext."""
    a, b = weights(stage, split)
    one, other = (integer_coefficients(quorum, stage.key.members) for quorum in split.quorums())
    terms = [(answers.honest[index], a * one[index]) for index in (*split.first, split.middle)]
    terms += [(answers.honest[index], b * other[index]) for index in split.second]
    terms += [(answers.colluding_x[index], a * one[index]) for index in split.colluding]
    terms += [(answers.colluding_y[index], b * other[index]) for index in split.colluding]
    sums = zip(summed(stage.key, answers.x), summed(stage.key, answers.y), strict=True)
    square = stage.key.modulus_squared
    weighted = [int(gmpy2.powmod(x, a, square) * gmpy2.powmod(y, b, square) % square) for x, y in sums]
    found = [
        _opened(stage, ciphertext, [(partial.values[position], 2 * weight) for partial, weight in terms])
        for position, ciphertext in enumerate(weighted)
    ]
    return tuple(one for one in found if one is not None) if None not in found else None


def _opened(stage: AttackedFleet, ciphertext: int, terms: Sequence[tuple[int, int]]) -> int | None:
    key, product = stage.key, gmpy2.mpz(1)
    for value, exponent in terms:
        product = product * gmpy2.powmod(value, exponent, key.modulus) % key.modulus
    _, one, other = gmpy2.gcdext(4 * key.delta**2, key.modulus)
    root = gmpy2.powmod(product, one, key.modulus) * gmpy2.powmod(ciphertext, other, key.modulus) % key.modulus
    residue, rest = divmod(ciphertext * gmpy2.powmod(root, -key.modulus, key.modulus_squared) % key.modulus_squared - 1, key.modulus)
    return None if rest else int(residue)


def test_it_yields_exactly_a_weighted_sum_of_two_cohorts(split_stage: tuple[AttackedFleet, Split]) -> None:
    stage, split = split_stage
    a, b = weights(stage, split)
    sign = 1 if (a, b) in WEIGHTS.values() else -1
    assert (sign * a, sign * b) == WEIGHTS["insecure-512" if stage.key.f == 1 else "insecure-512-f2"]
    found = combined(stage, split, attack(stage, split, stage.bodies(*X), stage.bodies(*Y)))
    assert found is not None
    opened = unpack(found, stage.terms.length, stage.terms.plan.privacy.slot_bits, stage.key)
    assert np.array_equal(opened, a * stage.total(X) + b * stage.total(Y))


def test_neither_cohort_opens_alone(split_stage: tuple[AttackedFleet, Split]) -> None:
    """Each has f honest members of its own and f colluding ones, one short of a threshold; `middle` answered for both together."""
    stage, split = split_stage
    answers = attack(stage, split, stage.bodies(*X), stage.bodies(*Y))
    for bodies, own, colluding in ((answers.x, split.first, answers.colluding_x), (answers.y, split.second, answers.colluding_y)):
        known = [*(answers.honest[index] for index in own), *colluding.values()]
        with refused(Refusal.COMBINE_TOO_FEW, LocalError):
            stage.opened(known, bodies)
        with refused(Refusal.COMBINE_RESIDUE, PeerError):
            stage.opened([*known, answers.honest[split.middle]], bodies)


def test_control_with_one_colluding_member_more_each_cohort_opens_alone(split_stage: tuple[AttackedFleet, Split]) -> None:
    stage, split = split_stage
    answers = attack(stage, split, stage.bodies(*X), stage.bodies(*Y))
    for names, own, colluding in ((X, split.first, answers.colluding_x), (Y, split.second, answers.colluding_y)):
        more = stage.collude(name_of(split.middle), stage.bodies(*names))
        opened = stage.opened([*(answers.honest[index] for index in own), *colluding.values(), more], stage.bodies(*names))
        assert np.array_equal(opened, stage.total(names))


def test_a_device_in_both_cohorts_spoils_the_result(split_stage: tuple[AttackedFleet, Split]) -> None:
    """Its part of the answers has no combination that opens: each device is in at most one cohort."""
    stage, split = split_stage
    both = "device-04"
    assert combined(stage, split, attack(stage, split, stage.bodies(*X), stage.bodies(both, *Y))) is None


def test_each_cohort_has_k_min_devices(split_stage: tuple[AttackedFleet, Split]) -> None:
    """The members that are asked for one cohort alone count it."""
    stage, split = split_stage
    for index, names in ((split.first[0], X[:3]), (split.second[0], Y[:3])):
        assert stage.ask(name_of(index), stage.fleet.request(stage.plan, stage.bodies(*names))) is None
        with refused(Refusal.REQUEST_COUNT, FaultyOrchestrator):
            stage.judge(name_of(index))


def test_contradicting_headers_remain_and_stop_whoever_sees_them(split_stage: tuple[AttackedFleet, Split]) -> None:
    """Any two of the requests are evidence; and a member that is sent a second one publishes it."""
    stage, split = split_stage
    attack(stage, split, stage.bodies(*X), stage.bodies(*Y))
    headers = [stage.fleet.request(stage.plan, stage.bodies(*names)).header for names in (X, Y, (*X, *Y))]
    for pair in itertools.combinations(headers, 2):
        assert open_evidence(encode(Evidence(*pair)), stage.fleet.roster.orchestrator).round == 1
    with refused(Refusal.EVIDENCE, PeerError):
        open_evidence(encode(Evidence(headers[0], headers[0])), stage.fleet.roster.orchestrator)
    first = name_of(split.first[0])
    assert stage.ask(first, stage.fleet.request(stage.plan, stage.bodies(*Y))) is None
    with refused(Refusal.REQUEST_SECOND_ROOT, FaultyOrchestrator):
        stage.judge(first)
    stage.pump()
    assert all(stage.fleet.roster.key_id in stage.memory(name).stopped for name in stage.names)


PRIME = (1 << 61) - 1
Vector = tuple[int, ...]


def kernel(rows: Sequence[Vector], width: int) -> list[Vector]:
    """A basis of {v : rows v = 0} modulo PRIME."""
    left, pivots = [list(row) for row in rows], []
    for column in range(width):
        done = len(pivots)
        found = next((number for number in range(done, len(left)) if left[number][column] % PRIME), None)
        if found is None:
            continue
        left[done], left[found] = left[found], left[done]
        scale = pow(left[done][column], -1, PRIME)
        left[done] = [value * scale % PRIME for value in left[done]]
        for number in range(len(left)):
            if number != done:
                factor = left[number][column]
                left[number] = [(mine - factor * pivot) % PRIME for mine, pivot in zip(left[number], left[done], strict=True)]
        pivots.append(column)
    return [_solution(left, pivots, free, width) for free in range(width) if free not in pivots]


def _solution(rows: Sequence[Sequence[int]], pivots: Sequence[int], free: int, width: int) -> Vector:
    values = [0] * width
    values[free] = 1
    for row, pivot in zip(rows, pivots, strict=False):
        values[pivot] = -row[free] % PRIME
    return tuple(values)


def opens(honest: Sequence[int], asked: frozenset[int], v: Vector, f: int) -> bool:
    """Whether weights v over the honest answers open a device whose contribution the members `asked` were sent.

    Its share polynomial, colluders' points known, leaves f unknown coefficients: each must cancel over `asked`.
    """
    return all(sum(v[honest.index(i)] * pow(i, power, PRIME) for i in asked) % PRIME == 0 for power in range(1, f + 1))


def cohorts_opened(honest: Sequence[int], v: Vector, f: int) -> set[frozenset[int]]:
    """The different sets of members with weight that can open some device, each of which defines a cohort."""
    weighty = [i for i in honest if v[honest.index(i)]]
    subsets = (frozenset(some) for size in range(1, len(weighty) + 1) for some in itertools.combinations(weighty, size))
    return {some for some in subsets if opens(honest, some, v, f)}


@pytest.mark.parametrize("f", [1, 2])
def test_no_choice_of_roots_opens_more_than_two_cohorts(f: int) -> None:
    """For all coalitions and all pairs of patterns (which honest members are sent a device's contribution).

    And where there are two cohorts, neither pattern contains the other: each cohort alone is what some honest member counted.
    """
    most, members = 0, range(1, 3 * f + 2)
    for colluding in itertools.combinations(members, f):
        honest = [i for i in members if i not in colluding]
        patterns = [frozenset(some) for size in range(f + 1, len(honest) + 1) for some in itertools.combinations(honest, size)]
        for pair in itertools.combinations(patterns, 2):
            rows = [tuple(pow(i, power) if i in some else 0 for i in honest) for some in pair for power in range(1, f + 1)]
            basis = [v for v in kernel(rows, len(honest)) if any(v[honest.index(i)] for i in pair[0] | pair[1])]
            gains = {tuple(sum(v[honest.index(i)] for i in some) % PRIME for some in pair) for v in basis}
            assert all((a * d - b * c) % PRIME == 0 for (a, b), (c, d) in itertools.combinations(gains, 2)), "two independent sums"
            if len(basis) == 1:
                found = cohorts_opened(honest, basis[0], f)
                assert not any(one < other for one, other in itertools.permutations(found, 2))
                most = max(most, len(found))
    assert most == 2


@pytest.mark.parametrize("f", [1, 2])
def test_control_with_one_colluding_member_more_there_are_two_independent_sums(f: int) -> None:
    """The same algebra finds what f + 1 colluding members can do: f - 1 unknown coefficients are left to cancel."""
    honest = list(range(1, 2 * f + 1))
    one, other = frozenset(honest[:f]), frozenset(honest[f:])
    rows = [tuple(pow(i, power) if i in some else 0 for i in honest) for some in (one, other) for power in range(1, f)]
    basis = kernel(rows, len(honest)) if rows else [(1, 0), (0, 1)]
    gains = [tuple(sum(v[honest.index(i)] for i in some) % PRIME for some in (one, other)) for v in basis]
    assert any((a * d - b * c) % PRIME for (a, b), (c, d) in itertools.combinations(gains, 2))
