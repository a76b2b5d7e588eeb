"""What every aggregation scheme must satisfy: inherit `SchemeContract`, say what tampering means, and pytest runs the rest."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from hushfleet.codec import decode, encode
from hushfleet.errors import FaultyDevice, FaultyMember, HushfleetError, LocalError, Refusal
from hushfleet.privacy import EncodedVector
from hushfleet.randomness import Randomness, SeededRandomness, SystemRandomness
from hushfleet.rounds.cohort import cohort_of, open_body
from hushfleet.schemes.base import RoundTerms, VerifiedBody
from hushfleet.schemes.devices import DEVICE_SCHEMES
from hushfleet.schemes.members import MEMBER_SCHEMES
from hushfleet.schemes.orchestrators import ORCHESTRATOR_SCHEMES
from hushfleet.wire import Answer, Body, Contribution
from hushfleet.wire.limits import LIMITS
from tests.support.refusals import refused
from tests.support.world import World, make_world

Sent = tuple[VerifiedBody, Contribution]
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


class SchemeContract:
    """Override `scheme` and `tampers`; a scheme with parts beside the body also `beside` and what follows from it."""

    scheme: str
    key = "insecure-512"

    def tampers(self, setting: RoundTerms) -> Mapping[str, tuple[Tamper, Refusal]]:
        """What a device may do to its own body before it signs it, and why each is refused."""
        raise NotImplementedError

    def answer_tampers(self, setting: RoundTerms) -> Mapping[str, tuple[Mapping[str, object], Refusal]]:
        """Fields of an answer that a member may falsify, and why each is refused."""
        raise NotImplementedError

    # what the tests are made of

    def world(self) -> World:
        return make_world(key=self.key, devices=10, max_devices=8, job={"scheme": self.scheme})

    def setting(self) -> RoundTerms:
        return self.world().setting()

    def values(self, setting: RoundTerms, seed: bytes) -> npt.NDArray[np.int64]:
        """Any encoded vector `(d',)` of which a slot holds the sum of eight."""
        limit = ((1 << (setting.plan.privacy.slot_bits - 1)) - 1) // 8
        randomness = SeededRandomness(seed)
        return np.array([randomness.below(2 * limit + 1) - limit for _ in range(setting.padded)], dtype=np.int64)

    def send(
        self, world: World, setting: RoundTerms, name: str, values: npt.NDArray[np.int64], randomness: Randomness | None = None
    ) -> Sent:
        parts = DEVICE_SCHEMES[self.scheme].encrypt(setting, name, EncodedVector(values), randomness or SystemRandomness())
        signed = world.sign_body(Body(setting.plan_hash, name, parts.masked_hash, parts.items, parts.proof))
        return open_body(setting, signed), Contribution(signed, parts.masked_vector, parts.sealed_shares)

    def resigned(self, world: World, setting: RoundTerms, sent: Sent, tamper: Tamper) -> Sent:
        signed = world.sign_body(tamper(sent[0].body))
        return open_body(setting, signed), msgspec.structs.replace(sent[1], body=signed)

    def cohort(self, count: int) -> tuple[World, RoundTerms, list[Sent], npt.NDArray[np.int64]]:
        """Contributions of `count` devices and the sum that they must give."""
        world, setting = self.world(), self.setting()
        vectors = [self.values(setting, name.encode()) for name in world.names[:count]]
        sent = [self.send(world, setting, name, values) for name, values in zip(world.names[:count], vectors, strict=True)]
        return world, setting, sent, np.sum(vectors, axis=0)

    def faulty(self, setting: RoundTerms, sent: Sequence[Sent]) -> dict[int, FaultyDevice]:
        bodies, contributions = [body for body, _ in sent], [contribution for _, contribution in sent]
        return ORCHESTRATOR_SCHEMES[self.scheme].find_faulty(setting, bodies, contributions, SystemRandomness())

    def root(self, setting: RoundTerms, sent: Sequence[Sent]) -> bytes:
        return cohort_of(setting.plan_hash, [body.signed for body, _ in sent])

    def answer(self, world: World, setting: RoundTerms, index: int, sent: Sequence[Sent], root: bytes | None = None) -> Answer:
        share, root = world.dealing.shares[index - 1], root or self.root(setting, sent)
        items, proof = MEMBER_SCHEMES[self.scheme].answer(setting, share, root, [body for body, _ in sent], SystemRandomness())
        return Answer(setting.plan.key_id, setting.plan.round, setting.plan_hash, root, index, items, proof)

    def check(self, setting: RoundTerms, sent: Sequence[Sent], answer: Answer) -> None:
        ORCHESTRATOR_SCHEMES[self.scheme].check_answer(setting, [body.body for body, _ in sent], answer)

    # the contract

    @pytest.mark.parametrize("count", [1, 2, 5, 8])
    def test_the_opened_sum_is_exactly_the_sum_of_what_was_encoded(self, count: int) -> None:
        world, setting, sent, total = self.cohort(count)
        assert self.faulty(setting, sent) == {}
        MEMBER_SCHEMES[self.scheme].check(setting, [body for body, _ in sent], SystemRandomness())
        answers = {}
        for index in range(1, setting.roster.threshold + 1):
            answers[index] = self.answer(world, setting, index, sent)
            self.check(setting, sent, answers[index])

        opened = ORCHESTRATOR_SCHEMES[self.scheme].open(setting, answers)

        assert opened.dtype == np.int64
        np.testing.assert_array_equal(opened, total)

    def test_the_greatest_and_least_sums_of_a_full_cohort_open_exactly(self) -> None:
        world, setting = self.world(), self.setting()
        share = ((1 << (setting.plan.privacy.slot_bits - 1)) - 1) // 8
        for sign in (1, -1):
            values = np.full(setting.padded, sign * share, dtype=np.int64)
            sent = [self.send(world, setting, name, values) for name in world.names[:8]]
            answers = {index: self.answer(world, setting, index, sent) for index in range(1, setting.roster.threshold + 1)}
            np.testing.assert_array_equal(ORCHESTRATOR_SCHEMES[self.scheme].open(setting, answers), 8 * values)

    def test_any_quorum_opens_the_same_sum_and_one_member_less_none(self) -> None:
        world, setting, sent, total = self.cohort(3)
        members = range(1, len(setting.roster.roster.committee) + 1)
        answers = {index: self.answer(world, setting, index, sent) for index in members}
        scheme = ORCHESTRATOR_SCHEMES[self.scheme]
        for size in range(setting.roster.threshold, len(members) + 1):
            for quorum in itertools.combinations(members, size):
                np.testing.assert_array_equal(scheme.open(setting, {index: answers[index] for index in quorum}), total)
        for few in itertools.combinations(members, setting.roster.threshold - 1):
            with refused(Refusal.COMBINE_TOO_FEW, LocalError):
                scheme.open(setting, {index: answers[index] for index in few})

    @pytest.mark.parametrize("place", [0, 2, 4])
    def test_exactly_the_tampered_contributions_are_named(self, place: int) -> None:
        world, setting, sent, _ = self.cohort(5)
        for name, (tamper, reason) in self.tampers(setting).items():
            cohort = list(sent)
            cohort[place] = self.resigned(world, setting, sent[place], tamper)
            found = self.faulty(setting, cohort)
            assert set(found) == {place}, f"{name}: {found}"
            assert found[place].device == world.names[place], name
            with refused(reason, FaultyDevice):
                raise found[place]

    def test_all_the_tampered_contributions_are_named_at_once(self) -> None:
        world, setting, sent, _ = self.cohort(6)
        tampers = list(self.tampers(setting).values())
        for start in range(len(tampers)):
            chosen = {0: tampers[start], 3: tampers[start - 1], 5: tampers[start - 2]}
            cohort = list(sent)
            for place, (tamper, _) in chosen.items():
                cohort[place] = self.resigned(world, setting, sent[place], tamper)
            found = self.faulty(setting, cohort)
            assert {place: fault.reason for place, fault in found.items()} == {place: reason for place, (_, reason) in chosen.items()}

    def test_a_member_names_the_first_of_them_and_does_not_answer(self) -> None:
        world, setting, sent, _ = self.cohort(4)
        for tamper, reason in self.tampers(setting).values():
            cohort = [sent[0], *(self.resigned(world, setting, one, tamper) for one in sent[1:])]
            with refused(reason, FaultyDevice):
                MEMBER_SCHEMES[self.scheme].check(setting, [body for body, _ in cohort], SystemRandomness())

    def test_anothers_contribution_under_an_own_name_is_named(self) -> None:
        world, setting, sent, _ = self.cohort(3)
        stolen = self.resigned(world, setting, sent[0], with_body(device_id=world.names[1]))

        assert set(self.faulty(setting, [sent[0], stolen, sent[2]])) == {1}

    def test_a_contribution_made_for_another_round_is_named(self) -> None:
        world, setting, sent, _ = self.cohort(2)
        earlier = replace(setting, verified_plan=world.plan(7))
        moved = self.resigned(
            world, setting, self.send(world, earlier, world.names[0], self.values(setting, b"x")), with_body(plan_hash=setting.plan_hash)
        )

        assert set(self.faulty(setting, [moved, sent[1]])) == {0}

    def test_falsified_answers_are_refused_and_name_their_member(self) -> None:
        world, setting, sent, _ = self.cohort(2)
        honest = self.answer(world, setting, 2, sent)
        self.check(setting, sent, honest)
        for fields, reason in self.answer_tampers(setting).values():
            changed = {name: value(getattr(honest, name)) if callable(value) else value for name, value in fields.items()}
            with refused(reason, FaultyMember):
                self.check(setting, sent, msgspec.structs.replace(honest, **changed))

    def test_an_answer_holds_for_one_root_one_index_and_one_cohort_only(self) -> None:
        world, setting, sent, _ = self.cohort(3)
        honest = self.answer(world, setting, 1, sent)
        others = [
            (sent, msgspec.structs.replace(honest, root=bytes(32))),
            (sent, msgspec.structs.replace(honest, index=2)),
            (sent[:2], honest),
            (sent, msgspec.structs.replace(self.answer(world, setting, 1, sent, bytes(32)), root=honest.root)),
        ]
        for cohort, answer in others:
            with pytest.raises(FaultyMember):
                self.check(setting, cohort, answer)

    def test_what_travels_is_what_was_sent(self) -> None:
        world, setting, sent, _ = self.cohort(1)
        (body, contribution), answer = sent[0], self.answer(world, setting, 1, sent)

        assert decode(Contribution, encode(contribution), max_bytes=LIMITS.contribution) == contribution
        assert decode(Body, encode(body.body), max_bytes=LIMITS.body) == body.body
        assert decode(Answer, encode(answer), max_bytes=LIMITS.answer) == answer

    def test_two_encryptions_of_one_vector_share_nothing(self) -> None:
        world, setting = self.world(), self.setting()
        values = self.values(setting, b"the same")
        (one, first), (two, second) = (self.send(world, setting, world.names[0], values) for _ in range(2))

        assert not set(one.body.items) & set(two.body.items)
        assert one.body.proof != two.body.proof or not one.body.proof
        assert first.masked_vector != second.masked_vector or not first.masked_vector
        assert not set(first.sealed_shares) & set(second.sealed_shares)

    def test_the_randomness_given_is_the_randomness_used(self) -> None:
        world, setting = self.world(), self.setting()
        values = self.values(setting, b"the same")
        one, two = (self.send(world, setting, world.names[0], values, SeededRandomness(b"seed"))[0] for _ in range(2))

        assert one.body == two.body

    def test_two_answers_for_one_cohort_hide_the_share_with_fresh_masks(self) -> None:
        world, setting, sent, _ = self.cohort(1)
        one, two = (self.answer(world, setting, 1, sent) for _ in range(2))

        assert one.proof != two.proof or not one.proof

    def test_garbage_gives_typed_errors_and_names_its_sender(self) -> None:
        world, setting, sent, _ = self.cohort(2)
        randomness, body, answer = SeededRandomness(b"garbage"), sent[0][0].body, self.answer(world, setting, 1, sent)
        for junk in _junk(randomness, body.items, body.proof):
            found = self.faulty(setting, [self.resigned(world, setting, sent[0], with_body(**junk)), sent[1]])
            assert set(found) == {0}
        for junk in _junk(randomness, answer.items, answer.proof):
            bad = msgspec.structs.replace(answer, **junk)
            with pytest.raises(FaultyMember):
                self.check(setting, sent, bad)
            self.opens_to_the_right_sum_or_not_at_all(world, setting, sent, bad)

    def opens_to_the_right_sum_or_not_at_all(self, world: World, setting: RoundTerms, sent: Sequence[Sent], bad: Answer) -> None:
        """Without `check_answer`, as no orchestrator opens. Noise in a proof alone still leaves the right sum."""
        answers = {index: self.answer(world, setting, index, sent) for index in range(2, setting.roster.threshold + 1)}
        try:
            opened = ORCHESTRATOR_SCHEMES[self.scheme].open(setting, {1: bad} | answers)
        except HushfleetError:
            return
        total = np.sum([self.values(setting, body.body.device_id.encode()) for body, _ in sent], axis=0)
        np.testing.assert_array_equal(opened, total)


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
