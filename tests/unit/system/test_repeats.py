from hushfleet.system.repeats import AGAIN_AFTER_S, Problems, Repeats


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_the_same_is_told_at_once_and_then_every_ten_minutes_with_its_number():
    told, clock = [], Clock()
    problems = Problems(told.append, clock)
    for clock.now_s in (0, 1, 599, 600, 601):
        problems.report("gone")
    problems.report("other")
    assert told == ["gone", "gone (2 more times)", "other"]


def test_the_current_one_is_known_until_it_is_solved():
    problems = Problems(lambda _: None)
    assert problems.current == ""
    problems.report("gone")
    problems.report("gone")
    assert problems.current == "gone"
    problems.solved()
    assert problems.current == ""


def test_a_listener_that_fails_is_not_heard_of():
    def failing(text):
        raise RuntimeError(text)

    problems = Problems(failing)
    problems.report("gone")
    assert problems.current == "gone"


def test_few_are_remembered():
    repeats = Repeats(lambda: 0.0)
    for number in range(1000):
        assert repeats.held_back(number) == 0

    assert len(repeats._told) <= 256
    assert repeats.held_back(999) is None
    assert repeats.held_back(0) == 0


def test_the_number_of_those_held_back_is_told_once():
    clock = Clock()
    repeats = Repeats(clock)
    times = []
    for clock.now_s in (0, 1, AGAIN_AFTER_S - 1, AGAIN_AFTER_S, AGAIN_AFTER_S + 1, 2 * AGAIN_AFTER_S):
        times.append(repeats.held_back("gone"))

    assert times == [0, None, None, 2, None, 1]
