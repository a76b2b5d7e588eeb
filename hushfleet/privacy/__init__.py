"""From a plain update to integers that are safe to add up: clip, rotate, round, noise; the plan's integers; the ledger; epsilon.

One file a stage (PROTOCOL 6). May import documents and the ground floor, and neither `training` nor `wire`, which stand on the same floor.
"""

from hushfleet.privacy.blocks import MAX_DIMENSION, block_size, encoded_length, padded_dimension
from hushfleet.privacy.clipping import ClippedVector, clip
from hushfleet.privacy.encode import encode_vector, encode_zero
from hushfleet.privacy.epsilon import epsilon
from hushfleet.privacy.keep import kept_coordinates
from hushfleet.privacy.ledger import EventKind, Ledger, LedgerEntry, Participation, WithoutPrivacy, revive, rho_nano
from hushfleet.privacy.noise import EncodedVector, add_noise
from hushfleet.privacy.plan_integers import PlanIntegers, derive, sensitivity_matches
from hushfleet.privacy.rotation import rotate, unrotate
from hushfleet.privacy.rounding import round_within
from hushfleet.privacy.sampler import DiscreteGaussian, discrete_gaussian

__all__ = [
    "MAX_DIMENSION",
    "ClippedVector",
    "DiscreteGaussian",
    "EncodedVector",
    "EventKind",
    "Ledger",
    "LedgerEntry",
    "Participation",
    "PlanIntegers",
    "WithoutPrivacy",
    "add_noise",
    "block_size",
    "clip",
    "derive",
    "discrete_gaussian",
    "encode_vector",
    "encode_zero",
    "encoded_length",
    "epsilon",
    "kept_coordinates",
    "padded_dimension",
    "revive",
    "rho_nano",
    "rotate",
    "round_within",
    "sensitivity_matches",
    "unrotate",
]
