"""One module per format parses it: the kinds of errors that its library raises are listed in one place."""

import ast
from pathlib import Path

import pytest

from tests.support.house_names import PACKAGES, ROOT

CODE = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
PARSERS = {
    "msgspec.json.decode": {"hushfleet/system/formats.py"},
    "tomllib.loads": {"hushfleet/system/formats.py"},
    "tomllib.load": set(),
    "msgspec.msgpack.decode": {"hushfleet/codec.py"},
    "zipfile.ZipFile": {"hushfleet/program/npz.py"},
    "np.load": {"simulation/device_process.py", "edge_agent/predictor.py"},  # what the demo wrote itself; what a card's hash is of
    "json.load": set(),
    "json.loads": {"simulation/broker_fleet.py"},  # what the demo's own processes print
    "x509.load_pem_x509_csr": {"hushfleet/owner/certificates.py"},
    "x509.load_pem_x509_certificate": {"hushfleet/owner/certificates.py", "hushfleet/link/tls.py"},
    "onnx.load": {"models/onnx/prepare/reading.py"},
}


def parsed(source: str) -> set[str]:
    """The parsers that `source` calls."""
    return {ast.unparse(node.func) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)} & PARSERS.keys()


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_module_parses(path: Path) -> None:
    place = str(path.relative_to(ROOT))

    assert {name for name in parsed(path.read_text()) if place not in PARSERS[name]} == set()


@pytest.mark.parametrize(("name", "path"), [(name, path) for name, paths in PARSERS.items() for path in sorted(paths)])
def test_an_exception_is_needed(name: str, path: str) -> None:
    assert name in parsed((ROOT / path).read_text())


@pytest.mark.parametrize("name", PARSERS)
def test_a_second_reader_would_be_found(name: str) -> None:
    assert parsed(f"x = {name}(data)") == {name}
