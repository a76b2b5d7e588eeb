"""The frame of every machine: a table of transitions, the handlers that carry them out, and the machine with its current state.

A state is one of several frozen dataclasses, a phase each, which holds exactly what that phase needs. `Transitions` maps
(phase, event type) to the phases that may follow. A handler is a pure function (machine, state, event, randomness) ->
(state, effects). An event that the table does not allow raises `PhaseError`, and a peer's fault becomes a `Refused` effect: in
both cases the state is as it was. So does an error that nobody foresaw: what arrives must not end a program, and a retained
message would end it again after each restart. A handler that leads to a phase the table does not name is a defect and raises
RuntimeError.

`Running` holds a machine with its state and is the one place where steps are taken, changes stored and states adopted, in this
order. If storing fails, the error is the caller's and the state is as it was.
"""

import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from hushfleet.errors import HushfleetError, LocalError, PhaseError, Refusal
from hushfleet.randomness import Randomness
from hushfleet.rounds.effects import Change, Effect, Note, Refused, sorted_out

S = TypeVar("S")
Handler = TypeVar("Handler", bound=Callable[..., tuple[Any, tuple[Effect, ...]]])


class Transitions:
    """The allowed transitions of one machine: (phase, event type) -> the phases that may follow, the present one among them or not."""

    def __init__(self, table: Mapping[tuple[type, type], tuple[type, ...]]) -> None:
        self.table = dict(table)
        self._handlers: dict[tuple[type, type], Callable[..., tuple[Any, tuple[Effect, ...]]]] = {}

    def on(self, event: type, *phases: type) -> Callable[[Handler], Handler]:
        """A decorator: this handler takes `event` in `phases` (default: wherever the table has it). ValueError if it has it nowhere."""
        entries = [key for key in self.table if key[1] is event and (not phases or key[0] in phases)]
        if not entries or len(entries) < len(phases):
            raise ValueError(f"the table has no entry for {event.__name__} in {[phase.__name__ for phase in phases] or 'any phase'}")

        def register(handler: Handler) -> Handler:
            self._handlers.update(dict.fromkeys(entries, handler))
            return handler

        return register

    @property
    def missing(self) -> frozenset[tuple[type, type]]:
        """Entries of the table without a handler: none in a finished machine."""
        return frozenset(self.table.keys() - self._handlers.keys())

    def step(self, machine: object, state: S, event: object, randomness: Randomness) -> tuple[S, tuple[Effect, ...]]:
        """Take one event. Raises `PhaseError` if the table has no entry for it."""
        entry = (type(state), type(event))
        handler = self._handlers.get(entry)
        if handler is None:
            raise PhaseError(f"{type(event).__name__} is not expected in phase {type(state).__name__}")
        try:
            after, effects = handler(machine, state, event, randomness)
        except PhaseError:
            raise
        except HushfleetError as error:
            return state, (Refused(error),)
        except Exception as error:  # noqa: BLE001 -- the boundary that keeps a message's errors out of the program's loop
            return state, (Refused(unforeseen(type(event).__name__, error)),)
        if type(after) not in self.table[entry]:
            names = (type(one).__name__ for one in (event, state, after))
            raise RuntimeError("{} led from {} to {}, which its table does not name".format(*names))
        return after, effects


def unforeseen(doing: str, error: Exception) -> LocalError:
    """The refusal of what raised `error`. It names type and place; the text of the error may hold data or secrets and is left out."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return LocalError(
        Refusal.STEP_FAILED,
        f"{doing}: {type(error).__name__}{place}",
        next_step="Everything else goes on. Report it with this line and the version.",
    )


class Machine(Protocol[S]):
    """Anything with a pure step."""

    def step(self, state: S, event: object, randomness: Randomness) -> tuple[S, tuple[Effect, ...]]:
        """Take one event."""


Persistence = Callable[[tuple[Change, ...]], None]
"""Makes all changes durable in one transaction, or raises and makes none."""


class Running(Generic[S]):
    """A machine with its current state. Not for two threads at once."""

    def __init__(self, machine: Machine[S], state: S, persist: Persistence, randomness: Randomness) -> None:
        self._machine, self._persist, self._randomness = machine, persist, randomness
        self.state = state

    def step(self, event: object) -> tuple[Effect, ...]:
        """Take one event; its changes are durable when this returns what is left to do. Raises `PhaseError`."""
        return together((self,), event)

    def offer(self, event: object) -> tuple[Effect, ...]:
        """As `step`, for events from outside: one that comes at the wrong time leaves a note and nothing else."""
        try:
            return self.step(event)
        except PhaseError as error:
            return (Note(str(error)),)


def together(parties: "tuple[Running[Any], ...]", event: object) -> tuple[Effect, ...]:
    """One event for several machines of one program: all their changes in one transaction, equal ones once. Raises `PhaseError`.

    The machines must share one store; the first one's is used.
    """
    # The fields of a machine are its own; this function belongs to the class and takes the step for all of them.
    steps = [one._machine.step(one.state, event, one._randomness) for one in parties]  # noqa: SLF001
    changes, rest = sorted_out(tuple(effect for _, effects in steps for effect in effects))
    if changes:
        # Device and member store the same roster: once is enough.
        parties[0]._persist(changes if len(parties) == 1 else tuple(dict.fromkeys(changes)))  # noqa: SLF001 -- likewise
    for one, (state, _) in zip(parties, steps, strict=True):
        one.state = state
    return rest
