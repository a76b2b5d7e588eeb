"""The bytes that a proof is bound to (PROTOCOL 3, contexts): a proof made for one round, device or member says nothing elsewhere."""

from hushfleet.ids import HASH_BYTES
from hushfleet.labels import Label, labelled, length_prefixed, unsigned


def proof_context(plan_hash: bytes, device_id: str, masked_hash: bytes) -> bytes:
    """ctx_contribution: the plan (and through it fleet, key, round and roster), the device, its masked vector."""
    return labelled(Label.CONTEXT_CONTRIBUTION, _digest(plan_hash), length_prefixed(device_id.encode()), _digest(masked_hash))


def partial_context(key_id: bytes, round_number: int, plan_hash: bytes, root: bytes, index: int) -> bytes:
    """ctx_partial: the key, the round, the plan, the cohort's root and the member `index` (from 1)."""
    fixed = _digest(key_id), unsigned(round_number, 8), _digest(plan_hash), _digest(root), unsigned(index, 2)
    return labelled(Label.CONTEXT_PARTIAL, *fixed)


def _digest(value: bytes) -> bytes:
    if len(value) != HASH_BYTES:
        raise ValueError(f"a digest has {HASH_BYTES} bytes, not {len(value)}")
    return value
