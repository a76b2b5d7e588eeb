"""The contract must fail for schemes that break it."""

import numpy as np
import pytest

from hushfleet.errors import PeerError
from hushfleet.randomness import SeededRandomness
from hushfleet.schemes.devices import DEVICE_SCHEMES
from hushfleet.schemes.members import MEMBER_SCHEMES
from hushfleet.schemes.orchestrators import ORCHESTRATOR_SCHEMES
from hushfleet.schemes.paillier.device import PaillierDevice
from hushfleet.schemes.paillier.member import PaillierMember
from hushfleet.schemes.paillier.orchestrator import PaillierOrchestrator, PaillierSum
from tests.unit.schemes import test_paillier


class UncheckedSum(PaillierSum):
    """Names nobody, and opens whatever it is given."""

    def check_answer(self, answer):
        pass

    def open(self, _, **__: object):
        return np.zeros(self.terms.length, np.int64)


class Blind(PaillierOrchestrator):
    def find_faulty(self, *_: object, **__: object):
        return {}

    def start(self, terms):
        return UncheckedSum(terms)


class Suspicious(PaillierOrchestrator):
    def find_faulty(self, terms, contributions, randomness, **options: object):
        found = super().find_faulty(terms, contributions, randomness, **options)
        return dict.fromkeys(range(len(contributions)), next(iter(found.values()))) if found else {}


class SkewedSum(PaillierSum):
    def open(self, answers, **options: object):
        total = super().open(answers, **options)
        total[0] += 1
        return total


class Skewed(PaillierOrchestrator):
    def start(self, terms):
        return SkewedSum(terms)


class Forgetful(PaillierOrchestrator):
    def restore(self, terms, _):
        return self.start(terms)


class Trusting(PaillierOrchestrator):
    """Its auditor believes the archive, and the archive says nothing."""

    def audited(self, terms, _, archived, __):
        return self.restore(terms, archived)


class Repeating(PaillierDevice):
    def encrypt(self, terms, device_id, encoded, _):
        return super().encrypt(terms, device_id, encoded, SeededRandomness(b"always the same"))


class Stubborn(PaillierMember):
    def check(self, *_: object, **__: object):
        pass

    def answer(self, terms, keys, root, bodies, _, **options: object):
        return super().answer(terms, keys, root, bodies, SeededRandomness(b"always the same"), **options)


BROKEN = [
    (ORCHESTRATOR_SCHEMES, Blind(), "test_exactly_the_tampered_contributions_are_named", (0,)),
    (ORCHESTRATOR_SCHEMES, Blind(), "test_all_the_tampered_contributions_are_named_at_once", ()),
    (ORCHESTRATOR_SCHEMES, Blind(), "test_anothers_contribution_under_an_own_name_is_named", ()),
    (ORCHESTRATOR_SCHEMES, Blind(), "test_a_contribution_made_for_another_round_is_named", ()),
    (ORCHESTRATOR_SCHEMES, Blind(), "test_falsified_answers_are_refused_and_name_their_member", ()),
    (ORCHESTRATOR_SCHEMES, Blind(), "test_an_answer_holds_for_one_index_and_one_cohort_only", ()),
    (ORCHESTRATOR_SCHEMES, Blind(), "test_garbage_gives_typed_errors_and_names_its_sender", ()),
    (ORCHESTRATOR_SCHEMES, Blind(), "test_the_member_that_is_named_is_the_one_that_falsified", ()),
    (ORCHESTRATOR_SCHEMES, Blind(), "test_a_falsified_answer_that_leaves_the_sum_counts", ()),
    (ORCHESTRATOR_SCHEMES, Suspicious(), "test_exactly_the_tampered_contributions_are_named", (0,)),
    (ORCHESTRATOR_SCHEMES, Skewed(), "test_the_opened_sum_is_exactly_the_sum_of_what_was_encoded", (2,)),
    (ORCHESTRATOR_SCHEMES, Skewed(), "test_the_greatest_and_least_sums_of_a_full_cohort_open_exactly", ()),
    (ORCHESTRATOR_SCHEMES, Skewed(), "test_any_quorum_opens_the_same_sum_and_one_member_less_none", ()),
    (DEVICE_SCHEMES, Repeating(), "test_two_encryptions_of_one_vector_share_nothing", ()),
    (MEMBER_SCHEMES, Stubborn(), "test_a_member_names_the_first_of_them_and_does_not_answer", ()),
    (MEMBER_SCHEMES, Stubborn(), "test_two_answers_for_one_cohort_hide_the_share_with_fresh_masks", ()),
]


@pytest.mark.parametrize(("registry", "broken", "test", "arguments"), BROKEN, ids=lambda value: value if isinstance(value, str) else None)
def test_a_scheme_that_breaks_the_contract_fails_it(monkeypatch, registry, broken, test, arguments):
    monkeypatch.setitem(registry, "paillier", broken)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(test_paillier.TestPaillier(), test)(*arguments)


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (Forgetful(), "test_a_sum_survives_the_store"),
        (Trusting(), "test_an_auditor_opens_the_same_sum_from_bodies_and_archive"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_scheme_that_loses_its_sum_fails_the_contract(monkeypatch, broken, test):
    monkeypatch.setitem(ORCHESTRATOR_SCHEMES, "paillier", broken)
    with pytest.raises(PeerError):
        getattr(test_paillier.TestPaillier(), test)()
