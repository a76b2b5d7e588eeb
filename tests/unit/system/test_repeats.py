import itertools

from hushfleet.system.repeats import Repeats


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_the_same_is_told_at_once_and_then_every_ten_minutes_with_its_number():
    told, clock = [], Clock()
    problems = Repeats(told.append, clock)
    for clock.now_s in (0, 1, 599, 600, 601):
        problems.report("gone")
    problems.report("other")
    assert told == ["gone", "gone (2 more times)", "other"]


def test_the_current_one_is_known_until_it_is_solved():
    problems = Repeats(lambda _: None)
    assert problems.current == ""
    problems.report("gone")
    problems.report("gone")
    assert problems.current == "gone"
    problems.solved()
    assert problems.current == ""


def test_a_listener_that_fails_is_not_heard_of():
    def failing(text):
        raise RuntimeError(text)

    problems = Repeats(failing)
    problems.report("gone")
    assert problems.current == "gone"


def test_few_are_remembered():
    problems = Repeats(lambda _: None)
    for number in itertools.islice(itertools.count(), 1000):
        problems.report(f"problem {number}")
    assert len(problems._told) <= 64
