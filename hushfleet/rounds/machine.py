"""A machine with its current state: the one place where steps are taken, changes stored and states adopted."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Generic, Protocol, TypeVar

from hushfleet.errors import HushfleetError, PhaseError
from hushfleet.randomness import Randomness
from hushfleet.rounds.effects import Change, Effect, Note, Refused, sorted_out

S = TypeVar("S")


class Machine(Protocol[S]):
    """Anything with a pure step."""

    def step(self, state: S, event: object, randomness: Randomness) -> tuple[S, tuple[Effect, ...]]:
        """Take one event."""


Persistence = Callable[[tuple[Change, ...]], None]
"""Makes all changes durable in one transaction, or raises and makes none."""


class Running(Generic[S]):
    """Not for two threads at once. If storing fails, the error is the caller's and the state is as it was."""

    def __init__(self, machine: Machine[S], state: S, persist: Persistence, randomness: Randomness) -> None:
        self._machine, self._persist, self._randomness = machine, persist, randomness
        self.state = state

    def step(self, event: object) -> tuple[Effect, ...]:
        """Take one event; its changes are durable when this returns what is left to do. Raises `PhaseError`."""
        state, effects = self._machine.step(self.state, event, self._randomness)
        changes, rest = sorted_out(effects)
        if changes:
            self._persist(changes)
        self.state = state
        return rest

    def offer(self, event: object) -> tuple[Effect, ...]:
        """As `step`, for events from outside: one that comes at the wrong time leaves a note and nothing else."""
        try:
            return self.step(event)
        except PhaseError as error:
            return (Note(str(error)),)


class Phased(Protocol):
    """A machine's state."""

    @property
    def phase(self) -> Enum:
        """Where in its round the machine stands."""


P = TypeVar("P", bound=Phased)
Step = tuple[P, tuple[Effect, ...]]
Table = Mapping[tuple[Enum, type], Callable[[Any, Any, Any, Randomness], tuple[Any, tuple[Effect, ...]]]]


def allowed(phases: type[Enum], everywhere: Mapping[type, Any], only: Mapping[tuple[Enum, type], Any]) -> Table:
    """A table from the events that every phase takes and those that some phases take."""
    return {(phase, event): handler for phase in phases for event, handler in everywhere.items()} | dict(only)


def step(table: Table, machine: object, state: P, event: object, randomness: Randomness) -> Step[P]:
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
