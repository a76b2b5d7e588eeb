"""`prepare`: from an inference file to a trainable model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from models.onnx.prepare.check import Report, check_gradients
from models.onnx.prepare.forward import check_forward
from models.onnx.prepare.probe import Ranges
from models.onnx.prepare.roles import Choice
from models.onnx.prepare.source import PrepareOptions, read_source
from models.onnx.prepare.writing import build
from models.onnx.trainable import TrainableModel


def prepare(
    path: Path | str,
    *,
    loss: str,
    logits: str | None = None,
    freeze: Sequence[str] = (),
    train: Sequence[str] = (),
    untie: Sequence[str] = (),
    tie: Sequence[str] = (),
    sizes: Mapping[str, int] | None = None,
    values: Mapping[str, float] | None = None,
    ranges: Ranges | None = None,
    weights: bool = False,
    dropout: bool = False,
    yes_these_are_logits: bool = False,
    class_axis: int = 0,
    classes: int = 0,
    full_check: bool = False,
    progress: Callable[[str], None] = lambda _: None,
    checked: Callable[[Report], None] = lambda _: None,
) -> TrainableModel:
    """A trainable model of the inference file at `path`, its outputs checked against the file's, its gradients against finite differences.

    `loss` is softmax-cross-entropy, mse, huber or binary-cross-entropy; `logits` names the output (or inner value) to train
    where it is not the only one. See `PrepareOptions` for the rest. `progress` hears what is being done, `checked` what the check
    found. Raises `Unsupported` (a `LocalError`), `LocalError(MODEL_GRADIENT)`, FileNotFoundError.
    """
    choice = Choice(freeze, train, untie, tie)
    options = PrepareOptions(
        loss, logits, choice, sizes or {}, values or {}, ranges or {}, weights, dropout, yes_these_are_logits, class_axis, classes
    )
    progress(f"reading {path}")
    source = read_source(Path(path), options)
    progress("differentiating")
    trainable = build(source, options)
    progress("comparing with the file and with finite differences")
    # masks differ from run to run, so the check runs without them
    quiet = replace(options, dropout=False)
    tried = build(read_source(Path(path), quiet), quiet) if dropout else trainable
    if not classes:  # a head of another size has no outputs to compare
        check_forward(Path(path), source, tried)
    checked(check_gradients(tried, full=full_check, progress=progress))
    return trainable
