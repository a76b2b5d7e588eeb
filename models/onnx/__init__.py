"""Any ONNX model trains on a device: made trainable at build time (`models.onnx.prepare`, needs onnx), trained with plain onnxruntime.

`manifest`, `trainable` and `trainer` are the run-time side: numpy, msgspec and onnxruntime only. Nothing here imports onnx or
onnxruntime before a name that needs it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.onnx.trainable import load_trainable
    from models.onnx.trainer import OnnxTrainer

__all__ = ["OnnxTrainer", "load_trainable"]

_HOMES = {
    "OnnxTrainer": "models.onnx.trainer",
    "load_trainable": "models.onnx.trainable",
}


def __getattr__(name: str) -> object:
    """Public names, loaded on first use: `OnnxTrainer` brings onnxruntime along."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
