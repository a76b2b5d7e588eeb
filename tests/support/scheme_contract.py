"""What every aggregation scheme must satisfy: inherit `SchemeContract`, say what tampering means, and pytest runs the rest."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from hushfleet.codec import decode, encode
from hushfleet.documents import GrantedShare
from hushfleet.errors import FaultyDevice, FaultyMember, HushfleetError, LocalError, PeerError, Refusal
from hushfleet.privacy import EncodedVector
from hushfleet.randomness import Randomness, SeededRandomness, SystemRandomness
from hushfleet.rounds.cohort import cohort_of, open_body
from hushfleet.schemes.base import MemberKeys, OpenedContribution, RoundTerms, Sum
from hushfleet.schemes.devices import DEVICE_SCHEMES
from hushfleet.schemes.members import MEMBER_SCHEMES
from hushfleet.schemes.orchestrators import ORCHESTRATOR_SCHEMES
from hushfleet.wire import Answer, Body, Contribution, masked_vector_hash
from hushfleet.wire.limits import LIMITS
from tests.support.fleet import Fleet, make_fleet
from tests.support.refusals import refused

Sent = OpenedContribution
Tamper = Callable[[Body], Body]


def with_body(**fields: object) -> Tamper:
    """Replaces fields of a body; a callable value gets the old one."""
    return lambda body: msgspec.structs.replace(
        body, **{name: value(getattr(body, name)) if callable(value) else value for name, value in fields.items()}
    )


def flip(data: bytes, bit: int = 0) -> bytes:
    """One bit of `data`, counted from its end, the other way round."""
    return (int.from_bytes(data, "big") ^ 1 << bit).to_bytes(len(data), "big")


def flip_first(items: Sequence[bytes]) -> tuple[bytes, ...]:
    return (flip(items[0]), *items[1:])


def greatest(terms: RoundTerms) -> int:
    """Greatest magnitude of a coordinate of a sum."""
    return int((1 << (terms.plan.privacy.slot_bits - 1)) - 1)


class SchemeContract:
    """Override `scheme` and `tampers`; a scheme with parts beside the body also `beside` and what follows from it."""

    scheme: str
    key = "insecure-512"

    def tampers(self, terms: RoundTerms) -> Mapping[str, tuple[Tamper, Refusal]]:
        """What a device may do to its own body before it signs it, and why each is refused."""
        raise NotImplementedError

    # what the tests are made of

    def fleet(self) -> Fleet:
        return make_fleet(key=self.key, devices=10, max_devices=8, job={"scheme": self.scheme})

    def terms(self) -> RoundTerms:
        return self.fleet().terms()

    def values(self, terms: RoundTerms, seed: bytes) -> npt.NDArray[np.int64]:
        """Any encoded vector `(length,)` of which a slot holds the sum of eight."""
        limit = greatest(terms) // 8
        randomness = SeededRandomness(seed)
        return np.array([randomness.below(2 * limit + 1) - limit for _ in range(terms.length)], dtype=np.int64)

    def send(self, fleet: Fleet, terms: RoundTerms, name: str, values: npt.NDArray[np.int64], randomness: Randomness | None = None) -> Sent:
        parts = DEVICE_SCHEMES[self.scheme].encrypt(terms, name, EncodedVector(values), randomness or SystemRandomness())
        signed = fleet.sign_body(Body(terms.plan_hash, name, masked_vector_hash(parts.masked_vector), parts.items, parts.proof))
        return OpenedContribution(open_body(terms, signed), parts.masked_vector, parts.sealed_shares)

    def resigned(self, fleet: Fleet, terms: RoundTerms, sent: Sent, tamper: Tamper) -> Sent:
        return replace(sent, verified=open_body(terms, fleet.sign_body(tamper(sent.verified.body))))

    def cohort(self, count: int) -> tuple[Fleet, RoundTerms, list[Sent], npt.NDArray[np.int64]]:
        """Contributions of `count` devices and the sum that they must give."""
        fleet, terms = self.fleet(), self.terms()
        vectors = [self.values(terms, name.encode()) for name in fleet.names[:count]]
        sent = [self.send(fleet, terms, name, values) for name, values in zip(fleet.names[:count], vectors, strict=True)]
        return fleet, terms, sent, np.sum(vectors, axis=0)

    def faulty(self, terms: RoundTerms, sent: Sequence[Sent]) -> dict[int, FaultyDevice]:
        return ORCHESTRATOR_SCHEMES[self.scheme].find_faulty(terms, sent, SystemRandomness())

    def root(self, terms: RoundTerms, sent: Sequence[Sent]) -> bytes:
        return cohort_of(terms.plan_hash, [one.verified.signed for one in sent])

    def sum(self, terms: RoundTerms, sent: Sequence[Sent]) -> Sum:
        total = ORCHESTRATOR_SCHEMES[self.scheme].start(terms)
        for one in sent:
            total = total.add(one)
        return total

    def keys(self, fleet: Fleet, terms: RoundTerms, index: int) -> MemberKeys:
        """Everything that member `index` may open sums with."""
        name = terms.roster.roster.committee[index - 1]
        share = GrantedShare(fleet.dealing.shares[index - 1].to_bytes(fleet.dealing.public))
        return MemberKeys(index, fleet.parties.devices[name].sealing, share)

    def answer(self, fleet: Fleet, terms: RoundTerms, index: int, sent: Sequence[Sent], root: bytes | None = None) -> Answer:
        scheme, root = MEMBER_SCHEMES[self.scheme], root or self.root(terms, sent)
        shares = [one.sealed_shares[index - 1] for one in sent] if scheme.takes_shares else ()
        bodies = [one.verified for one in sent]
        part = scheme.answer(terms, self.keys(fleet, terms, index), root, bodies, SystemRandomness(), shares=shares)
        return Answer(terms.plan.key_id, terms.plan.round, terms.plan_hash, root, index, part.items, part.proof)

    def judge(self, fleet: Fleet, terms: RoundTerms, sent: Sequence[Sent], answer: Answer) -> npt.NDArray[np.int64]:
        """The sum that this answer opens beside those of other honest members; raises what is wrong with the answer."""
        total, members = self.sum(terms, sent), range(1, len(terms.roster.roster.committee) + 1)
        others = [index for index in members if index != answer.index][: terms.roster.threshold - 1]
        answers = {index: self.answer(fleet, terms, index, sent) for index in others} | {answer.index: answer}
        for one in answers.values():
            total.check_answer(one)
        try:
            return total.open(answers)
        except PeerError:
            for error in total.faulty(answers).values():
                raise error from None
            raise

    def member_check(self, terms: RoundTerms, sent: Sequence[Sent]) -> None:
        MEMBER_SCHEMES[self.scheme].check(terms, [one.verified for one in sent], SystemRandomness())

    # the contract

    def test_the_three_registries_hold_one_scheme_of_this_name_with_one_profile(self) -> None:
        sides = (DEVICE_SCHEMES[self.scheme], MEMBER_SCHEMES[self.scheme], ORCHESTRATOR_SCHEMES[self.scheme])
        assert {side.profile.name for side in sides} == {self.scheme}
        assert len({id(side.profile) for side in sides}) == 1

    def test_a_sum_survives_the_store(self) -> None:
        fleet, terms, sent, total = self.cohort(3)
        scheme = ORCHESTRATOR_SCHEMES[self.scheme]
        stored = scheme.start(terms)
        for one in sent:
            stored = scheme.restore(terms, stored.to_bytes()).add(one)
        answers = {index: self.answer(fleet, terms, index, sent) for index in range(1, terms.roster.threshold + 1)}

        for answer in answers.values():
            stored.check_answer(answer)
        np.testing.assert_array_equal(stored.open(answers), total)

    def test_an_auditor_opens_the_same_sum_from_bodies_and_archive(self) -> None:
        fleet, terms, sent, total = self.cohort(3)
        archived = self.sum(terms, sent).archived()
        audited = ORCHESTRATOR_SCHEMES[self.scheme].audited(terms, [one.verified for one in sent], archived, SystemRandomness())
        answers = {index: self.answer(fleet, terms, index, sent) for index in range(1, terms.roster.threshold + 1)}

        for answer in answers.values():
            audited.check_answer(answer)
        np.testing.assert_array_equal(audited.open(answers), total)

    def test_adding_leaves_the_sum_before_as_it_was(self) -> None:
        _, terms, sent, _ = self.cohort(2)
        one = self.sum(terms, sent[:1])
        before = one.to_bytes()
        one.add(sent[1])

        assert one.to_bytes() == before

    def test_costs_grow_with_the_cohort_and_a_plan_that_fits_has_no_misfit(self) -> None:
        terms = self.terms()
        profile = DEVICE_SCHEMES[self.scheme].profile
        costs = profile.costs(terms.plan, terms.roster)
        larger = msgspec.structs.replace(terms.plan, privacy=msgspec.structs.replace(terms.plan.privacy, max_devices=10))

        assert profile.misfit(terms.plan, terms.roster) == ""
        assert profile.costs(larger, terms.roster).request_bytes > costs.request_bytes
        assert costs.contribution_bytes > 0

    @pytest.mark.parametrize("count", [1, 2, 5, 8])
    def test_the_opened_sum_is_exactly_the_sum_of_what_was_encoded(self, count: int) -> None:
        fleet, terms, sent, total = self.cohort(count)
        assert self.faulty(terms, sent) == {}
        self.member_check(terms, sent)
        answers = {}
        for index in range(1, terms.roster.threshold + 1):
            answers[index] = self.answer(fleet, terms, index, sent)
            self.sum(terms, sent).check_answer(answers[index])

        opened = self.sum(terms, sent).open(answers)

        assert opened.dtype == np.int64
        np.testing.assert_array_equal(opened, total)

    def test_the_greatest_and_least_sums_of_a_full_cohort_open_exactly(self) -> None:
        fleet, terms = self.fleet(), self.terms()
        share = greatest(terms) // 8
        for sign in (1, -1):
            values = np.full(terms.length, sign * share, dtype=np.int64)
            sent = [self.send(fleet, terms, name, values) for name in fleet.names[:8]]
            answers = {index: self.answer(fleet, terms, index, sent) for index in range(1, terms.roster.threshold + 1)}
            np.testing.assert_array_equal(self.sum(terms, sent).open(answers), 8 * values)

    def test_any_quorum_opens_the_same_sum_and_one_member_less_none(self) -> None:
        fleet, terms, sent, total = self.cohort(3)
        members = range(1, len(terms.roster.roster.committee) + 1)
        answers = {index: self.answer(fleet, terms, index, sent) for index in members}
        sum_ = self.sum(terms, sent)
        for size in range(terms.roster.threshold, len(members) + 1):
            for quorum in itertools.combinations(members, size):
                np.testing.assert_array_equal(sum_.open({index: answers[index] for index in quorum}), total)
        for few in itertools.combinations(members, terms.roster.threshold - 1):
            with refused(Refusal.COMBINE_TOO_FEW, LocalError):
                sum_.open({index: answers[index] for index in few})

    @pytest.mark.parametrize("place", [0, 2, 4])
    def test_exactly_the_tampered_contributions_are_named(self, place: int) -> None:
        fleet, terms, sent, _ = self.cohort(5)
        for name, (tamper, reason) in self.tampers(terms).items():
            cohort = list(sent)
            cohort[place] = self.resigned(fleet, terms, sent[place], tamper)
            found = self.faulty(terms, cohort)
            assert set(found) == {place}, f"{name}: {found}"
            assert found[place].device == fleet.names[place], name
            with refused(reason, FaultyDevice):
                raise found[place]

    def test_all_the_tampered_contributions_are_named_at_once(self) -> None:
        fleet, terms, sent, _ = self.cohort(6)
        tampers = list(self.tampers(terms).values())
        for start in range(len(tampers)):
            chosen = {0: tampers[start], 3: tampers[start - 1], 5: tampers[start - 2]}
            cohort = list(sent)
            for place, (tamper, _) in chosen.items():
                cohort[place] = self.resigned(fleet, terms, sent[place], tamper)
            found = self.faulty(terms, cohort)
            assert {place: fault.reason for place, fault in found.items()} == {place: reason for place, (_, reason) in chosen.items()}

    def test_a_member_names_the_first_of_them_and_does_not_answer(self) -> None:
        fleet, terms, sent, _ = self.cohort(4)
        for tamper, reason in self.tampers(terms).values():
            cohort = [sent[0], *(self.resigned(fleet, terms, one, tamper) for one in sent[1:])]
            with refused(reason, FaultyDevice):
                self.member_check(terms, cohort)

    def test_what_travels_is_what_was_sent(self) -> None:
        fleet, terms, sent, _ = self.cohort(1)
        one, answer = sent[0], self.answer(fleet, terms, 1, sent)
        contribution = Contribution(one.verified.signed, one.masked_vector, one.sealed_shares)

        assert decode(Contribution, encode(contribution), max_bytes=LIMITS.contribution) == contribution
        assert decode(Body, encode(one.verified.body), max_bytes=LIMITS.body) == one.verified.body
        assert decode(Answer, encode(answer), max_bytes=LIMITS.answer) == answer

    def test_two_encryptions_of_one_vector_share_nothing(self) -> None:
        fleet, terms = self.fleet(), self.terms()
        values = self.values(terms, b"the same")
        first, second = (self.send(fleet, terms, fleet.names[0], values) for _ in range(2))
        one, two = first.verified.body, second.verified.body

        assert not set(one.items) & set(two.items)
        assert one.proof != two.proof or not one.proof
        assert first.masked_vector != second.masked_vector or not first.masked_vector
        assert not set(first.sealed_shares) & set(second.sealed_shares)

    def test_the_randomness_given_is_the_randomness_used(self) -> None:
        fleet, terms = self.fleet(), self.terms()
        values = self.values(terms, b"the same")
        one, two = (self.send(fleet, terms, fleet.names[0], values, SeededRandomness(b"seed")) for _ in range(2))

        # A sealed box draws from the system whatever it is given, so shares and their hashes differ.
        assert one.masked_vector == two.masked_vector
        assert one.verified.body == two.verified.body or one.sealed_shares


class ProvingSchemeContract(SchemeContract):
    """The part for a scheme whose contributions and answers prove themselves, one by one."""

    def answer_tampers(self, terms: RoundTerms) -> Mapping[str, tuple[Mapping[str, object], Refusal]]:
        """Fields of an answer that a member may falsify so that it opens nothing, and why each is refused."""
        raise NotImplementedError

    def harmless_tampers(self, terms: RoundTerms) -> Mapping[str, Mapping[str, object]]:
        """Fields of an answer that a member may falsify and that leave the sum as it is."""
        raise NotImplementedError

    def test_anothers_contribution_under_an_own_name_is_named(self) -> None:
        fleet, terms, sent, _ = self.cohort(3)
        stolen = self.resigned(fleet, terms, sent[0], with_body(device_id=fleet.names[1]))

        assert set(self.faulty(terms, [sent[0], stolen, sent[2]])) == {1}

    def test_a_contribution_made_for_another_round_is_named(self) -> None:
        fleet, terms, sent, _ = self.cohort(2)
        earlier = replace(terms, verified_plan=fleet.plan(7))
        moved = self.resigned(
            fleet, terms, self.send(fleet, earlier, fleet.names[0], self.values(terms, b"x")), with_body(plan_hash=terms.plan_hash)
        )

        assert set(self.faulty(terms, [moved, sent[1]])) == {0}

    def test_falsified_answers_are_refused_and_name_their_member(self) -> None:
        fleet, terms, sent, _ = self.cohort(2)
        honest = self.answer(fleet, terms, 2, sent)
        self.judge(fleet, terms, sent, honest)
        for fields, reason in self.answer_tampers(terms).values():
            with refused(reason, FaultyMember):
                self.judge(fleet, terms, sent, falsified(honest, fields))

    def test_the_member_that_is_named_is_the_one_that_falsified(self) -> None:
        fleet, terms, sent, total = self.cohort(2)
        for place in (1, 2, terms.roster.threshold):
            honest = self.answer(fleet, terms, place, sent)
            for fields, _ in self.answer_tampers(terms).values():
                if "index" not in fields:
                    with pytest.raises(FaultyMember) as caught:
                        self.judge(fleet, terms, sent, falsified(honest, fields))
                    assert caught.value.index == place
            np.testing.assert_array_equal(self.judge(fleet, terms, sent, honest), total)

    def test_a_falsified_answer_that_leaves_the_sum_counts(self) -> None:
        fleet, terms, sent, total = self.cohort(2)
        honest = self.answer(fleet, terms, 2, sent)
        for fields in self.harmless_tampers(terms).values():
            np.testing.assert_array_equal(self.judge(fleet, terms, sent, falsified(honest, fields)), total)

    def test_an_answer_holds_for_one_index_and_one_cohort_only(self) -> None:
        fleet, terms, sent, _ = self.cohort(3)
        honest = self.answer(fleet, terms, 1, sent)
        for cohort, answer in [(sent, msgspec.structs.replace(honest, index=2)), (sent[:2], honest)]:
            with pytest.raises(FaultyMember):
                self.judge(fleet, terms, cohort, answer)

    def test_two_answers_for_one_cohort_hide_the_share_with_fresh_masks(self) -> None:
        fleet, terms, sent, _ = self.cohort(1)
        one, two = (self.answer(fleet, terms, 1, sent) for _ in range(2))

        assert one.proof != two.proof or not one.proof

    def test_garbage_gives_typed_errors_and_names_its_sender(self) -> None:
        fleet, terms, sent, _ = self.cohort(2)
        randomness, body, answer = SeededRandomness(b"garbage"), sent[0].verified.body, self.answer(fleet, terms, 1, sent)
        for junk in _junk(randomness, body.items, body.proof):
            found = self.faulty(terms, [self.resigned(fleet, terms, sent[0], with_body(**junk)), sent[1]])
            assert set(found) == {0}
        for junk in _junk(randomness, answer.items, answer.proof):
            self.opens_to_the_right_sum_or_not_at_all(fleet, terms, sent, msgspec.structs.replace(answer, **junk))

    def opens_to_the_right_sum_or_not_at_all(self, fleet: Fleet, terms: RoundTerms, sent: Sequence[Sent], bad: Answer) -> None:
        """Noise in a proof alone still leaves the right sum; anything else names member 1, also without `check_answer`."""
        answers = {index: self.answer(fleet, terms, index, sent) for index in range(2, terms.roster.threshold + 1)}
        try:
            opened = self.sum(terms, sent).open({1: bad} | answers)
        except HushfleetError:
            with pytest.raises(FaultyMember) as caught:
                self.judge(fleet, terms, sent, bad)
            assert caught.value.index == 1
            return
        total = np.sum([self.values(terms, one.device_id.encode()) for one in sent], axis=0)
        np.testing.assert_array_equal(opened, total)


def falsified(honest: Answer, fields: Mapping[str, object]) -> Answer:
    """The answer with these fields replaced; a callable is given the honest field."""
    return msgspec.structs.replace(honest, **{n: value(getattr(honest, n)) if callable(value) else value for n, value in fields.items()})


def _junk(randomness: Randomness, items: Sequence[bytes], proof: bytes) -> list[dict[str, object]]:
    """Fields full of noise: of the right lengths, of wrong ones, empty."""
    noise = tuple(randomness.octets(len(item)) for item in items)
    return [
        {"items": noise},
        {"items": noise, "proof": randomness.octets(len(proof))},
        {"items": tuple(bytes(len(item)) for item in items)},
        {"items": tuple(b"\xff" * len(item) for item in items)},
        {"items": (b"",) * len(items)},
        {"items": tuple(item + b"\x00" for item in items)},
        {"items": noise[:-1]},
        {"items": ()},
        *({"proof": randomness.octets(length)} for length in (1, max(0, len(proof) - 1), len(proof) + 1)),
    ]
