"""S1: broker and network cannot forge, alter, replay or mix, and see no update, masked vector, key share or partial decryption.

The network reads and writes every message between all parties. It holds no key of anybody. Controls take single checks out.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest

from hushfleet.codec import encode
from hushfleet.documents import Header, Receipt, ReceiptStatus, open_record
from hushfleet.encryption.paillier.public import Encryption
from hushfleet.encryption.sealing import SealingKey, SealingPublicKey
from hushfleet.errors import FaultyDevice, FaultyOrchestrator, FaultyOwner, PeerError, Refusal
from hushfleet.labels import Label, sha256
from hushfleet.link.allowance import Allowances
from hushfleet.owner.owner import Owner
from hushfleet.privacy import Ledger
from hushfleet.randomness import SeededRandomness
from hushfleet.rounds import cohort, roster_change
from hushfleet.rounds import device as device_module
from hushfleet.rounds import member as member_module
from hushfleet.rounds.coordinator import opening
from hushfleet.rounds.device import Idle
from hushfleet.schemes.base import OpenedContribution
from hushfleet.schemes.paillier import cohort as paillier_cohort
from hushfleet.schemes.paillier import device as paillier_device
from hushfleet.signing import Signed, SigningKey, VerifyKey
from hushfleet.wire import Evidence, Kind, decode_signed, encode_signed
from tests.support.fleet import FLEET_NAME
from tests.support.fleet.attacked import AttackedFleet, attack_fleet, open_body_of_any_plan, staged, unbound_unseal
from tests.support.fleet.network import (
    MALFORMED,
    MESSAGES,
    OTHER,
    PLAN,
    VICTIM,
    a_plan,
    each_byte_altered,
    evidence_topic,
    fetching,
    handed_over,
    receipt_topic,
    refused_somehow,
    roster_topic,
    state_of,
    unanswered,
    withhold,
)
from tests.support.fleet.sight import secrets_seen
from tests.support.refusals import refused

NETWORK = SigningKey.generate(SeededRandomness(b"network"))


def verify_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: signatures are not checked."""
    monkeypatch.setattr(VerifyKey, "verify", lambda *_: None)


def forged_body(stage: AttackedFleet) -> Signed:
    """The victim's contribution as the network would like it, under a signature of its own."""
    return NETWORK.sign(Label.BODY, stage.fleet.body(stage.plan, VICTIM, np.full(64, 7, np.int64)).content)


def test_it_cannot_forge_a_contribution(stage: AttackedFleet) -> None:
    stage.collect("device-01")
    stage.contribute_as(VICTIM, stage.fleet.sealed(stage.plan, VICTIM, forged_body(stage)))
    with refused(Refusal.SIGNATURE, PeerError):
        stage.judge("orchestrator")
    assert set(stage.accepted) == {"device-01"}


def test_control_without_signatures_the_forged_contribution_is_counted(stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.collect("device-01", "device-02", "device-03")
    verify_nothing(monkeypatch)
    stage.contribute_as(VICTIM, stage.fleet.sealed(stage.plan, VICTIM, forged_body(stage)))
    opened = stage.open_request(stage.fleet.request(stage.plan, stage.bodies()))
    assert np.array_equal(opened, stage.total(["device-01", "device-02", "device-03"]) + 7)


def forged_plan(stage: AttackedFleet) -> bytes:
    signed = stage.fleet.plan(1, learning_rate=9.0).signed
    return encode_signed(NETWORK.sign(Label.PLAN, signed.content))


def test_it_cannot_forge_a_plan(stage: AttackedFleet) -> None:
    stage.deliver(VICTIM, PLAN, forged_plan(stage))
    stage.pump(VICTIM)
    with refused(Refusal.SIGNATURE, PeerError):
        stage.judge(VICTIM)
    assert not stage.all_encoded(VICTIM)


def test_control_without_signatures_the_device_works_for_the_network(stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    verify_nothing(monkeypatch)
    stage.deliver(VICTIM, PLAN, forged_plan(stage))
    stage.pump(VICTIM)
    assert len(stage.all_encoded(VICTIM)) == 1


FORGED_MODEL = np.full(10, 1000, np.float32).tobytes()


def test_it_cannot_forge_a_model(stage: AttackedFleet) -> None:
    stage.deliver(VICTIM, fetching(stage), FORGED_MODEL)
    stage.pump(VICTIM)
    with refused(Refusal.MODEL_HASH, FaultyOrchestrator):
        stage.judge(VICTIM)
    assert not stage.all_encoded(VICTIM)


def test_control_without_the_hash_the_device_trains_the_networks_model(stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    topic, wanted = fetching(stage), stage.fleet.model.digest
    monkeypatch.setattr(device_module, "sha256", lambda data: wanted if data == FORGED_MODEL else sha256(data))
    stage.deliver(VICTIM, topic, FORGED_MODEL)
    stage.pump(VICTIM)
    assert len(stage.all_encoded(VICTIM)) == 1


def forged_receipt(stage: AttackedFleet, sealed: bytes) -> bytes:
    receipt = Receipt(FLEET_NAME, VICTIM, stage.fleet.roster.key_id, 1, sha256(sealed), ReceiptStatus.ACCEPTED, (), "")
    return encode_signed(NETWORK.sign(Label.RECEIPT, encode(receipt)))


def test_it_cannot_forge_a_receipt(stage: AttackedFleet) -> None:
    stage.deliver(VICTIM, receipt_topic(), forged_receipt(stage, unanswered(stage)))
    stage.pump(VICTIM)
    with refused(Refusal.SIGNATURE, PeerError):
        stage.judge(VICTIM)
    assert stage.waiting_for_receipt(VICTIM) is not None


def test_control_without_signatures_the_contribution_is_given_up_for_counted(stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    forged = forged_receipt(stage, unanswered(stage))
    verify_nothing(monkeypatch)
    stage.deliver(VICTIM, receipt_topic(), forged)
    stage.pump(VICTIM)
    assert stage.waiting_for_receipt(VICTIM) is None
    assert not stage.accepted


def receipt_for_rubbish(stage: AttackedFleet) -> bytes:
    """The network sends rubbish as the victim's: the orchestrator's own signed refusal of it comes back."""
    stage.contribute_as(VICTIM, b"rubbish")
    with refused(Refusal.SEAL, PeerError):
        stage.judge("orchestrator")
    return stage.sent(Kind.RECEIPT)[-1]


def test_a_true_receipt_for_rubbish_does_not_make_the_victim_give_up(stage: AttackedFleet) -> None:
    unanswered(stage)
    receipt_for_rubbish(stage)
    stage.pump(VICTIM)
    with refused(Refusal.RECEIPT, PeerError):
        stage.judge(VICTIM)
    assert stage.waiting_for_receipt(VICTIM) is not None


def test_control_without_the_hash_in_the_receipt_it_gives_up(stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    unanswered(stage)
    receipt_for_rubbish(stage)
    monkeypatch.setattr(device_module, "sha256", lambda _: sha256(b"rubbish"))
    stage.pump(VICTIM)
    assert stage.waiting_for_receipt(VICTIM) is None


def test_it_cannot_make_evidence_out_of_honest_headers(stage: AttackedFleet) -> None:
    """Nor out of its own: a fleet cannot be stopped by slander."""
    header = Header(FLEET_NAME, stage.fleet.roster.key_id, 1, bytes(32), bytes(32), 4)
    first, next_round = (
        stage.fleet.sign_header(header),
        stage.fleet.sign_header(Header(FLEET_NAME, header.key_id, 2, bytes(32), b"1" * 32, 4)),
    )
    own = NETWORK.sign(Label.HEADER, encode(Header(FLEET_NAME, header.key_id, 1, bytes(32), b"1" * 32, 4)))
    for second, reason in ((next_round, Refusal.EVIDENCE), (first, Refusal.EVIDENCE), (own, Refusal.SIGNATURE)):
        stage.deliver(VICTIM, evidence_topic(), encode(Evidence(first, second)))
        stage.pump(VICTIM)
        with refused(reason, PeerError):
            stage.judge(VICTIM)
    assert not stage.memory(VICTIM).stopped


def test_control_without_signatures_slander_stops_a_device(stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    key_id = stage.fleet.roster.key_id
    pair = [NETWORK.sign(Label.HEADER, encode(Header(FLEET_NAME, key_id, 1, bytes(32), bytes([root] * 32), 4))) for root in (0, 1)]
    verify_nothing(monkeypatch)
    stage.deliver(VICTIM, evidence_topic(), encode(Evidence(*pair)))
    stage.pump(VICTIM)
    assert stage.memory(VICTIM).stopped == {key_id}


@pytest.mark.parametrize("kind", list(MESSAGES), ids=lambda kind: kind.name.lower())
def test_it_cannot_alter_any_byte(stage: AttackedFleet, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader's state stays as it was; afterwards the true message is accepted."""
    # So many at once would exceed the sender's allowance, which is another defence and depends on the machine's speed.
    monkeypatch.setattr(Allowances, "take", lambda *_: True)
    handed = handed_over(stage, kind)
    stage.running.log.entries.clear()
    before = state_of(stage, handed.reader)
    for altered in each_byte_altered(handed.data):
        handed.send(altered)
        refused_somehow(lambda: stage.judge(handed.reader), handed.reasons)
    assert state_of(stage, handed.reader) == before
    handed.send(handed.data)
    stage.judge(handed.reader)


def test_it_cannot_alter_any_byte_of_a_record(stage: AttackedFleet) -> None:
    stage.collect("device-01")
    stage.running.orchestrator.abort("for the record")
    record, reader = stage.sent(Kind.RECORD)[-1], stage.fleet.roster.orchestrator
    for altered in each_byte_altered(record):
        refused_somehow(partial(lambda data: open_record(decode_signed(data), reader), altered), MALFORMED)
    assert open_record(decode_signed(record), reader).round == 1


def test_control_without_signatures_an_altered_plan_is_followed(stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    handed = a_plan(stage)
    verify_nothing(monkeypatch)
    rate, higher = (b"\xcb" + struct.pack(">d", value) for value in (0.5, 9.5))
    assert rate in handed.data
    handed.send(handed.data.replace(rate, higher))
    assert len(stage.all_encoded(VICTIM)) == 1


@pytest.mark.parametrize("kind", [kind for kind in MESSAGES if kind is not Kind.INBOX], ids=lambda kind: kind.name.lower())
def test_control_without_signature_seal_and_hash_an_altered_message_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    """The last bytes are altered first: there the signatures stand. A key share is held from the start, so its delivery is no news."""
    monkeypatch.setattr(SealingPublicKey, "box", lambda _, plain: plain)
    monkeypatch.setattr(SealingKey, "unbox", lambda _, sealed: sealed)
    with staged(attack_fleet(), tmp_path, monkeypatch) as stage:
        handed = handed_over(stage, kind)
        verify_nothing(monkeypatch)
        monkeypatch.setattr(device_module, "sha256", lambda data: stage.fleet.model.digest if kind is Kind.MODEL else sha256(data))
        before = state_of(stage, handed.reader)
        for altered in reversed(list(each_byte_altered(handed.data))):
            handed.send(altered)
            if state_of(stage, handed.reader) != before:
                return
    raise AssertionError("without any check nothing altered was taken either: the control controls nothing")


def test_a_contribution_replayed_in_its_round_counts_once(stage: AttackedFleet) -> None:
    stage.collect("device-01", "device-02", "device-03", VICTIM)
    for _ in range(3):
        stage.contribute_as(VICTIM, stage.sent(Kind.CONTRIBUTION, by=VICTIM)[0])
    stage.judge("orchestrator")
    opened = stage.open_request(stage.fleet.request(stage.plan, stage.bodies()))
    assert np.array_equal(opened, stage.total(stage.accepted))
    assert len(stage.accepted) == 4


def next_round(stage: AttackedFleet) -> bytes:
    """The victim's contribution to the first round; the second is open, and the victim has not contributed to it."""
    stage.collect("device-01", "device-02", "device-03", VICTIM)
    stage.running.orchestrator.abort("next")
    stage.collect("device-01", "device-02", "device-03")
    return stage.sent(Kind.CONTRIBUTION, by=VICTIM)[0]


def test_a_contribution_replayed_in_another_round_is_refused_three_times_over(
    stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seal names the round, the body the plan, the proof both; with all three taken out it is counted."""
    old = next_round(stage)
    for reason, kind, take_out in (
        (Refusal.SEAL, PeerError, lambda: monkeypatch.setattr(opening, "unseal", unbound_unseal)),
        (Refusal.CONTRIBUTION_PLAN, FaultyDevice, lambda: monkeypatch.setattr(opening, "open_body", open_body_of_any_plan)),
        (Refusal.KNOWLEDGE_PROOF, FaultyDevice, lambda: monkeypatch.setattr(paillier_cohort, "verify_batch", lambda *_: ())),
    ):
        stage.contribute_as(VICTIM, old)
        with refused(reason, kind):
            stage.judge("orchestrator")
        take_out()
    stage.contribute_as(VICTIM, old)
    stage.judge("orchestrator")
    assert VICTIM in stage.accepted


def test_a_contribution_to_another_fleet_is_refused(stage: AttackedFleet) -> None:
    """The same owner, orchestrator, devices and committee key serve both fleets: the fleet's name alone keeps them apart."""
    parties = stage.fleet.parties
    elsewhere = replace(stage.fleet, parties=replace(parties, owner=Owner("another", parties.owner.root)))
    plan = elsewhere.plan()
    stage.collect("device-01")
    stage.contribute_as(VICTIM, elsewhere.sealed(plan, VICTIM, elsewhere.body(plan, VICTIM)))
    with refused(Refusal.SEAL, PeerError):
        stage.judge("orchestrator")
    stage.contribute_as(VICTIM, stage.fleet.sealed(stage.plan, VICTIM, elsewhere.body(plan, VICTIM)))
    with refused(Refusal.CONTRIBUTION_PLAN, FaultyDevice):
        stage.judge("orchestrator")


def test_control_the_same_contribution_to_this_fleet_is_counted(stage: AttackedFleet) -> None:
    stage.collect("device-01")
    stage.contribute_as(VICTIM, stage.fleet.sealed(stage.plan, VICTIM, stage.fleet.body(stage.plan, VICTIM)))
    assert VICTIM in stage.accepted


def test_one_devices_bytes_on_anothers_topic_are_refused_until_they_count_twice(
    stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seal, then claimed device; with both taken out it is the victim's own again, which counts once.

    Taken for the other device's, it lacks that device's proof; and without the proof the committee still refuses a device that
    stands twice in a cohort.
    """
    stage.collect("device-01", "device-02", VICTIM)
    stolen = stage.sent(Kind.CONTRIBUTION, by=VICTIM)[0]
    stage.contribute_as(OTHER, stolen)
    with refused(Refusal.SEAL, PeerError):
        stage.judge("orchestrator")
    monkeypatch.setattr(opening, "unseal", unbound_unseal)
    stage.contribute_as(OTHER, stolen)
    with refused(Refusal.CONTRIBUTION_PLAN, FaultyDevice):
        stage.judge("orchestrator")
    open_whoever = _open_whoever(opening.open_contribution)
    monkeypatch.setattr(opening, "open_contribution", open_whoever)
    stage.contribute_as(OTHER, stolen)
    stage.judge("orchestrator")
    assert set(stage.accepted) == {"device-01", "device-02", VICTIM}
    with monkeypatch.context() as control:
        control.setattr(opening, "open_contribution", _renamed(open_whoever))
        stage.contribute_as(OTHER, stolen)
        with refused(Refusal.KNOWLEDGE_PROOF, FaultyDevice):
            stage.judge("orchestrator")
        control.setattr(paillier_cohort, "verify_batch", lambda *_: ())
        stage.contribute_as(OTHER, stolen)
    assert set(stage.accepted) == {"device-01", "device-02", VICTIM, OTHER}
    stage.running.orchestrator.end_collection()
    twice = stage.fleet.request(stage.plan, stage.bodies())
    stage.refused_by_all(twice, Refusal.REQUEST_DUPLICATE, FaultyOrchestrator)
    monkeypatch.setattr(member_module, "open_bodies", lambda terms, signed: tuple(cohort.open_body(terms, one) for one in signed))
    opened = stage.open_request(twice)
    assert np.array_equal(opened, stage.total(["device-01", "device-02", VICTIM, VICTIM]))


Opener = Callable[..., OpenedContribution]


def _open_whoever(opener: Opener) -> Opener:
    """Control: a contribution is taken for that of whoever signed it, whatever the topic says."""

    def open_as_signed(terms: object, sealing_key: object, _: str, sealed: bytes) -> OpenedContribution:
        return opener(terms, sealing_key, VICTIM, sealed)

    return open_as_signed


def _renamed(opener: Opener) -> Opener:
    """Control: a contribution is taken for that of the device in the topic, whoever signed it."""

    def open_as_sent(terms: object, sealing_key: object, device_id: str, sealed: bytes) -> OpenedContribution:
        opened = opener(terms, sealing_key, device_id, sealed)
        body = msgspec.structs.replace(opened.verified.body, device_id=device_id)
        return replace(opened, verified=replace(opened.verified, body=body))

    return open_as_sent


def test_parts_of_two_contributions_do_not_mix(stage: AttackedFleet) -> None:
    stage.collect("device-01")
    withhold(stage, Kind.CONTRIBUTION)
    stage.pump(VICTIM, OTHER)
    one, other = (stage.sent(Kind.CONTRIBUTION, by=name)[0] for name in (VICTIM, OTHER))
    for cut in (32, 200, len(one) // 2, len(one) - 16):
        stage.contribute_as(VICTIM, one[:cut] + other[cut:])
        with refused(Refusal.SEAL, PeerError):
            stage.judge("orchestrator")


def test_parts_of_two_bodies_do_not_mix_in_a_request(stage: AttackedFleet) -> None:
    """What the network can read in a request it can cut up, but the header's root covers contents and each signature its body."""
    stage.collect("device-02", "device-03", VICTIM, OTHER)
    honest = stage.fleet.request(stage.plan, stage.bodies())
    a, b, *rest = honest.bodies
    mixtures = {
        Refusal.REQUEST_ROOT: [(b, a, *rest), (a, b, rest[0]), (a, a, *rest)],
        Refusal.SIGNATURE: [(Signed(a.content, b.signature), Signed(b.content, a.signature), *rest)],
    }
    for reason, bodies in ((reason, bodies) for reason, several in mixtures.items() for bodies in several):
        assert stage.ask("device-01", type(honest)(honest.header, honest.plan, bodies)) is None
        with refused(reason, PeerError):
            stage.judge("device-01")
    assert stage.ask("device-01", honest) is not None


def test_control_without_root_and_signatures_mixed_bodies_are_summed(stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.collect("device-02", "device-03", VICTIM, OTHER)
    honest = stage.fleet.request(stage.plan, stage.bodies())
    a, b, *rest = honest.bodies
    mixed = type(honest)(honest.header, honest.plan, (Signed(a.content, b.signature), Signed(b.content, a.signature), *rest))
    verify_nothing(monkeypatch)
    assert stage.ask("device-01", mixed) is not None
    root = cohort.cohort_of(stage.plan.digest, honest.bodies)
    monkeypatch.setattr(member_module, "cohort_of", lambda *_: root)
    monkeypatch.setattr(member_module, "open_bodies", lambda terms, signed: tuple(cohort.open_body(terms, one) for one in signed))
    assert stage.ask("device-02", type(honest)(honest.header, honest.plan, (a, a, *rest))) is not None


def test_an_old_plan_is_refused(stage: AttackedFleet) -> None:
    """By a device that has seen a newer one, whether or not it contributed; one that has contributed to that very round does nothing."""
    stage.collect("device-01", VICTIM)
    old, spent = encode_signed(stage.plan.signed), stage.spent(VICTIM)
    stage.deliver(VICTIM, PLAN, old)
    stage.pump(VICTIM)
    assert stage.spent(VICTIM) == spent
    assert len(stage.sent(Kind.CONTRIBUTION, by=VICTIM)) == 1
    stage.running.orchestrator.abort("next")
    stage.running.orchestrator.start_round()
    stage.pump(OTHER, VICTIM)
    for name in (OTHER, VICTIM):
        stage.deliver(name, PLAN, old)
        stage.pump(name)
        with refused(Refusal.PLAN_ROUND_STALE, FaultyOrchestrator):
            stage.judge(name)
    assert stage.spent(VICTIM) == 2 * stage.spent(OTHER)


def test_control_without_the_highest_round_seen_a_closed_round_is_paid_for(stage: AttackedFleet) -> None:
    stage.collect("device-01")
    old = stage.plan
    stage.running.orchestrator.abort("next")
    while stage.running.links[OTHER].receive() is not None:
        pass
    running, spent = stage.running.agents[OTHER]._device, stage.spent(OTHER)
    running.state = Idle(replace(running.state.memory, seen={}), stage.fleet.roster)
    stage.offer_plan(OTHER, old)
    assert [event.round_number for event in stage.memory(OTHER).ledger.events] == [1]
    assert stage.spent(OTHER) > spent


def test_a_lagging_device_spends_at_most_once_per_round_number(stage: AttackedFleet) -> None:
    """Three rounds pass without the victim; then the network plays them to it, again and again."""
    plans = []
    for _ in range(3):
        stage.collect("device-01")
        plans.append(stage.plan)
        stage.running.orchestrator.abort("next")
    while stage.running.links[VICTIM].receive() is not None:
        pass
    for plan in plans:
        stage.offer_plan(VICTIM, plan)
    for plan in plans[:2]:
        stage.offer_plan(VICTIM, plan)
        with refused(Refusal.PLAN_ROUND_STALE, FaultyOrchestrator):
            stage.judge(VICTIM)
    stage.offer_plan(VICTIM, plans[2])
    stage.judge(VICTIM)  # silent: so a plan comes after every new connection
    assert [event.round_number for event in stage.memory(VICTIM).ledger.events] == [1, 2, 3]
    assert len(stage.all_encoded(VICTIM)) == 3
    stage.running.orchestrator.pump()
    assert set(stage.closed_round.accepted) == {"device-01"}


def test_control_without_the_ledger_the_same_plan_is_paid_with_new_noise_each_time(
    stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three encodings of one update in one round: their mean has a third of the noise, and only one was accounted for."""
    stage.collect(VICTIM)
    agent, once = stage.running.agents[VICTIM]._device, stage.spent(VICTIM)
    monkeypatch.setattr(Ledger, "last_round", lambda *_: -1)
    monkeypatch.setattr(agent, "_persist", lambda _: None)
    for _ in range(2):
        agent.state = replace(agent.state, memory=replace(agent.state.memory, done=b""))
        stage.offer_plan(VICTIM, stage.plan)
    assert len({values.tobytes() for values in stage.all_encoded(VICTIM)}) == 3
    assert stage.spent(VICTIM) == once


def test_an_old_roster_is_refused(stage: AttackedFleet) -> None:
    newer = stage.fleet.without(OTHER)
    for name in (VICTIM, "device-01"):
        stage.deliver(name, roster_topic(2), encode_signed(newer.roster.signed))
        stage.deliver(name, roster_topic(1), encode_signed(stage.fleet.roster.signed))
        stage.pump(name)
        with refused(Refusal.ROSTER_OLDER, FaultyOwner):
            stage.judge(name)
        assert stage.device(name).roster == newer.roster
    assert stage.member("device-01").roster == newer.roster


def test_control_without_the_serial_a_revoked_device_comes_back(stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = stage.fleet.without(OTHER)
    monkeypatch.setattr(roster_change, "newer_roster", lambda _, candidate: candidate)
    for fleet in (newer, stage.fleet):
        stage.deliver(VICTIM, roster_topic(fleet.serial), encode_signed(fleet.roster.signed))
        stage.pump(VICTIM)
    roster = stage.device(VICTIM).roster
    assert roster is not None
    assert roster.device(OTHER)


def test_an_old_request_is_refused_and_one_repeated_gets_the_stored_answer(stage: AttackedFleet) -> None:
    requests = []
    for number in (1, 2):
        stage.collect("device-02", "device-03", VICTIM, OTHER)
        requests.append(stage.fleet.request(stage.plan, stage.bodies()))
        assert stage.ask("device-01", requests[-1], number=number) is not None
        stage.running.orchestrator.abort("next")
    assert stage.ask("device-01", requests[0]) is None
    with refused(Refusal.REQUEST_ROUND_LOWER, FaultyOrchestrator):
        stage.judge("device-01")
    assert stage.ask("device-01", requests[1], number=2) is not None
    first, again = stage.sent(Kind.PARTIAL, by="device-01")[1:]
    assert first == again


def test_control_without_the_log_an_old_request_is_answered_again(stage: AttackedFleet) -> None:
    stage.collect("device-02", "device-03", VICTIM, OTHER)
    old = stage.fleet.request(stage.plan, stage.bodies())
    stage.running.orchestrator.abort("next")
    stage.collect("device-02", "device-03", VICTIM, OTHER)
    assert stage.ask("device-01", stage.fleet.request(stage.plan, stage.bodies()), number=2) is not None
    running = stage.running.agents["device-01"]._member
    assert running is not None
    running.state = replace(running.state, memory=replace(running.state.memory, answered={}))
    running._persist = lambda _: None
    assert stage.ask("device-01", old) is not None


def test_control_a_receipt_bound_to_nothing_makes_the_victim_give_up(stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old receipt read as if it named the round and the bytes that wait for one."""
    stage.collect("device-01", VICTIM)
    old = next(data for who, data in receipts(stage) if who.endswith(f"{VICTIM}/1"))
    stage.running.orchestrator.abort("next")
    stage.network = lambda _, delivery: None if f"{VICTIM}/contribution" in delivery.topic else delivery
    stage.collect("device-01", VICTIM)
    sent = stage.waiting_for_receipt(VICTIM)
    assert sent is not None
    opened = device_module.open_receipt
    monkeypatch.setattr(
        device_module,
        "open_receipt",
        lambda *arguments: msgspec.structs.replace(opened(*arguments), round=sent.round, whole_hash=sha256(sent.sealed)),
    )
    stage.deliver(VICTIM, receipt_topic(2), old)
    stage.pump(VICTIM)
    assert stage.waiting_for_receipt(VICTIM) is None


def test_an_old_receipt_does_nothing(stage: AttackedFleet) -> None:
    stage.collect("device-01", VICTIM)
    old = next(data for who, data in receipts(stage) if who.endswith(f"{VICTIM}/1"))
    stage.running.orchestrator.abort("next")
    stage.network = lambda _, delivery: None if f"{VICTIM}/contribution" in delivery.topic else delivery
    stage.collect("device-01", VICTIM)
    stage.deliver(VICTIM, receipt_topic(1), old)
    stage.deliver(VICTIM, receipt_topic(2), old)
    stage.pump(VICTIM)
    stage.judge(VICTIM)
    sent = stage.waiting_for_receipt(VICTIM)
    assert sent is not None
    assert sent.round == 2


def receipts(stage: AttackedFleet) -> Iterator[tuple[str, bytes]]:
    return ((d.topic, d.data) for _, d in stage.tape if "/receipt/" in d.topic)


def finish(stage: AttackedFleet) -> tuple[Signed, ...]:
    """A whole round; the bodies that were summed."""
    bodies = stage.collect()
    stage.running.orchestrator.end_collection()
    stage.pump(*stage.committee)
    stage.running.orchestrator.pump()
    return bodies


def test_it_sees_no_update_no_share_and_no_partial(stage: AttackedFleet) -> None:
    """Ciphertexts it sees, in the committee's request, as S1 says."""
    bodies = finish(stage)
    assert stage.version == 1
    assert not secrets_seen(stage)
    assert len(bodies) == len(stage.names)
    assert all(signed.content in stage.sent(Kind.REQUEST)[0] for signed in bodies)


def test_control_without_seals_shares_and_partials_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SealingPublicKey, "box", lambda _, plain: plain)
    monkeypatch.setattr(SealingKey, "unbox", lambda _, sealed: sealed)
    with staged(attack_fleet(), tmp_path, monkeypatch) as stage:
        finish(stage)
        assert secrets_seen(stage) == {"key share", "partial decryption"}


def test_control_without_encryption_vectors_are_seen(stage: AttackedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plaintexts travel in the place of ciphertexts, and nobody asks for a proof."""
    monkeypatch.setattr(paillier_device, "encrypt", lambda _, plaintexts, __: Encryption(tuple(plaintexts), (0,) * len(plaintexts)))
    monkeypatch.setattr(paillier_cohort, "verify_batch", lambda *_: ())
    finish(stage)
    assert secrets_seen(stage) == {"packed vector"}
