from dataclasses import replace

import numpy as np

from hushfleet.documents.grant import NO_SHARE
from hushfleet.encryption.paillier.packing import plaintext_count
from hushfleet.errors import FaultyDevice, LocalError, Refusal
from hushfleet.privacy import EncodedVector
from hushfleet.randomness import SystemRandomness
from hushfleet.schemes.base import MemberKeys
from hushfleet.schemes.paillier.device import PaillierDevice
from hushfleet.schemes.paillier.member import PaillierMember
from hushfleet.schemes.paillier.orchestrator import PaillierOrchestrator
from hushfleet.schemes.paillier.profile import ciphertext_count, key_of
from tests.support.fleet import make_fleet
from tests.support.refusals import refused
from tests.support.scheme_contract import ProvingSchemeContract, flip, flip_first, with_body


class TestPaillier(ProvingSchemeContract):
    scheme = "paillier"

    def tampers(self, terms):
        key, width = key_of(terms), key_of(terms).ciphertext_bytes
        modulus, square = key.modulus, key.modulus_squared

        def first(value):
            return with_body(items=lambda items: (value(int.from_bytes(items[0], "big")).to_bytes(width, "big"), *items[1:]))

        return {
            "a bit of a ciphertext": (with_body(items=flip_first), Refusal.KNOWLEDGE_PROOF),
            "a shifted ciphertext": (first(lambda c: c * (1 + modulus) % square), Refusal.KNOWLEDGE_PROOF),
            "a negated ciphertext": (first(lambda c: square - c), Refusal.KNOWLEDGE_PROOF),
            "a rerandomised ciphertext": (first(lambda c: c * key.h_s % square), Refusal.KNOWLEDGE_PROOF),
            "swapped ciphertexts": (with_body(items=lambda items: (items[1], items[0], *items[2:])), Refusal.KNOWLEDGE_PROOF),
            "zero": (first(lambda _: 0), Refusal.CIPHERTEXT_INVALID),
            "one": (first(lambda _: 1), Refusal.CIPHERTEXT_INVALID),
            "N": (first(lambda _: modulus), Refusal.CIPHERTEXT_INVALID),
            "N^2": (first(lambda _: square), Refusal.CIPHERTEXT_INVALID),
            "one ciphertext less": (with_body(items=lambda items: items[:-1]), Refusal.CIPHERTEXT_COUNT),
            "one ciphertext more": (with_body(items=lambda items: (*items, items[0])), Refusal.CIPHERTEXT_COUNT),
            "a wider ciphertext": (with_body(items=lambda items: (b"\x00" + items[0], *items[1:])), Refusal.CIPHERTEXT_COUNT),
            "a bit of the proof": (with_body(proof=flip), Refusal.KNOWLEDGE_PROOF),
            "a bit of the commitment": (with_body(proof=lambda proof: flip(proof, 8 * len(proof) - 20)), Refusal.KNOWLEDGE_PROOF),
            "a shorter proof": (with_body(proof=lambda proof: proof[:-1]), Refusal.KNOWLEDGE_PROOF),
            "no proof": (with_body(proof=b""), Refusal.KNOWLEDGE_PROOF),
            "a masked vector's hash": (with_body(masked_hash=bytes(32)), Refusal.MASKED_VECTOR),
        }

    def answer_tampers(self, terms):
        width = key_of(terms).modulus_bytes
        zero, one = bytes(width), (1).to_bytes(width, "big")
        return {
            "a bit of a partial": ({"items": flip_first}, Refusal.PARTIAL_PROOF),
            "swapped partials": ({"items": lambda items: (items[1], items[0], *items[2:])}, Refusal.PARTIAL_PROOF),
            "a partial of one": ({"items": lambda items: (one, *items[1:])}, Refusal.PARTIAL_PROOF),
            "a partial of zero": ({"items": lambda items: (zero, *items[1:])}, Refusal.PARTIAL_INVALID),
            "one partial less": ({"items": lambda items: items[:-1]}, Refusal.PARTIAL_INVALID),
            "one partial more": ({"items": lambda items: (*items, items[0])}, Refusal.PARTIAL_INVALID),
            "bytes moved from an item to the proof": (
                {"items": lambda items: (items[0][1:], *items[1:]), "proof": lambda proof: proof + bytes(1)},
                Refusal.PARTIAL_INVALID,
            ),
            "no proof": ({"proof": b""}, Refusal.PARTIAL_INVALID),
            "another index": ({"index": 3}, Refusal.PARTIAL_INVALID),
        }

    def harmless_tampers(self, terms):
        n = key_of(terms).modulus

        def negated(items):
            return tuple((n - int.from_bytes(item, "big")).to_bytes(len(item), "big") for item in items)

        return {"a bit of the proof": {"proof": flip}, "another root": {"root": bytes(32)}, "negated partials": {"items": negated}}

    def test_parts_that_the_scheme_does_not_have_are_named(self):
        _, terms, sent, _ = self.cohort(3)
        for extra in ({"masked_vector": b"x"}, {"sealed_shares": (b"x",)}):
            found = self.faulty(terms, [sent[0], replace(sent[1], **extra), sent[2]])
            assert set(found) == {1}
            with refused(Refusal.MASKED_VECTOR, FaultyDevice):
                raise found[1]

    def test_the_number_of_ciphertexts_follows_from_plan_and_key_alone(self):
        terms = self.terms()

        assert ciphertext_count(terms) == plaintext_count(64, terms.plan.privacy.slot_bits, 512) == 2


class TestPaillierWithSevenMembers(TestPaillier):
    key = "insecure-512-f2"


def test_a_value_past_its_slot_never_leaves_the_device():
    terms = make_fleet().terms()
    values = np.zeros(64, np.int64)
    values[3] = 1 << (terms.plan.privacy.slot_bits - 1)
    with refused(Refusal.VALUE_OUT_OF_SLOT, LocalError):
        PaillierDevice().encrypt(terms, "device-01", EncodedVector(values), SystemRandomness())


def test_a_member_without_its_share_is_told_what_to_join_with():
    fleet = make_fleet()
    name = fleet.roster.roster.committee[0]
    keys = MemberKeys(1, fleet.parties.devices[name].sealing, NO_SHARE)

    with refused(Refusal.SHARE_MISSING, LocalError):
        PaillierMember().check_keys(fleet.roster, keys, insecure_keys=True)


def test_an_empty_cohort_has_no_faulty_contribution():
    assert PaillierOrchestrator().find_faulty(make_fleet().terms(), [], SystemRandomness()) == {}
