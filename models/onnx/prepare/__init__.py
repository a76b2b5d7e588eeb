"""Build time: turns an inference ONNX file into a trainable model, for plain onnxruntime. Needs `onnx`; never on a device.

`reading` takes any exporter's file, `engine` runs the reverse pass and knows no operator, `families` hold one derivative per
operator, `losses` the losses, `check` compares with finite differences, `pipeline` puts them together.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.onnx.prepare.pipeline import prepare

__all__ = ["prepare"]


def __getattr__(name: str) -> object:
    """`prepare`, loaded on first use: it brings onnx along."""
    if name == "prepare":
        return import_module("models.onnx.prepare.pipeline").prepare
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
