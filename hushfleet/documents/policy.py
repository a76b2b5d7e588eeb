"""The policy: the owner's floor, which an orchestrator cannot lower (PROTOCOL 2)."""

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Any, Self

from hushfleet.codec import Message
from hushfleet.documents.limits import MAX_COHORT, MAX_VALUES
from hushfleet.documents.tasks import TASKS
from hushfleet.documents.validation import require_hashes, require_name
from hushfleet.errors import FaultyOwner, Refusal


class NamedHash(Message, frozen=True):
    """A model or question that the owner allows: the name it goes by, and the 32 bytes that say exactly what it is.

    Raises `PeerError(MESSAGE_MALFORMED)`.
    """

    name: str
    digest: bytes

    def __post_init__(self) -> None:
        require_name(self.name)
        require_hashes(self.digest)


class Policy(Message, frozen=True):
    """The owner's limits, which every device checks before training and every member before decrypting, each against its own roster.

    `min_devices` is the least that a plan may ask for, at least `colluding_contributors` + 2; `max_devices` the greatest.
    The least squared noise multiplier is `min_noise_numerator / min_noise_denominator`, a fraction of integers.
    `budget_nano_rho` is what one device may spend in its lifetime, in 10^-9 rho.
    `models` are the models that may be trained, by name and architecture hash: a device finds one by its name and compares the hash.
    `tasks` are allowed by name (`train`, `evaluate`), measurements one by one as `questions`. Raises `FaultyOwner(POLICY_INVALID)`.
    """

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

    def __post_init__(self) -> None:
        sizes = (self.max_values, self.max_local_steps, self.max_batch_size)
        demands = {
            "min_devices must be at least colluding_contributors + 2": self.min_devices >= self.colluding_contributors + 2,
            "colluding_contributors must not be negative": self.colluding_contributors >= 0,
            f"max_devices must lie between min_devices and {MAX_COHORT}": self.min_devices <= self.max_devices <= MAX_COHORT,
            "the least noise multiplier must be a fraction of positive integers": self.min_noise_numerator >= 1
            and self.min_noise_denominator >= 1,
            "budget_nano_rho must not be negative": self.budget_nano_rho >= 0,
            "two models have one name": _distinct(one.name for one in self.models),
            "two questions have one name": _distinct(one.name for one in self.questions),
            f"the tasks that a policy allows by name are {' and '.join(TASKS)}, each once": set(self.tasks) <= set(TASKS)
            and _distinct(self.tasks),
            "max_values, max_local_steps and max_batch_size must be positive": min(sizes) >= 1,
            f"max_values must be at most {MAX_VALUES}": self.max_values <= MAX_VALUES,
            "max_abs_parameter and max_learning_rate must be positive": _positive(self.max_abs_parameter, self.max_learning_rate),
            "max_proximal must be finite and not negative": math.isfinite(self.max_proximal) and self.max_proximal >= 0,
        }
        for text, holds in demands.items():
            if not holds:
                raise FaultyOwner(Refusal.POLICY_INVALID, text)

    @classmethod
    def make(cls, **fields: Any) -> Self:  # noqa: ANN401 -- the fields have different types; the constructor checks them
        """A policy with the shipped defaults for what is not given; `models` is empty unless given."""
        return cls(**{**_DEFAULTS, **fields})

    @property
    def min_noise_squared(self) -> Fraction:
        """z2_min, the smallest squared noise multiplier."""
        return Fraction(self.min_noise_numerator, self.min_noise_denominator)


_DEFAULTS: dict[str, Any] = {
    "min_devices": 10,
    "max_devices": MAX_COHORT,
    "colluding_contributors": 2,
    "min_noise_numerator": 1,
    "min_noise_denominator": 1,
    "budget_nano_rho": 10**9,
    "allow_without_privacy": False,
    "schemes": ("paillier", "masked", "shared"),
    "models": (),
    "tasks": TASKS,
    "questions": (),
    "max_values": 1_000_000,
    "max_abs_parameter": 1e4,
    "max_local_steps": 1000,
    "max_batch_size": 1024,
    "max_learning_rate": 10.0,
    "max_proximal": 10.0,
}
"""The values of a policy where the owner says nothing (see `examples/policy.toml`)."""


def _distinct(names: Iterable[str]) -> bool:
    given = list(names)
    return len(set(given)) == len(given)


def _positive(*values: float) -> bool:
    return all(math.isfinite(value) and value > 0 for value in values)
