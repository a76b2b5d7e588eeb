import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hushfleet.encryption.paillier.packing import pack, unpack
from hushfleet.errors import LocalError, PeerError, Refusal
from tests.support.keys import load
from tests.support.refusals import refused

KEY = load("insecure-512").public
WIDTHS = st.integers(2, 40)


@st.composite
def packed(draw):
    width = draw(WIDTHS)
    limit = (1 << (width - 1)) - 1
    inner = st.one_of(st.integers(-limit, limit), st.sampled_from([-limit, 0, limit]))
    return width, limit, np.array(draw(st.lists(inner, min_size=1, max_size=120)), np.int64)


@given(packed())
@settings(deadline=None)
def test_every_vector_within_the_bound_comes_back(case):
    width, _, values = case
    assert np.array_equal(unpack(pack(values, width, KEY), values.size, width, KEY), values)


@given(packed(), st.data())
@settings(deadline=None)
def test_any_value_past_the_bound_is_refused(case, data):
    width, limit, values = case
    excess = data.draw(st.integers(1, 1 << 20)) + limit
    values[data.draw(st.integers(0, values.size - 1))] = data.draw(st.sampled_from([-excess, excess]))
    with refused(Refusal.VALUE_OUT_OF_SLOT, LocalError):
        pack(values, width, KEY)


@given(st.integers(0, KEY.modulus - 1), st.integers(1, 20), WIDTHS)
@settings(deadline=None)
def test_any_plaintext_either_decodes_to_what_packs_to_it_or_is_refused(plaintext, count, width):
    offset = sum(1 << (width * k + width - 1) for k in range(min(count, 500 // width)))
    centred = plaintext - KEY.modulus if plaintext > KEY.modulus // 2 else plaintext
    used = min(count, 500 // width)
    if 0 <= centred + offset < 1 << (width * used):
        values = unpack([plaintext], used, width, KEY)
        assert sum(int(y) << (width * k) for k, y in enumerate(values)) % KEY.modulus == plaintext
    else:
        with refused(Refusal.SUM_REMAINDER, PeerError):
            unpack([plaintext], used, width, KEY)
