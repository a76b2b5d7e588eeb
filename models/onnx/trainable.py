"""The trainable model: a folder with `train.onnx`, `infer.onnx` and `manifest.json`, checked whenever it is read."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hushfleet.errors import LocalError, Refusal
from hushfleet.system.durable import write_durably
from hushfleet.training import Architecture
from hushfleet.typed import typed
from models.onnx.manifest import Manifest

TRAIN, INFER, MANIFEST = "train.onnx", "infer.onnx", "manifest.json"

_VALUE = np.dtype("<f4")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TrainableModel:
    """The three files in memory. `LocalError(MODEL_DAMAGED)` where the manifest's hashes or offsets do not fit the graphs."""

    manifest: Manifest
    train: bytes
    infer: bytes

    def __post_init__(self) -> None:
        for name, content in ((TRAIN, self.train), (INFER, self.infer)):
            if self.manifest.hashes.get(name) != sha256(content).hexdigest():
                raise _damaged(f"{name} is not the file that the manifest describes")
        for parameter in self.manifest.parameters:
            if not 0 <= parameter.offset <= len(self.infer) - parameter.size * _VALUE.itemsize:
                raise _damaged(f"parameter {parameter.name!r} is said to lie outside {INFER}")

    @property
    def architecture(self) -> Architecture:
        """The architecture that a policy allows: the hash of `train.onnx`, the parameters' names and shapes, the loss."""
        shapes = tuple((parameter.name, parameter.shape) for parameter in self.manifest.parameters)
        return Architecture(self.manifest.name, shapes, self.manifest.loss, sha256(self.train).digest())

    @property
    def initial(self) -> npt.NDArray[np.float32]:
        """The parameters (d,) as they were in the original file."""
        places = ((one.offset, one.size) for one in self.manifest.parameters)
        return np.concatenate([np.frombuffer(self.infer, _VALUE, size, offset) for offset, size in places]).astype(np.float32)

    def inference_file(self, parameters: npt.NDArray[np.float32]) -> bytes:
        """`infer.onnx` with these parameters (d,): an ordinary inference file with the original's inputs and outputs.

        `LocalError(MODEL_SHAPE)` for another number of values.
        """
        if parameters.shape != (self.manifest.dimension,):
            message = f"{self.manifest.name} has {self.manifest.dimension} values, not {parameters.shape}"
            raise LocalError(Refusal.MODEL_SHAPE, message)
        content, begin = bytearray(self.infer), 0
        for one in self.manifest.parameters:
            values = parameters[begin : begin + one.size].astype(_VALUE).tobytes()
            content[one.offset : one.offset + len(values)] = values
            begin += one.size
        return bytes(content)

    def save(self, folder: Path) -> None:
        """Write the three files, the manifest last: a folder without it is no trainable model."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).unlink(missing_ok=True)
        write_durably(folder / TRAIN, self.train, mode=0o644)
        write_durably(folder / INFER, self.infer, mode=0o644)
        write_durably(folder / MANIFEST, self.manifest.to_json(), mode=0o644)


def load_trainable(folder: Path) -> TrainableModel:
    """The trainable model in `folder`, whole. FileNotFoundError if there is nothing of that name.

    `LocalError`: `FILE_KIND` for a file, such as the owner's bundle for a device; `MODEL_DAMAGED` for any other folder.
    """
    if folder.is_file():
        raise _not_a_folder(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no trainable model {folder}")
    try:
        manifest, train, infer = ((folder / name).read_bytes() for name in (MANIFEST, TRAIN, INFER))
    except OSError as error:
        raise _damaged(f"{folder} is not a whole trainable model: {error}") from error
    return TrainableModel(Manifest.from_json(manifest), train, infer)


def _not_a_folder(file: Path) -> LocalError:
    make = f"A trainable model is a folder. Make it: {typed('model', 'prepare', 'NET.onnx', '--loss', 'LOSS')}"
    if file.suffix != ".bundle":
        return LocalError(Refusal.FILE_KIND, f"{file} is a file, not a trainable model", next_step=make)
    message = f"{file} is the owner's bundle for a device, not a trainable model"
    return LocalError(Refusal.FILE_KIND, message, next_step=f"Join a fleet with it: {typed('agent', 'join', file)}   {make}")


def _damaged(message: str) -> LocalError:
    return LocalError(Refusal.MODEL_DAMAGED, message, next_step=f"Make it anew: {typed('model', 'prepare', 'NET.onnx', '--loss', 'LOSS')}")
