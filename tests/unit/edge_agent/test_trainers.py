import pytest

from edge_agent.trainers import Trainers
from hushfleet.documents import NamedHash
from hushfleet.wire import encode_signed
from models import catalogue
from tests.support.world import allowing, make_world

MODEL = catalogue.trainer("softmax:4x2")
DIGEST = MODEL.architecture.digest


class Searches(list):
    """Notes what is looked for."""

    def __call__(self, name) -> object:
        self.append(name)
        return catalogue.find(name)


def world(**changes: object):
    return make_world(policy={"models": allowing(MODEL.architecture)}, job={"architecture": MODEL.architecture}, **changes)


def test_a_plans_trainer_is_found_once():
    find, w = Searches(), world()
    trainers = Trainers({}, find)
    for number in (1, 2):
        trainers.prepare(w.roster, encode_signed(w.plan(number).signed))

    assert trainers[DIGEST].architecture == MODEL.architecture
    assert trainers.dimensions == {DIGEST: 10}
    assert find == ["softmax:4x2"]


def test_a_configured_one_is_not_looked_for():
    find, w = Searches(), world()
    trainers = Trainers({DIGEST: MODEL}, find)
    trainers.prepare(w.roster, encode_signed(w.plan().signed))

    assert (trainers[DIGEST], find) == (MODEL, [])


@pytest.mark.parametrize(("name", "digest"), [("softmax:4x3", DIGEST), ("own model", DIGEST), ("softmax:4x2", bytes(32))], ids=str)
def test_what_the_owner_allows_under_a_name_that_means_something_else_here_is_looked_for_once(name, digest):
    find, w = Searches(), make_world(policy={"models": (NamedHash(name, digest),)}, job={"architecture": MODEL.architecture})
    trainers = Trainers({}, find)
    for number in (1, 2):
        trainers.prepare(w.roster, encode_signed(w.plan(number, model=name, architecture_hash=digest).signed))

    assert find == [name]
    assert trainers.dimensions == {}
    with pytest.raises(KeyError):
        trainers[digest]


@pytest.mark.parametrize("case", ["no roster", "garbage", "another orchestrator", "not allowed"])
def test_nobody_but_owner_and_orchestrator_makes_a_device_search(case):
    find, w = Searches(), world()
    plan = encode_signed(w.plan().signed)
    rosters = {"no roster": None, "another orchestrator": world(seed=b"other").roster, "not allowed": make_world().roster}

    Trainers({}, find).prepare(rosters.get(case, w.roster), b"garbage" if case == "garbage" else plan)

    assert find == []
