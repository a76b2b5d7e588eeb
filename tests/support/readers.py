"""Every reader of files and messages that somebody else may have made, with a good input to alter and what it may answer."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np

from edge_agent.config import Config
from hushfleet.codec import decode, encode
from hushfleet.documents import EnrolmentRequest, Roster, open_enrolment_request
from hushfleet.documents.archive import read_root_key
from hushfleet.errors import HushfleetError
from hushfleet.owner import certificates
from hushfleet.program.npz import read_arrays
from hushfleet.program.settings import parse_settings
from hushfleet.signing import Signed
from models.onnx.manifest import Manifest
from models.onnx.prepare.source import PrepareOptions, read_source
from provisioning.contents import VERSION, Address, VaultContents
from provisioning.show import Known, explain
from tests.support.enrolling import applicant

CORPUS = Path(__file__).parents[1] / "corpus"


@dataclass(frozen=True)
class Reader:
    """`read` returns, or raises `HushfleetError` or FileNotFoundError: whatever else it raises has escaped."""

    name: str
    good: bytes
    read: Callable[[bytes], object]

    def try_on(self, data: bytes) -> bool:
        """True if the data were read, False if they were refused by type. Raises what escapes."""
        try:
            self.read(data)
        except (HushfleetError, FileNotFoundError):
            return False
        return True

    @property
    def escaped_once(self) -> tuple[Path, ...]:
        """Inputs over which it, or one like it, once raised something else."""
        return tuple(sorted((CORPUS / self.name).glob("*")))


def _in_a_file(suffix: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    def from_bytes(data: bytes) -> object:
        with TemporaryDirectory() as folder:
            path = Path(folder) / f"x{suffix}"
            path.write_bytes(data)
            return read(path)

    return from_bytes


def _npz() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=np.ones((3, 2)), y=np.arange(3.0))
    return buffer.getvalue()


def _toml(data: bytes) -> object:
    return _in_a_file(".toml", _settings)(data)


def _settings(path: Path) -> object:
    from hushfleet.program.settings import text_of  # noqa: PLC0415 -- beside the other

    return parse_settings(Config, text_of(path, next_step=""), source=path, next_step="")


def _certificate_request(data: bytes) -> object:
    request = decode(EnrolmentRequest, _REQUEST.content, max_bytes=1 << 20)
    return certificates.check_request(msgspec.structs.replace(request, certificate_request=data))


def _request(data: bytes) -> object:
    return open_enrolment_request(decode(Signed, data, max_bytes=1 << 20))


_REQUEST = applicant("pi-01").request()
_REGISTRY = VaultContents(VERSION, "greenhouse", bytes(32), Address("broker.lan"), "").to_json()
_MANIFEST = b'{"format": 1, "parameters": [], "features": [{"name": "\xc3\xa9"}]}'
_ONNX = (Path(__file__).parents[2] / "simulation" / "lenet.onnx").read_bytes()

READERS = {
    one.name: one
    for one in (
        Reader("json", _REGISTRY, VaultContents.from_json),
        Reader("manifest", _MANIFEST, Manifest.from_json),
        Reader("toml", b'[training]\nthreads = 1\n[data]\nsource = "npz"\npath = "x.npz"\n[broker]\nhost = "a"\n', _toml),
        Reader("npz", _npz(), _in_a_file(".npz", lambda path: read_arrays(path, "x", "y", section="data"))),
        Reader("pem", applicant("pi-01").certificate_request, _certificate_request),
        Reader("certificate", b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", certificates.ends),
        Reader("request", encode(_REQUEST), _request),
        Reader("shown", encode(_REQUEST), lambda data: explain(data, Known())),
        Reader("roster", _REQUEST.content, lambda data: decode(Roster, data, max_bytes=1 << 20)),
        Reader("root-key", b"ab" * 32 + b"\n", read_root_key),
        Reader("onnx", _ONNX, _in_a_file(".onnx", lambda path: read_source(path, PrepareOptions("softmax-cross-entropy")))),
    )
}
