"""The orchestrator's round, a file per phase: `collecting`, `decrypting`, `closing`; `machine` has phases and transitions.

Reads sums only: what it knows of one contribution is ciphertexts and a proof. May import what `hushfleet.rounds` may, except
any device's or member's side.
"""

# The handlers enter the table when their modules are loaded.
from hushfleet.rounds.coordinator import closing, collecting, decrypting
from hushfleet.rounds.coordinator.machine import (
    TRANSITIONS,
    ClosedRound,
    Collecting,
    Coordinator,
    CoordinatorMemory,
    CoordinatorState,
    Decrypting,
    NoRound,
)

__all__ = [
    "TRANSITIONS",
    "ClosedRound",
    "Collecting",
    "Coordinator",
    "CoordinatorMemory",
    "CoordinatorState",
    "Decrypting",
    "NoRound",
    "closing",
    "collecting",
    "decrypting",
]
