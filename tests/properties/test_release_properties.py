import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hushfleet.aggregation import OptimizerState, check_norm, optimizer
from hushfleet.errors import PeerError, Refusal

names = st.sampled_from(["fedavg", "fedavgm", "fedadam"])
moderate = st.floats(-1e6, 1e6, allow_nan=False)


def accepted(total, count, b2, variance):
    try:
        check_norm(total, count=count, b2=b2, variance=variance)
    except PeerError as error:
        return {Refusal.RELEASE_NORM: False}[error.reason]
    return True


@given(st.lists(st.lists(st.integers(-1000, 1000), min_size=4, max_size=4), min_size=1, max_size=8))
def test_sums_of_clipped_vectors_are_never_refused(vectors):
    b2 = max(1, *(sum(value * value for value in vector) for vector in vectors))
    assert accepted(np.array(vectors, dtype=np.int64).sum(axis=0), len(vectors), b2, 0)


@given(st.integers(0, 2**62), st.integers(1, 2800), st.integers(1, 2**40), st.integers(0, 2**30))
def test_a_larger_sum_is_never_accepted_where_a_smaller_one_is_refused(value, count, b2, variance):
    smaller, larger = (np.array([entry] + [0] * 63, dtype=np.int64) for entry in (value, value + 1))
    assert accepted(smaller, count, b2, variance) >= accepted(larger, count, b2, variance)


@given(names, st.lists(st.tuples(moderate, moderate), min_size=1, max_size=5))
def test_a_state_survives_its_bytes(name, pairs):
    parameters, update = (np.array(column) for column in zip(*pairs, strict=True))
    state, _ = optimizer(name).step(OptimizerState.initial(len(pairs)), parameters, update)
    assert OptimizerState.from_bytes(state.to_bytes()) == state


headers = st.builds(lambda dimension, count: dimension.to_bytes(4, "big") + count.to_bytes(4, "big"), st.integers(0, 2), st.integers(0, 3))


@given(st.one_of(st.binary(max_size=40), st.builds(bytes.__add__, headers, st.binary(max_size=4).map(lambda data: data * 8))))
def test_bytes_are_a_state_that_packs_to_them_or_are_refused(data):
    outcome = read(data)
    assert outcome in {Refusal.MESSAGE_MALFORMED, Refusal.MODEL_NOT_FINITE} or outcome == data


def read(data):
    """The bytes of the state that `data` are, or why they are none."""
    try:
        return OptimizerState.from_bytes(data).to_bytes()
    except PeerError as error:
        return error.reason
