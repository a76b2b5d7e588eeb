"""The outcome of the demo, and the settings that it came from: what the demo works out and its screen shows."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from hushfleet.audit import JobReport
from hushfleet.documents import LocalTraining
from hushfleet.errors import LocalError, Refusal
from hushfleet.typed import typed
from simulation.attacks import Attack
from simulation.broker import find_mosquitto
from simulation.edges import FloatArray, brightness, edges

LEAST_DEVICES = 5
COMMITTEE = 4
COLLUDING = 2
KEY_BITS = 3072
DELTA = 1e-6


@dataclass(frozen=True, slots=True)
class Recipe:
    """The settings with which the demo trains a model; chosen on these very digits, so the accuracy is slightly flattering."""

    training: LocalTraining
    clip_norm: float
    features_of: Callable[[FloatArray], FloatArray] = edges
    seen_as: str = "edge histograms"
    scheme: str = "paillier"


RECIPES: Mapping[str, Recipe] = {
    "softmax": Recipe(LocalTraining.make(20, 32, 1.0), clip_norm=1.0),
    "mlp": Recipe(LocalTraining.make(20, 32, 0.3), clip_norm=0.5),
    "mlp-large": Recipe(LocalTraining.make(20, 32, 0.3), clip_norm=0.5, scheme="shared"),
    "lenet": Recipe(LocalTraining.make(20, 32, 0.1), 0.4, brightness, "brightness"),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """The choices of the person who runs the demo. Raises `LocalError(SETTINGS_INVALID)`."""

    devices: int = 50
    rounds: int = 8
    noise_multiplier: float = 4.0
    model: str = "softmax"
    keep: Path | None = None
    transport: str = "auto"

    def __post_init__(self) -> None:
        if self.devices < LEAST_DEVICES:
            message = f"a demo needs at least {LEAST_DEVICES} devices: {COMMITTEE} of them are the committee"
            raise LocalError(Refusal.SETTINGS_INVALID, message, next_step=typed("demo", "--devices", str(LEAST_DEVICES)))
        if self.rounds < 2:
            raise LocalError(Refusal.SETTINGS_INVALID, "a demo needs at least 2 rounds: the last one is replayed an earlier one")

    @property
    def broker(self) -> bool:
        """True if a real broker carries the demo: asked for, or there."""
        return self.transport == "mosquitto" or (self.transport == "auto" and find_mosquitto() is not None)

    @property
    def noise(self) -> Fraction:
        """The noise multiplier exactly as it was typed."""
        return Fraction(str(self.noise_multiplier))

    @property
    def floor(self) -> int:
        """The least cohort that the owner allows."""
        return max(4, math.ceil(0.8 * self.devices))

    @property
    def min_devices(self) -> int:
        """The plan's least cohort: near the expected one, since noise is made for the smallest."""
        return max(4, math.ceil(0.92 * self.devices))

    @property
    def recipe(self) -> Recipe:
        """The settings for the chosen model."""
        return RECIPES[self.model]


@dataclass(frozen=True, slots=True)
class RoundFigures:
    """One released round as the screen shows it."""

    number: int
    devices: int
    answers: int
    accuracy: float
    epsilon: float
    bytes_up_per_value: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of the demo; `as_json` is the contract of `--json`."""

    settings: Settings
    model: str
    values: int
    rounds: tuple[RoundFigures, ...]
    accuracy_without_privacy: float
    attacks: tuple[Attack, ...]
    audit: JobReport
    archive: Path
    model_file: Path
    seconds: float

    def as_json(self) -> dict[str, object]:
        """The result for `--json`."""
        last = self.rounds[-1]
        return {
            "transport": "mosquitto" if self.settings.broker else "memory",
            "scheme": self.settings.recipe.scheme,
            "model": self.model,
            "values": self.values,
            "devices": self.settings.devices,
            "committee": {"members": COMMITTEE, "threshold": COMMITTEE - (COMMITTEE - 1) // 3},
            "key_bits": KEY_BITS,
            "rounds_released": self.audit.released,
            "accuracy": round(last.accuracy, 4),
            "accuracy_without_privacy": round(self.accuracy_without_privacy, 4),
            "epsilon": round(last.epsilon, 3),
            "delta": DELTA,
            "noise_multiplier": self.settings.noise_multiplier,
            "bytes_up_per_value": round(last.bytes_up_per_value, 2),
            "seconds": round(self.seconds, 1),
            "attacks": [{"name": a.name, "refused_by": a.refused_by, "reason": a.reason.value} for a in self.attacks],
            "archive": str(self.archive),
            "model_file": str(self.model_file),
        }
