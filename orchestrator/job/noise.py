"""The noise of a job beside what its devices can learn in a round: told before anybody pays for noise alone."""

import math
from dataclasses import dataclass

import msgspec
import numpy as np

from hushfleet.documents import Plan
from hushfleet.errors import HushfleetError
from hushfleet.randomness import SeededRandomness
from hushfleet.training import Data, GlobalModel, LocalTraining, MakesUpRows, train
from models.catalogue import Model

_ROWS = 64
_MOST_STEPS = 20
_MOST_VALUES = 200_000
DROWNED = 4.0
"""The noise of all rounds together is this many times as long as what they can learn: little is learned then."""
_ROOMY = 3.0
_RAW = 100.0


@dataclass(frozen=True, slots=True)
class Noise:
    """The noise on one value of the released mean, `per_value`, from a cohort of `devices`; `length` is that of the noise on all values.

    `update` is the length of one device's update, before it is clipped, as a trial on the holdout or on made-up rows has it; None if
    none was made.
    """

    per_value: float
    length: float
    devices: int
    clip_norm: float
    update: float | None

    def warning(self, rounds: int) -> str:
        """The remark for a job of so many rounds whose noise drowns what is learned; empty if it does not."""
        if self.update is None or not self.update > 0:
            return ""
        learned = min(self.clip_norm, self.update)
        if self.length < DROWNED * math.sqrt(rounds) * learned:
            return ""
        text = f"the noise drowns what is learned: a round's is {self.length:.3g} long, a device's clipped update about {learned:.3g}"
        if self.clip_norm > _ROOMY * self.update:
            return f"{text}. The noise grows with clip_norm: write clip_norm = {_round(self.update):g}"
        return f"{text}. More devices, more rounds or a lower noise_multiplier help"


def noise_of(plan: Plan, model: Model, training: LocalTraining, start: GlobalModel, data: Data | None) -> Noise:
    """The noise of a plan, without which it is 0. `data`: rows like those of the devices, if there are any."""
    n, devices = plan.privacy, plan.privacy.min_devices
    per_value = math.sqrt(n.keep_one_in * n.variance / devices) / plan.scale
    length = per_value * math.sqrt(plan.dimension)
    update = _trial(model, training, start, data) if n.variance else None
    return Noise(per_value, length, devices, plan.clip_norm, update)


def _trial(model: Model, training: LocalTraining, start: GlobalModel, data: Data | None) -> float | None:
    """The length of the update that a few steps give, scaled to all of them; None for a model too large to try or without rows."""
    if start.dimension > _MOST_VALUES:
        return None
    steps = min(training.local_steps, _MOST_STEPS)
    try:
        rows = data or _made_up(model)
        if rows is None:
            return None
        some = msgspec.structs.replace(training, local_steps=steps)
        found = float(np.linalg.norm(train(model, start, some, rows, SeededRandomness(b"trial")).vector))
    except HushfleetError:
        return None
    return found * training.local_steps / steps if math.isfinite(found) else None


def _made_up(model: Model) -> Data | None:
    """Rows whose features are spread like those of data that were standardised."""
    if not isinstance(model, MakesUpRows):
        return None
    features, targets = model.made_up(_ROWS)
    if features.dtype.kind != "f":
        return None
    spread = np.sqrt(2) * np.sin(np.arange(features.size, dtype=np.float64) ** 2)  # mean 0, deviation 1, no two columns alike
    return Data(spread.reshape(features.shape), targets)


def raw_features(data: Data) -> str:
    """The remark for columns that seem to be in the units in which they were measured; empty if they do not."""
    columns = data.features.reshape(len(data), -1).astype(np.float64)
    spread = columns.std(axis=0)
    varied = spread[spread > 0]
    if not varied.size or (varied.max() <= _RAW * varied.min() and abs(columns).max() <= _RAW):
        return ""
    seen = f"columns of the holdout deviate by {varied.min():.3g} to {varied.max():.3g} and reach {abs(columns).max():.4g}"
    return f"the features look raw: {seen}. Such models learn by chance; standardise the same columns in the same way on every device"


def _round(value: float) -> float:
    return float(f"{value:.1g}")
