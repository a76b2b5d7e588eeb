import numpy as np
import pytest

from hushfleet.errors import DataError, Refusal
from hushfleet.program.npz import read_arrays

X, Y = np.arange(12.0).reshape(3, 4), np.array([0, 1, 0])


@pytest.fixture
def file(tmp_path):
    np.savez(tmp_path / "data.npz", x=X, y=Y, names=np.array(["a", None], dtype=object))
    return tmp_path / "data.npz"


def refusal(path, features="x", labels="y"):
    with pytest.raises(DataError) as caught:
        read_arrays(path, features, labels, section="evaluation")
    assert caught.value.reason is Refusal.DATA_SOURCE
    assert str(path) in caught.value.message
    return caught.value


def test_the_arrays_of_the_names(file):
    features, labels = read_arrays(file, "x", "y", section="data")

    np.testing.assert_array_equal(features, X)
    np.testing.assert_array_equal(labels, Y)


def test_an_array_that_is_not_there_is_named_with_those_that_are(file):
    refused = refusal(file, labels="z")

    assert "no array 'z'; it holds x, y, names" in refused.message
    assert refused.next_step == "Check [evaluation] labels."


def test_an_array_of_objects_is_never_unpickled(file):
    assert "plain numbers" in refusal(file, features="names").message


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"\x93NUMPY", b"\x80\x04N."], ids=["empty", "torn", "npy", "pickle"])
def test_a_file_that_is_no_npz(tmp_path, content):
    (tmp_path / "data.npz").write_bytes(content)

    assert refusal(tmp_path / "data.npz").next_step.startswith("Check [evaluation] path.")


def test_one_array_without_a_name(tmp_path):
    np.save(tmp_path / "data.npy", X)

    assert "no npz file" in refusal(tmp_path / "data.npy").message


def test_a_file_that_is_not_there(tmp_path):
    refusal(tmp_path / "data.npz")
