"""A machine with its current state: the one place where steps are taken, changes stored and states adopted."""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from hushfleet.errors import PhaseError
from hushfleet.randomness import Randomness
from hushfleet.rounds.effects import Change, Effect, Note, sorted_out

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
