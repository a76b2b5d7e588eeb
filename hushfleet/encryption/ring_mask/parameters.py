"""The numbers of the mask, all from the plan's slot width (PROTOCOL 4)."""

from dataclasses import dataclass

DEGREE = 2048
"""n: the ring is Z_q[X] / (X^n + 1)."""
MASK_VARIANCE = 41
"""The variance of the coefficients of keys and errors, sigma = 6.4.

Twice the usual width: whoever opens a sum of keys learns it (the Hint-LWE argument), and with two honest devices each key keeps an
effective sigma of 3.2 or more.
"""
CARRY_BITS = 14
"""Bits below the values: the sum of all errors stays within +-2^13 for cohorts of 2,800."""
QUANTUM_BITS = 51
"""The greatest log2 q that leaves 128 bits of security against quantum attacks at this degree (lattice-estimator)."""
MOST_BITS = 54
"""The greatest log2 q of any parameter set: 131 bits of classical security (lattice-estimator)."""
MOST_DEVICES = 2800


@dataclass(frozen=True, slots=True)
class RingParameters:
    """One parameter set, for slots of w = `slot_bits` bits, 8..24."""

    slot_bits: int

    @property
    def values_per_coefficient(self) -> int:
        """p: the most values for which log2 q keeps within `QUANTUM_BITS`; a second one is worth the step to `MOST_BITS`."""
        most = (QUANTUM_BITS - CARRY_BITS) // self.slot_bits
        return most if most > 1 else max(1, (MOST_BITS - CARRY_BITS) // self.slot_bits)

    @property
    def modulus_bits(self) -> int:
        """log2 q = p w + 14."""
        return self.values_per_coefficient * self.slot_bits + CARRY_BITS

    def polynomials(self, length: int) -> int:
        """Polynomials that carry `length` values."""
        return -(-length // (self.values_per_coefficient * DEGREE))

    def masked_bytes(self, length: int) -> int:
        """Bytes of a masked vector of `length` values: log2 q bits a coefficient, whole polynomials."""
        return self.polynomials(length) * DEGREE * self.modulus_bits // 8
