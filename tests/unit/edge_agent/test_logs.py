import io
import logging

import pytest

from edge_agent.logs import LOG, Lines, RecentProblems, RepeatFilter, start_logging
from hushfleet.system.repeats import AGAIN_AFTER_S


def lines(level="info", **environment: str):
    stream = io.StringIO()
    start_logging(level, stream, environment)
    return stream


def test_the_journal_gets_priorities_and_no_clock():
    stream = lines("debug", JOURNAL_STREAM="8:1")
    LOG.debug("a")
    LOG.info("b %s", 1)
    LOG.warning("c")
    LOG.error("d")

    assert stream.getvalue() == "<7>a\n<6>b 1\n<4>c\n<3>d\n"


def test_a_person_gets_time_and_level():
    stream = lines()
    LOG.debug("not shown")
    LOG.warning("two\nlines")

    (line,) = stream.getvalue().splitlines()
    assert line.endswith(" warning two lines")
    assert line[:2] == "20"


def test_a_defects_traceback_has_the_priority_on_every_line():
    stream = lines(JOURNAL_STREAM="8:1")
    try:
        int("deep")
    except ValueError:
        LOG.exception("shallow")

    found = stream.getvalue().splitlines()
    assert found[0] == "<3>shallow"
    assert found[-1].startswith("<3>ValueError: ")
    assert all(line.startswith("<3>") for line in found)


def record(text, level=logging.INFO):
    return logging.LogRecord("x", level, "", 0, text, (), None)


def test_a_repeat_is_counted_and_told_later():
    clock = [0.0]
    repeats = RepeatFilter(lambda: clock[0])
    passed = []
    for at_s in (0, 1, AGAIN_AFTER_S - 1, AGAIN_AFTER_S, AGAIN_AFTER_S + 1):
        clock[0] = at_s
        one = record("away")
        passed += [one.getMessage()] if repeats.filter(one) else []

    assert passed == ["away", "away (2 more like this since)"]
    assert repeats.filter(record("away", logging.ERROR))
    assert repeats.filter(record("another"))


def test_what_is_remembered_of_repeats_is_bounded():
    repeats = RepeatFilter(lambda: 0.0)
    for number in range(1000):
        assert repeats.filter(record(f"line {number}"))

    assert repeats.filter(record("line 0"))
    assert not repeats.filter(record("line 999"))


def test_the_last_problems_are_kept_for_the_status(tmp_path):
    lines()
    problems = RecentProblems(tmp_path)
    with problems.recorded():
        LOG.info("no problem")
        for number in range(7):
            LOG.warning("problem %d", number)
    LOG.error("after the end")

    assert [one.text for one in RecentProblems(tmp_path).read()] == [f"problem {number}" for number in range(2, 7)]
    assert {one.level for one in problems.read()} == {"warning"}


@pytest.mark.parametrize("content", [None, b"", b"[{}]"])
def test_no_file_or_a_damaged_one_is_no_problem(tmp_path, content):
    if content is not None:
        (tmp_path / "problems.json").write_bytes(content)

    assert RecentProblems(tmp_path).read() == ()


def test_a_line_is_one_line():
    assert Lines(journal=True).format(record("a\nb\tc")) == "<6>a b c"


def test_what_a_peer_says_cannot_steer_a_terminal():
    assert Lines(journal=True).format(record("\x1b[2Jgone\x07\x00")) == "<6>\\x1b[2Jgone\\x07\\x00"
