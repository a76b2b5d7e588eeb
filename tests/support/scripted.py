"""Randomness that a test writes out: each answer in the order it will be asked for."""

from collections import deque
from collections.abc import Iterable


class Scripted:
    """Answers `octets` from a list. A request of another length than the next answer, or past the last, fails the test."""

    def __init__(self, answers: Iterable[bytes]) -> None:
        self._answers = deque(answers)

    def octets(self, count: int) -> bytes:
        if count == 0:
            return b""
        answer = self._answers.popleft()
        assert len(answer) == count, f"{count} bytes were asked for, {len(answer)} were expected"
        return answer

    def bits(self, count: int) -> int:
        assert count % 8 == 0
        return int.from_bytes(self.octets(count // 8), "big")

    def below(self, bound: int) -> int:
        raise AssertionError(f"nothing below {bound} was expected to be drawn")

    @property
    def used_up(self) -> bool:
        return not self._answers


class Constant:
    """The same byte for ever: the least or the most lucky rounding, or noise at an end of its range."""

    def __init__(self, value: int) -> None:
        self._value = bytes([value])
        self.requests = 0

    def octets(self, count: int) -> bytes:
        self.requests += 1
        return self._value * count

    def bits(self, count: int) -> int:
        return int.from_bytes(self.octets((count + 7) // 8), "big") >> (-count % 8)

    def below(self, bound: int) -> int:
        return self.bits(256) % bound
