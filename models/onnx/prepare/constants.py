"""Tensors that nobody trained, known by their values: masks, encodings, filters of a front end."""

import numpy as np

from models.onnx.prepare.graph import Array

_MASKED = -1e4  # from here on a number that is added to a score hides it
_CLOSE = 1e-3
_LARGE = 1 << 22


def by_value(value: Array, *, state: bool, added: bool) -> str:
    """The reason why a tensor that a layer uses is no parameter, or "". `state`: as a first state; `added`: or multiplied."""
    if value.ndim == 0 or value.size == 0:
        return "a single number" if value.size else "no values"
    if not np.isfinite(value).all():
        return "a mask with infinite values"
    if state and not value.any():
        return "a first state of zeros"
    if value.size > 2 and ((value == 0) | (value == 1) | (value <= _MASKED)).all() and np.ptp(value) > 0:
        return "a mask"
    return "sines and cosines of positions" if added and _is_encoding(value) else ""


def of_front_end(value: Array) -> str:
    """The reason why a matrix that multiplies the input itself is no parameter, or "": a bank of filters, an orthogonal transform."""
    if value.ndim != 2 or min(value.shape) < 8:
        return ""
    if value.min() >= 0 and (value == 0).mean() > 0.5:
        return "a bank of filters"
    if value.size > _LARGE:
        return ""
    for rows in (value, value.T):
        if len(rows) <= rows.shape[1]:
            product = rows.astype(np.float64) @ rows.T
            if np.abs(product - np.diag(np.diag(product))).max() < _CLOSE * np.diag(product).max():
                return "an orthogonal transform of the input"
    return ""


def _is_encoding(value: Array) -> bool:
    """True for sin and cos of positions times frequencies, side by side or in halves, or one of the two alone."""
    if value.ndim < 2 or value.shape[-1] < 4 or value.shape[-2] < 4 or np.abs(value).max() > 1 + _CLOSE:
        return False
    table = value.reshape(-1, value.shape[-2], value.shape[-1])[0].astype(np.float64)
    half = table.shape[1] // 2
    pairs = ((table[:, 0::2][:, :half], table[:, 1::2][:, :half]), (table[:, :half], table[:, half : 2 * half]))
    if any(np.abs(a**2 + b**2 - 1).max() < _CLOSE for a, b in pairs):
        return True
    begins = np.all(table[0] == 1) or np.all(table[0] == 0)
    return bool(begins and np.abs(table[1:]).max() > 0.5 and table[1, -1] != table[1, 0])
