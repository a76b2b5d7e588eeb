import numpy as np
import pytest

from edge_agent.config import DataSettings
from hushfleet.errors import DataError, Refusal
from tests.support.refusals import refused
from tests.support.rows import read_whole

X, Y = np.arange(12.0).reshape(3, 4), np.array([0, 1, 0])


def settings(file, **changes: object):
    return DataSettings(**{"source": "npz", "path": file, "features": "x", "labels": "y", **changes})


@pytest.fixture
def file(tmp_path):
    np.savez(tmp_path / "data.npz", x=X, y=Y, names=np.array(["a", None], dtype=object))
    return tmp_path / "data.npz"


def test_arrays_are_found_by_their_names(file):
    data = read_whole(settings(file))

    np.testing.assert_array_equal(data.features, X)
    np.testing.assert_array_equal(data.targets, Y)


@pytest.mark.parametrize("changes", [{"features": "z"}, {"labels": ("y",)}, {"labels": "names"}, {"path": None}], ids=str)
def test_an_array_that_is_not_there_or_would_have_to_be_unpickled(file, changes):
    with refused(Refusal.DATA_SOURCE, DataError):
        read_whole(settings(file, **changes))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"\x93NUMPY", b"\x80\x04N."], ids=["empty", "torn", "npy", "pickle"])
def test_a_file_that_is_no_npz(tmp_path, content):
    (tmp_path / "data.npz").write_bytes(content)

    with refused(Refusal.DATA_SOURCE, DataError):
        read_whole(settings(tmp_path / "data.npz"))


def test_one_array_without_a_name(tmp_path):
    np.save(tmp_path / "data.npy", X)

    with refused(Refusal.DATA_SOURCE, DataError):
        read_whole(settings(tmp_path / "data.npy"))


def test_a_file_that_is_not_there(tmp_path):
    with refused(Refusal.DATA_SOURCE, DataError):
        read_whole(settings(tmp_path / "data.npz"))


def test_rows_that_do_not_fit(tmp_path):
    np.savez(tmp_path / "data.npz", x=X, y=Y[:2])

    with refused(Refusal.DATA_SHAPE, DataError):
        read_whole(settings(tmp_path / "data.npz"))
