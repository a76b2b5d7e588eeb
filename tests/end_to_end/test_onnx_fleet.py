"""Fleets that train an ONNX model, over a real Mosquitto: six devices, a committee of four, every party a process."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hushfleet.aggregation import OptimizerState
from hushfleet.documents import OptimizerSettings
from hushfleet.privacy.blocks import padded_dimension
from hushfleet.randomness import SeededRandomness
from hushfleet.rounds.job import make_optimizer
from hushfleet.training import Data, GlobalModel, TrainingSettings, train
from models import catalogue
from models.evaluation import Model
from tests.support.field import Field, copied, ending, prepare
from tests.support.hand_made_bundle import hand_made

pytestmark = pytest.mark.xdist_group("field")

DEVICES = tuple(f"pi-{n:02d}" for n in range(1, 7))
ROUNDS, CLIP_NORM = 2, 0.1
JOB = """
[job]
name = "net"
rounds = 2
[model]
onnx = "net.bundle"
[training]
local_steps = 2
batch_size = 4
learning_rate = 0.5
[privacy]
clip_norm = 0.1
delta = 1e-6
{privacy}
[cohort]
min_devices = {k_min}
max_devices = 6
deadline_s = {deadline_s}
[aggregation]
scheme = "auto"
optimizer = "fedavg"
[evaluation]
path = "holdout.npz"
"""
WITHOUT = "noise_multiplier = 0\nwithout_privacy = true"
WITH = "noise_multiplier = 2.0"


def rows(number: int) -> tuple[np.ndarray, np.ndarray]:
    """A device's data: the same row many times, so that its update does not hang on which rows it draws."""
    x = np.linspace(-1, 1, 4) + number / 10
    return np.tile(x, (12, 1)), np.full(12, 1 + number // 5)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Field:
    """Enrolled, dealt, joined, with a bundle that the owner allows; nothing runs yet."""
    folder = tmp_path_factory.mktemp("whole")
    hand_made().save(folder / "net.bundle")
    policy = (f"models.allowed={folder / 'net.bundle'}", "privacy.allow_without_privacy=true", "cohort.colluding_contributors=1")
    found = prepare(folder, DEVICES, policy=policy)
    for number, name in enumerate(DEVICES):
        x, y = rows(number)
        np.savez(folder / f"{name}.npz", x=x, y=y)
        (folder / f"{name}.toml").write_text(f'[data]\nsource = "npz"\npath = "{name}.npz"\n[training]\nmodels = ["net.bundle"]\n')
    np.savez(folder / "holdout.npz", x=np.concatenate([rows(n)[0][:2] for n in range(6)]), y=np.repeat(1 + np.arange(6) // 5, 2))
    return found


@pytest.fixture
def fleet(whole: Field, tmp_path: Path) -> Iterator[Field]:
    with ending(copied(whole, tmp_path / "field")) as found:
        yield found


def run_job(fleet: Field, *, privacy: str, k_min: int = 6, deadline_s: int = 60) -> None:
    (fleet.folder / "job.toml").write_text(JOB.format(privacy=privacy, k_min=k_min, deadline_s=deadline_s))
    fleet.start_broker()
    fleet.start_agents()
    fleet.start_orchestrator()
    fleet.finish("orchestrator", 120)


def orchestrator(fleet: Field, *words: str) -> dict:
    return fleet.json("orchestrator", *words, "--state", str(fleet.state("orchestrator")))


def test_without_noise_the_fleet_computes_plain_federated_averaging_of_the_graphs_gradients(fleet: Field) -> None:
    run_job(fleet, privacy=WITHOUT)

    model = catalogue.trainer(str(fleet.folder / "net.bundle"))
    orchestrator(fleet, "model", "export", "model.npz")
    with np.load(fleet.folder / "model.npz") as arrays:
        released = model.architecture.join({name: arrays[name] for name, _ in model.architecture.shapes})
    first = model.initial(SeededRandomness(b"")).parameters.astype(np.float64)
    expected = plain_averaging(model)
    bound = rounding_bound(model.architecture.dimension)
    assert np.linalg.norm(released - expected) < bound
    assert np.linalg.norm(expected - first) > 2 * bound  # standing still would not do
    assert exported_file_predicts_as_trained(fleet, model, released)


def exported_file_predicts_as_trained(fleet: Field, model: Model, released: np.ndarray) -> bool:
    """The exported file runs in plain onnxruntime under the names that the original had."""
    import onnxruntime  # noqa: PLC0415 -- after `models` has silenced it

    orchestrator(fleet, "model", "export", "--onnx", "trained.onnx")
    session = onnxruntime.InferenceSession(fleet.folder / "trained.onnx")
    original = onnxruntime.InferenceSession(fleet.folder / "net.bundle" / "infer.onnx")
    for ask in (onnxruntime.InferenceSession.get_inputs, onnxruntime.InferenceSession.get_outputs):
        assert [(one.name, one.shape, one.type) for one in ask(session)] == [(one.name, one.shape, one.type) for one in ask(original)]
    features = np.float32(rows(3)[0][:3])
    found, before = (one.run(None, {one.get_inputs()[0].name: features})[0] for one in (session, original))
    assert not np.allclose(found, before, atol=1e-3)
    return np.allclose(np.log(found), model.outputs(released, features), atol=1e-4)


def plain_averaging(model: Model) -> np.ndarray:
    """The same rounds in one process."""
    settings, optimizer = TrainingSettings(2, 4, 0.5), make_optimizer(OptimizerSettings("fedavg", ()))
    current = model.initial(SeededRandomness(b""))
    state = OptimizerState.initial(current.dimension)
    for _ in range(ROUNDS):
        updates = [train(model, current, settings, Data(*rows(n)), SeededRandomness(b"")).vector for n in range(len(DEVICES))]
        clipped = [update * min(1, CLIP_NORM / np.linalg.norm(update)) for update in updates]
        state, parameters = optimizer.step(state, current.parameters.astype(np.float64), np.mean(clipped, axis=0))
        current = GlobalModel(current.version + 1, parameters.astype(np.float32))
    return current.parameters.astype(np.float64)


def rounding_bound(dimension: int) -> float:
    """Three times the usual length of what stochastic rounding does to a mean of six, added up over the rounds.

    A rounded coordinate has a variance of at most a quarter of a step squared; a step is clip norm / (3.5 sqrt(d')), d' the padded
    dimension; d of the d' coordinates are kept. So long a vector of independent errors does not come near three times its usual
    length; the factor leaves room for later rounds, which train from a model that is off by that much.
    """
    step = CLIP_NORM / (3.5 * np.sqrt(padded_dimension(dimension)))
    return float(3 * np.sqrt(dimension / 4 / 6) * step * np.sqrt(ROUNDS))


def test_with_noise_the_account_is_right(fleet: Field) -> None:
    run_job(fleet, privacy=WITH, k_min=4)

    cost = orchestrator(fleet, "rounds")["rounds"][0]["rho_nano"]
    spent = [fleet.json("agent", "status", "--state", str(fleet.state(name)))["rho_spent"] for name in DEVICES]
    # k_min = 4, one assumed colluder, noise multiplier 2: rho = 1 / (2 * 2^2), but for rounding V up
    assert 0.99e9 / 8 < cost <= 1e9 / 8
    assert spent == pytest.approx([ROUNDS * cost / 1e9] * 6, abs=1e-12)
    report = fleet.json("verify", orchestrator(fleet, "status")["job"]["archive"])
    assert (report["released"], report["rho_nano"]) == (ROUNDS, ROUNDS * cost)
