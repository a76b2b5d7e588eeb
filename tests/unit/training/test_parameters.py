import math
import pickle

import numpy as np
import pytest

from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.labels import Label, labelled_hash, sha256
from hushfleet.training import Architecture, GlobalModel, LocalUpdate, check_parameters
from tests.support.refusals import refused

SHAPES = (("weights", (2, 3)), ("bias", (3,)), ("scale", ()))
ARCHITECTURE = Architecture("small", SHAPES, "mse", b"graph")


def model(*values: float, version: int = 0) -> GlobalModel:
    return GlobalModel(version, np.array(values, dtype=np.float32))


def decoded(data: bytes, *, dimension: int = 2, max_abs: float = 10.0) -> GlobalModel:
    return GlobalModel.from_bytes(data, version=1, dimension=dimension, max_abs=max_abs)


class TestArchitecture:
    def test_the_dimension_counts_every_value(self):
        assert ARCHITECTURE.dimension == 2 * 3 + 3 + 1

    def test_split_gives_views_in_order_and_join_inverts_it(self):
        vector = np.arange(10.0)
        parts = ARCHITECTURE.split(vector)
        assert list(parts) == ["weights", "bias", "scale"]
        assert parts["weights"].tolist() == [[0, 1, 2], [3, 4, 5]]
        assert np.shares_memory(parts["bias"], vector)
        assert ARCHITECTURE.join(parts).tolist() == vector.tolist()

    def test_join_follows_the_architecture_and_not_the_mapping(self):
        parts = ARCHITECTURE.split(np.arange(10.0))
        assert ARCHITECTURE.join(dict(reversed(parts.items()))).tolist() == list(range(10))

    @pytest.mark.parametrize("shape", [(9,), (11,), (10, 1), ()])
    def test_a_vector_of_another_shape_is_refused(self, shape):
        with refused(Refusal.MODEL_SHAPE, LocalError):
            ARCHITECTURE.split(np.zeros(shape))

    def test_join_refuses_missing_surplus_and_misshapen_parts(self):
        parts = ARCHITECTURE.split(np.arange(10.0))
        for wrong in ({"weights": parts["weights"]}, {**parts, "more": np.zeros(1)}, {**parts, "bias": np.zeros((3, 1))}):
            with refused(Refusal.MODEL_SHAPE, LocalError):
                ARCHITECTURE.join(wrong)

    @pytest.mark.parametrize("shapes", [(), (("w", (1,)), ("w", (2,))), (("w", (0,)),), (("w", (-1,)),)])
    def test_shapes_that_make_no_sense_are_refused(self, shapes):
        with refused(Refusal.ARCHITECTURE_INVALID, LocalError):
            Architecture("odd", shapes, "mse", b"graph")

    def test_the_digest_is_the_hash_that_the_protocol_states(self):
        content = bytes.fromhex(
            "00000005" + b"graph".hex() + "00000003" + b"mse".hex() + "00000003"
            "00000007" + b"weights".hex() + "02"
            "00000002"
            "00000003"
            "00000004" + b"bias".hex() + "01"
            "00000003"
            "00000005" + b"scale".hex() + "00"
        )
        assert ARCHITECTURE.digest == labelled_hash(Label.ARCHITECTURE, content)

    def test_whatever_decides_the_training_enters_the_digest(self):
        variants = [
            ARCHITECTURE,
            Architecture("small", SHAPES, "mse", b"Graph"),
            Architecture("small", SHAPES, "huber", b"graph"),
            Architecture("small", (("weights", (3, 2)), *SHAPES[1:]), "mse", b"graph"),
            Architecture("small", (SHAPES[1], SHAPES[0], SHAPES[2]), "mse", b"graph"),
            Architecture("small", SHAPES[:2], "mse", b"graph"),
            Architecture("small", (("weight", (2, 3)), *SHAPES[1:]), "mse", b"graph"),
        ]
        assert len({variant.digest for variant in variants}) == len(variants)

    def test_the_name_does_not_enter_the_digest(self):
        assert Architecture("another name", SHAPES, "mse", b"graph").digest == ARCHITECTURE.digest


class TestCheckParameters:
    def test_good_values_pass_up_to_the_bound_itself(self):
        check_parameters(np.array([1.0, -2.5, 0.0]), 2.5)

    @pytest.mark.parametrize("shape", [(0,), (2, 2), ()])
    def test_anything_but_a_flat_vector_is_refused(self, shape):
        with refused(Refusal.MODEL_SHAPE, PeerError):
            check_parameters(np.zeros(shape), 1.0)

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize("kind", [np.float32, np.float64])
    def test_a_value_that_is_not_finite_is_refused_and_its_place_named(self, value, kind):
        values = np.array([0.0, value, 0.0], dtype=kind)
        with refused(Refusal.MODEL_NOT_FINITE, PeerError):
            check_parameters(values, math.inf)
        with pytest.raises(PeerError, match="parameter 1 "):
            check_parameters(values, math.inf)

    @pytest.mark.parametrize("value", [2.6, -2.6])
    def test_a_value_above_the_bound_is_refused(self, value):
        with refused(Refusal.MODEL_TOO_LARGE, PeerError):
            check_parameters(np.array([0.0, value]), 2.5)

    def test_the_bound_is_not_rounded_to_float32(self):
        above = np.array([np.nextafter(np.float32(1e4), np.float32(np.inf))], dtype=np.float32)
        with refused(Refusal.MODEL_TOO_LARGE, PeerError):
            check_parameters(above, 1e4)
        with refused(Refusal.MODEL_TOO_LARGE, PeerError):
            check_parameters(np.array([1e4], dtype=np.float32), np.nextafter(1e4, 0))

    def test_a_bound_that_is_not_a_number_lets_nothing_pass(self):
        with refused(Refusal.MODEL_TOO_LARGE, PeerError):
            check_parameters(np.zeros(1), math.nan)


class TestGlobalModel:
    def test_bytes_are_little_endian_float32_and_the_digest_is_their_hash(self):
        assert model(1.0, -2.0).to_bytes() == bytes.fromhex("0000803f000000c0")
        assert model(1.0, -2.0).digest == sha256(bytes.fromhex("0000803f000000c0"))

    def test_decoding_inverts_encoding(self):
        assert decoded(model(1.5, -9.0).to_bytes()) == model(1.5, -9.0, version=1)

    @pytest.mark.parametrize("size", [0, 4, 7, 9, 12])
    def test_bytes_of_another_length_are_refused(self, size):
        with refused(Refusal.MODEL_SHAPE, PeerError):
            decoded(bytes(size))

    def test_decoding_refuses_what_no_model_may_hold(self):
        with refused(Refusal.MODEL_NOT_FINITE, PeerError):
            decoded(bytes.fromhex("0000803f0000807f"))
        with refused(Refusal.MODEL_TOO_LARGE, PeerError):
            decoded(model(1.0, 11.0).to_bytes())

    def test_a_model_of_no_values_is_refused(self):
        with refused(Refusal.MODEL_SHAPE, PeerError):
            decoded(b"", dimension=0)

    def test_a_value_beyond_float32_is_refused(self):
        with refused(Refusal.MODEL_NOT_FINITE, PeerError):
            GlobalModel(0, np.array([1e39]))

    def test_a_negative_version_is_refused(self):
        with refused(Refusal.SETTINGS_INVALID, LocalError):
            model(1.0, version=-1)

    def test_parameters_are_a_read_only_copy(self):
        values = np.ones(2, dtype=np.float32)
        kept = GlobalModel(0, values)
        values[0] = 7
        assert kept.parameters.tolist() == [1, 1]
        with pytest.raises(ValueError, match="read-only"):
            kept.parameters[0] = 7

    def test_equality_is_of_version_and_values(self):
        assert model(1.0) == model(1.0)
        assert hash(model(1.0)) == hash(model(1.0))
        assert model(1.0) != model(1.0, version=1)
        assert model(1.0) != model(2.0)
        assert model(1.0) != "model"

    def test_the_repr_is_short(self):
        assert repr(GlobalModel(4, np.zeros(1000))).startswith("GlobalModel(version=4, dimension=1000, digest=")


class TestLocalUpdate:
    def test_its_repr_hides_the_values(self):
        assert repr(LocalUpdate(np.array([123.25, 4.0]))) == "LocalUpdate(2 private values)"

    def test_it_cannot_be_pickled(self):
        with pytest.raises(TypeError, match="does not leave"):
            pickle.dumps(LocalUpdate(np.zeros(2)))

    def test_it_is_a_read_only_copy(self):
        values = np.zeros(2)
        update = LocalUpdate(values)
        values[0] = 1
        assert update.vector.tolist() == [0, 0]
        with pytest.raises(ValueError, match="read-only"):
            update.vector[0] = 1

    def test_values_that_are_not_finite_are_left_for_clipping(self):
        assert np.isnan(LocalUpdate(np.array([np.nan])).vector).all()

    @pytest.mark.parametrize("shape", [(), (0,), (2, 2)])
    def test_it_is_one_flat_vector(self, shape):
        with pytest.raises(ValueError, match="flat vector"):
            LocalUpdate(np.zeros(shape))
