"""The cumulative table of the discrete Gaussian N_Z(0, V), in integers alone: the same bytes on every machine (PROTOCOL 6)."""

import math

WORD_BITS = 128
MAX_VARIANCE = 1 << 30
"""No plan has more: the table of half the support then holds 400,000 numbers."""
_FRACTION_BITS = 256


def half_width(variance: int) -> int:
    """m, the largest magnitude that can be drawn: just above 12.2 sqrt(V). The mass beyond is below 2^-111."""
    return math.isqrt(14_884 * variance // 100) + 1


def lower_half(variance: int) -> list[int]:
    """P(X <= x) * 2^128, floored, for x = -m .. -1 in this order. The upper half follows by symmetry: F(x) = 2^128 - F(-x-1).

    Weights w(x) = exp(-x^2 / 2V) come from w(x+1) = w(x) g(x), g(x+1) = g(x) exp(-1/V), in 256-bit fixed point, each product
    cut off. After m <= 2^19 steps a weight is off by less than 2^-215 of w(0), a sum by less than 2^-195: far below the
    2^-128 of the table. Each probability is thus within 2^-127 of the law on -m..m, and with the mass beyond m the drawn
    law is within 2^-108 of N_Z(0, V) in total variation.
    """
    weights = _weights(variance)
    total = 2 * sum(weights) - weights[0]
    cumulative, table = 0, []
    for weight in reversed(weights[1:]):
        cumulative += weight
        table.append((cumulative << WORD_BITS) // total)
    return table


def _weights(variance: int) -> list[int]:
    """w(0) .. w(m), 2^256 standing for 1."""
    weight = 1 << _FRACTION_BITS
    ratio, decay = _exp_minus(1, 2 * variance), _exp_minus(1, variance)
    weights = [weight]
    for _ in range(half_width(variance)):
        weight = weight * ratio >> _FRACTION_BITS
        ratio = ratio * decay >> _FRACTION_BITS
        weights.append(weight)
    return weights


def _exp_minus(numerator: int, denominator: int) -> int:
    """exp(-numerator/denominator) * 2^256, floored up to one unit, for an argument in [0, 1]: alternating series with 64 guard bits."""
    guard = _FRACTION_BITS + 64
    term, total, index = 1 << guard, 0, 0
    while term:
        total += -term if index % 2 else term
        index += 1
        term = term * numerator // (denominator * index)
    return total >> 64
