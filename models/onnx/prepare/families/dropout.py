"""Dropout: as in inference it passes everything; in training it passes what its own mask says."""

from collections.abc import Sequence

from models.onnx.prepare.registry import Context, derivative


@derivative("Dropout")
def dropout(context: Context) -> Sequence[str | None]:
    """The inputs are x, an optional constant ratio and an optional constant training_mode."""
    nothing: list[str | None] = [None] * (len(context.node.input) - 1)
    if not _training(context):
        return [context.grad, *nothing]
    ratio = float(context.need_constant(1, "ratio")) if context.input(1) else 0.5
    kept = context.emit.cast(context.output(1), context.input(0))
    return [context.emit.mul(context.emit.mul(context.grad, kept), context.number(1.0 / (1.0 - ratio))), *nothing]


def _training(context: Context) -> bool:
    return bool(context.input(2)) and bool(context.need_constant(2, "training_mode"))
