"""The features that each device makes of its pictures: histograms of edge directions (Dalal and Triggs 2005), 64 values from 64 pixels.

A picture is prepared alone, so nothing about other pictures enters. Edges separate the digits by a wider margin than
brightness does, and the margin is what the noise eats: in a central simulation of the demo (noise multiplier 4, 50 devices)
brightness gave 87 % of held-out digits, edges 92 %.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

SIDE = 8
DIRECTIONS = 4
CELLS = 16
_NORM = 4.0
_BRIGHTNESS_NORM = 8.0
_WINDOW = np.array([1.0, 3.0, 3.0, 1.0]) / 4.0


def edges(pixels: npt.NDArray[Any]) -> FloatArray:
    """(n, 64) brightness, in any unit, row by row of each 8 x 8 picture -> (n, 64) features with mean 0 and L2 norm 4.

    Four directions (horizontal, the two diagonals, vertical; without sign) in 4 x 4 overlapping cells. A blank picture gives zeros.
    """
    down, right = _differences(pixels.reshape(-1, SIDE, SIDE).astype(np.float64))
    strength, angle = np.hypot(down, right), np.arctan2(down, right)
    turns = np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    shares = [_cells(strength * np.maximum(0.0, np.cos(2.0 * (angle - turn)))) for turn in turns]
    values = np.sqrt(np.concatenate(shares, axis=1))
    values -= values.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(_NORM * values / np.where(norms > 0, norms, 1.0))


def _differences(pictures: FloatArray) -> tuple[FloatArray, FloatArray]:
    framed = np.pad(pictures, ((0, 0), (1, 1), (1, 1)))
    return framed[:, 2:, 1:-1] - framed[:, :-2, 1:-1], framed[:, 1:-1, 2:] - framed[:, 1:-1, :-2]


def _cells(maps: FloatArray) -> FloatArray:
    framed = np.pad(maps, ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(framed, (len(_WINDOW), len(_WINDOW)), axis=(1, 2))[:, ::2, ::2]
    return np.asarray(np.einsum("nijkl,k,l->nij", windows, _WINDOW, _WINDOW)).reshape(len(maps), CELLS)


def brightness(pixels: npt.NDArray[Any]) -> FloatArray:
    """(n, 64) brightness, in any unit -> (n, 64) with mean 0 and L2 norm 8 in each picture: a convolutional net finds its own edges."""
    level: FloatArray = pixels.astype(np.float64) - pixels.mean(axis=1, keepdims=True)
    length = np.linalg.norm(level, axis=1, keepdims=True)
    return np.asarray(_BRIGHTNESS_NORM * level / np.maximum(length, np.finfo(np.float64).tiny))
