"""Fleets that train ONNX models, over a real Mosquitto: six devices, a committee of four, every party a process."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from hushfleet.aggregation import OptimizerState
from hushfleet.documents import OptimizerSettings
from hushfleet.privacy.blocks import padded_dimension
from hushfleet.randomness import SeededRandomness
from hushfleet.rounds.tasks.train import make_optimizer
from hushfleet.training import Data, GlobalModel, LocalTraining, train
from models import catalogue
from models.evaluation import Model
from models.onnx.prepare import prepare as make_trainable
from tests.support.fleet.typed import TypedFleet, copied, ending, prepare
from tests.support.onnx_nets import IMAGE_SHAPES, IMAGES, SENSOR_SHAPES, SENSOR_WINDOWS, write_net

pytestmark = pytest.mark.xdist_group("field")

DEVICES = tuple(f"pi-{n:02d}" for n in range(1, 7))
ROUNDS, CLIP_NORM, BAD = 2, 0.1, 5
SETTINGS = LocalTraining.make(2, 4, 0.5)
JOB = """
[job]
name = "net"
rounds = 2
[model]
onnx = "{trainable}"
[training]
local_steps = 2
batch_size = 4
learning_rate = 0.5
[privacy]
clip_norm = 0.1
delta = 1e-6
{privacy}
[cohort]
min_devices = {min_devices}
max_devices = 6
deadline_s = 192
[evaluation]
path = "holdout.npz"
"""
WITHOUT = "noise_multiplier = 0\nwithout_privacy = true"
WITH = "noise_multiplier = 2.0"
Rows = tuple[np.ndarray, np.ndarray]


def windows(number: int) -> Rows:
    """A device's sensor windows: the same one many times, so that its update does not hang on which rows it draws."""
    phase = np.arange(32) / (3 + number)
    window = np.stack([np.sin(phase), np.cos(phase), phase / 10])
    return np.tile(window, (12, 1, 1)), np.full(12, 1 + number // 5)


def images(number: int) -> Rows:
    """Pictures as a table has them, 64 values in a row. The last device has a label that no class has in its row 7."""
    labels = np.full(12, 2)
    if number == BAD:
        labels[7] = 4
    return np.tile(np.cos(np.arange(64) / (2 + number)), (12, 1)), labels


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> TypedFleet:
    """Enrolled, dealt, joined, with two trainable models that the owner allows; nothing runs yet."""
    folder = tmp_path_factory.mktemp("whole")
    write_net(folder / "windows.onnx", SENSOR_WINDOWS, SENSOR_SHAPES)
    write_net(folder / "images.onnx", IMAGES, IMAGE_SHAPES)
    make_trainable(folder / "windows.onnx", loss="softmax-cross-entropy").save(folder / "windows.trainable")
    make_trainable(folder / "images.onnx", loss="softmax-cross-entropy", train=["head_*"]).save(folder / "head.trainable")
    allowed = f"models.allowed={folder / 'windows.trainable'},{folder / 'head.trainable'}"
    return prepare(folder, DEVICES, policy=(allowed, "privacy.allow_without_privacy=true", "cohort.colluding_contributors=1"))


@pytest.fixture
def fleet(whole: TypedFleet, tmp_path: Path) -> Iterator[TypedFleet]:
    with ending(copied(whole, tmp_path / "field")) as found:
        yield found


def run_job(fleet: TypedFleet, trainable: str, rows: Callable[[int], Rows], *, privacy: str, min_devices: int = 6) -> None:
    for number, name in enumerate(DEVICES):
        x, y = rows(number)
        np.savez(fleet.folder / f"{name}.npz", x=x, y=y)
        training = 'models = ["windows.trainable", "head.trainable"]'
        (fleet.folder / f"{name}.toml").write_text(f'[data]\nsource = "npz"\npath = "{name}.npz"\n[training]\n{training}\n')
    holdout = [rows(number) for number in range(BAD)]
    np.savez(fleet.folder / "holdout.npz", x=np.concatenate([x[:2] for x, _ in holdout]), y=np.concatenate([y[:2] for _, y in holdout]))
    (fleet.folder / "job.toml").write_text(JOB.format(trainable=trainable, privacy=privacy, min_devices=min_devices))
    fleet.start_broker()
    fleet.start_agents()
    fleet.start_orchestrator()
    fleet.finish("orchestrator")


def orchestrator(fleet: TypedFleet, *words: str) -> dict:
    return fleet.json("orchestrator", *words, "--state", str(fleet.state("orchestrator")))


def released(fleet: TypedFleet, model: Model) -> np.ndarray:
    orchestrator(fleet, "model", "export", "model.npz")
    with np.load(fleet.folder / "model.npz") as arrays:
        return model.architecture.join({name: arrays[name] for name, _ in model.architecture.shapes})


def require_plain_averaging(fleet: TypedFleet, model: Model, updates: Callable[[GlobalModel], list[np.ndarray]]) -> None:
    """The released model is what federated averaging of `updates` gives in one process, and that is not where it began."""
    first = current = model.initial(SeededRandomness(b""))
    optimizer, state = make_optimizer(OptimizerSettings("fedavg", ())), OptimizerState.initial(current.dimension)
    for _ in range(ROUNDS):
        clipped = [update * (CLIP_NORM / max(CLIP_NORM, np.linalg.norm(update))) for update in updates(current)]
        state, parameters = optimizer.step(state, current.parameters.astype(np.float64), np.mean(clipped, axis=0))
        current = GlobalModel(current.version + 1, parameters.astype(np.float32))
    bound = rounding_bound(current.dimension)
    assert np.linalg.norm(released(fleet, model) - current.parameters) < bound
    assert np.linalg.norm(current.parameters - first.parameters) > 2 * bound  # standing still would not do


def rounding_bound(dimension: int) -> float:
    """Three times the usual length of what stochastic rounding does to a mean of six, added up over the rounds.

    A rounded coordinate has a variance of at most a quarter of a step squared; a step is clip norm / (3.5 sqrt(d')), d' the padded
    dimension; d of the d' coordinates are kept. So long a vector of independent errors does not come near three times its usual
    length; the factor leaves room for later rounds, which train from a model that is off by that much.
    """
    step = CLIP_NORM / (3.5 * np.sqrt(padded_dimension(dimension)))
    return float(3 * np.sqrt(dimension / 4 / 6) * step * np.sqrt(ROUNDS))


def trained(model: Model, current: GlobalModel, rows: Rows) -> np.ndarray:
    return train(model, current, SETTINGS, Data(*rows), SeededRandomness(b"")).vector


def test_without_noise_a_convolutional_net_on_sensor_windows_is_averaged(fleet: TypedFleet) -> None:
    run_job(fleet, "windows.trainable", windows, privacy=WITHOUT)

    model = catalogue.trainer(str(fleet.folder / "windows.trainable"))
    require_plain_averaging(fleet, model, lambda current: [trained(model, current, windows(n)) for n in range(len(DEVICES))])
    require_ordinary_file(fleet, model)


def require_ordinary_file(fleet: TypedFleet, model: Model) -> None:
    """What `--onnx` exports runs in plain onnxruntime under the names of the original, and predicts as trained."""
    import onnxruntime  # noqa: PLC0415 -- after `models` has silenced it

    orchestrator(fleet, "model", "export", "--onnx", "trained.onnx")
    exported, original = (onnxruntime.InferenceSession(fleet.folder / name) for name in ("trained.onnx", "windows.onnx"))
    for ask in (onnxruntime.InferenceSession.get_inputs, onnxruntime.InferenceSession.get_outputs):
        assert [(one.name, one.shape, one.type) for one in ask(exported)] == [(one.name, one.shape, one.type) for one in ask(original)]
    features = np.float32(windows(3)[0][:3])
    after, before = (session.run(["probability"], {"window": features})[0] for session in (exported, original))
    assert not np.allclose(after, before, atol=1e-3)
    np.testing.assert_allclose(np.log(after), model.outputs(released(fleet, model), features), atol=1e-4)


def test_a_head_is_fine_tuned_and_a_device_with_a_bad_row_adds_nothing(fleet: TypedFleet) -> None:
    run_job(fleet, "head.trainable", images, privacy=WITHOUT)

    model = catalogue.trainer(str(fleet.folder / "head.trainable"))
    assert [name for name, _ in model.architecture.shapes] == ["head_weight", "head_bias"]
    require_plain_averaging(
        fleet, model, lambda current: [*(trained(model, current, images(n)) for n in range(BAD)), np.zeros(current.dimension)]
    )
    assert "row 7" in fleet.log(DEVICES[BAD])
    assert [tuple(one["devices"]) for one in orchestrator(fleet, "rounds")["rounds"]] == [DEVICES] * ROUNDS


def test_with_noise_the_account_is_right(fleet: TypedFleet) -> None:
    run_job(fleet, "windows.trainable", windows, privacy=WITH, min_devices=4)

    cost = orchestrator(fleet, "rounds")["rounds"][0]["rho_nano"]
    spent = [fleet.json("agent", "status", "--state", str(fleet.state(name)))["rho_spent"] for name in DEVICES]
    # k_min = 4, one assumed colluder, noise multiplier 2: rho = 1 / (2 * 2^2), but for rounding V up
    assert 0.99e9 / 8 < cost <= 1e9 / 8
    assert spent == pytest.approx([ROUNDS * cost / 1e9] * 6, abs=1e-12)
    report = fleet.json("verify", orchestrator(fleet, "status")["job"]["archive"])
    assert (report["released"], report["rho_nano"]) == (ROUNDS, ROUNDS * cost)
