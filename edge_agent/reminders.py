"""Times for asking again for what does not come, and for sending again what nobody confirms. Progress only: safety never uses time."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from hushfleet.link.transfers import Incomplete
from hushfleet.randomness import Randomness, SystemRandomness
from hushfleet.rounds.device import DeviceState, Fetching, Unenrolled
from hushfleet.wire import Kind

ASK_S = 20.0
"""A transfer that has brought nothing for so long, or for up to twice as long, is asked for again."""
CONFIRM_S = (10.0, 60.0)
"""The least and the most time that a receipt is given before a contribution goes again: in between, a quarter of the deadline."""
_UNKNOWN_DEADLINE_S = 3600.0  # of a contribution that an earlier process made
_MOST_PAUSE_S = 3600.0
_JITTER_BITS = 16


class Pauses:
    """The times at which one thing is due: after a pause that doubles each time and is random up to twice its length."""

    def __init__(self, now_s: Callable[[], float], randomness: Randomness) -> None:
        self._now_s, self._randomness = now_s, randomness
        self._cause: object = None
        self._since_s = self._next_s = self._pause_s = 0.0

    def due(self, cause: object, *, first_s: float, lasts_s: float = float("inf")) -> bool:
        """True if it is due now. Another `cause` than before begins anew; with None, or `lasts_s` after the beginning, nothing is due."""
        now_s = self._now_s()
        if cause != self._cause:
            self._cause, self._since_s = cause, now_s
            self._wait(now_s, first_s)
        if cause is None or now_s < self._next_s or now_s - self._since_s > lasts_s:
            return False
        self._wait(now_s, min(2 * self._pause_s, _MOST_PAUSE_S))
        return True

    def restart(self) -> None:
        """Begin anew, even for the same cause: something happened."""
        self._cause = None

    def _wait(self, now_s: float, pause_s: float) -> None:
        self._pause_s = pause_s
        self._next_s = now_s + pause_s * (1 + self._randomness.bits(_JITTER_BITS) / (1 << _JITTER_BITS))


@dataclass
class Reminders:
    """The reminders of one device. `deadline_s` is the deadline of the plan that it last trained for."""

    now_s: Callable[[], float] = time.monotonic
    randomness: Randomness = field(default_factory=SystemRandomness)
    deadline_s: float = _UNKNOWN_DEADLINE_S

    def __post_init__(self) -> None:
        self._roster, self._model, self._receipt, self._released = (Pauses(self.now_s, self.randomness) for _ in range(4))

    def due(self, state: DeviceState, incomplete: Iterable[Incomplete]) -> Iterator[Kind]:
        """`ROSTER` and `MODEL`: subscribe again, for they are retained. `CONTRIBUTION`: send it again."""
        waiting = None if isinstance(state, Unenrolled) else state.waiting
        missing = {(one.topic.kind, one.topic.digest, one.missing) for one in incomplete}
        rosters = {gap for gap in missing if gap[0] is Kind.ROSTER}
        if self._roster.due((waiting, rosters) if waiting or rosters else None, first_s=ASK_S):
            yield Kind.ROSTER
        wanted = state.terms.plan_hash if isinstance(state, Fetching) else None
        # What has come so far belongs to the cause: a transfer that moves is left alone.
        if self._model.due(wanted and (wanted, {gap for gap in missing if gap[0] is Kind.MODEL}), first_s=ASK_S):
            yield Kind.MODEL
        if self._receipt.due(state.memory.sent, first_s=min(max(self.deadline_s / 4, CONFIRM_S[0]), CONFIRM_S[1]), lasts_s=self.deadline_s):
            yield Kind.CONTRIBUTION

    def released_due(self, digest: str | None) -> bool:
        """True if the released model of this hash, which has not come, is to be asked for again."""
        return self._released.due(digest, first_s=ASK_S)

    def heard(self) -> None:
        """Postpone sending again: a receipt came, perhaps for a part, so the orchestrator knows of the contribution."""
        self._receipt.restart()
