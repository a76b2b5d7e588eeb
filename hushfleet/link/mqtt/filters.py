"""The filters that a session shall have, those that the broker is known to hold, and who waits for its answer. No network.

Not thread safe: the link's lock guards it.
"""

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class FilterChange:
    """A filter to be added to (`wanted`) or taken from the session. `over` once the broker answered or the connection was lost."""

    pattern: str
    wanted: bool
    over: bool = False
    refusal: str = ""
    """The reason why the broker refused it; empty if it did not."""

    fresh: bool = True
    """Asked for by the program, so that what is retained must come, even if the broker already holds the filter."""


class Filters:
    """The wish of the program, carried to the broker and, after a lost connection, carried there again."""

    def __init__(self) -> None:
        self._changes: dict[str, FilterChange] = {}
        self._asked: dict[int, FilterChange] = {}

    def change(self, pattern: str, *, wanted: bool) -> FilterChange:
        """The program's wish from now on. It replaces an earlier one on the same filter."""
        earlier = self._changes.get(pattern)
        if earlier is not None:
            earlier.over = True
        self._changes[pattern] = FilterChange(pattern, wanted)
        return self._changes[pattern]

    def wishes(self) -> list[FilterChange]:
        """Everything to carry to the broker on a new connection."""
        return list(self._changes.values())

    def asked(self, number: int, change: FilterChange) -> None:
        """`change` went to the broker under `number`."""
        self._asked[number] = change

    def answered(self, number: int, refusal: str = "") -> FilterChange | None:
        """The broker answered. What it refused, or what is gone from the session, is no longer a wish. None for an unknown number."""
        change = self._asked.pop(number, None)
        if change is None:
            return None
        change.over, change.fresh, change.refusal = True, False, refusal
        if (refusal or not change.wanted) and self._changes.get(change.pattern) is change:
            del self._changes[change.pattern]
        return change

    def lost(self) -> None:
        """The connection is gone: nobody waits for an answer any more, and every wish goes again on the next one."""
        for change in self._changes.values():
            change.over = True
        self._asked.clear()
