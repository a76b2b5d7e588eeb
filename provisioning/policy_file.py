"""`policy.toml`: the owner's policy as a person writes it, and what it says exactly.

Numbers with a decimal point are taken as typed, never as the nearest float. Model names become architecture hashes here, when
a roster with this policy is signed.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from hushfleet.documents import NamedHash, Policy
from hushfleet.documents.limits import MAX_COHORT, MAX_COUNTER, MAX_VALUES
from hushfleet.documents.tasks import TASKS
from hushfleet.errors import LocalError
from hushfleet.program.settings import Mistake, TableError, parse_settings, text_of, wrong
from hushfleet.typed import typed

FILE = "policy.toml"
SCHEMES = ("paillier", "masked", "shared")
_MOST_DIGITS = 32
_NANO = 10**9
_GREATEST = 1e300


def next_step() -> str:
    """The advice for a policy file with mistakes."""
    return f"Correct the file, then run: {typed('provision', 'policy', 'set')}"


Whole = Annotated[int, Meta(ge=0, le=MAX_COUNTER)]
Positive = Annotated[int, Meta(ge=1, le=MAX_COUNTER)]


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of the tables."""


class Cohort(_Table, frozen=True):
    """`[cohort]`."""

    min_devices: Positive = 10
    max_devices: Annotated[int, Meta(ge=1, le=MAX_COHORT)] = MAX_COHORT
    colluding_contributors: Whole = 2

    def __post_init__(self) -> None:
        least = self.colluding_contributors + 2
        _require(
            ("min_devices", f"min_devices must be at least colluding_contributors + 2 = {least}", self.min_devices >= least),
            ("max_devices", f"max_devices must be at least min_devices = {self.min_devices}", self.max_devices >= self.min_devices),
        )


class Privacy(_Table, frozen=True):
    """`[privacy]`. Decimals as typed."""

    min_noise_multiplier: Decimal = Decimal("1.0")
    budget_rho: Decimal = Decimal("1.0")
    allow_without_privacy: bool = False

    @property
    def min_noise_squared(self) -> Fraction:
        """The least squared noise multiplier, exactly."""
        return Fraction(self.min_noise_multiplier) ** 2

    @property
    def budget_nano_rho(self) -> int:
        """The lifetime budget in 10^-9 rho, exactly."""
        return int(self.budget_rho * _NANO)

    def __post_init__(self) -> None:
        noise, budget = self.min_noise_multiplier, self.budget_rho
        positive, funded = _is_sensible(noise) and noise > 0, _is_sensible(budget) and budget >= 0
        nano = Fraction(budget) * _NANO if funded else Fraction()
        squared = Fraction(noise) ** 2 if positive else Fraction(1)
        short = max(squared.numerator, squared.denominator) <= MAX_COUNTER
        _require(
            ("min_noise_multiplier", "min_noise_multiplier must be above 0", positive),
            ("min_noise_multiplier", "min_noise_multiplier: nine digits after the point are the most", short),
            ("budget_rho", "budget_rho must not be negative", funded),
            ("budget_rho", "budget_rho counts in 10^-9: nine digits after the point are the most", nano.denominator == 1),
            ("budget_rho", "budget_rho is too large", nano <= MAX_COUNTER),
        )


class Models(_Table, frozen=True):
    """`[models]`."""

    schemes: tuple[str, ...] = SCHEMES
    allowed: tuple[str, ...] = ()
    max_values: Annotated[int, Meta(ge=1, le=MAX_VALUES)] = 1_000_000
    max_abs_parameter: Annotated[float, Meta(gt=0, le=_GREATEST)] = 1e4

    def __post_init__(self) -> None:
        unknown = [name for name in self.schemes if name not in SCHEMES]
        text = f"schemes: there is no scheme {{!r}}; there are {', '.join(SCHEMES)}"
        _require(
            *(("schemes", text.format(name), False) for name in unknown),
            *(("allowed", text, False) for text in _problems(self.allowed, trainable=False)),
        )


class Training(_Table, frozen=True):
    """`[training]`."""

    max_local_steps: Positive = 1000
    max_batch_size: Positive = 1024
    max_learning_rate: Annotated[float, Meta(gt=0, le=_GREATEST)] = 10.0


class Tasks(_Table, frozen=True):
    """`[tasks]`."""

    allowed: tuple[str, ...] = TASKS

    def __post_init__(self) -> None:
        text = f"allowed: there is no task {{!r}}; there are {', '.join(TASKS)}"
        _require(*(("allowed", text.format(name), False) for name in self.allowed if name not in TASKS))


class PolicyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    cohort: Cohort = msgspec.field(default_factory=Cohort)
    privacy: Privacy = msgspec.field(default_factory=Privacy)
    models: Models = msgspec.field(default_factory=Models)
    tasks: Tasks = msgspec.field(default_factory=Tasks)
    training: Training = msgspec.field(default_factory=Training)

    @property
    def allowed(self) -> tuple[NamedHash, ...]:
        """The models allowed here, by the name that plans give them and their architecture hash. Every name must be known."""
        from models import catalogue  # noqa: PLC0415 -- numpy, when a model is looked at

        known = [catalogue.architecture(name) for name in self.models.allowed]
        return tuple({one.digest: NamedHash(one.name, one.digest) for one in known}.values())

    def as_policy(self) -> Policy:
        """The policy that is signed. Every name must be known."""
        squared = self.privacy.min_noise_squared
        return Policy.make(
            **msgspec.structs.asdict(self.cohort),
            **msgspec.structs.asdict(self.training),
            min_noise_numerator=squared.numerator,
            min_noise_denominator=squared.denominator,
            budget_nano_rho=self.privacy.budget_nano_rho,
            allow_without_privacy=self.privacy.allow_without_privacy,
            schemes=self.models.schemes,
            models=self.allowed,
            tasks=self.tasks.allowed,
            max_values=self.models.max_values,
            max_abs_parameter=self.models.max_abs_parameter,
        )


def read_policy(path: Path) -> PolicyFile:
    """The file at `path`. Raises `FileNotFoundError`; `LocalError(CONFIG_INVALID)` with every wrong line."""
    return parse_policy(text_of(path, next_step=next_step()), path)


def parse_policy(text: str, source: Path) -> PolicyFile:
    """As `read_policy`, from the text that is, or would be, the file `source`. Relative paths of trainable models count from its folder."""
    from models import catalogue  # noqa: PLC0415 -- as above

    file = parse_settings(PolicyFile, text, source=source, next_step=next_step(), parse_float=Decimal)
    allowed = tuple(catalogue.placed(name, source.parent) for name in file.models.allowed)
    mistakes = [Mistake("models", "allowed", f"[models] {problem}") for problem in _problems(allowed, trainable=True)]
    if mistakes:
        raise wrong(source, text, mistakes, next_step())
    return msgspec.structs.replace(file, models=msgspec.structs.replace(file.models, allowed=allowed))


def as_table(file: PolicyFile) -> dict[str, dict[str, Any]]:
    """The policy for showing, table -> key -> value, as plain as JSON. Decimals as text."""
    tables: dict[str, dict[str, Any]] = msgspec.to_builtins(file)
    return tables


def _is_sensible(number: Decimal) -> bool:
    """Require a finite number, without an exponent that would take all memory when it is written out."""
    return number.is_finite() and abs(number.adjusted()) <= _MOST_DIGITS


def _require(*demands: tuple[str, str, bool]) -> None:
    """Raise `TableError` with every (key, text) that does not hold."""
    broken = [(key, text) for key, text, holds in demands if not holds]
    if broken:
        raise TableError(broken)


def _problems(names: Iterable[str], *, trainable: bool) -> Iterator[str]:
    """The complaints about names of models, one for each that means none; only of those that name a file, or only of others."""
    from models import catalogue  # noqa: PLC0415 -- as above

    for name in names:
        if catalogue.names_a_file(name) is not trainable:
            continue
        try:
            catalogue.architecture(name)
        except LocalError as error:
            yield f"allowed: {error.message}. {error.next_step}"
