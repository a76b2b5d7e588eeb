"""A data contract: the one meaning that a row has on every device of a fleet. A small TOML file, known by its name and hash.

It names the features in their order, with unit and range, the label column with its values in order (or a number to predict), and
what an empty cell means. A model that is named after a contract, `softmax@wine`, takes its shape from it, and its architecture hash
holds the contract's: so policy and plan name the contract, and a device that holds another one has no such model.
"""

import json
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from hushfleet.errors import DataError, LocalError, Refusal
from hushfleet.labels import sha256

ENDING = ".contract"
_NEXT = "Make it from a sample with `hushfleet provision contract new`."
_MOST_LABELS = 100

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Feature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One number of a row. `low` and `high`, if given, bound it, inclusive."""

    name: _Text
    unit: str = ""
    low: float | None = None
    high: float | None = None


class Contract(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`labels` are the values of the column `label` in the order of the classes; none: it holds a number.

    `missing`: an empty cell is refused, or its row skipped, or it stands for this number. ValueError for names that repeat.
    """

    name: Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9-]{0,62}$")]
    features: Annotated[tuple[Feature, ...], msgspec.Meta(min_length=1)]
    label: _Text
    labels: tuple[_Text, ...] = ()
    missing: Literal["refuse", "skip"] | float = "refuse"

    def __post_init__(self) -> None:
        names = [*(feature.name for feature in self.features), self.label]
        if len(set(names)) < len(names) or len(set(self.labels)) < len(self.labels) or len(self.labels) == 1:
            raise ValueError("names of columns and labels differ from each other, and there are two labels at least, or none")

    @property
    def digest(self) -> bytes:
        """SHA-256 of everything but comments and layout."""
        return sha256(msgspec.json.encode(self))

    @property
    def outputs(self) -> int:
        """The number of classes, or 1 for a number."""
        return len(self.labels) or 1

    def to_text(self) -> str:
        """The file, with comments for whoever completes it."""
        lines = [
            "# A data contract: what a row means on every device of the fleet. A change of anything but comments makes another contract.",
            f"name = {json.dumps(self.name)}",
            f"label = {json.dumps(self.label, ensure_ascii=False)}            # the column to predict",
            f"labels = {json.dumps(self.labels, ensure_ascii=False)}  # its values, in the order of the classes; []: a number",
            f'missing = {json.dumps(self.missing)}         # an empty cell: "refuse", "skip" the row, or the number that it stands for',
        ]
        for feature in self.features:
            lines += ["", "[[features]]", f"name = {json.dumps(feature.name, ensure_ascii=False)}", f"unit = {json.dumps(feature.unit)}"]
            bounds = (("low", feature.low), ("high", feature.high))
            lines += [f"{name} = {bound}" if bound is not None else f"# {name} =" for name, bound in bounds]
        return "\n".join(lines) + "\n"


def load_contract(path: Path) -> Contract:
    """The contract in a file. Raises `LocalError(CONFIG_INVALID)`."""
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Contract)
    except FileNotFoundError as error:
        raise LocalError(Refusal.CONFIG_INVALID, f"there is no data contract {path.absolute()}", next_step=_NEXT) from error
    except (msgspec.MsgspecError, ValueError, OSError, RecursionError) as error:
        raise LocalError(Refusal.CONFIG_INVALID, f"{path} is no data contract: {error}", next_step=_NEXT) from error


def contract_of_sample(path: Path, name: str, *, label: str | None = None, delimiter: str | None = None) -> Contract:
    """A contract for the columns of a csv file: `label`, or the last column, is the label. The sample's labels stand in it, in order.

    Raises `DataError(DATA_SOURCE)` for a file without a line of names, `LocalError(SETTINGS_INVALID)` for a name that is none.
    """
    import csv  # noqa: PLC0415 -- where a sample is read

    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            delimiter = delimiter or max((",", ";", "\t", "|"), key=first.count)
            names = [one.strip() for one in next(csv.reader([first], delimiter=delimiter), [])]
            place = names.index(label) if label in names else len(names) - 1
            found = {row[place].strip() for row in csv.reader(file, delimiter=delimiter) if len(row) == len(names)} - {""}
    except FileNotFoundError as error:
        raise DataError(Refusal.DATA_SOURCE, f"there is no file {path.absolute()}", next_step="Check the path.") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(Refusal.DATA_SOURCE, f"{path} cannot be read as csv in UTF-8", next_step="Save it as CSV in UTF-8.") from error
    if len(names) < 2 or any(_is_number(one) for one in names):
        raise DataError(
            Refusal.DATA_SOURCE, f"{path}: the first line names no two columns", next_step="Write a line of names above the rows."
        )
    classes = tuple(sorted(found, key=_in_order)) if 2 <= len(found) <= _MOST_LABELS and not any("." in one for one in found) else ()
    features = tuple(Feature(one) for one in names if one != names[place])
    try:
        return msgspec.convert(msgspec.to_builtins(Contract(name, features, names[place], classes)), Contract)
    except (ValueError, msgspec.ValidationError) as error:
        raise LocalError(
            Refusal.SETTINGS_INVALID, f"no data contract {name!r}: {error}", next_step="Choose another name or label."
        ) from error


def _in_order(text: str) -> tuple[float, str]:
    return (float(text), "") if _is_number(text) else (float("inf"), text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
