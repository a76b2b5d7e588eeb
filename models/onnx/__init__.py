"""Any ONNX model trains on a device: made trainable at build time (`models.onnx.prepare`, needs onnx), trained with plain onnxruntime.

`manifest`, `bundle` and `trainer` are the run-time side: numpy, msgspec and onnxruntime only. Nothing here imports onnx or
onnxruntime before a name that needs it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.onnx.bundle import load_bundle
    from models.onnx.trainer import OnnxTrainer

__all__ = ["OnnxTrainer", "load_bundle"]

_HOMES = {
    "OnnxTrainer": "models.onnx.trainer",
    "load_bundle": "models.onnx.bundle",
}


def __getattr__(name: str) -> object:
    """Public names, loaded on first use: `OnnxTrainer` brings onnxruntime along."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
