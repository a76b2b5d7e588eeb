"""Chance and power: what one seed decides, and the power cuts between any two effects."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from hushfleet.randomness import SeededRandomness

T = TypeVar("T")
_BITS = 20


class PowerCut(BaseException):
    """The power went here. No program may catch it, as none can catch the real one."""


@dataclass
class Chance:
    """Everything that is left to chance in one run. `storm` False: nothing goes wrong. `faults` counts what went wrong, by kind."""

    seed: int
    storm: bool = False
    faults: Counter[str] = field(default_factory=Counter)
    trace: list[str] = field(default_factory=list)
    now_s: float = 1000.0

    def __post_init__(self) -> None:
        self._dice = SeededRandomness(b"faults %d" % self.seed)

    def share(self) -> float:
        """A number from 0 up to 1."""
        return self._dice.bits(_BITS) / (1 << _BITS)

    def below(self, bound: int) -> int:
        """A whole number from 0 up to `bound`."""
        return self._dice.below(bound)

    def one_of(self, choices: Sequence[T]) -> T:
        """One of these."""
        return choices[self._dice.below(len(choices))]

    def octets(self, count: int) -> bytes:
        """Random bytes, for what names a program's start."""
        return self._dice.octets(count)

    def __call__(self) -> float:
        """The time, which passes only when a run lets it."""
        return self.now_s

    def strikes(self, kind: str, probability: float, whom: str) -> bool:
        """True if this fault happens now; it is counted and traced."""
        if not self.storm or self.share() >= probability:
            return False
        self.hit(kind, whom)
        return True

    def hit(self, kind: str, whom: str) -> None:
        """Count and trace a fault."""
        self.faults[kind] += 1
        self.tell(whom, f"** {kind}")

    def tell(self, whom: str, what: str) -> None:
        """A line of the trace."""
        self.trace.append(f"{self.now_s:8.0f} s  {whom:12}  {what}")


@dataclass
class Power:
    """The supply of one party. `cut_in` counts the moments between two effects that are left to it; None: it stays."""

    party: str
    chance: Chance
    cut_in: int | None = None

    def moment(self, where: str) -> None:
        """A moment between two effects. Raises `PowerCut` if the power goes now."""
        if self.cut_in is None:
            return
        self.cut_in -= 1
        if self.cut_in < 0:
            self.cut_in = None
            self.chance.hit("crash", self.party)
            self.chance.tell(self.party, where)
            raise PowerCut
