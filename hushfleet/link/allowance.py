"""The allowance of a sender: the messages and bytes that one identity may have looked at, so that it cannot silence the others.

It is taken before a message is opened, written or answered: what exceeds it costs the reading of a topic (PROTOCOL 7). A whole
contribution and a whole answer fit into it at once, with room for a repetition of both; whoever exceeds it sends again, as for
anything without a receipt.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

BURST_BYTES = 16 << 20
"""Twice the greatest contribution."""
BYTES_PER_S = 1 << 19
LEAST_BURST_MESSAGES = 256
MESSAGES_PER_S = 64.0
FLOOD_MESSAGES = 128
"""A sender floods once so many of its messages were dropped."""
_MOST_SENDERS = 1 << 14
_USUAL_CHUNKS = 2
"""A sender may cut its messages so many times smaller than it has to."""


@dataclass(slots=True)
class _Left:
    """The rest of a sender's allowance, at a moment."""

    messages: float
    bytes: float
    at_s: float
    dropped: int = 0


class Allowances:
    """The allowances of all senders, by id. Not for two threads at once.

    `max_bytes`: the greatest message on this link at present; where messages are small, more of them are allowed.
    """

    def __init__(self, now_s: Callable[[], float], max_bytes: Callable[[], int]) -> None:
        self._now_s, self._max_bytes = now_s, max_bytes
        self._left: dict[str, _Left] = {}
        self._flooding: list[str] = []
        self._dropped: dict[str, int] = {}

    @property
    def dropped(self) -> Mapping[str, int]:
        """The number of messages that were dropped, by sender."""
        return self._dropped

    def take(self, sender: str, size: int) -> bool:
        """True if a message of this size is within the sender's allowance, which it lowers; False if it is to be dropped, and counted."""
        left = self._refilled(sender)
        if left.messages >= 1 and left.bytes >= size:
            left.messages -= 1
            left.bytes -= size
            return True
        left.dropped += 1
        self._dropped[sender] = self._dropped.get(sender, 0) + 1
        if left.dropped == FLOOD_MESSAGES:
            self._flooding.append(sender)
        return False

    def flooding(self) -> tuple[str, ...]:
        """The senders that were found to flood since the last call. Each is found again after as many further messages."""
        found, self._flooding = tuple(self._flooding), []
        for sender in found:
            if sender in self._left:
                self._left[sender].dropped = 0
        return found

    def _refilled(self, sender: str) -> _Left:
        now_s = self._now_s()
        burst = float(max(LEAST_BURST_MESSAGES, _USUAL_CHUNKS * BURST_BYTES // max(1, self._max_bytes())))
        left = self._left.get(sender)
        if left is None:
            if len(self._left) >= _MOST_SENDERS:  # ids that a broker makes up: the ones heard of first are forgotten
                self._left.pop(next(iter(self._left)))
            left = self._left[sender] = _Left(burst, float(BURST_BYTES), now_s)
            return left
        passed_s = max(0.0, now_s - left.at_s)
        left.messages = min(burst, left.messages + MESSAGES_PER_S * passed_s)
        left.bytes = min(float(BURST_BYTES), left.bytes + BYTES_PER_S * passed_s)
        left.at_s = now_s
        return left
