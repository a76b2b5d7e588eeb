"""Make the golden files of the ONNX zoo anew: `python -m tests.oracle.make_zoo [--check]`, in the environment that `make oracle` makes.

For each net: `<net>.npz` (a batch, targets, loss and each parameter's gradient by torch in float64), one `<net>.<exporter>.onnx` per
exporter, and a line in `zoo.json`. With `--check` nothing is kept: gradients that differ from the stored ones, missing files and files
that nothing makes are named, and the exit code is 1.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

os.environ |= {"KERAS_BACKEND": "torch", "ORT_DISABLE_TELEMETRY": "1"}

import numpy as np
import onnx

from tests.oracle import keras_nets, nets, sklearn_nets
from tests.oracle.exports import EXPORTERS, strip
from tests.oracle.gradients import answers

GOLDEN = Path(__file__).parents[1] / "golden" / "onnx"
_CLOSE = 1e-5


def make(folder: Path) -> None:
    """Write the whole zoo into `folder`."""
    index = {}
    for name, net, exporter, export in _files():
        path = folder / f"{name}.{exporter}.onnx"
        export(path)
        strip(path)
        stored = answers(net)
        np.savez_compressed(folder / f"{name}.npz", **stored)
        unknown = [] if exporter == "skl2onnx" else _not_in(onnx.load(path), stored)
        index[path.stem] = {"answers": f"{name}.npz", "loss": net.loss, "logits": net.logits, "refused": net.refused, "folded": unknown}
    (folder / "zoo.json").write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")


def _files() -> Iterator[tuple[str, nets.Net, str, Callable[[Path], None]]]:
    """Name, net, exporter's name, and what writes the file."""
    for name, net in nets.zoo().items():
        for exporter in (*net.exporters, *(["script-old", "constants"] if name == "mlp" else [])):
            yield name, net, exporter, partial(EXPORTERS[exporter], net)
    for name, fitted in sklearn_nets.zoo().items():
        yield name, fitted.twin, "skl2onnx", partial(sklearn_nets.export, fitted)
    for name, net in keras_nets.zoo().items():
        yield name, net, "keras", partial(keras_nets.export, net)


def _not_in(model: onnx.ModelProto, stored: dict[str, np.ndarray]) -> list[str]:
    """Parameters whose values are nowhere in the file: an exporter has merged them into others."""
    tensors = [*model.graph.initializer, *(one.t for node in model.graph.node if node.op_type == "Constant" for one in node.attribute)]
    there = {np.sort(onnx.numpy_helper.to_array(tensor), axis=None).tobytes() for tensor in tensors}
    values = {name.removeprefix("value:"): value for name, value in stored.items() if name.startswith("value:")}
    return sorted(name for name, value in values.items() if np.sort(value, axis=None).tobytes() not in there)


def differences(fresh: Path, stored: Path = GOLDEN) -> list[str]:
    """What is not the same, in words."""
    found = [f"{name} is in one folder only" for name in sorted(_names(fresh) ^ _names(stored))]
    for name in sorted(_names(fresh) & _names(stored)):
        if name.endswith(".npz"):
            found += [f"{name}: {entry}" for entry in _unequal(np.load(fresh / name), np.load(stored / name))]
        elif name == "zoo.json" and (fresh / name).read_text() != (stored / name).read_text():
            found.append(f"{name} differs")
    return found


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def _unequal(fresh, stored):
    yield from sorted(set(fresh) ^ set(stored))
    for entry in sorted(set(fresh) & set(stored)):
        a, b = fresh[entry], stored[entry]
        if a.shape != b.shape or np.abs(a - b).max() > _CLOSE * max(1e-6, np.abs(b).max()):
            yield entry


def main(arguments: list[str]) -> int:
    """Run the tool and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.oracle.make_zoo", description="Make the golden files of the ONNX zoo anew.")
    parser.add_argument("--check", action="store_true", help="keep nothing; exit 1 and name what differs from the stored files")
    if not parser.parse_args(arguments).check:
        GOLDEN.mkdir(parents=True, exist_ok=True)
        for path in GOLDEN.iterdir():
            path.unlink()
        make(GOLDEN)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        found = differences(Path(folder))
    print(*(found or ["the golden files of the zoo are what torch, scikit-learn and Keras give now"]), sep="\n")  # noqa: T201 -- a program that talks
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
