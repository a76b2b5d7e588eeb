"""Functions of one variable: the slope, written with the output where that is cheaper."""

from collections.abc import Callable, Sequence
from math import pi, sqrt

from models.onnx.prepare.registry import Context, derivative

Slope = Callable[[Context, str, str], str]


def _function(op_type: str) -> Callable[[Slope], Slope]:
    """Register `slope(at, x, y)` as the derivative of y = f(x)."""

    def register(slope: Slope) -> Slope:
        @derivative(op_type)
        def back(at: Context) -> Sequence[str | None]:
            return [at.emit.mul(at.grad, slope(at, at.input(0), at.node.output[0]))]

        return slope

    return register


@derivative("Neg")
def _neg(at: Context) -> Sequence[str | None]:
    return [at.emit.neg(at.grad)]


@_function("Relu")
def _relu(at: Context, x: str, y: str) -> str:
    """A cast of the comparison: Where is slow in onnxruntime."""
    return at.emit.cast(at.emit.op("Greater", x, at.number(0)), y)


@_function("Sigmoid")
def _sigmoid(at: Context, x: str, y: str) -> str:  # noqa: ARG001 -- the shared signature
    return at.emit.mul(y, at.emit.sub(at.number(1), y))


@_function("Tanh")
def _tanh(at: Context, x: str, y: str) -> str:  # noqa: ARG001 -- the shared signature
    return at.emit.sub(at.number(1), at.emit.mul(y, y))


@_function("Exp")
def _exp(at: Context, x: str, y: str) -> str:  # noqa: ARG001 -- the shared signature
    return y


@_function("Log")
def _log(at: Context, x: str, y: str) -> str:  # noqa: ARG001 -- the shared signature
    return at.emit.op("Reciprocal", x)


@_function("Sqrt")
def _sqrt(at: Context, x: str, y: str) -> str:  # noqa: ARG001 -- the shared signature
    return at.emit.div(at.number(0.5), y)


@_function("Reciprocal")
def _reciprocal(at: Context, x: str, y: str) -> str:  # noqa: ARG001 -- the shared signature
    return at.emit.neg(at.emit.mul(y, y))


@_function("Abs")
def _abs(at: Context, x: str, y: str) -> str:  # noqa: ARG001 -- the shared signature
    return at.emit.op("Sign", x)


@_function("Sin")
def _sin(at: Context, x: str, y: str) -> str:  # noqa: ARG001 -- the shared signature
    return at.emit.op("Cos", x)


@_function("Cos")
def _cos(at: Context, x: str, y: str) -> str:  # noqa: ARG001 -- the shared signature
    return at.emit.neg(at.emit.op("Sin", x))


@_function("Atan")
def _atan(at: Context, x: str, y: str) -> str:  # noqa: ARG001 -- the shared signature
    return at.emit.op("Reciprocal", at.emit.add(at.emit.mul(x, x), at.number(1)))


@_function("Erf")
def _erf(at: Context, x: str, y: str) -> str:  # noqa: ARG001 -- the shared signature
    """The slope 2 / sqrt(pi) exp(-x^2)."""
    return at.emit.mul(at.emit.op("Exp", at.emit.neg(at.emit.mul(x, x))), at.number(2 / sqrt(pi)))


@_function("Tan")
def _tan(at: Context, x: str, y: str) -> str:  # noqa: ARG001 -- the shared signature
    return at.emit.add(at.emit.mul(y, y), at.number(1))


@_function("Sinh")
def _sinh(at: Context, x: str, y: str) -> str:  # noqa: ARG001 -- the shared signature
    return at.emit.op("Cosh", x)


@_function("Cosh")
def _cosh(at: Context, x: str, y: str) -> str:  # noqa: ARG001 -- the shared signature
    return at.emit.op("Sinh", x)


@_function("Asin")
def _asin(at: Context, x: str, y: str) -> str:  # noqa: ARG001 -- the shared signature
    return _one_over_root(at, at.emit.sub(at.number(1), at.emit.mul(x, x)))


@_function("Acos")
def _acos(at: Context, x: str, y: str) -> str:  # noqa: ARG001 -- the shared signature
    return at.emit.neg(_one_over_root(at, at.emit.sub(at.number(1), at.emit.mul(x, x))))


@_function("Asinh")
def _asinh(at: Context, x: str, y: str) -> str:  # noqa: ARG001 -- the shared signature
    return _one_over_root(at, at.emit.add(at.emit.mul(x, x), at.number(1)))


@_function("Acosh")
def _acosh(at: Context, x: str, y: str) -> str:  # noqa: ARG001 -- the shared signature
    return _one_over_root(at, at.emit.sub(at.emit.mul(x, x), at.number(1)))


@_function("Atanh")
def _atanh(at: Context, x: str, y: str) -> str:  # noqa: ARG001 -- the shared signature
    return at.emit.op("Reciprocal", at.emit.sub(at.number(1), at.emit.mul(x, x)))


def _one_over_root(at: Context, value: str) -> str:
    return at.emit.op("Reciprocal", at.emit.op("Sqrt", value))
