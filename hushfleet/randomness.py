"""The sources of random bits. Every step takes its source as an argument, so that vectors can be regenerated.

Outside tests, vectors and the choice of training batches the source is `SystemRandomness`.
"""

import hashlib
import os
from abc import ABC, abstractmethod
from typing import Protocol

from hushfleet.labels import Label, labelled

_BLOCK_BYTES = 1 << 16


class Randomness(Protocol):
    """A source of uniform random bits."""

    def octets(self, count: int) -> bytes:
        """`count` fresh uniform bytes."""

    def bits(self, count: int) -> int:
        """Uniform in [0, 2^count)."""

    def below(self, bound: int) -> int:
        """Uniform in [0, bound), by rejection, never by reduction. `bound` >= 1."""


class _FromOctets(ABC):
    """`bits` and `below` from `octets`."""

    @abstractmethod
    def octets(self, count: int) -> bytes:
        """`count` fresh uniform bytes."""

    def bits(self, count: int) -> int:
        """Uniform in [0, 2^count)."""
        width = (count + 7) // 8
        return int.from_bytes(self.octets(width), "big") >> (8 * width - count)

    def below(self, bound: int) -> int:
        """Uniform in [0, bound), by rejection. ValueError if `bound` < 1."""
        if bound < 1:
            raise ValueError("bound must be at least 1")
        width = (bound - 1).bit_length()
        while True:
            candidate = self.bits(width)
            if candidate < bound:
                return candidate


class SystemRandomness(_FromOctets):
    """The operating system's generator (`getrandom`): blocks until seeded, safe for keys, masks and noise."""

    def octets(self, count: int) -> bytes:
        """`count` bytes of `getrandom`."""
        return os.urandom(count)


class SeededRandomness(_FromOctets):
    """A reproducible stream (SHAKE-128 in counter mode). For tests, vectors and training batches; never for keys or noise."""

    def __init__(self, seed: bytes) -> None:
        self._seed = labelled(Label.SEEDED_RANDOMNESS, seed)
        self._counter = 0
        self._left = b""

    def octets(self, count: int) -> bytes:
        """The next `count` bytes of the stream."""
        while len(self._left) < count:
            block = hashlib.shake_128(self._seed + self._counter.to_bytes(8, "big")).digest(_BLOCK_BYTES)
            self._left += block
            self._counter += 1
        taken, self._left = self._left[:count], self._left[count:]
        return taken
