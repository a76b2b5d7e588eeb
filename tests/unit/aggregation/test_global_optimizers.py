import math

import numpy as np
import pytest

from hushfleet.aggregation import FedAdam, FedAvg, FedAvgM, OptimizerState, optimizer
from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.training import check_parameters
from tests.support.refusals import refused

EVERY = [FedAvg(0.7), FedAvgM(0.8, 0.5), FedAdam(0.9, 0.99, 1e-3, 0.05)]
ROUNDS, DIMENSION = 6, 37


def schoolbook(chosen, start, updates):
    """The same recurrences, one Python float at a time."""
    x, m, v = list(start), [0.0] * len(start), [0.0] * len(start)
    if chosen.name == "fedadam":
        v = [chosen.tau * chosen.tau] * len(start)
    for update in updates:
        for k, u in enumerate(update):
            if chosen.name == "fedavg":
                x[k] += chosen.learning_rate * u
            elif chosen.name == "fedavgm":
                m[k] = chosen.momentum * m[k] + u
                x[k] += chosen.learning_rate * m[k]
            else:
                m[k] = chosen.beta1 * m[k] + (1 - chosen.beta1) * u
                v[k] = chosen.beta2 * v[k] + (1 - chosen.beta2) * (u * u)
                x[k] += chosen.learning_rate * m[k] / (math.sqrt(v[k]) + chosen.tau)
    return x


@pytest.mark.parametrize("chosen", EVERY)
def test_the_bits_are_those_of_plain_python_floats(chosen):
    generator = np.random.default_rng(3)
    start, updates = generator.normal(size=DIMENSION), generator.normal(size=(ROUNDS, DIMENSION)) * 0.1
    state, parameters = OptimizerState.initial(DIMENSION), start
    for update in updates:
        state, parameters = chosen.step(state, parameters, update)
    assert parameters.tolist() == schoolbook(chosen, start.tolist(), updates.tolist())


@pytest.mark.parametrize("chosen", EVERY)
def test_a_state_stored_and_read_in_between_changes_nothing(chosen):
    generator = np.random.default_rng(4)
    state, parameters = chosen.step(OptimizerState.initial(5), np.zeros(5), generator.normal(size=5))
    data = state.to_bytes()
    assert OptimizerState.from_bytes(data) == state
    update = generator.normal(size=5)
    one, other = chosen.step(state, parameters, update), chosen.step(OptimizerState.from_bytes(data), parameters, update)
    assert one[0] == other[0]
    assert one[1].tobytes() == other[1].tobytes()


@pytest.mark.parametrize("chosen", EVERY)
def test_a_step_leaves_its_arguments_as_they_were(chosen):
    state, parameters, update = OptimizerState.initial(3), np.ones(3), np.full(3, 0.5)
    chosen.step(state, parameters, update)
    assert state == OptimizerState.initial(3)
    assert parameters.tolist() == [1, 1, 1]
    assert update.tolist() == [0.5, 0.5, 0.5]


def test_averaging_with_rate_one_adds_the_mean_update():
    _, parameters = FedAvg().step(OptimizerState.initial(2), np.array([1.0, 2.0]), np.array([0.25, -0.5]))
    assert parameters.tolist() == [1.25, 1.5]


@pytest.mark.parametrize("chosen", EVERY)
def test_an_optimiser_is_made_again_from_its_name_and_settings(chosen):
    assert optimizer(chosen.name, **chosen.settings()) == chosen


def test_settings_not_given_keep_their_defaults():
    assert optimizer("fedavgm", momentum=0.5) == FedAvgM(momentum=0.5, learning_rate=1.0)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("adagrad", {}),
        ("", {}),
        ("fedavg", {"momentum": 0.9}),
        ("fedavg", {"learning_rate": 0.0}),
        ("fedavg", {"learning_rate": -1.0}),
        ("fedavg", {"learning_rate": math.inf}),
        ("fedavg", {"learning_rate": math.nan}),
        ("fedavgm", {"momentum": 1.0}),
        ("fedavgm", {"momentum": -0.1}),
        ("fedavgm", {"momentum": math.nan}),
        ("fedavgm", {"learning_rate": 0.0}),
        ("fedadam", {"beta1": 1.0}),
        ("fedadam", {"beta2": 1.5}),
        ("fedadam", {"tau": 0.0}),
        ("fedadam", {"learning_rate": 0.0}),
        ("fedadam", {"learning_rate": "0.1"}),
        ("fedadam", {"learning_rate": True}),
    ],
)
def test_unknown_names_and_settings_out_of_range_are_refused(name, settings):
    with refused(Refusal.SETTINGS_INVALID, LocalError):
        optimizer(name, **settings)


@pytest.mark.parametrize("chosen", EVERY)
@pytest.mark.parametrize(
    ("parameters", "update"),
    [(np.zeros(2), np.zeros(3)), (np.zeros(3), np.zeros(2)), (np.zeros((3, 1)), np.zeros(3)), (np.zeros(3, dtype=np.float32), np.zeros(3))],
)
def test_shapes_and_types_that_disagree_are_refused(chosen, parameters, update):
    with refused(Refusal.SETTINGS_INVALID, LocalError):
        chosen.step(OptimizerState.initial(3), parameters, update)


@pytest.mark.parametrize("chosen", EVERY)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_arguments_that_are_not_finite_are_refused(chosen, bad):
    for arguments in ((np.array([0.0, bad]), np.zeros(2)), (np.zeros(2), np.array([bad, 0.0]))):
        with refused(Refusal.MODEL_NOT_FINITE, PeerError):
            chosen.step(OptimizerState.initial(2), *arguments)


@pytest.mark.parametrize("chosen", [FedAvg(1e308), FedAvgM(0.0, 1e308)])
def test_parameters_that_overflow_are_left_to_the_check_of_the_model(chosen):
    _, parameters = chosen.step(OptimizerState.initial(1), np.zeros(1), np.array([1e200]))
    with refused(Refusal.MODEL_NOT_FINITE, PeerError):
        check_parameters(parameters, 1e4)


def test_moments_that_overflow_are_refused():
    with refused(Refusal.MODEL_NOT_FINITE, PeerError):
        FedAdam().step(OptimizerState.initial(1), np.zeros(1), np.array([1e200]))


@pytest.mark.parametrize(("maker", "user"), [(FedAvgM(), FedAdam()), (FedAdam(), FedAvgM()), (FedAvgM(), FedAvg())])
def test_the_state_of_another_optimiser_is_refused(maker, user):
    state, parameters = maker.step(OptimizerState.initial(2), np.zeros(2), np.ones(2))
    with refused(Refusal.SETTINGS_INVALID, LocalError):
        user.step(state, parameters, np.ones(2))


def test_state_bytes_are_a_header_and_little_endian_doubles():
    state = OptimizerState(2, (np.array([1.0, -2.0]),))
    assert state.to_bytes().hex() == "0000000200000001000000000000f03f00000000000000c0"


@pytest.mark.parametrize(
    "altered", [b"", bytes(7), bytes(9), bytes.fromhex("0000000100000003") + bytes(24), bytes.fromhex("ffffffff00000002")]
)
def test_state_bytes_that_do_not_add_up_are_refused(altered):
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        OptimizerState.from_bytes(altered)


def test_every_truncation_of_state_bytes_is_refused():
    data = OptimizerState(2, (np.ones(2), np.ones(2))).to_bytes()
    for length in range(len(data)):
        with refused(Refusal.MESSAGE_MALFORMED, PeerError):
            OptimizerState.from_bytes(data[:length])


def test_stored_moments_that_are_not_finite_are_refused():
    with refused(Refusal.MODEL_NOT_FINITE, PeerError):
        OptimizerState.from_bytes(bytes.fromhex("0000000100000001") + np.array([np.nan]).astype("<f8").tobytes())


def test_states_cannot_be_altered():
    state = OptimizerState(2, (np.ones(2),))
    with pytest.raises(ValueError, match="read-only"):
        state.moments[0][0] = 2
    assert state != OptimizerState(2, (np.zeros(2),))
