"""S2: a curious orchestrator learns only the sum over at least k_min devices, and who took part.

It follows the protocol, keeps everything, and computes whatever it likes afterwards.
"""

import math

import gmpy2
import numpy as np
import pytest

from hushfleet.encryption.paillier.packing import unpack
from hushfleet.encryption.paillier.partials import Partial, PartialProof, combine, open_one, verify_partial
from hushfleet.errors import FaultyMember, LocalError, PeerError, Refusal
from hushfleet.rounds.cohort import cohort_of
from hushfleet.schemes.paillier.profile import answer_context
from hushfleet.wire import Kind
from tests.support.fleet.attacked import AttackedFleet, ciphertexts, summed
from tests.support.refusals import refused

VICTIM = "device-03"
NO_PROOF = PartialProof(0, 0)


def run_round(stage: AttackedFleet) -> list[Partial]:
    """A whole honest round; every answer, opened with the orchestrator's key."""
    stage.collect()
    stage.running.orchestrator.end_collection()
    stage.pump(*stage.committee)
    return [stage.open_answer(member, stage.sent(Kind.PARTIAL, by=member)[0]) for member in stage.committee]


def test_it_opens_the_sum_and_nothing_else_of_what_it_received(stage: AttackedFleet) -> None:
    partials = run_round(stage)
    assert np.array_equal(stage.opened(partials, stage.bodies()), stage.total(stage.names))
    for name in stage.names:
        assert not np.array_equal(stage.opened(partials, stage.bodies()), stage.encoded(name))


def test_every_quorum_of_answers_opens_the_same_sum(stage: AttackedFleet) -> None:
    partials = run_round(stage)
    for left_out in range(4):
        quorum = [one for position, one in enumerate(partials) if position != left_out]
        assert np.array_equal(stage.opened(quorum, stage.bodies()), stage.total(stage.names))


def test_answers_for_the_sum_are_no_answers_for_one_device(stage: AttackedFleet) -> None:
    """Every proof holds for the cohort's product; in the same context none holds for one factor of it."""
    partials = run_round(stage)
    bodies = stage.bodies()
    root = cohort_of(stage.terms.plan_hash, bodies)
    whole = summed(stage.key, bodies)
    for one in partials:
        context = answer_context(stage.terms, root, one.index)
        verify_partial(stage.key, whole, one, context)
        with refused(Refusal.PARTIAL_PROOF, FaultyMember):
            verify_partial(stage.key, ciphertexts(stage.bodies(VICTIM)[0]), one, context)


@pytest.mark.parametrize("power", [1, 2 * 24, 4 * 24 * 24])
def test_dividing_the_other_devices_out_of_the_answers_opens_nothing(stage: AttackedFleet, power: int) -> None:
    """A partial is a power of the sum to a secret exponent; public powers of the others' ciphertexts do not cancel in it."""
    partials = run_round(stage)
    with refused(Refusal.COMBINE_RESIDUE, PeerError):
        combine(stage.key, ciphertexts(stage.bodies(VICTIM)[0]), [divided(stage, one, power) for one in partials])


def test_control_dividing_with_the_secret_exponents_opens_exactly_the_victim(stage: AttackedFleet) -> None:
    partials = run_round(stage)
    exponents = [2 * stage.key.delta * share.value for share in stage.fleet.dealing.shares]
    left = [divided(stage, one, exponent) for one, exponent in zip(partials, exponents, strict=True)]
    assert np.array_equal(stage.opened(left, stage.bodies(VICTIM)), stage.encoded(VICTIM))


def divided(stage: AttackedFleet, partial: Partial, power: int) -> Partial:
    """The partial over the other devices' ciphertexts, each to this power."""
    n = stage.key.modulus
    others = [ciphertexts(stage.bodies(name)[0]) for name in stage.names if name != VICTIM]
    products = [math.prod(column) for column in zip(*others, strict=True)]
    values = [value * gmpy2.powmod(product, -power, n) % n for value, product in zip(partial.values, products, strict=True)]
    return Partial(partial.index, tuple(int(value) for value in values), NO_PROOF)


def test_fewer_answers_than_the_threshold_open_nothing(stage: AttackedFleet) -> None:
    partials = run_round(stage)
    whole = summed(stage.key, stage.bodies())
    with refused(Refusal.COMBINE_TOO_FEW, LocalError):
        combine(stage.key, whole, partials[:2])
    with refused(Refusal.COMBINE_RESIDUE, PeerError):
        open_one(stage.key, whole[0], {one.index: one.values[0] for one in partials[:2]})
    invented = Partial(3, partials[0].values, NO_PROOF)
    with refused(Refusal.COMBINE_RESIDUE, PeerError):
        combine(stage.key, whole, [*partials[:2], invented])


def test_control_exactly_the_threshold_opens_the_sum(stage: AttackedFleet) -> None:
    partials = run_round(stage)
    assert np.array_equal(stage.opened(partials[:3], stage.bodies()), stage.total(stage.names))


def test_two_shares_of_three_do_not_open_one_device(stage: AttackedFleet) -> None:
    """Even with more colluding members (2) than the claims allow (f = 1), a threshold of 3 keeps a single ciphertext closed."""
    run_round(stage)
    found = [stage.collude(member, stage.bodies(VICTIM)) for member in stage.committee[:2]]
    with refused(Refusal.COMBINE_RESIDUE, PeerError):
        open_one(stage.key, ciphertexts(stage.bodies(VICTIM)[0])[0], {one.index: one.values[0] for one in found})


def test_control_a_threshold_of_shares_opens_exactly_that_device(stage: AttackedFleet) -> None:
    """What protects the victim is the committee alone: three shares in one hand read its vector from the stored ciphertexts."""
    run_round(stage)
    found = [stage.collude(member, stage.bodies(VICTIM)) for member in stage.committee[:3]]
    plaintexts = combine(stage.key, ciphertexts(stage.bodies(VICTIM)[0]), found)
    assert np.array_equal(unpack(plaintexts, stage.terms.length, stage.terms.plan.privacy.slot_bits, stage.key), stage.encoded(VICTIM))
