from dataclasses import replace

import msgspec
import numpy as np
import pytest

from hushfleet.encryption.ring_mask import ring
from hushfleet.encryption.sealing import SealingPublicKey, seal
from hushfleet.errors import FaultyDevice, FaultyMember, LocalError, PeerError, Refusal
from hushfleet.labels import Label, sha256
from hushfleet.randomness import SystemRandomness
from hushfleet.rounds.effects import Publish
from hushfleet.rounds.events import DeadlinePassed, InboxArrived
from hushfleet.rounds.tasks.train import own
from hushfleet.schemes.base import OpenedContribution
from hushfleet.schemes.members import MEMBER_SCHEMES
from hushfleet.schemes.orchestrators import ORCHESTRATOR_SCHEMES
from hushfleet.schemes.shared.profile import PROFILE, share_bytes, share_context
from hushfleet.sharing.field import FIELD
from hushfleet.wire import Kind
from tests.support.fleet import make_fleet, of, update_of, without_privacy
from tests.support.fleet.machines import Machines
from tests.support.refusals import refused
from tests.support.scheme_contract import SchemeContract, flip, greatest, with_body

POLICY = {"schemes": ("paillier", "shared")}


class TestShared(SchemeContract):
    scheme = "shared"

    def fleet(self):
        return make_fleet(key=self.key, devices=10, max_devices=8, policy=POLICY, job={"scheme": self.scheme})

    def tampers(self, _):
        return {
            "a hash less": (with_body(items=lambda items: items[:-1]), Refusal.SHARE_MISMATCH),
            "a hash more": (with_body(items=lambda items: (*items, items[0])), Refusal.SHARE_MISMATCH),
            "a shorter hash": (with_body(items=lambda items: (items[0][1:], *items[1:])), Refusal.SHARE_MISMATCH),
            "a proof": (with_body(proof=b"proof"), Refusal.KNOWLEDGE_PROOF),
        }

    def test_what_lies_beside_a_body_is_what_the_body_names(self):
        _, terms, sent, _ = self.cohort(3)
        one = sent[1]
        for changed, reason in [
            ({"masked_vector": flip(one.masked_vector)}, Refusal.MASKED_VECTOR),
            ({"masked_vector": b""}, Refusal.MASKED_VECTOR),
            ({"masked_vector": one.masked_vector + bytes(1)}, Refusal.MASKED_VECTOR),
            ({"sealed_shares": one.sealed_shares[:-1]}, Refusal.SHARE_MISMATCH),
            ({"sealed_shares": one.sealed_shares[::-1]}, Refusal.SHARE_MISMATCH),
        ]:
            found = self.faulty(terms, [sent[0], replace(one, **changed), sent[2]])
            assert set(found) == {1}
            with refused(reason, FaultyDevice):
                raise found[1]

    def test_the_greatest_and_least_sums_of_a_full_cohort_open_exactly(self):
        """In single places: a sum at the edge of every slot has a norm that no honest cohort gives, and does not open."""
        fleet, terms = self.fleet(), self.terms()
        edge = np.zeros(terms.length, np.int64)
        edge[0], edge[-1] = greatest(terms) // 8, -(greatest(terms) // 8)
        everywhere = np.full(terms.length, greatest(terms) // 8)
        for values, opens in ((edge, True), (-edge, True), (everywhere, False)):
            sent = [self.send(fleet, terms, name, values) for name in fleet.names[:8]]
            answers = {index: self.answer(fleet, terms, index, sent) for index in range(1, terms.roster.threshold + 1)}
            if opens:
                np.testing.assert_array_equal(self.sum(terms, sent).open(answers), 8 * values)
            else:
                with refused(Refusal.COMBINE_TOO_FEW, LocalError):
                    self.sum(terms, sent).open(answers)

    def redealt(self, fleet, terms, sent, place, sealed) -> OpenedContribution:
        """The contribution with another sealed share for the member at `place`, named in its body."""
        shares = (*sent.sealed_shares[:place], sealed, *sent.sealed_shares[place + 1 :])
        changed = self.resigned(fleet, terms, sent, with_body(items=lambda _: tuple(map(sha256, shares))))
        return replace(changed, sealed_shares=shares)

    def test_a_copied_share_opens_for_nobody_but_its_device(self):
        fleet, terms, sent, _ = self.cohort(2)
        copied = self.redealt(fleet, terms, sent[1], 0, sent[0].sealed_shares[0])
        assert not self.faulty(terms, [sent[0], copied])
        with refused(Refusal.SEAL, FaultyDevice):
            self.answer(fleet, terms, 1, [sent[0], copied])

    def test_a_bad_share_is_named_by_the_member_that_it_was_dealt_to(self):
        fleet, terms, sent, total = self.cohort(2)
        member = terms.roster.roster.committee[0]
        recipient = SealingPublicKey(terms.roster.device(member).sealing_key)
        context = share_context(terms, sent[1].device_id, member)
        word = FIELD.modulus.to_bytes(3, "little")
        for plain, reason in ((b"", Refusal.MESSAGE_MALFORMED), (word + bytes(5117), Refusal.FIELD_ELEMENT)):
            bad = self.redealt(fleet, terms, sent[1], 0, seal(recipient, Label.SEAL_SHARE, context, plain))
            with refused(reason, FaultyDevice):
                self.answer(fleet, terms, 1, [sent[0], bad])
        others = {index: self.answer(fleet, terms, index, sent) for index in (2, 3, 4)}
        np.testing.assert_array_equal(self.sum(terms, sent).open(others), total)

    def test_a_false_answer_is_left_out_as_soon_as_a_quorum_without_it_is_there(self):
        fleet, terms, sent, total = self.cohort(3)
        answers = {index: self.answer(fleet, terms, index, sent) for index in (1, 2, 3, 4)}
        (share,) = answers[2].items
        answers[2] = msgspec.structs.replace(answers[2], items=(bytes(len(share)),))
        with refused(Refusal.COMBINE_TOO_FEW, LocalError):
            self.sum(terms, sent).open({index: answers[index] for index in (1, 2, 3)})
        np.testing.assert_array_equal(self.sum(terms, sent).open(answers), total)
        answers[3] = msgspec.structs.replace(answers[3], items=(bytes(len(share)),))
        with refused(Refusal.COMBINE_MISFIT, PeerError):
            self.sum(terms, sent).open(answers)

    def test_an_answer_of_another_shape_names_its_member(self):
        fleet, terms, sent, _ = self.cohort(2)
        honest, total = self.answer(fleet, terms, 1, sent), self.sum(terms, sent)
        (share,) = honest.items
        shapes = [(), (share, share), (share[:-1],), (b"\xff" * len(share),)]
        for fields in [{"proof": b"x"}, *({"items": items} for items in shapes)]:
            with refused(Refusal.PARTIAL_INVALID, FaultyMember):
                total.check_answer(msgspec.structs.replace(honest, **fields))

    def test_a_share_for_another_root_is_not_the_one_in_the_body(self):
        fleet, terms, sent, _ = self.cohort(2)
        with refused(Refusal.SHARE_MISMATCH, PeerError):
            keys, bodies = self.keys(fleet, terms, 1), [one.verified for one in sent]
            shares = [one.sealed_shares[1] for one in sent]
            MEMBER_SCHEMES["shared"].answer(terms, keys, bytes(32), bodies, SystemRandomness(), shares=shares)

    def test_an_archived_sum_of_another_number_of_contributions_is_refused(self):
        _, terms, sent, _ = self.cohort(3)
        archived, bodies = self.sum(terms, sent).archived(), [one.verified for one in sent]
        ORCHESTRATOR_SCHEMES["shared"].audited(terms, bodies, archived, SystemRandomness())
        with refused(Refusal.ARCHIVE, PeerError):
            ORCHESTRATOR_SCHEMES["shared"].audited(terms, bodies[:2], archived, SystemRandomness())
        with refused(Refusal.MASKED_VECTOR, PeerError):
            ORCHESTRATOR_SCHEMES["shared"].audited(terms, bodies, archived[:-8], SystemRandomness())


class TestSharedWithSevenMembers(TestShared):
    key = "insecure-512-f2"

    def test_a_false_answer_is_left_out_as_soon_as_a_quorum_without_it_is_there(self):
        fleet, terms, sent, total = self.cohort(3)
        answers = {index: self.answer(fleet, terms, index, sent) for index in range(1, 8)}
        for liar in (1, 6):
            answers[liar] = msgspec.structs.replace(answers[liar], items=(bytes(len(answers[liar].items[0])),))
        np.testing.assert_array_equal(self.sum(terms, sent).open(answers), total)

    def test_a_bad_share_is_named_by_the_member_that_it_was_dealt_to(self):
        """Told for four members."""


def test_limits_of_the_scheme_are_told_before_anybody_pays():
    fleet = make_fleet(policy=POLICY, job={"scheme": "shared"})
    plan, roster = fleet.plan(dimension=1_000_000).plan, fleet.roster
    assert not PROFILE.misfit(plan, roster)
    assert PROFILE.costs(plan, roster).contribution_bytes < 4_000_000
    crowd = msgspec.structs.replace(plan, privacy=msgspec.structs.replace(plan.privacy, max_devices=2801))
    assert "errors" in PROFILE.misfit(crowd, roster)
    key = SealingPublicKey(roster.device("device-01").sealing_key)
    assert len(seal(key, Label.SEAL_SHARE, bytes(32 + 134), bytes(FIELD.packed_bytes(2048)))) == share_bytes()


@pytest.mark.parametrize("modulus_bits", [35, 46, 54])
def test_masks_are_exact_whatever_the_transform_says(modulus_bits, monkeypatch):
    """With every rounding declared uncertain, the integers give the same product."""
    polynomials = np.frombuffer(SystemRandomness().octets(2 * 2048 * 8), "<u8").reshape(2, 2048) & np.uint64((1 << modulus_bits) - 1)
    key = np.arange(2048) % 167 - 83
    fast = ring.product(polynomials, key, modulus_bits=modulus_bits, limb_bits=27)
    monkeypatch.setattr(ring, "LARGEST_GAP", 0.0)
    np.testing.assert_array_equal(ring.product(polynomials, key, modulus_bits=modulus_bits, limb_bits=27), fast)


def test_a_round_through_the_machines_releases_the_mean_of_the_updates():
    fleet = without_privacy(make_fleet(policy=POLICY, job={"scheme": "shared"}))
    machines = Machines(fleet)
    updates = {name: update_of(name.encode()) for name in fleet.names[:4]}
    machines.start()
    machines.collect({name: machines.contribute(name, update) for name, update in updates.items()})
    for one in of(machines.orchestrate(DeadlinePassed()), Publish):
        if one.topic.kind is Kind.INBOX:
            machines.take(one.topic.device, machines.members[one.topic.device], InboxArrived(one.data))
    machines.decrypt()

    step = own(machines.coordinator.state.memory.progress).model.parameters - fleet.model.parameters
    np.testing.assert_allclose(step, np.mean(list(updates.values()), axis=0), atol=0.05)
