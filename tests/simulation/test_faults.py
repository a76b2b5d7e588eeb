"""The simulator: seeds in which everything goes wrong, and nothing is lost."""

import json
from collections.abc import Iterable, Iterator

import pytest

from hushfleet.cli import ExitCode, run
from hushfleet.encryption.paillier.dealing import Dealing
from simulation.faults.fleet import ROUNDS, Paper
from simulation.faults.run import Simulator
from tests.simulation.mutants import PLANTED
from tests.support.keys import load

KEY = load("insecure-512")
BLOCKS, SEEDS = 4, 10
FOUND = (58, 91)
"""Seeds beyond these: 58 found an orchestrator that took its own settled plan for news after each `recover`, 91 finds a planted bug."""


@pytest.fixture(scope="module")
def shared() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.fixture(scope="module")
def paillier() -> Iterator[Simulator]:
    with Simulator(Paper.make(Dealing(KEY.public, KEY.shares))) as simulator:
        yield simulator


def test_without_faults_the_job_ends(shared, paillier):
    for simulator in (shared, paillier):
        outcome = simulator.run(0, storm=False)
        assert (outcome.rounds_released, outcome.faults, outcome.violations) == (ROUNDS, {}, ())


@pytest.mark.parametrize("block", range(BLOCKS))
def test_seeds_of_scheme_shared(shared, block):
    _all_hold(shared, range(block * SEEDS, (block + 1) * SEEDS))


def test_seeds_that_found_a_bug(shared):
    _all_hold(shared, FOUND)


def test_seeds_of_scheme_paillier(paillier):
    _all_hold(paillier, range(1000, 1000 + SEEDS))


def test_a_seed_gives_the_same_run_each_time(shared):
    assert shared.run(5).trace == shared.run(5).trace


def test_the_command_tells_what_it_did(capsys):
    assert run(["simulate", "--seeds", "0:2", "--json"]) == ExitCode.DONE
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(told) == {"seeds", "events", "faults", "rounds_released", "violations"}
    assert (told["seeds"], told["rounds_released"], told["violations"]) == (2, 2 * ROUNDS, [])
    assert told["faults"]["crash"] > 0


@pytest.mark.parametrize("arguments", [(), ("--seed", "1", "--seeds", "1:2"), ("--seeds", "2:2"), ("--seeds", "x")])
def test_the_command_wants_seeds(arguments):
    assert run(["simulate", *arguments]) == ExitCode.USAGE


def _all_hold(simulator: Simulator, seeds: Iterable[int]) -> None:
    for seed in seeds:
        outcome = simulator.run(seed)
        assert not outcome.violations, f"seed {seed}: {outcome.violations}"
        assert outcome.rounds_released == ROUNDS


@pytest.mark.parametrize(("plant", "seed", "invariant"), PLANTED, ids=lambda value: getattr(value, "__name__", None))
def test_a_planted_bug_is_found(shared, monkeypatch, plant, seed, invariant):
    plant(monkeypatch)
    assert invariant in {broken.partition(":")[0] for broken in shared.run(seed).violations}
