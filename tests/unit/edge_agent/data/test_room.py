"""The data room: rows prepared outside rounds, the verdict on them, and no value of the data in any text."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from edge_agent.config import DataSettings
from edge_agent.data.block import Block
from edge_agent.data.keeper import DataKeeper, Told
from edge_agent.data.prepared import ROWS_FILE, load_prepared
from edge_agent.data.room import DataRoom, KnownRows
from edge_agent.data.verdict import VERDICT_FILE, read_verdict
from hushfleet.errors import DataError
from hushfleet.training import Data
from models import catalogue
from tests.support.waiting import LIMIT_S

SMALL, OTHER = catalogue.trainer("softmax:2x2"), catalogue.trainer("softmax:2x3")
MODELS = {"softmax:2x2": SMALL}
BOTH = {**MODELS, "softmax:2x3": OTHER}
GOOD = "a,b,y\n1,2,0\n3,4,1\n"


class Place:
    """A room over one csv file, and the verdicts that it told."""

    def __init__(self, folder: Path, text: str | None = GOOD, **options: object) -> None:
        self.folder, self.file = folder / "state", folder / "d.csv"
        self.folder.mkdir(exist_ok=True)
        if text is not None:
            self.file.write_text(text)
        self.told = []
        self.room = DataRoom(self.folder, DataSettings("csv", self.file, "*", "y"), tell=self.told.append, **options)

    def refreshed(self, models=None):
        self.room.refresh(MODELS if models is None else models)
        return self.room


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_rows_are_prepared_once_and_mapped(place):
    rows = place.refreshed().rows_for(SMALL)

    np.testing.assert_array_equal(rows.features, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(rows.targets, [0, 1])
    assert (place.folder / ROWS_FILE).stat().st_mode & 0o777 == 0o600
    assert not place.room.refresh(MODELS)


def test_a_restart_does_not_read_the_source_again(tmp_path, place):
    place.refreshed()

    def untouched(_):
        pytest.fail("the source was read")

    again = Place(tmp_path, None, read=untouched)
    assert len(again.refreshed().rows_for(SMALL)) == 2


def test_a_changed_file_is_read_again(place):
    place.refreshed()
    place.file.write_text(GOOD + "5,6,1\n")

    assert len(place.refreshed().rows_for(SMALL)) == 3


def test_before_the_first_look_there_is_a_reason_and_no_row(place):
    assert isinstance(place.room.rows_for(SMALL), DataError)


def test_the_copy_goes_with_its_source(place):
    place.refreshed()
    place.file.unlink()

    assert isinstance(place.refreshed().rows_for(SMALL), DataError)
    assert not (place.folder / ROWS_FILE).exists()


def test_each_model_is_judged_by_itself_and_by_line(tmp_path):
    room = Place(tmp_path, "a,b,y\n1,2,0\n3,4,2\n").refreshed(BOTH)

    misfit = room.rows_for(SMALL)
    assert isinstance(misfit, DataError)
    assert (misfit.line, misfit.expected) == (3, "a whole number from 0 to 1")
    assert len(room.rows_for(OTHER)) == 2
    assert room.verdict.usable
    assert [why.model for why in room.verdict.why] == ["softmax:2x2"]


def test_a_model_that_came_later_is_judged_without_the_source(tmp_path):
    place = Place(tmp_path)
    place.refreshed()
    origin = place.room._shelf.origin
    place.room._read = lambda _: pytest.fail("the source was read")

    assert place.room.refresh(BOTH)
    assert load_prepared(place.folder, origin) is not None
    assert place.room.verdict.models == ("softmax:2x2", "softmax:2x3")


def test_a_round_is_not_disturbed(place):
    place.room.close()
    work = threading.Thread(target=place.refreshed)
    work.start()
    assert isinstance(place.room.rows_for(SMALL), DataError)
    assert place.told == []

    place.room.open()
    work.join(LIMIT_S)
    assert len(place.room.rows_for(SMALL)) == 2


def test_zeros_are_counted_until_the_data_are_used_again(tmp_path):
    place = Place(tmp_path, "a,b,y\n1,marker,0\n")
    room = place.refreshed()
    since = room.verdict.since
    room.ended("no rows")
    room.ended("no rows")

    kept = read_verdict(place.folder)
    assert (kept.usable, kept.since, kept.zeros, kept.last_zero, kept.healthy) == (False, since, 2, "no rows", False)
    place.file.write_text(GOOD)
    assert place.refreshed().verdict.healthy
    assert read_verdict(place.folder).zeros == 0


def test_a_full_disk_is_a_verdict(place, monkeypatch):
    def full(*_: object):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edge_agent.data.prepared.Writer.add", full)

    assert "No space left" in place.refreshed().verdict.text


class Panic(BaseException):
    """As a Rust library's panic arrives in Python."""


def raising(error):
    def read(_):
        raise error
        yield Block(Data(np.ones((1, 1)), np.ones(1)))

    return read


@pytest.mark.parametrize("text", ["a,b,y\n1,2,0\nmarker,4,1\n", 'a,b,y\n1,"mar\n', "a,b,y\n1,2,7.25\n", "1,7.25,0\n"])
def test_no_value_of_the_data_reaches_status_or_log(tmp_path, text):
    place = Place(tmp_path, text)
    place.refreshed()

    said = (place.folder / VERDICT_FILE).read_text() + place.room.verdict.text + str(place.room.rows_for(SMALL))
    assert not place.room.verdict.usable
    assert "marker" not in said
    assert "7.25" not in said
    assert json.loads((place.folder / VERDICT_FILE).read_text())["why"][0]["file"] == str(place.file) or "line" in said


def test_the_keeper_survives_whatever_a_look_raises(tmp_path):
    warned = []
    place = Place(tmp_path, None, read=raising(Panic("marker")))
    keeper = DataKeeper(place.room, lambda: MODELS, warn=warned.append)
    keeper.start()

    assert keeper.settled(LIMIT_S)
    keeper.stop()
    assert "Panic" in warned[0]
    assert "marker" not in warned[0]


@pytest.mark.parametrize("error", [ValueError("marker"), SystemExit("marker"), Panic("marker")], ids=lambda one: type(one).__name__)
def test_rows_in_memory_that_cannot_be_read_are_a_reason_by_type_and_place(error):
    def read():
        raise error

    found = KnownRows(read).rows_for(SMALL)
    assert type(error).__name__ in str(found)
    assert "test_room.py" in str(found)
    assert "marker" not in str(found)


def test_progress_is_told_after_two_seconds_and_every_ten():
    now, said = [0.0], []
    told = Told(said.append, lambda: now[0])
    for second in range(15):
        now[0] = float(second + 1)
        told(1000 * (second + 1))

    assert said == ["Reading the training data: 3,000 rows so far.", "Reading the training data: 13,000 rows so far."]
