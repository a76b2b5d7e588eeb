"""A training step of ONNX graphs beside torch eager: `make bench`.

Both sides train the same net on the same batch of 32 on one thread: forward, backward, one step of plain SGD. Runs alternate, and the
median CPU time of each side's runs counts. Hushfleet's side is what a device does: `OnnxTrainer.gradient`, then the step in numpy. Peak
memory is that of a process that imports one side, loads the net and takes ten steps.
"""

import argparse
import copy
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.onnx_nets import BATCH, NETS, RATE, case, torch_step
from models.onnx import OnnxTrainer, prepare
from models.onnx.trainable import TrainableModel

LOSS = "softmax-cross-entropy"
ALONE = {
    "onnx": """
import sys, numpy
from pathlib import Path
from models.onnx import OnnxTrainer, load_trainable
trainable = load_trainable(Path(sys.argv[1]))
batch = numpy.load(sys.argv[1] + "/batch.npz")
trainer, parameters = OnnxTrainer(trainable), trainable.initial
for _ in range(10):
    parameters = parameters - 0.01 * trainer.gradient(parameters, batch["x"], batch["y"])[1]
""",
    "torch": """
import sys, torch
torch.set_num_threads(1)
from benchmarks.onnx_nets import case, torch_step
step = torch_step(*case(sys.argv[2]))
for _ in range(10):
    step()
""",
}
# not ru_maxrss: a process inherits that from the one that started it
PRINT_PEAK = "print(int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) / 1024)"


def onnx_step(trainable: TrainableModel, features: Tensor, targets: Tensor) -> Callable[[], object]:
    """One step as a device takes it."""
    trainer, x, y = OnnxTrainer(trainable), features.numpy(), targets.numpy()
    parameters = trainable.initial.astype(np.float64)

    def step() -> None:
        _, gradient = trainer.gradient(parameters, x, y)
        np.subtract(parameters, RATE * gradient, out=parameters)

    return step


def trainable_of(net: nn.Module, features: Tensor, folder: Path) -> tuple[TrainableModel, float]:
    """The net prepared for training, and the seconds that `prepare` took."""
    path = folder / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = {"input_names": ["input"], "output_names": ["output"], "dynamic_axes": {"input": {0: "n"}, "output": {0: "n"}}}
        torch.onnx.export(copy.deepcopy(net).eval(), (features,), path, dynamo=False, opset_version=17, **names)
    began = time.perf_counter()
    return prepare(path, loss=LOSS), time.perf_counter() - began


def seconds(step: Callable[[], object], least: float) -> float:
    """CPU seconds per step, over at least `least` of them: other work on the machine counts little."""
    count, began = 0, time.process_time()
    while time.process_time() - began < least:
        step()
        count += 1
    return (time.process_time() - began) / count


def alternated(steps: list[Callable[[], object]], repeats: int, least: float) -> list[float]:
    """The median of each step's runs, taken in turn."""
    for step in steps:
        seconds(step, least / 2)
    runs = [[seconds(step, least) for step in steps] for _ in range(repeats)]
    return [statistics.median(column) for column in zip(*runs, strict=True)]


def peak(side: str, folder: Path, name: str) -> float:
    """Peak memory in MB of a process that does nothing but take ten steps of `side`."""
    command = [sys.executable, "-c", ALONE[side] + PRINT_PEAK, str(folder), name]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="alternated runs, of which the median counts")
    parser.add_argument("--least", type=float, default=0.4, help="seconds of each run")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}, batch {BATCH}\n")
    print("| net | values | ONNX, ms a step | torch, ms a step | torch / ONNX | peak MB | torch's | prepare, s |")
    print("|---|---|---|---|---|---|---|---|")
    for name in NETS:
        with tempfile.TemporaryDirectory() as folder:
            print(row(name, Path(folder), options.repeats, options.least), flush=True)


def row(name: str, folder: Path, repeats: int, least: float) -> str:
    """One net's line of the table."""
    net, features, targets = case(name)
    trainable, built = trainable_of(net, features, folder)
    trainable.save(folder)
    np.savez(folder / "batch.npz", x=features.numpy(), y=targets.numpy())
    ours, theirs = alternated([onnx_step(trainable, features, targets), torch_step(net, features, targets)], repeats, least)
    times = f"{ours * 1e3:.3f} | {theirs * 1e3:.3f} | {theirs / ours:.2f}"
    memory = " | ".join(f"{peak(side, folder, name):.0f}" for side in ("onnx", "torch"))
    return f"| {name} | {trainable.manifest.dimension:,} | {times} | {memory} | {built:.2f} |"


if __name__ == "__main__":
    main()
