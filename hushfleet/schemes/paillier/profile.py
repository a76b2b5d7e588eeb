"""Costs and limits of scheme `paillier`, and the committee's key that all its sides read from the roster."""

from functools import lru_cache

from hushfleet.documents import Plan, VerifiedRoster
from hushfleet.encryption.paillier.contexts import partial_context, proof_context
from hushfleet.encryption.paillier.key import PublicKey, widths_of_modulus
from hushfleet.encryption.paillier.knowledge import MOST_CIPHERTEXTS
from hushfleet.encryption.paillier.packing import plaintext_count
from hushfleet.privacy.blocks import encoded_length
from hushfleet.schemes.base import Costs, RoundTerms
from hushfleet.wire.limits import LIMITS

USUAL_VALUES = 4096
"""Greatest model that this scheme is meant for; a greater one is remarked upon."""
MOST_VALUES = 65_536
"""Greatest model that a job gets without asking for it: the cost for every member grows with the model."""

_BODY_OVERHEAD_BYTES = 16 << 10
"""More than everything in a body besides its ciphertexts."""
_CONTRIBUTION_OVERHEAD_BYTES = 2048
_ITEM_OVERHEAD_BYTES = 5
_MEMBER_CPU_S = 0.012
"""A member's CPU seconds for one ciphertext of the sum at 3072 bit, checks included (`benchmarks.steps`)."""


class PaillierProfile:
    """Satisfies `SchemeProfile`."""

    name = "paillier"
    needs_dealt_key = True

    def costs(self, plan: Plan, roster: VerifiedRoster) -> Costs:
        """The cost of one round under `plan`: every ciphertext of the sum is work for every member."""
        d = plan.dimension
        count = _ciphertexts(plan, roster)
        contribution = count * (2 * _modulus_bytes(roster) + _ITEM_OVERHEAD_BYTES) + _CONTRIBUTION_OVERHEAD_BYTES
        seconds = count * _MEMBER_CPU_S
        remark = f"{d} values are many for scheme paillier: every committee member takes about {seconds:.0f} s a round"
        return Costs(
            contribution_bytes=contribution,
            request_bytes=contribution * plan.privacy.max_devices,
            member_cpu_s=seconds,
            remark=remark if d > USUAL_VALUES else "",
            slow=f"{remark}; at most {MOST_VALUES} values need no consent" if d > MOST_VALUES else "",
        )

    def misfit(self, plan: Plan, roster: VerifiedRoster) -> str:
        """The limits of a body: L <= 4096 ciphertexts and `LIMITS.body`. A contribution that nobody takes costs budget all the same."""
        if not roster.roster.paillier:
            return "scheme paillier needs a dealt key, and this committee has none"
        count = _ciphertexts(plan, roster)
        size = count * (2 * _modulus_bytes(roster) + _ITEM_OVERHEAD_BYTES) + _BODY_OVERHEAD_BYTES
        if count > MOST_CIPHERTEXTS or size > LIMITS.body:
            return f"{plan.dimension} values are more than one contribution carries"
        return ""


PROFILE = PaillierProfile()


def committee_key(roster: VerifiedRoster, *, insecure_keys: bool) -> PublicKey:
    """The committee's public key from a roster's Paillier part. Raises `PeerError`; `insecure_keys` admits test keys."""
    return _read(roster.roster.paillier, len(roster.roster.committee), insecure=insecure_keys)


def key_of(terms: RoundTerms) -> PublicKey:
    """The committee's public key in this round."""
    return committee_key(terms.roster, insecure_keys=terms.insecure_keys)


def ciphertext_count(terms: RoundTerms) -> int:
    """L, from the plan and the key alone."""
    return plaintext_count(terms.length, terms.plan.privacy.slot_bits, key_of(terms).bits)


def knowledge_context(terms: RoundTerms, device_id: str, masked_hash: bytes) -> bytes:
    """The context that a device's proof of plaintext knowledge is bound to (PROTOCOL 3, contexts)."""
    return proof_context(terms.plan_hash, device_id, masked_hash)


def answer_context(terms: RoundTerms, root: bytes, index: int) -> bytes:
    """The context that a member's proof of a correct partial is bound to (PROTOCOL 3, contexts)."""
    return partial_context(terms.plan.key_id, terms.plan.round, terms.plan_hash, root, index)


@lru_cache(maxsize=8)
def _read(paillier: bytes, members: int, *, insecure: bool) -> PublicKey:
    return PublicKey.from_bytes(paillier, members=members, insecure=insecure)


def _modulus_bytes(roster: VerifiedRoster) -> int:
    return len(roster.roster.paillier) // widths_of_modulus(len(roster.roster.committee))


def _ciphertexts(plan: Plan, roster: VerifiedRoster) -> int:
    n = plan.privacy
    return plaintext_count(encoded_length(plan.dimension, n.keep_one_in), n.slot_bits, 8 * _modulus_bytes(roster))
