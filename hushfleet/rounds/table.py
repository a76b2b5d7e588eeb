"""How every machine steps: a table from (phase, event type) to a handler.

A handler is a pure function (machine, state, event, randomness) -> (state, effects).
An event that the table does not allow raises `PhaseError`; whatever a peer did wrong becomes a `Refused` effect.
In both cases the state is as it was.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Protocol, TypeVar

from hushfleet.errors import HushfleetError, PhaseError
from hushfleet.randomness import Randomness
from hushfleet.rounds.effects import Effect, Refused


class Phased(Protocol):
    """A machine's state."""

    @property
    def phase(self) -> Enum:
        """Where in its round the machine stands."""


S = TypeVar("S", bound=Phased)
Step = tuple[S, tuple[Effect, ...]]
Table = Mapping[tuple[Enum, type], Callable[[Any, Any, Any, Randomness], tuple[Any, tuple[Effect, ...]]]]


def allowed(phases: type[Enum], everywhere: Mapping[type, Any], only: Mapping[tuple[Enum, type], Any]) -> Table:
    """A table from the events that every phase takes and those that some phases take."""
    return {(phase, event): handler for phase in phases for event, handler in everywhere.items()} | dict(only)


def step(table: Table, machine: object, state: S, event: object, randomness: Randomness) -> Step[S]:
    """Take one event. Raises `PhaseError` if the table has no entry for it."""
    handler = table.get((state.phase, type(event)))
    if handler is None:
        raise PhaseError(f"{type(event).__name__} is not expected in phase {state.phase.name}")
    try:
        return handler(machine, state, event, randomness)
    except PhaseError:
        raise
    except HushfleetError as error:
        return state, (Refused(error),)
