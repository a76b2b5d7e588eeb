"""The data of a lasting fleet: one file for each device, and the model and job that fit them."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_agent.config import DataSettings
from edge_agent.data import read_blocks
from hushfleet.errors import DataError, LocalError, Refusal
from hushfleet.training import Data
from hushfleet.typed import typed

HOLDOUT = "holdout"
_KINDS = (".npz", ".csv")


@dataclass(frozen=True)
class FleetData:
    """The settings with which each device reads its file, the rows that no device has, and the model's name."""

    devices: tuple[DataSettings, ...]
    holdout: Data | None
    inputs: int
    outputs: int

    @property
    def model(self) -> str:
        """The model as policies name it."""
        return f"softmax:{self.inputs}x{self.outputs}"


def look(folder: Path, devices: int, label: str | None) -> FleetData:
    """The first `devices` files of `folder` by name, read once as a device reads them. `holdout.npz` or `.csv` is nobody's.

    `label`: the column of the labels in csv files; the last one if None. Raises `LocalError(SETTINGS_INVALID)`, `DataError` with the
    file's name.
    """
    files = sorted(path for path in folder.iterdir() if path.suffix in _KINDS)
    own = [path for path in files if path.stem != HOLDOUT]
    if len(own) < devices:
        text = f"{folder.absolute()} holds {len(own)} data files (.npz or .csv, besides {HOLDOUT}); {devices} devices need one each"
        step = typed("up", "--devices", str(len(own)), "--data", folder) if own else typed("up", "--help")
        raise LocalError(Refusal.SETTINGS_INVALID, text, next_step=step)
    settings = tuple(_settings(path, label) for path in own[:devices])
    read = [_read(one) for one in settings]
    spare = next((_read(_settings(path, label)) for path in files if path.stem == HOLDOUT), None)
    everything = [*read, *([spare] if spare else [])]
    return FleetData(settings, spare, *_shape(everything))


def _settings(path: Path, label: str | None) -> DataSettings:
    if path.suffix == ".npz":
        return DataSettings("npz", path.absolute())
    with path.open(newline="", encoding="utf-8") as lines:
        header = next(csv.reader(lines), [])
    return DataSettings("csv", path.absolute(), features="*", labels=label or (header[-1] if header else "y"))


def _read(settings: DataSettings) -> Data:
    blocks = [block.data for block in read_blocks(settings)]
    if not blocks:
        raise DataError(Refusal.DATA_EMPTY, f"there are no rows in {settings.path}", next_step="Give every device some rows.")
    return Data(np.concatenate([one.features for one in blocks]), np.concatenate([one.targets for one in blocks]))


def _shape(found: Sequence[Data]) -> tuple[int, int]:
    widths = sorted({data.features.shape[1] for data in found})
    if len(widths) > 1:
        text = f"the files have {' and '.join(map(str, widths))} columns of features; a fleet trains one model"
        raise LocalError(Refusal.SETTINGS_INVALID, text, next_step="Give every device the same columns in the same order.")
    labels = np.concatenate([np.asarray(data.targets).reshape(-1) for data in found])
    if not np.array_equal(labels, labels.astype(np.int64)) or labels.min() < 0:
        text = "the labels are not whole numbers from 0: this command trains a classifier"
        raise LocalError(Refusal.SETTINGS_INVALID, text, next_step="Number the classes from 0, or write a job of your own.")
    return widths[0], max(2, int(labels.max()) + 1)
