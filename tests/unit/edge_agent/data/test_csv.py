from pathlib import Path

import numpy as np
import pytest

from edge_agent.config import DataSettings
from edge_agent.data import read_data
from hushfleet.errors import DataError, Refusal
from tests.support.refusals import refused

GOOD = "t,wind,label\n1,2.5,0\n-3e2, 4 ,1\n"


def settings(tmp_path, text, **changes: object):
    path = tmp_path / "data.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return DataSettings(**{"source": "csv", "path": path, "features": ("t", "wind"), "labels": "label", **changes})


def test_columns_are_found_by_their_names(tmp_path):
    data = read_data(settings(tmp_path, GOOD, features=("wind", "t")))

    np.testing.assert_array_equal(data.features, [[2.5, 1], [4, -300]])
    np.testing.assert_array_equal(data.targets, [0, 1])


@pytest.mark.parametrize(
    ("changes", "features", "targets"),
    [
        ({"features": "*"}, (2, 2), (2,)),
        ({"features": "t"}, (2, 1), (2,)),
        ({"features": "*", "labels": ("label", "wind")}, (2, 1), (2, 2)),
        ({"labels": ("label",)}, (2, 2), (2, 1)),
    ],
    ids=str,
)
def test_the_shapes_follow_what_is_named(tmp_path, changes, features, targets):
    data = read_data(settings(tmp_path, GOOD, **changes))

    assert (data.features.shape, data.targets.shape) == (features, targets)


@pytest.mark.parametrize(
    "text",
    ["\ufeff" + GOOD, GOOD.replace("\n", "\r\n"), GOOD.replace("\n", "\n\n"), GOOD.replace("t,wind", ' t , "wind" ').replace('"', "")],
    ids=["byte order mark", "dos", "empty lines", "spaces around names"],
)
def test_files_of_other_programs_are_read_too(tmp_path, text):
    assert len(read_data(settings(tmp_path, text))) == 2


def test_another_delimiter(tmp_path):
    assert len(read_data(settings(tmp_path, GOOD.replace(",", ";"), options={"delimiter": ";"}))) == 2


@pytest.mark.parametrize(
    ("text", "row", "told"),
    [
        ("t,wind,label\n1,2,0\n3,,1\n", 1, "line 3, column 'wind': '' is not a number"),
        ("t,wind,label\n1,windy,0\n", 0, "line 2, column 'wind': 'windy' is not a number"),
        ("t,wind,label\n1,2,0\n\n1,2\n", 1, "line 4: 2 values under 3 column names"),
        ("t,wind,label\n1,2,0,9\n", 0, "line 2: 4 values under 3 column names"),
    ],
)
def test_what_is_no_number_is_named_with_line_and_column(tmp_path, text, row, told):
    with pytest.raises(DataError, match=told) as caught:
        read_data(settings(tmp_path, text))

    assert caught.value.row == row
    with refused(Refusal.DATA_VALUE, DataError):
        raise caught.value


def test_a_value_that_is_not_finite_is_named_with_its_row(tmp_path):
    with refused(Refusal.DATA_NOT_FINITE, DataError):
        read_data(settings(tmp_path, GOOD + "nan,1,0\n"))


def test_a_file_of_nothing_but_names_is_empty(tmp_path):
    with refused(Refusal.DATA_EMPTY, DataError):
        read_data(settings(tmp_path, "t,wind,label\n"))


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        (GOOD, {"path": Path("/nowhere.csv")}),
        (GOOD, {"path": None}),
        (GOOD, {"labels": "class"}),
        (GOOD, {"features": ("t", "speed")}),
        (GOOD, {"features": "*", "labels": ("t", "wind", "label")}),
        ("t,t,label\n1,2,0\n", {"features": "t"}),
        ("", {}),
        (b"t,wind,label\n\xff,1,0\n", {}),
        ('t,wind,label\n"1,2,0\n', {}),
        (GOOD, {"options": {"delimiter": ";;"}}),
        (GOOD, {"options": {"delimiter": 3}}),
    ],
    ids=["no file", "no path", "no label", "no feature", "nothing left", "twice", "empty", "latin-1", "open quote", "long", "number"],
)
def test_a_file_or_column_that_is_not_there(tmp_path, text, changes):
    with refused(Refusal.DATA_SOURCE, DataError):
        read_data(settings(tmp_path, text, **changes))
