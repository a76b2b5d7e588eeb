import pytest

from edge_agent.trainers import Trainers
from hushfleet.wire import encode_signed
from models import catalogue
from tests.support.world import make_world

MODEL = catalogue.trainer("softmax:4x2")
DIGEST = MODEL.architecture.digest


class Searches(list):
    """Notes what is looked for."""

    def __call__(self, digest, dimension) -> object:
        self.append((digest, dimension))
        return catalogue.find(digest, dimension)


def world(**changes: object):
    return make_world(policy={"architectures": (DIGEST,)}, job={"architecture": MODEL.architecture}, **changes)


def test_a_plans_trainer_is_found_once():
    find, w = Searches(), world()
    trainers = Trainers({}, find)
    for number in (1, 2):
        trainers.prepare(w.roster, encode_signed(w.plan(number).signed))

    assert trainers[DIGEST].architecture == MODEL.architecture
    assert trainers.dimensions == {DIGEST: 10}
    assert find == [(DIGEST, 10)]


def test_a_configured_one_is_not_looked_for():
    find, w = Searches(), world()
    trainers = Trainers({DIGEST: MODEL}, find)
    trainers.prepare(w.roster, encode_signed(w.plan().signed))

    assert (trainers[DIGEST], find) == (MODEL, [])


def test_what_nobody_can_find_is_looked_for_once():
    find, w = Searches(), world()
    trainers = Trainers({}, find)
    for number in (1, 2):
        trainers.prepare(w.roster, encode_signed(w.plan(number, dimension=11).signed))

    assert find == [(DIGEST, 11)]
    assert trainers.dimensions == {}
    with pytest.raises(KeyError):
        trainers[DIGEST]


@pytest.mark.parametrize("case", ["no roster", "garbage", "another orchestrator", "not allowed"])
def test_nobody_but_owner_and_orchestrator_makes_a_device_search(case):
    find, w = Searches(), world()
    plan = encode_signed(w.plan().signed)
    rosters = {"no roster": None, "another orchestrator": world(seed=b"other").roster, "not allowed": make_world().roster}

    Trainers({}, find).prepare(rosters.get(case, w.roster), b"garbage" if case == "garbage" else plan)

    assert find == []
