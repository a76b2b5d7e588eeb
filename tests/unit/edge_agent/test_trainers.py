import msgspec
import pytest

from edge_agent.trainers import Trainers
from hushfleet.documents import TrainTask
from hushfleet.errors import LocalError, Refusal
from models import catalogue
from tests.support.fleet import allowing, make_fleet
from tests.support.refusals import refused

MODEL = catalogue.trainer("softmax:4x2")
DIGEST = MODEL.architecture.digest
FLEET = make_fleet(policy={"models": allowing(MODEL.architecture)}, job={"architecture": MODEL.architecture})
DIMENSION = MODEL.architecture.dimension


class Builds(list):
    """Notes the names that trainers are built of."""

    def __call__(self, name) -> object:
        self.append(name)
        return catalogue.built_in(name)


def task(**changes: object) -> TrainTask:
    return FLEET.plan(**changes).plan.task


def test_a_plans_trainer_is_built_by_its_name_once():
    build = Builds()
    trainers = Trainers({}, build)
    found = {id(trainers.require(task(), DIMENSION)) for _ in range(2)}

    assert len(found) == 1
    assert build == ["softmax:4x2"]


def test_a_configured_one_is_found_by_its_hash_whatever_its_name():
    build = Builds()

    assert Trainers({DIGEST: MODEL}, build).require(task(model="own"), DIMENSION) is MODEL
    assert build == []


@pytest.mark.parametrize("name", ["softmax:4x3", "own model", "../net.trainable"], ids=["another model", "unknown", "a file"])
def test_a_name_that_means_something_else_here_has_no_trainer(name):
    with refused(Refusal.MODEL_ABSENT, LocalError):
        Trainers({}, Builds()).require(task(model=name), DIMENSION)


@pytest.mark.parametrize(
    ("changes", "dimension"), [({"architecture_hash": bytes(32)}, DIMENSION), ({}, DIMENSION + 1)], ids=["hash", "size"]
)
@pytest.mark.parametrize("configured", [{}, {DIGEST: MODEL}], ids=["built", "configured"])
def test_another_hash_or_size_than_the_plans_has_no_trainer(changes, dimension, configured):
    with refused(Refusal.MODEL_ABSENT, LocalError):
        Trainers(configured, Builds()).require(task(**changes), dimension)


def test_what_was_refused_is_not_kept():
    build = Builds()
    trainers = Trainers({}, build)
    for dimension in (DIMENSION + 1, DIMENSION):
        try:
            trainers.require(task(), dimension)
        except LocalError:
            continue

    assert build == ["softmax:4x2"] * 2


def test_few_are_kept_and_the_least_recently_used_makes_room():
    build = Builds()
    trainers = Trainers({}, build)
    for outputs in (2, 3, 4, 5, 2, 6, 2, 3):
        model = catalogue.trainer(f"softmax:4x{outputs}").architecture
        wanted = msgspec.structs.replace(task(), model=model.name, architecture_hash=model.digest)
        assert trainers.require(wanted, model.dimension).architecture == model

    assert build == [f"softmax:4x{outputs}" for outputs in (2, 3, 4, 5, 6, 3)]


def test_a_device_without_any_trainer_says_what_to_do():
    with refused(Refusal.MODEL_ABSENT, LocalError):
        Trainers({}).require(task(), DIMENSION)
