from pathlib import Path

import numpy as np
import pytest

from edge_agent.config import DataSettings
from edge_agent.data import read_blocks
from hushfleet.errors import DataError, Refusal
from tests.support.refusals import refused
from tests.support.rows import read_whole

GOOD = "t,wind,label\n1,2.5,0\n-3e2, 4 ,1\n"


def settings(tmp_path, text, **changes: object):
    path = tmp_path / "data.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return DataSettings(**{"source": "csv", "path": path, "features": ("t", "wind"), "labels": "label", **changes})


def test_columns_are_found_by_their_names(tmp_path):
    data = read_whole(settings(tmp_path, GOOD, features=("wind", "t")))

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
    data = read_whole(settings(tmp_path, GOOD, **changes))

    assert (data.features.shape, data.targets.shape) == (features, targets)


@pytest.mark.parametrize(
    "text",
    ["\ufeff" + GOOD, GOOD.replace("\n", "\r\n"), GOOD.replace("\n", "\n\n"), GOOD.replace("t,wind", ' t , "wind" ').replace('"', "")],
    ids=["byte order mark", "dos", "empty lines", "spaces around names"],
)
def test_files_of_other_programs_are_read_too(tmp_path, text):
    assert len(read_whole(settings(tmp_path, text))) == 2


def test_another_delimiter(tmp_path):
    assert len(read_whole(settings(tmp_path, GOOD.replace(",", ";"), options={"delimiter": ";"}))) == 2


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("t,wind,label\n1,2,0\n3,,1\n", 3, "column 'wind': the cell is empty"),
        ("t,wind,label\n1,marker,0\n", 2, "column 'wind': not a number"),
        ("t,wind,label\n1,2,0\n\n1,2\n", 4, "2 values under 3 column names"),
        ("t,wind,label\n1,2,0,9\n", 2, "4 values under 3 column names"),
        ('t,wind,label\n1,"2,5",0\n', 2, "column 'wind': a number with a decimal comma"),
    ],
)
def test_what_is_no_number_is_named_with_file_line_and_column_and_never_shown(tmp_path, text, line, told):
    with pytest.raises(DataError) as caught:
        read_whole(settings(tmp_path, text))

    error = caught.value
    assert (error.line, error.file) == (line, str(tmp_path / "data.csv"))
    assert str(error).startswith(f"{error.file}, line {line}")
    assert told in str(error)
    assert error.expected
    assert "marker" not in str(error)
    with refused(Refusal.DATA_VALUE, DataError):
        raise error


def test_a_decimal_comma_is_an_option(tmp_path):
    text = "t;wind;label\n1,5;2;0\n"
    data = read_whole(settings(tmp_path, text, options={"delimiter": ";", "decimal": ","}))

    np.testing.assert_array_equal(data.features, [[1.5, 2]])


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        (GOOD.replace(",", ";"), 'delimiter = ";"'),
        (GOOD.replace(",", "\t"), 'delimiter = "\\t"'),
        ("1,2.5,0\n3,4,1\n", "a line of names above the rows"),
        (GOOD.encode("utf-16"), "UTF-8"),
        ('t,wind,label\n1,"2,5",0\n', 'decimal = ","'),
    ],
    ids=["semicolons", "tabs", "no names", "utf-16", "decimal comma"],
)
def test_what_is_probably_meant_is_advised(tmp_path, text, advice):
    with pytest.raises(DataError) as caught:
        read_whole(settings(tmp_path, text))

    assert advice in caught.value.next_step


def test_numbers_in_the_place_of_names_are_not_shown(tmp_path):
    with pytest.raises(DataError) as caught:
        read_whole(settings(tmp_path, "71,120.25,0\n64,118,1\n"))

    assert "120.25" not in str(caught.value)


def test_memory_follows_the_block_and_not_the_file(tmp_path):
    rows = "".join(f"{number},1,0\n" for number in range(3000))
    blocks = list(read_blocks(settings(tmp_path, "t,wind,label\n" + rows)))

    assert [len(block.data) for block in blocks] == [1024, 1024, 952]
    assert [block.lines[0] for block in blocks] == [2, 1026, 2050]


def test_a_value_that_is_not_finite_is_named_with_line_and_column(tmp_path):
    with refused(Refusal.DATA_NOT_FINITE, DataError):
        read_whole(settings(tmp_path, GOOD + "nan,1,0\n"))
    with pytest.raises(DataError, match="line 4, column 't'"):
        read_whole(settings(tmp_path, GOOD + "nan,1,0\n"))


def test_a_file_of_nothing_but_names_is_empty(tmp_path):
    with refused(Refusal.DATA_EMPTY, DataError):
        read_whole(settings(tmp_path, "t,wind,label\n"))


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
        (GOOD, {"options": {"quote": "'"}}),
    ],
    ids=[
        "no file",
        "no path",
        "no label",
        "no feature",
        "nothing left",
        "twice",
        "empty",
        "latin-1",
        "open quote",
        "long",
        "number",
        "unknown",
    ],
)
def test_a_file_or_column_that_is_not_there(tmp_path, text, changes):
    with refused(Refusal.DATA_SOURCE, DataError):
        read_whole(settings(tmp_path, text, **changes))
