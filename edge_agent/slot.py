"""The sending slot: a finished contribution waits for the next multiple of the plan's slot after the plan's arrival (PROTOCOL 5.2).

So the moment at which its first byte leaves tells no more than the multiple in which the work was done. A contribution that was made by
an earlier process leaves at once: when that one ended did not follow the data either.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from hushfleet.rounds.effects import Publish

Clock = Callable[[], float]


@dataclass
class SendingSlot:
    """The slot of one device, on a clock in seconds that never goes back."""

    now_s: Clock = time.monotonic
    _arrived_s: float = 0.0
    _slot_s: float = 0.0
    _held: Publish | None = field(default=None, repr=False)
    _due_s: float = 0.0

    @property
    def holding(self) -> bool:
        """True while a finished contribution waits."""
        return self._held is not None

    @property
    def wait_s(self) -> float:
        """The time until the contribution that waits is due; infinite if none waits."""
        return max(0.0, self._due_s - self.now_s()) if self.holding else math.inf

    def plan_arrived(self, slot_s: int) -> None:
        """A plan was accepted now."""
        self._arrived_s, self._slot_s = self.now_s(), float(slot_s)

    def done(self) -> None:
        """The work for the plan ended now: what it led to leaves at the next multiple."""
        gone_s = self.now_s() - self._arrived_s
        self._due_s = self._arrived_s + self._slot_s * (math.floor(gone_s / self._slot_s) + 1)

    def hold(self, publish: Publish) -> bool:
        """Keep `publish` in place of what waits, and True, if it is not due yet."""
        self._held = publish if self.now_s() < self._due_s else None
        return self.holding

    def due(self) -> Publish | None:
        """The contribution whose time has come, once."""
        if self._held is None or self.now_s() < self._due_s:
            return None
        held, self._held = self._held, None
        return held


class NoWaiting:
    """A clock for fleets on one machine, where nobody looks at the time: whatever is waited for is over at the next look."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def __call__(self) -> float:
        """The time, a year later than the last one."""
        self._now_s += 365 * 86_400.0
        return self._now_s
