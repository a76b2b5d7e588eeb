"""scikit-learn's handwritten digits, split unevenly over a fleet. `python -m simulation.digits data 4` writes them as files."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hushfleet.errors import LocalError, Refusal
from hushfleet.randomness import Randomness, SystemRandomness
from hushfleet.training import Data, uniform
from simulation.edges import CELLS, DIRECTIONS, FloatArray, edges

CLASSES = 10
FEATURES = DIRECTIONS * CELLS
LEAST_ROWS = 8
_HOLDOUT_SHARE = 0.2
_SIZE_SPREAD = 8.0
_LABEL_SKEW = 3.0

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Digits:
    """Each device's own rows and the held-out fifth: features (n, 64), targets (n,) digits 0 to 9."""

    devices: tuple[Data, ...]
    holdout: Data


def split(devices: int, randomness: Randomness, features_of: Callable[[FloatArray], FloatArray] = edges) -> Digits:
    """Deal four fifths of the 1,797 digits to `devices` devices, each row to one, at least 8 rows to each.

    `features_of` takes pictures (n, 64) to features. Sizes spread about fourfold, and a device sees its favourite digits up to
    three times as often as its rarest.
    Raises `LocalError(SETTINGS_INVALID)` for fewer than 1 device or more than the rows suffice for.
    """
    from sklearn.datasets import load_digits  # noqa: PLC0415 -- a second of import, only where the data are needed

    pixels, digits = load_digits(return_X_y=True)
    features, targets = features_of(pixels), digits.astype(np.int64)
    order = _shuffled(np.arange(len(targets)), randomness)
    held = int(_HOLDOUT_SHARE * len(targets))
    shares = deal(targets, order[held:], devices, randomness)
    holdout = Data(features[order[:held]], targets[order[:held]])
    return Digits(tuple(Data(features[rows], targets[rows]) for rows in shares), holdout)


def deal(targets: npt.NDArray[np.int64], rows: Rows, devices: int, randomness: Randomness) -> list[Rows]:
    """Every one of `rows` to exactly one device; `targets[row]` is its digit. Errors as `split`."""
    most = len(rows) // LEAST_ROWS
    if not 1 <= devices <= most:
        message = f"{len(rows)} training digits suffice for 1 to {most} devices, not {devices}"
        raise LocalError(Refusal.SETTINGS_INVALID, message, next_step=f"Choose at most {most} devices.")
    taste = _LABEL_SKEW ** uniform(randomness, devices * CLASSES).reshape(devices, CLASSES)
    piles = [list(rows[targets[rows] == digit]) for digit in range(CLASSES)]
    seats = _shuffled(np.repeat(np.arange(devices), _sizes(len(rows), devices, randomness)), randomness)
    shares: list[list[np.intp]] = [[] for _ in range(devices)]
    for device, point in zip(seats, uniform(randomness, len(rows)), strict=True):
        odds = np.cumsum(taste[device] * [len(pile) for pile in piles])
        digit = int(np.searchsorted(odds, point * odds[-1], side="right"))
        shares[device].append(piles[digit].pop())
    return [np.array(share, dtype=np.intp) for share in shares]


def _sizes(rows: int, devices: int, randomness: Randomness) -> npt.NDArray[np.intp]:
    weights = _SIZE_SPREAD ** uniform(randomness, devices)
    spare = rows - LEAST_ROWS * devices
    ends = np.rint(spare * np.cumsum(weights) / weights.sum()).astype(np.intp)
    return np.asarray(LEAST_ROWS + np.diff(ends, prepend=0))


def _shuffled(values: npt.NDArray[np.intp], randomness: Randomness) -> npt.NDArray[np.intp]:
    order = np.argsort(uniform(randomness, len(values)), kind="stable")
    return np.asarray(values[order])


def write(folder: Path, devices: int) -> None:
    """`folder`/pi-01.npz and so on, each with x and y, and holdout.npz: sample data for a fleet of one's own."""
    digits = split(devices, SystemRandomness())
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(digits.devices, start=1):
        np.savez(folder / f"pi-{number:02d}.npz", x=data.features, y=data.targets)
    np.savez(folder / "holdout.npz", x=digits.holdout.features, y=digits.holdout.targets)


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]))
