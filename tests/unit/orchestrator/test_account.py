"""What a fleet can still pay for, and how it is told."""

from itertools import product

from orchestrator.account import Account, greatest, named, payable_rounds, rest_lines


def accounts(*left: int, budget: int = 10):
    return tuple(Account(f"pi-{number:02d}", budget - one, budget) for number, one in enumerate(left, start=1))


def test_the_rounds_that_can_be_paid_for_are_those_that_some_order_of_turns_gives():
    def schedule(left, least):
        """Rounds when those with most left go first: the greedy order is the best one."""
        rest, rounds = sorted(left, reverse=True), 0
        while least <= len(rest) and rest[least - 1] > 0:
            rest = sorted([one - 1 for one in rest[:least]] + rest[least:], reverse=True)
            rounds += 1
        return rounds

    for left in product(range(4), repeat=4):
        for least in (1, 2, 3, 4):
            assert payable_rounds(accounts(*left), 1, least=least, wanted=20) == schedule(left, least)


def test_rounds_that_cost_nothing_are_all_payable_and_a_box_that_only_decrypts_pays_none():
    assert payable_rounds(accounts(0, 0), 0, least=2, wanted=7) == 7
    assert payable_rounds((Account("pi-01", 0, 10), Account("pi-02", 0, 10, trains=False)), 1, least=2, wanted=7) == 0


def test_a_long_job_of_a_large_fleet_is_counted_at_once():
    assert payable_rounds(accounts(*[10**9] * 500, budget=10**9), 1000, least=400, wanted=10**6) == 10**6


def test_devices_with_the_same_rest_are_named_together():
    fleet = (*accounts(*[375_000_000] * 4, budget=10**9), Account("pi-05", 10**9, 10**9), Account("pi-06", 0, 10**9, trains=False))

    assert list(rest_lines(fleet, 125_000_000)) == [
        "pi-05 has 0 of 1 left, 0 rounds",
        "pi-01 .. pi-04 have 0.375 of 1 left, 3 rounds",
        "pi-06 does not train",
    ]


def test_names_for_a_person():
    order = [f"pi-{number:02d}" for number in range(1, 31)]
    assert named(order[:4], order) == "pi-01 .. pi-04"
    assert named([order[0], order[1], order[4]], order) == "pi-01, pi-02, pi-05"
    assert named(order[::2], order) == "pi-01, pi-03, pi-05, pi-07, pi-09, pi-11, pi-13, pi-15 and 7 more"


def test_the_device_that_has_spent_most():
    assert greatest(accounts(5, 2, 7)).device_id == "pi-02"
    assert greatest(()) is None
