"""The round as state machines without I/O: device, coordinator and committee member, each with its transitions as a table.

A machine takes (state, event, randomness) and gives (state, effects); programs turn effects into files and messages, in order.
`walkthrough` is one honest round, top to bottom. `device`, `member` and `coordinator` never import each other.
May import schemes and everything below; never `hushfleet.link`.
`receive` is what an application of its own calls for a contribution that came in: opened, checked, proof included.
"""

from hushfleet.rounds.coordinator.opening import receive

__all__ = ["receive"]
