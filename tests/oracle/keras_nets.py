"""Keras models, channels last as Keras has them, exported by Keras itself; its torch backend makes the gradients."""

from pathlib import Path

import keras
import torch
from keras import layers

from tests.oracle.nets import ROWS, Net


def export(net: Net, path: Path) -> None:
    """`model.export(format="onnx")`, the way its documentation shows; it wants a model that has been called."""
    net.module(net.features)
    net.module.export(path, format="onnx", verbose=False)


def zoo() -> dict[str, Net]:
    """Every model by name, the same at every call."""
    keras.utils.set_random_seed(11)
    return {
        "keras-image": _net(_image(), torch.randn(ROWS, 8, 8, 2)),
        "keras-dense": _net(_dense(), torch.randn(ROWS, 6)),
        "keras-text": _net(_text(), torch.randint(0, 12, (ROWS, 6))),
    }


def _net(model: keras.Model, features: torch.Tensor) -> Net:
    for weight in model.weights:
        noise = torch.randn(*weight.shape) * 0.4
        weight.assign(noise.abs() + 0.5 if weight.name == "moving_variance" else noise)
    return Net(model, features, torch.randint(0, 3, (ROWS,)), double=False)


def _image():
    first = [layers.Conv2D(4, 3, padding="same", activation="relu"), layers.MaxPooling2D()]
    second = [layers.DepthwiseConv2D(3, strides=2, padding="same"), layers.Activation("swish"), layers.GlobalAveragePooling2D()]
    return keras.Sequential([keras.Input((8, 8, 2)), *first, *second, layers.Dense(3)])


def _dense():
    inside = [layers.Dense(8, activation="gelu"), layers.BatchNormalization(), layers.Dropout(0.5)]
    return keras.Sequential([keras.Input((6,)), *inside, layers.Dense(3)])


def _text():
    inside = [layers.Embedding(12, 5), layers.Conv1D(4, 3, activation="elu"), layers.GlobalMaxPooling1D()]
    return keras.Sequential([keras.Input((6,), dtype="int64"), *inside, layers.Dense(3)])
