import math
from fractions import Fraction

import pytest

from hushfleet.codec import Message, decode, encode
from hushfleet.documents import NamedHash, Policy
from hushfleet.errors import FaultyOwner, PeerError, Refusal
from tests.support.documents import ARCHITECTURE, policy
from tests.support.refusals import refused


class Unchecked(Message, frozen=True):
    """A policy's fields with nobody looking at them."""

    min_devices: int
    max_devices: int
    colluding_contributors: int
    min_noise_numerator: int
    min_noise_denominator: int
    budget_nano_rho: int
    allow_without_privacy: bool
    schemes: tuple[str, ...]
    models: tuple[NamedHash, ...]
    tasks: tuple[str, ...]
    questions: tuple[NamedHash, ...]
    max_values: int
    max_abs_parameter: float
    max_local_steps: int
    max_batch_size: int
    max_learning_rate: float
    max_proximal: float


def test_the_defaults_are_those_of_the_protocol():
    made = Policy.make()
    assert (made.min_devices, made.max_devices, made.colluding_contributors) == (10, 2800, 2)
    assert (made.max_abs_parameter, made.allow_without_privacy, made.budget_nano_rho) == (1e4, False, 10**9)
    assert made.min_noise_squared == 1
    assert made.schemes == ("paillier", "masked", "shared")


def test_the_least_noise_is_an_exact_fraction():
    assert policy(min_noise_numerator=1, min_noise_denominator=3).min_noise_squared == Fraction(1, 3)


@pytest.mark.parametrize(
    "edge",
    [
        {"min_devices": 4, "colluding_contributors": 2},
        {"min_devices": 2, "colluding_contributors": 0},
        {"min_devices": 100, "max_devices": 100},
        {"max_devices": 2800},
        {"budget_nano_rho": 0},
        {"models": (), "tasks": (), "questions": ()},
        {"max_values": 1, "max_local_steps": 1, "max_batch_size": 1},
        {"max_abs_parameter": 5e-324, "max_learning_rate": 5e-324, "max_proximal": 0.0},
    ],
)
def test_every_demand_has_an_edge_that_is_allowed(edge):
    assert decode(Policy, encode(policy(**edge)), max_bytes=1000) == policy(**edge)


DEMANDS = [
    {"min_devices": 3, "colluding_contributors": 2},
    {"min_devices": 0, "colluding_contributors": -2},
    {"colluding_contributors": -1},
    {"min_devices": 101, "max_devices": 100},
    {"max_devices": 2801},
    {"min_noise_numerator": 0},
    {"min_noise_numerator": -1, "min_noise_denominator": -1},
    {"min_noise_denominator": 0},
    {"budget_nano_rho": -1},
    {"models": (NamedHash("net", ARCHITECTURE), NamedHash("net", bytes(32)))},
    {"questions": (NamedHash("ages", ARCHITECTURE), NamedHash("ages", ARCHITECTURE))},
    *({"tasks": tasks} for tasks in (("measure",), ("train", "train"), ("Train",))),
    {"max_values": 0},
    {"max_values": (1 << 26) + 1},
    {"max_local_steps": 0},
    {"max_batch_size": 0},
    {"max_batch_size": -5},
    *({name: value} for name in ("max_abs_parameter", "max_learning_rate") for value in (0.0, -1.0, math.inf, math.nan)),
    *({"max_proximal": value} for value in (-5e-324, math.inf, math.nan)),
]


@pytest.mark.parametrize("broken", DEMANDS, ids=str)
def test_every_demand_is_made_by_the_constructor_and_by_the_decoder(broken):
    with refused(Refusal.POLICY_INVALID, FaultyOwner):
        policy(**broken)
    good = {name: getattr(policy(), name) for name in Policy.__struct_fields__}
    unchecked = encode(Unchecked(**{**good, **broken}))
    with refused(Refusal.POLICY_INVALID, FaultyOwner):
        decode(Policy, unchecked, max_bytes=1000)


@pytest.mark.parametrize(
    "fields", [("", bytes(32)), ("x" * 201, bytes(32)), ("a\nb", bytes(32)), ("net", bytes(31)), ("net", b"")], ids=repr
)
def test_a_named_hash_has_a_short_printable_name_and_32_bytes(fields):
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        NamedHash(*fields)


def test_the_unchecked_twin_of_this_test_has_the_wire_form_of_a_policy():
    good = {name: getattr(policy(), name) for name in Policy.__struct_fields__}
    assert encode(Unchecked(**good)) == encode(policy())
