"""The time that a trainable model's training step takes on this machine."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import numpy as np

from models.onnx.prepare.model import session
from models.onnx.prepare.samples import random_rows
from models.onnx.trainable import TrainableModel


@dataclass(frozen=True, slots=True)
class Times:
    """Medians in seconds: of one training step (loss and all gradients) and of inference on as many rows."""

    step_s: float
    inference_s: float


def time_steps(trainable: TrainableModel, batch: int, steps: int) -> Times:
    """Medians over `steps` steps of `batch` random rows, with one thread, after three to warm up."""
    manifest = trainable.manifest
    rows = random_rows(manifest, batch, np.random.default_rng(0))
    parts = trainable.architecture.split(trainable.initial)
    train, infer = session(trainable.train), session(trainable.infer)
    features = {value.name: rows[value.name] for value in infer.get_inputs() if value.name in rows}
    fed = {**rows, **{one.input: parts[one.name] for one in manifest.parameters}}
    wanted = [manifest.loss_output, *(one.gradient for one in manifest.parameters)]
    return Times(_median(lambda: train.run(wanted, fed), steps), _median(lambda: infer.run([manifest.logits.output], features), steps))


def _median(step: Callable[[], object], steps: int) -> float:
    taken = []
    for _ in range(steps + 3):
        begin = perf_counter()
        step()
        taken.append(perf_counter() - begin)
    return median(taken[3:])
