"""Which trainer belongs to which architecture hash on this device."""

from collections.abc import Callable, Mapping

from hushfleet.documents import VerifiedRoster, open_plan
from hushfleet.errors import PeerError
from hushfleet.training import Trainer
from hushfleet.wire import decode_signed

Find = Callable[[bytes, int], Trainer | None]
"""From architecture hash and number of values to a trainer."""


class Trainers:
    """The configured trainers, and those found for a plan: only hashes that the owner's policy allows are looked for, once each."""

    def __init__(self, known: Mapping[bytes, Trainer], find: Find = lambda _, __: None) -> None:
        self._known, self._find = dict(known), find
        self._tried: set[tuple[bytes, int]] = set()
        self.dimensions = {digest: trainer.architecture.dimension for digest, trainer in known.items()}
        """Hash -> number of values. Grows in place."""

    def __getitem__(self, architecture_hash: bytes) -> Trainer:
        """KeyError for a hash that nobody knows."""
        return self._known[architecture_hash]

    def prepare(self, roster: VerifiedRoster | None, plan: bytes) -> None:
        """Before a device judges `plan` (as it arrived) under `roster`: look for its trainer. What is wrong with it, the device says."""
        if roster is None:
            return
        try:
            wanted = open_plan(decode_signed(plan), roster.orchestrator).plan
        except PeerError:
            return
        digest, one = wanted.architecture_hash, (wanted.architecture_hash, wanted.dimension)
        if digest in self._known or one in self._tried or digest not in roster.policy.architectures:
            return
        self._tried.add(one)
        found = self._find(*one)
        if found is not None:
            self._known[digest] = found
            self.dimensions[digest] = found.architecture.dimension
