"""A small convolutional net as people have one, in an ordinary inference file; the demo makes it trainable when it starts."""

from pathlib import Path

FILE = Path(__file__).with_name("lenet.onnx")
"""Two convolutions with pooling and one dense layer, 666 values; made by `tests/support/onnx_nets.py`."""


def make_trainable(folder: Path) -> str:
    """The catalogue's name of the trainable model that is made in `folder`. Needs the package `onnx`."""
    from models.onnx.prepare import prepare  # noqa: PLC0415 -- the other models need no onnx

    trainable = folder / "lenet.trainable"
    prepare(FILE, loss="softmax-cross-entropy").save(trainable)
    return str(trainable)
