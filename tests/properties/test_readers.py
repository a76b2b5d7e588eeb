"""Whatever a file or message holds, its reader takes it or refuses it by type: nothing else escapes."""

import os
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.readers import READERS, Reader

EXAMPLES = 40
SLOW = {"onnx": 8}


@st.composite
def altered(draw: st.DrawFn, good: bytes) -> bytes:
    """The good input with some bytes changed, taken out or put in; or cut off, or anything at all."""
    data = bytearray(good)
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.sampled_from(["flip", "cut", "insert", "stop"])):
            case "flip" if data:
                data[place] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[place : place + draw(st.integers(1, 64))]
            case "insert":
                data[place:place] = draw(st.binary(max_size=16))
            case _:
                del data[place:]
    return draw(st.one_of(st.just(bytes(data)), st.binary(max_size=64)))


@pytest.mark.parametrize("name", READERS)
def test_nothing_escapes_a_reader(name: str) -> None:
    reader = READERS[name]

    @settings(max_examples=SLOW.get(name, EXAMPLES), suppress_health_check=list(HealthCheck), database=None)
    @given(altered(reader.good))
    def tried(data: bytes) -> None:
        reader.try_on(data)

    tried()


ESCAPED = [path for reader in READERS.values() for path in reader.escaped_once]
WHOLE = [one for one in READERS.values() if one.name not in ("certificate", "manifest", "roster")]


@pytest.mark.parametrize("path", ESCAPED, ids=lambda path: "-".join(path.parts[-2:]))
def test_what_once_escaped_is_refused(path: Path) -> None:
    assert READERS[path.parent.name].try_on(path.read_bytes()) is False


@pytest.mark.parametrize("reader", WHOLE, ids=lambda one: one.name)
def test_a_good_input_is_read(reader: Reader) -> None:
    assert reader.try_on(reader.good)


def test_an_escape_would_be_found() -> None:
    with pytest.raises(UnicodeDecodeError):
        Reader("loose", b"", lambda data: data.decode()).try_on(b"\xff")


def bomb() -> bytes:
    """A few kB that state, and hold, eight gigabytes of zeros."""
    header = BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (1, 1 << 30)})
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", header.getvalue() + bytes(1 << 20))
        archive.writestr("y.npy", header.getvalue() + bytes(1 << 20))
    return out.getvalue()


def negative() -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in ("x.npy", "y.npy"):
            header = BytesIO()
            np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (-1, 2)})
            archive.writestr(name, header.getvalue())
    return out.getvalue()


@pytest.mark.parametrize("make", [bomb, negative])
def test_an_npz_that_states_what_no_machine_holds_is_refused_unread(make) -> None:
    assert READERS["npz"].try_on(make()) is False


def test_a_fifo_where_data_should_be_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.npz")
    from hushfleet.errors import DataError, Refusal  # noqa: PLC0415 -- this test's alone
    from hushfleet.program.npz import read_arrays  # noqa: PLC0415 -- likewise
    from tests.support.refusals import refused  # noqa: PLC0415 -- likewise

    with refused(Refusal.DATA_SOURCE, DataError):
        read_arrays(tmp_path / "x.npz", "x", "y", section="data")
