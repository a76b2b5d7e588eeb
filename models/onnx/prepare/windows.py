"""The windows of a convolution or a pool: strides, dilations and paddings after `auto_pad` is resolved."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from models.onnx.prepare.graph import Shape
from models.onnx.prepare.registry import Context


@dataclass(frozen=True, slots=True)
class Windows:
    """One entry per spatial axis: `steps` windows of `kernel` taps are laid over `sizes` elements.

    Window number t covers the elements `t * stride + k * dilation - begin` for each tap k; elements outside are padding.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begin: tuple[int, ...]
    sizes: tuple[int, ...]
    steps: tuple[int, ...]

    @property
    def rank(self) -> int:
        """The number of spatial axes."""
        return len(self.kernel)

    @property
    def axes(self) -> list[int]:
        """The spatial axes of a tensor laid out (rows, channels, *spatial)."""
        return [axis + 2 for axis in range(self.rank)]

    @property
    def overhang(self) -> tuple[int, ...]:
        """The distance by which the last window reaches past the last element; below 0: elements at the end that no window covers."""
        return tuple(
            (steps - 1) * stride + (kernel - 1) * dilation + 1 - begin - size
            for kernel, stride, dilation, begin, size, steps in self._each()
        )

    @property
    def pads(self) -> list[int]:
        """`pads` of the operator that reads just what the windows cover: begins, then ends."""
        return [*self.begin, *(max(0, over) for over in self.overhang)]

    @property
    def unread(self) -> list[int]:
        """Elements at the end of each axis that no window covers: `output_padding` of the transposed operator."""
        return [max(0, -over) for over in self.overhang]

    @property
    def overlapping(self) -> bool:
        """True if an element may lie in two windows."""
        spans = ((kernel - 1) * dilation + 1 for kernel, dilation in zip(self.kernel, self.dilations, strict=True))
        return any(span > stride for span, stride in zip(spans, self.strides, strict=True))

    def taps(self) -> Iterator[tuple[int, ...]]:
        """Every tap of a window, in the order of the kernel's elements."""
        return product(*(range(kernel) for kernel in self.kernel))

    def lookup(self, axis: int, step: int, tap: int) -> int | None:
        """The element under a tap of a window on one axis, None in the padding."""
        element = step * self.strides[axis] + tap * self.dilations[axis] - self.begin[axis]
        return element if 0 <= element < self.sizes[axis] else None

    def _each(self) -> Iterator[tuple[int, int, int, int, int, int]]:
        return zip(self.kernel, self.strides, self.dilations, self.begin, self.sizes, self.steps, strict=True)


def windows(context: Context, kernel: Sequence[int], whole: Shape, windowed: Shape) -> Windows:
    """The windows over a tensor shaped `whole` that give one shaped `windowed`, both (rows, channels, *spatial).

    `context` supplies the attributes. Refuses a node whose spatial sizes are not fixed.
    """
    rank = len(kernel)
    strides = tuple(context.attribute("strides", [1] * rank))
    dilations = tuple(context.attribute("dilations", [1] * rank))
    sizes, steps = _fixed(context, whole), _fixed(context, windowed)
    begin = tuple(context.attribute("pads", [0] * 2 * rank))[:rank]
    flat = Windows(tuple(kernel), strides, dilations, (0,) * rank, sizes, steps)
    auto = context.attribute("auto_pad", "NOTSET")
    if auto in {"SAME_UPPER", "SAME_LOWER"}:
        odd = 1 if auto == "SAME_LOWER" else 0
        begin = tuple((max(0, over) + odd) // 2 for over in flat.overhang)
    elif auto == "VALID":
        begin = flat.begin
    return Windows(flat.kernel, strides, dilations, begin, sizes, steps)


def _fixed(context: Context, shape: Shape) -> tuple[int, ...]:
    spatial = tuple(size for size in shape[2:] if isinstance(size, int))
    if len(spatial) != len(shape) - 2:
        raise context.refusal(f"its spatial sizes {shape[2:]} are not fixed", "export the model with fixed spatial sizes")
    return spatial
