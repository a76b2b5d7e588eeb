"""A device's account of privacy, and the rounds that a fleet can still pay for."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

NANO = 10**9
_LEAST_RANGE = 3
_MOST_NAMED = 8


@dataclass(frozen=True, slots=True)
class Account:
    """The budget of one device over its life, in 10^-9 rho. `trains` is False for a box that said it only decrypts."""

    device_id: str
    spent_nano: int
    budget_nano: int
    trains: bool = True

    @property
    def left_nano(self) -> int:
        """The rest of the budget."""
        return max(0, self.budget_nano - self.spent_nano)

    def rounds_left(self, rho_nano: int) -> int | None:
        """Rounds at `rho_nano` each that the rest pays for; None if rounds cost nothing, 0 for a box that does not train."""
        if not self.trains:
            return 0
        return None if rho_nano == 0 else self.left_nano // rho_nano


def payable_rounds(accounts: Sequence[Account], rho_nano: int, *, least: int, wanted: int) -> int:
    """The most rounds, up to `wanted`, that each find `least` devices who can pay for it, however they take turns."""
    left = [wanted if (rest := one.rounds_left(rho_nano)) is None else min(wanted, rest) for one in accounts]
    return bisect_right(range(1, wanted + 1), 0, key=lambda rounds: sum(min(one, rounds) for one in left) < rounds * least)


def rest_lines(accounts: Sequence[Account], rho_nano: int) -> Iterator[str]:
    """The rest of the budget by device, those with the same one together: `pi-01 .. pi-04 have 0.625 of 1 left, 5 rounds`."""
    order = [one.device_id for one in accounts]
    for (left, budget, trains), some in groupby(sorted(accounts, key=_alike), key=_alike):
        names = [one.device_id for one in some]
        who, verb = named(names, order), "has" if len(names) == 1 else "have"
        if not trains:
            yield f"{who} {'does' if len(names) == 1 else 'do'} not train"
            continue
        rounds = "" if rho_nano == 0 else f", {_counted(left // rho_nano, 'round')}"
        yield f"{who} {verb} {left / NANO:.4g} of {budget / NANO:.4g} left{rounds}"


def greatest(accounts: Sequence[Account]) -> Account | None:
    """The device that has spent most."""
    return max(accounts, key=lambda one: one.spent_nano, default=None)


def named(names: Sequence[str], order: Sequence[str]) -> str:
    """Names for a person: neighbours in `order` as `first .. last`, and no more than a few in all."""
    places = {name: place for place, name in enumerate(order)}
    runs: list[list[str]] = []
    for name in sorted(names, key=lambda one: places.get(one, len(places))):
        if runs and places.get(name) == places.get(runs[-1][-1], -2) + 1:
            runs[-1].append(name)
        else:
            runs.append([name])
    parts = [part for run in runs for part in ([f"{run[0]} .. {run[-1]}"] if len(run) >= _LEAST_RANGE else run)]
    more = len(parts) - _MOST_NAMED
    return ", ".join(parts) if more <= 0 else f"{', '.join(parts[:_MOST_NAMED])} and {more} more"


def _alike(account: Account) -> tuple[int, int, bool]:
    return account.left_nano, account.budget_nano, account.trains


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
