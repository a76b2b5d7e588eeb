"""The device's side: a fresh key, and a vector masked under it (PROTOCOL 4). The only module that holds a key."""

from collections.abc import Iterator

import numpy as np

from hushfleet.encryption.ring_mask.parameters import CARRY_BITS, DEGREE, MASK_VARIANCE, RingParameters
from hushfleet.encryption.ring_mask.public import BLOCK, public_polynomials
from hushfleet.encryption.ring_mask.ring import IntVector, pack, product
from hushfleet.privacy.sampler import discrete_gaussian
from hushfleet.randomness import Randomness

_LIMB_BITS = 27


def draw_key(randomness: Randomness) -> IntVector:
    """A key s, int64 (2048,), |s| < 83: as secret as the vector, for one vector only, forgotten once it is shared."""
    return discrete_gaussian(MASK_VARIANCE).draw(DEGREE, randomness)


def mask(values: IntVector, key: IntVector, plan_hash: bytes, parameters: RingParameters, randomness: Randomness) -> bytes:
    """The wire form of c_j = a_j s + e_j + 2^14 x_j mod q, x_j the `values` (d,) in order, p to a coefficient, padded with zeros.

    The errors e_j are fresh from `randomness`. Two vectors under one key give their difference away: draw a key for each. Hiding
    rests on ring-LWE for this degree, q and sigma; each value must lie within its slot.
    """
    return b"".join(_blocks(values, key, plan_hash, parameters, randomness))


def _blocks(values: IntVector, key: IntVector, plan_hash: bytes, parameters: RingParameters, randomness: Randomness) -> Iterator[bytes]:
    bits, in_one = parameters.modulus_bits, parameters.values_per_coefficient * DEGREE
    sampler = discrete_gaussian(MASK_VARIANCE)
    for start in range(0, parameters.polynomials(values.size), BLOCK):
        part = values[start * in_one : (start + BLOCK) * in_one]
        plain = _coefficients(part, parameters)
        public = public_polynomials(plan_hash, start, len(plain), parameters)
        errors = sampler.draw(plain.size, randomness).reshape(plain.shape)
        noisy = (errors + (plain << CARRY_BITS)).astype(np.uint64)
        masked = product(public, key, modulus_bits=bits, limb_bits=_LIMB_BITS) + noisy
        yield pack(masked & np.uint64((1 << bits) - 1), bits)


def _coefficients(values: IntVector, parameters: RingParameters) -> IntVector:
    """X = sum of 2^(w l) y over the p values of each coefficient, int64 (m, 2048)."""
    count = parameters.values_per_coefficient
    padded = np.zeros(parameters.polynomials(values.size) * DEGREE * count, np.int64)
    padded[: values.size] = values
    places = padded.reshape(-1, count)
    total = np.zeros(len(places), np.int64)
    for place in range(count):
        total += places[:, place] << (parameters.slot_bits * place)
    return total.reshape(-1, DEGREE)
