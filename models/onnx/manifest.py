"""`manifest.json`: all that is needed to run a trainable model's `train.onnx` with plain onnxruntime (docs/onnx.md describes it)."""

from math import prod

import msgspec

from hushfleet.errors import LocalError, Refusal
from hushfleet.system.formats import UnreadableError, from_json

FORMAT = 1

Sizes = tuple[int, ...]


class Parameter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One trainable tensor, float32. `name` is the original file's; `input` and `gradient` are `train.onnx`'s names.

    Its values stand in `infer.onnx` as little-endian float32 from byte `offset` on: the start of training, and the place where
    trained values go. `layers` use it: two or more train it as one.
    """

    name: str
    shape: Sizes
    input: str
    gradient: str
    offset: int
    layers: int = 1

    @property
    def size(self) -> int:
        """The number of values."""
        return prod(self.shape)


class Tensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A fed value (n, *shape) of element type `dtype` (numpy's name). `low` and `high`, if given, bound every element, inclusive."""

    name: str
    dtype: str
    shape: Sizes
    low: float | None = None
    high: float | None = None


class Logits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The output that predictions come from: `infer.onnx`'s output `output` is `activation` of what the loss takes, (n, *shape).

    `activation` is `none`, `softmax`, `log-softmax` (both over the class axis) or `sigmoid`; `axis` is the class axis, the rows' is 0.
    """

    output: str
    shape: Sizes
    activation: str = "none"
    axis: int = 1


class Frozen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stored float tensor that is not trained, and why."""

    name: str
    shape: Sizes
    why: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The trainable model's description. `hashes` are hex SHA-256 by file name, `source` that of the file it was made from.

    The loss is a mean: over rows for cross-entropy, over all elements otherwise; with `weights`, the mean weighted by row.
    """

    name: str
    loss: str
    parameters: tuple[Parameter, ...]
    features: tuple[Tensor, ...]
    targets: Tensor
    weights: Tensor | None
    loss_output: str
    logits: Logits
    frozen: tuple[Frozen, ...]
    opset: int
    ir_version: int
    source: str
    hashes: dict[str, str]
    format: int = FORMAT

    @property
    def dimension(self) -> int:
        """d, the number of values in all parameters together."""
        return sum(parameter.size for parameter in self.parameters)

    def to_json(self) -> bytes:
        """The manifest as JSON, readable and deterministic."""
        return msgspec.json.format(msgspec.json.encode(self, order="sorted"), indent=1) + b"\n"

    @classmethod
    def from_json(cls, text: bytes) -> "Manifest":
        """The inverse. `LocalError(MODEL_DAMAGED)` for anything but a manifest of this format."""
        try:
            manifest = from_json(text, cls)
        except UnreadableError as error:
            raise LocalError(Refusal.MODEL_DAMAGED, f"manifest.json is not a trainable model's manifest: {error}") from error
        if manifest.format != FORMAT or not manifest.parameters or not manifest.features:
            message = f"manifest.json: format {manifest.format} with {len(manifest.parameters)} parameters; format {FORMAT} is read"
            raise LocalError(Refusal.MODEL_DAMAGED, message)
        return manifest
