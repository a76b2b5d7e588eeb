"""A committee member's side: the only code that touches a key share in use (PROTOCOL 3, partial decryption)."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor

from hushfleet.encryption.paillier.arithmetic import power_quiet
from hushfleet.encryption.paillier.key import PublicKey
from hushfleet.encryption.paillier.partials import Partial, PartialProof, mask_bits
from hushfleet.encryption.paillier.public import accept
from hushfleet.encryption.paillier.share import KeyShare
from hushfleet.encryption.paillier.transcript import batched_partials, partial_challenge
from hushfleet.errors import PeerError, Refusal
from hushfleet.randomness import Randomness


def check_share(key: PublicKey, share: KeyShare) -> None:
    """Return if v^(Delta s_i) = v_i, on import of a share; else `PeerError(SHARE_MISMATCH)`."""
    exponent = key.delta * share.value
    if share.index > key.members or power_quiet(key.v, exponent, key.modulus) != key.verification[share.index - 1]:
        raise PeerError(Refusal.SHARE_MISMATCH, f"the key share of member {share.index} does not fit the committee's public key")


def answer(
    key: PublicKey, share: KeyShare, ciphertexts: Sequence[int], context: bytes, randomness: Randomness, *, executor: Executor | None = None
) -> Partial:
    """The partial roots x = (C mod N)^(2 Delta s_i) mod N of `ciphertexts`, and the proof that this member's share made them.

    Only ever call it on products this member formed itself from a cohort it has checked, once per round, after the answer's
    place in its log is taken. The proof's mask is fresh and as secret as the share. `executor`: threads, which then work
    side by side; other processes are never handed the share.
    Raises `PeerError`: `CIPHERTEXT_INVALID`, `SHARE_MISMATCH` (an index that is not of this committee).
    """
    if share.index > key.members:
        raise PeerError(Refusal.SHARE_MISMATCH, f"the committee has {key.members} members, this is the share of member {share.index}")
    spread: Callable[..., Iterator[int]] = executor.map if executor else map
    accepted = accept(key, ciphertexts)
    values = tuple(spread(lambda c: int(power_quiet(c % key.modulus, 2 * key.delta * share.value, key.modulus)), accepted))
    C, D = batched_partials(key, context, accepted, values)
    w = randomness.bits(mask_bits(key))
    a, b = spread(lambda pair: power_quiet(pair[0], pair[1], key.modulus), ((C, 4 * w), (key.v, w)))
    e = partial_challenge(key, context, share.index, (C, D), (a, b))
    return Partial(share.index, values, PartialProof(e, w + e * key.delta * share.value))
