import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from hushfleet.errors import DataError, LocalError, Refusal
from hushfleet.randomness import SeededRandomness
from hushfleet.training import Architecture, Data, GlobalModel, LocalTraining, fetch_update, start_training, train
from tests.support.refusals import refused
from tests.support.waiting import LIMIT_S

MODEL, ROWS = GlobalModel(0, np.zeros(1)), Data(np.ones((4, 1)), np.ones(4))
SETTINGS = LocalTraining.make(local_steps=3, batch_size=2, learning_rate=0.1)


class Slope:
    """One value that falls at every step, once `may_go`."""

    architecture = Architecture("slope", (("w", (1,)),), "none", b"slope")

    def __init__(self) -> None:
        self.may_go = threading.Event()

    def check(self, _features, _targets):
        pass

    def gradient(self, _parameters, _features, _targets):
        assert self.may_go.wait(LIMIT_S)
        return 0.0, np.ones(1)


@pytest.fixture
def executor():
    with ThreadPoolExecutor(1) as executor:
        yield executor


def start(trainer, executor, data=ROWS):
    return start_training(trainer, MODEL, SETTINGS, data, SeededRandomness(b""), executor=executor)


def test_a_run_goes_on_beside_the_caller_and_gives_the_update_of_train(executor):
    trainer = Slope()
    run = start(trainer, executor)
    assert not run.done
    with pytest.raises(TimeoutError):
        fetch_update(run, 0.01)

    trainer.may_go.set()
    update = fetch_update(run, LIMIT_S)

    assert run.done
    np.testing.assert_array_equal(update.vector, train(trainer, MODEL, SETTINGS, ROWS, SeededRandomness(b"")).vector)
    assert update.vector[0] < 0


def test_without_data_the_reason_comes_with_the_fetch(executor):
    trainer = Slope()
    trainer.may_go.set()

    with refused(Refusal.DATA_EMPTY, DataError):
        fetch_update(start(trainer, executor, None), LIMIT_S)


def test_what_training_raises_comes_with_the_fetch_by_type_and_place(executor):
    broken = Slope()
    broken.gradient = None

    with refused(Refusal.TRAINING_FAILED, LocalError):
        fetch_update(start(broken, executor), LIMIT_S)
    with pytest.raises(LocalError, match=r"training slope failed: TypeError at trainer\.py:"):
        fetch_update(start(broken, executor), LIMIT_S)


def test_a_run_that_has_not_begun_can_be_given_up(executor):
    first, second = Slope(), Slope()
    second.gradient = lambda *_: pytest.fail("it was begun")
    running, waiting = start(first, executor), start(second, executor)

    waiting.cancel()
    running.cancel()
    first.may_go.set()

    assert waiting.done
    assert fetch_update(running, LIMIT_S).vector[0] < 0


def test_a_run_shows_nothing_of_its_update(executor):
    trainer = Slope()
    trainer.may_go.set()
    run = start(trainer, executor)
    fetch_update(run, LIMIT_S)

    assert repr(run) == "TrainingRun()"
