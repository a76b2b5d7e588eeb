"""S3: a malicious orchestrator gets, per round, one sum over at least k_min enrolled devices under one plan.

It has up to f = 1 colluding members and any number of colluding devices. What it gains by giving honest members different roots
stands in `test_s3_split_roots`. Each attack is followed by its control: one check is taken out, and the victim is read.
"""

from collections.abc import Sequence
from dataclasses import replace

import gmpy2
import numpy as np
import pytest

from hushfleet.documents import DecryptionRequest, VerifiedRoster
from hushfleet.encryption.paillier.knowledge import KnowledgeProof
from hushfleet.encryption.paillier.partials import Partial
from hushfleet.encryption.paillier.transcript import batch_coefficients
from hushfleet.errors import FaultyDevice, FaultyMember, FaultyOrchestrator, LocalError, PeerError, Refusal
from hushfleet.privacy.ledger import rho_nano
from hushfleet.randomness import SeededRandomness
from hushfleet.rounds import cohort, plan_check
from hushfleet.rounds import member as member_module
from hushfleet.rounds.cohort import cohort_of
from hushfleet.rounds.effects import Alert
from hushfleet.schemes.paillier import cohort as paillier_cohort
from hushfleet.schemes.paillier.profile import knowledge_context
from hushfleet.signing import Signed
from hushfleet.wire import NO_MASKED_VECTOR, Body, Kind, Topic, encode_signed
from tests.support.fleet import FLEET_NAME
from tests.support.fleet.attacked import AttackedFleet, IntVector, ciphertexts, open_body_of_any_plan, opened_bodies, with_sybils
from tests.support.refusals import refused

FOUR = ("device-01", "device-02", "device-03", "device-04")
VICTIM, THIEF = "device-05", "device-08"
COLLUDER = "device-04"


def in_order(*bodies: Signed) -> tuple[Signed, ...]:
    return tuple(sorted(bodies, key=lambda signed: opened_bodies([signed])[0].device_id))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_no_request_below_k_min_is_answered(stage: AttackedFleet, count: int) -> None:
    bodies = stage.collect()[:count]
    for claimed in (count, 4):
        stage.refused_by_all(stage.fleet.request(stage.plan, bodies, count=claimed), Refusal.REQUEST_COUNT, FaultyOrchestrator)


def test_no_request_above_k_max_is_answered(stage: AttackedFleet) -> None:
    """A sum of more contributions than the slots were made for could overflow into its neighbours."""
    plan = stage.fleet.plan(1, max_devices=5)
    request = stage.fleet.request(plan, stage.fleet.bodies(plan, stage.names[:6]))
    stage.refused_by_all(request, Refusal.REQUEST_COUNT, FaultyOrchestrator)


def test_control_without_the_count_a_cohort_above_k_max_is_answered(stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = stage.fleet.plan(1, max_devices=5)
    request = stage.fleet.request(plan, stage.fleet.bodies(plan, stage.names[:6]))
    monkeypatch.setattr(member_module, "_check_cohort", lambda terms, _, request: cohort.open_bodies(terms, request.bodies))
    assert len(stage.ask_all(request)) == 4


def test_control_without_the_count_one_device_is_opened(stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.collect()
    monkeypatch.setattr(member_module, "_check_cohort", lambda terms, _, request: cohort.open_bodies(terms, request.bodies))
    opened = stage.open_request(stage.fleet.request(stage.plan, stage.bodies(VICTIM)))
    assert np.array_equal(opened, stage.encoded(VICTIM))


def test_no_request_with_duplicates_is_answered(stage: AttackedFleet) -> None:
    stage.collect()
    padded = stage.fleet.request(stage.plan, stage.bodies(VICTIM) * 4)
    stage.refused_by_all(padded, Refusal.REQUEST_DUPLICATE, FaultyOrchestrator)


def test_control_without_distinct_ids_four_times_one_device_is_opened(stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.collect()
    monkeypatch.setattr(member_module, "open_bodies", lambda terms, signed: tuple(cohort.open_body(terms, one) for one in signed))
    opened = stage.open_request(stage.fleet.request(stage.plan, stage.bodies(VICTIM) * 4))
    assert np.array_equal(opened, 4 * stage.encoded(VICTIM))


def sybil_request(stage: AttackedFleet) -> tuple[Signed, ...]:
    """The victim among three devices that the orchestrator made up, all of which contribute zeros."""
    sybils = with_sybils(stage.fleet, 3)
    return (*stage.bodies(VICTIM), *(sybils.body(stage.plan, f"sybil-{number}") for number in range(3)))


def test_no_request_with_unenrolled_devices_is_answered(stage: AttackedFleet) -> None:
    stage.collect()
    stage.refused_by_all(stage.fleet.request(stage.plan, sybil_request(stage)), Refusal.NOT_ENROLLED, PeerError)


def test_control_without_membership_the_victim_stands_alone(stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.collect()
    devices = with_sybils(stage.fleet, 3).parties.devices
    monkeypatch.setattr(VerifiedRoster, "device", lambda _, name: devices[name].entry)
    opened = stage.open_request(stage.fleet.request(stage.plan, sybil_request(stage)))
    assert np.array_equal(opened, stage.encoded(VICTIM))


def revoked(stage: AttackedFleet, *informed: str) -> list[Partial]:
    """The thief is revoked, these members know, and a cohort with the thief in it is asked for: whoever answers."""
    newer = encode_signed(stage.fleet.without(THIEF).roster.signed)
    for member in informed:
        stage.deliver(member, Topic(FLEET_NAME, Kind.ROSTER, number=2, chunk=0), newer)
        stage.pump(member)
    request = stage.fleet.request(stage.plan, stage.bodies())
    honest = [member for member in stage.committee if member != COLLUDER]
    answers = stage.ask_all(request, members=honest)
    for member in informed:
        with refused(Refusal.NOT_ENROLLED, PeerError):
            stage.judge(member)
    return [*answers, stage.collude(COLLUDER, stage.bodies())]


def test_a_revoked_device_cannot_be_summed_once_f_plus_1_honest_members_know(stage: AttackedFleet) -> None:
    stage.collect()
    with refused(Refusal.COMBINE_TOO_FEW, LocalError):
        stage.opened(revoked(stage, "device-01", "device-02"), stage.bodies())


def test_control_while_f_honest_members_know_it_still_can(stage: AttackedFleet) -> None:
    stage.collect()
    assert np.array_equal(stage.opened(revoked(stage, "device-01"), stage.bodies()), stage.total(stage.names))


def two_cohorts(stage: AttackedFleet) -> tuple[IntVector, tuple[Signed, ...]]:
    """The sum over four devices, opened by everybody; and the same four with the victim."""
    stage.collect()
    opened = stage.open_request(stage.fleet.request(stage.plan, stage.bodies(*FOUR)))
    return opened, stage.bodies(*FOUR, VICTIM)


def forget_answers(stage: AttackedFleet) -> None:
    """Control: members without a decryption log, neither in memory nor in the database, which keeps to one answer a round by itself."""
    stores = dict(zip(stage.running.agents, stage.running.stores, strict=True))
    for member in stage.committee:
        running = stage.running.agents[member]._member
        assert running is not None
        running.state = replace(running.state, memory=replace(running.state.memory, answered={}))
        with stores[member]._connection as connection:
            connection.execute("DELETE FROM answer")


def test_a_second_cohort_of_a_round_is_refused_and_stops_the_fleet(stage: AttackedFleet) -> None:
    _, more = two_cohorts(stage)
    stage.refused_by_all(stage.fleet.request(stage.plan, more), Refusal.REQUEST_SECOND_ROOT, FaultyOrchestrator)
    assert len(stage.sent(Kind.EVIDENCE)) == 4
    stage.running.orchestrator.abort("caught")
    stage.pump()
    assert all(stage.fleet.roster.key_id in stage.memory(name).stopped for name in stage.names)
    alarmed = {who for who, happening in stage.running.log.entries if isinstance(happening, Alert)}
    assert alarmed >= set(stage.names) - set(stage.committee)
    assert not stage.collect()
    for name in stage.names:
        with refused(Refusal.EQUIVOCATION, FaultyOrchestrator):
            stage.judge(name)


def test_control_without_the_evidence_the_fleet_goes_on(stage: AttackedFleet) -> None:
    _, more = two_cohorts(stage)
    stage.network = lambda _, delivery: None if "/evidence/" in delivery.topic else delivery
    stage.refused_by_all(stage.fleet.request(stage.plan, more), Refusal.REQUEST_SECOND_ROOT, FaultyOrchestrator)
    stage.running.orchestrator.abort("caught by nobody")
    assert len(stage.collect()) == 8


def test_control_without_the_log_the_difference_of_two_cohorts_is_the_victim(stage: AttackedFleet) -> None:
    first, more = two_cohorts(stage)
    forget_answers(stage)
    second = stage.open_request(stage.fleet.request(stage.plan, more))
    assert np.array_equal(second - first, stage.encoded(VICTIM))


def back_to_round_1(stage: AttackedFleet) -> tuple[IntVector, DecryptionRequest]:
    """Round 1 was answered for four devices and round 2 for all; then the four of round 1 are asked for again, with the victim."""
    first, more = two_cohorts(stage)
    request = stage.fleet.request(stage.plan, more)
    stage.running.orchestrator.abort("next")
    answered = stage.encoded(VICTIM)
    stage.collect(*(name for name in stage.names if name != VICTIM))
    assert np.array_equal(stage.encoded(VICTIM), answered)
    stage.ask_all(stage.fleet.request(stage.plan, stage.bodies()), number=2)
    return first, request


def test_a_lower_round_is_refused_even_for_a_new_cohort(stage: AttackedFleet) -> None:
    """A member keeps its latest round only: everything below is closed."""
    _, request = back_to_round_1(stage)
    stage.refused_by_all(request, Refusal.REQUEST_ROUND_LOWER, FaultyOrchestrator)


def test_control_without_the_log_a_closed_round_gives_the_victim_away(stage: AttackedFleet) -> None:
    first, request = back_to_round_1(stage)
    forget_answers(stage)
    assert np.array_equal(stage.open_request(request) - first, stage.encoded(VICTIM))


def mixed(stage: AttackedFleet) -> tuple[Signed, ...]:
    """The victim was given a plan of its own for the round (another learning rate, say another model): one cohort of both."""
    other = stage.fleet.plan(1, learning_rate=0.25)
    stage.offer_plan(VICTIM, other)
    own = stage.fleet.unsealed(other, VICTIM, stage.sent(Kind.CONTRIBUTION, by=VICTIM)[0]).body
    return (*stage.collect(*FOUR), own)


def test_devices_with_different_plans_are_refused_twice_over(stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The body names its plan, and so does its proof; with both checks out the victim stands in a cohort of another plan."""
    bodies = mixed(stage)
    request = stage.fleet.request(stage.plan, bodies)
    stage.refused_by_all(request, Refusal.CONTRIBUTION_PLAN, FaultyDevice)
    monkeypatch.setattr(cohort, "open_body", open_body_of_any_plan)
    stage.refused_by_all(request, Refusal.KNOWLEDGE_PROOF, FaultyDevice)
    monkeypatch.setattr(paillier_cohort, "verify_batch", lambda *_: ())
    assert np.array_equal(stage.open_request(request), stage.total([*FOUR, VICTIM]))


FORBIDDEN_PLANS = {
    "a quarter of the noise": ({"variance": 104}, Refusal.PLAN_NOISE),
    "no noise": ({"variance": 0}, Refusal.PLAN_WITHOUT_PRIVACY),
    "longer updates under the same noise": ({"b2": 4 * 832}, Refusal.PLAN_NOISE),
    "a cohort of three": ({"min_devices": 3}, Refusal.PLAN_COHORT_FLOOR),
    "a cohort above the owner's": ({"max_devices": 2801}, Refusal.PLAN_COHORT_CEILING),
    "sums that leave their slots": ({"bound": 1 << 18}, Refusal.PLAN_SLOTS),
    "another model": ({"architecture_hash": bytes(32)}, Refusal.PLAN_ARCHITECTURE),
    "a larger model": ({"dimension": 2000}, Refusal.PLAN_DIMENSION),
    "another key": ({"key_id": bytes(32)}, Refusal.PLAN_KEY),
    "an unknown scheme": ({"scheme": "in-the-clear"}, Refusal.PLAN_SCHEME),
}


@pytest.mark.parametrize("name", FORBIDDEN_PLANS)
def test_a_plan_outside_the_owners_policy_is_refused_by_device_and_member(stage: AttackedFleet, name: str) -> None:
    """The members see it with a cohort of colluding devices, which would follow any plan."""
    changes, reason = FORBIDDEN_PLANS[name]
    plan = stage.fleet.plan(1, **changes)
    stage.offer_plan(VICTIM, plan)
    with refused(reason, FaultyOrchestrator):
        stage.judge(VICTIM)
    assert not stage.all_encoded(VICTIM)
    assert not stage.spent(VICTIM)
    signed_for = stage.fleet.plan(1) if "scheme" in changes else plan
    bodies = [stage.fleet.sign_body(replaced(stage.fleet.body(signed_for, device), plan.digest)) for device in FOUR]
    stage.refused_by_all(stage.fleet.request(plan, bodies), reason, FaultyOrchestrator)


def replaced(signed: Signed, plan_hash: bytes) -> Body:
    body = opened_bodies([signed])[0]
    return Body(plan_hash, body.device_id, body.masked_hash, body.items, body.proof)


def test_control_without_the_policy_devices_and_members_follow_a_thinned_plan(
    stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four times the privacy cost that the owner's policy allows for any round."""
    plan = stage.fleet.plan(1, variance=115)
    for module in (plan_check, member_module):  # where device and member look it up
        monkeypatch.setattr(module, "check_plan", lambda *_: None)
    for name in FOUR:
        stage.offer_plan(name, plan)
    bodies = [stage.fleet.unsealed(plan, name, stage.sent(Kind.CONTRIBUTION, by=name)[0]).body for name in FOUR]
    opened = stage.open_request(stage.fleet.request(plan, bodies), terms=stage.fleet.terms(plan))
    assert np.array_equal(opened, stage.total(FOUR))
    assert stage.spent("device-01") == rho_nano(919, 2, 115) > 3.9 * 10**9 // 2


def test_control_without_the_policy_the_victim_stands_beside_a_colluder(stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even then the device's own accounting knows no cost for fewer than two honest contributors; the control takes that out too."""
    for module in (plan_check, member_module):  # where device and member look it up
        monkeypatch.setattr(module, "check_plan", lambda *_: None)
    stage.offer_plan(VICTIM, stage.fleet.plan(1, min_devices=2))
    with refused(Refusal.PLAN_HONEST_CONTRIBUTORS, LocalError):
        stage.judge(VICTIM)
    monkeypatch.setattr(plan_check, "honest", lambda *_: 2)
    plan = stage.fleet.plan(1, min_devices=2, learning_rate=0.25)
    stage.offer_plan(VICTIM, plan)
    body = stage.fleet.unsealed(plan, VICTIM, stage.sent(Kind.CONTRIBUTION, by=VICTIM)[0]).body
    request = stage.fleet.request(plan, [body, stage.fleet.body(plan, THIEF)])
    assert np.array_equal(stage.open_request(request, terms=stage.fleet.terms(plan)), stage.encoded(VICTIM))


def one_ciphertext_more(stage: AttackedFleet) -> tuple[Signed, ...]:
    """Four colluding devices carry the victim's first ciphertext along, beside their own: a committee would open that, too."""
    item = opened_bodies(stage.bodies(VICTIM))[0].items[0]
    bodies = opened_bodies(stage.fleet.bodies(stage.plan, FOUR))
    longer = [Body(one.plan_hash, one.device_id, one.masked_hash, (*one.items, item), one.proof) for one in bodies]
    return tuple(stage.fleet.sign_body(body) for body in longer)


def test_the_number_of_ciphertexts_is_the_plans(stage: AttackedFleet) -> None:
    stage.collect(VICTIM)
    request = stage.fleet.request(stage.plan, one_ciphertext_more(stage))
    stage.refused_by_all(request, Refusal.CIPHERTEXT_COUNT, FaultyDevice)


def test_control_without_number_and_proof_the_passenger_is_opened(stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.collect(VICTIM)
    monkeypatch.setattr(paillier_cohort, "ciphertext_count", lambda _: 4)
    request = stage.fleet.request(stage.plan, one_ciphertext_more(stage))
    stage.refused_by_all(request, Refusal.KNOWLEDGE_PROOF, FaultyDevice)
    monkeypatch.setattr(paillier_cohort, "verify_batch", lambda *_: ())
    quadruple = stage.packed(4 * stage.encoded(VICTIM))[0]
    assert stage.plaintexts(stage.ask_all(request), request.bodies)[3:] == (quadruple,)


SHIFT = 10
"""Bits by which a copied value is moved up inside its slot: the victim's values stay below 2^7, the slots of this fleet have 18 bits."""


def copied(stage: AttackedFleet, how: str) -> Signed:
    """The thief's own body with the victim's ciphertexts to the power 2^10, re-randomised, and a proof made in one of three ways."""
    victim, own = stage.bodies(VICTIM)[0], stage.fleet.body(stage.plan, THIEF)
    key, randomness = stage.key, SeededRandomness(b"thief")
    fresh = [gmpy2.powmod(key.h_s, randomness.bits(key.bits // 2), key.modulus_squared) for _ in range(3)]
    numbers = [
        int(gmpy2.powmod(c, 1 << SHIFT, key.modulus_squared) * r % key.modulus_squared)
        for c, r in zip(ciphertexts(victim), fresh, strict=True)
    ]
    proofs = {
        "the victim's proof": opened_bodies([victim])[0].proof,
        "a proof for other ciphertexts": opened_bodies([own])[0].proof,
        "a simulated proof": simulated(stage, numbers).to_bytes(key),
    }
    items = tuple(number.to_bytes(key.ciphertext_bytes, "big") for number in numbers)
    return stage.fleet.sign_body(Body(stage.plan.digest, THIEF, opened_bodies([own])[0].masked_hash, items, proofs[how]))


def simulated(stage: AttackedFleet, numbers: Sequence[int]) -> KnowledgeProof:
    """Responses first, then the commitment that they answer: perfect, had the coefficients not been hashed from it."""
    key, randomness = stage.key, SeededRandomness(b"simulator")
    context = knowledge_context(stage.terms, THIEF, NO_MASKED_VECTOR)
    z_m, z_r = randomness.below(key.modulus), randomness.bits(key.bits // 2 + 264)
    square = key.modulus_squared
    commitment = (1 + z_m * key.modulus) * gmpy2.powmod(key.h_s, z_r, square) % square
    for number, rho in zip(numbers, batch_coefficients(context, numbers, (2,), key.ciphertext_bytes), strict=True):
        commitment = commitment * gmpy2.powmod(number, -rho, square) % square
    return KnowledgeProof(int(commitment), z_m, z_r)


COPIES = ("the victim's proof", "a simulated proof", "a proof for other ciphertexts")


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_of_the_victims_ciphertexts_is_refused_by_orchestrator_and_members(stage: AttackedFleet, how: str) -> None:
    """An honest orchestrator names the thief; a malicious one gains nothing by looking away."""
    stage.collect("device-01", "device-02", VICTIM)
    copy = copied(stage, how)
    stage.contribute_as(THIEF, stage.fleet.sealed(stage.plan, THIEF, copy))
    with refused(Refusal.KNOWLEDGE_PROOF, FaultyDevice):
        stage.judge("orchestrator")
    request = stage.fleet.request(stage.plan, in_order(*stage.bodies(), copy))
    stage.refused_by_all(request, Refusal.KNOWLEDGE_PROOF, FaultyDevice)


@pytest.mark.parametrize("how", COPIES)
def test_control_without_the_proof_the_victim_is_read_off_the_sum(stage: AttackedFleet, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.collect("device-01", "device-02", VICTIM)
    monkeypatch.setattr(paillier_cohort, "verify_batch", lambda *_: ())
    stage.contribute_as(THIEF, stage.fleet.sealed(stage.plan, THIEF, copied(stage, how)))
    opened = stage.open_request(stage.fleet.request(stage.plan, stage.bodies()))
    assert np.array_equal(np.rint(opened / (1 << SHIFT)).astype(np.int64), stage.encoded(VICTIM))


@pytest.mark.parametrize(("claimed", "reason"), [(1, Refusal.ANSWER_MEMBER), (2, Refusal.PARTIAL_INVALID)])
def test_a_member_cannot_answer_with_another_members_index(stage: AttackedFleet, claimed: int, reason: Refusal) -> None:
    """Neither in its answer nor in its partials, even with the other's share at hand."""
    stage.collect()
    root = cohort_of(stage.plan.digest, stage.bodies())
    stage.running.orchestrator.end_collection()
    stage.answer_as("device-02", stage.collude("device-01", stage.bodies()), root, claimed=claimed)
    with refused(reason, FaultyMember):
        stage.judge("orchestrator")
    assert not stage.answered


def test_control_under_its_own_index_the_same_partials_count(stage: AttackedFleet) -> None:
    stage.collect()
    root = cohort_of(stage.plan.digest, stage.bodies())
    stage.running.orchestrator.end_collection()
    stage.answer_as("device-01", stage.collude("device-01", stage.bodies()), root)
    assert stage.answered == {1}


def test_a_member_cannot_answer_for_another_cohort_or_plan(stage: AttackedFleet) -> None:
    stage.collect()
    stage.running.orchestrator.end_collection()
    stage.answer_as("device-02", stage.collude("device-02", stage.bodies(*FOUR)), cohort_of(stage.plan.digest, stage.bodies(*FOUR)))
    with refused(Refusal.ANSWER_ROUND, FaultyMember):
        stage.judge("orchestrator")


def test_beyond_the_claim_f_plus_1_colluding_members_open_two_cohorts(stage: AttackedFleet) -> None:
    """The boundary of S3: with two of four members colluding, one honest member for each root is enough. What is left is S4."""
    stage.collect()
    four, five = stage.bodies(*FOUR), stage.bodies(*FOUR, VICTIM)
    opened = []
    for honest, bodies in (("device-01", four), ("device-02", five)):
        one = stage.ask(honest, stage.fleet.request(stage.plan, bodies))
        assert one is not None
        opened.append(stage.opened([one, *(stage.collude(member, bodies) for member in ("device-03", "device-04"))], bodies))
    assert np.array_equal(opened[1] - opened[0], stage.encoded(VICTIM))
