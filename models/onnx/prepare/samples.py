"""Random rows that fit a bundle, for checks and timing."""

from typing import Any

import numpy as np

from models.onnx.manifest import Manifest, Tensor
from models.onnx.prepare.graph import Array


def random_rows(manifest: Manifest, rows: int, generator: np.random.Generator, kind: type[Any] = np.float32) -> dict[str, Array]:
    """Features, targets and weights, by the names they are fed under; floats as `kind`."""
    fed = [*manifest.features, manifest.targets, *filter(None, [manifest.weights])]
    return {one.name: _draw(one, rows, generator, kind) for one in fed}


def _draw(one: Tensor, rows: int, generator: np.random.Generator, kind: type[Any]) -> Array:
    shape = (rows, *one.shape)
    if np.dtype(one.dtype).kind != "f":
        high = 1 if one.high is None else int(one.high)
        return np.asarray(generator.integers(int(one.low or 0), high + 1, shape)).astype(one.dtype)
    if one.low is None:
        return np.asarray(generator.standard_normal(shape)).astype(kind)
    top = one.low + 1 if one.high is None else one.high
    return np.asarray(generator.uniform(one.low, top, shape)).astype(kind)
