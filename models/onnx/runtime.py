"""onnxruntime, loaded when the first graph is to run, and sessions that leave the machine to others."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy.typing as npt

from hushfleet.errors import LocalError, Refusal

Array = npt.NDArray[Any]


class GraphInput(Protocol):
    """One input of a graph. A name in `shape` stands for any size; the first is that of the rows."""

    name: str
    shape: Sequence[int | str | None]
    type: str


class GraphSession(Protocol):
    """The part of onnxruntime's `InferenceSession` that is used."""

    def get_inputs(self) -> Sequence[GraphInput]:
        """The inputs in their order."""

    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, Array]) -> Sequence[Array]:
        """The named outputs, or all for None."""


def open_session(graph: bytes, threads: int = 1) -> GraphSession:
    """A session for the ONNX file `graph` on `threads` threads, its memory asked for piece by piece and never spun on.

    Raises `LocalError(SYSTEM_UNSUPPORTED)` without onnxruntime, and onnxruntime's own errors for a graph that it refuses.
    """
    try:
        import onnxruntime  # noqa: PLC0415 -- a device with numpy models only, and the owner's machine, have none
    except ImportError as error:
        message, next_step = "onnxruntime is not installed, and this model needs it", "Run: pip install 'hushfleet[agent]'"
        raise LocalError(Refusal.SYSTEM_UNSUPPORTED, message, next_step=next_step) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.use_deterministic_compute = True
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # the default grows the arena in powers of two: up to twice of what is used
    provider = ("CPUExecutionProvider", {"arena_extend_strategy": "kSameAsRequested"})
    session: GraphSession = onnxruntime.InferenceSession(graph, options, providers=[provider], enable_fallback=False)
    return session
