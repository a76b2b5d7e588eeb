"""A commented agent.toml that fits one file of data: its columns by name, or its arrays, and how it is written."""

import csv
import json
from importlib.resources import files
from pathlib import Path

from hushfleet.errors import DataError, Refusal
from hushfleet.program.npz import array_names

_DELIMITERS = (",", ";", "\t", "|")
_LABELS = ("label", "labels", "target", "class", "y", "diagnosis", "cultivar")
_SHIPPED = ("source", "path", "features", "labels")
_OPTIONS = "# [data.options]"


def new_config(data: Path | None) -> tuple[str, tuple[str, ...]]:
    """The text of an agent.toml for the file `data`, and what a person should look at in it. None: the shipped example.

    Raises `DataError(DATA_SOURCE)` for a file that is not there, or neither csv nor npz. It holds names of columns, never values.
    """
    text = files("edge_agent").joinpath("agent.toml").read_text(encoding="utf-8")
    if data is None:
        return text, ("Write your own file and columns under [data].",)
    values, options, looks = _npz(data) if data.suffix == ".npz" else _csv(data)
    values |= {"path": str(data.absolute())}
    lines = [_line(line, values, options) for line in text.splitlines()]
    return "\n".join(lines) + "\n", looks


def _line(line: str, values: dict[str, object], options: dict[str, str]) -> str:
    key = line.partition(" = ")[0]
    if key in _SHIPPED:
        return f"{key} = {json.dumps(values[key], ensure_ascii=False)}"
    if line.startswith(_OPTIONS) and options:
        return "\n".join(["[data.options]", *(f"{name} = {json.dumps(value)}" for name, value in options.items())])
    return line


def _csv(path: Path) -> tuple[dict[str, object], dict[str, str], tuple[str, ...]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first, second = file.readline(), file.readline()
    except FileNotFoundError as error:
        raise DataError(Refusal.DATA_SOURCE, f"there is no file {path.absolute()}", next_step="Check the path.") from error
    except UnicodeDecodeError as error:
        raise DataError(Refusal.DATA_SOURCE, f"{path} is no text in UTF-8", next_step="Save it as CSV in UTF-8.") from error
    delimiter = max(_DELIMITERS, key=first.count)
    names = [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]
    if len(names) < 2 or any(_is_number(name) for name in names):
        message = f"{path}: the first line does not name at least two columns"
        raise DataError(Refusal.DATA_SOURCE, message, next_step="Write a line of names above the rows.")
    label = next((name for name in names if name.lower() in _LABELS), names[-1])
    options = {"delimiter": delimiter} if delimiter != "," else {}
    if delimiter == ";" and "," in second:
        options["decimal"] = ","
    features = [name for name in names if name != label]
    order = f"features: {len(features)} columns, in this order on every device; take out what is none, such as a time."
    looks = (f"labels: {label!r} is a guess.", order)
    return {"source": "csv", "features": features, "labels": label}, options, looks


def _npz(path: Path) -> tuple[dict[str, object], dict[str, str], tuple[str, ...]]:
    names = array_names(path, next_step="Check the path.")
    if len(names) < 2:
        raise DataError(Refusal.DATA_SOURCE, f"{path} holds no two arrays", next_step="Store features and labels in it.")
    label = next((name for name in names if name.lower() in _LABELS), names[-1])
    feature = next(name for name in names if name != label)
    return {"source": "npz", "features": feature, "labels": label}, {}, (f"features: {feature!r} and labels: {label!r} are guesses.",)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
