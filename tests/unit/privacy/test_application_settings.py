"""What an application tells numpy about floating point errors does not decide whether a device takes part (PROTOCOL 5.2)."""

import numpy as np
import pytest

from hushfleet.privacy import clip, derive, encode_vector
from hushfleet.randomness import SeededRandomness

PLAN_HASH = bytes(range(32))
TINY, HUGE = 5e-324, np.finfo(np.float64).max


@pytest.mark.parametrize("update", [[HUGE, 1e-300], [HUGE, HUGE], [TINY, TINY], [1.0, TINY], [1.0, 1e-200]])
@pytest.mark.parametrize("clip_norm", [1e-200, 1.0, 1e200])
def test_updates_of_any_size_are_encoded_where_numpy_raises(update: list[float], clip_norm: float) -> None:
    plan = derive(dimension=2, clip_norm=clip_norm, noise_multiplier=1, k_min=4, k_max=6, colluding=2)
    with np.errstate(all="raise"):
        clipped = clip(np.array(update), clip_norm)
        encoded = encode_vector(clipped, plan, PLAN_HASH, SeededRandomness(b"encode"))
    assert encoded.values.shape == (plan.padded,)


def test_numpy_does_raise_for_such_values() -> None:
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        np.array([HUGE, 1e-300]) / HUGE
