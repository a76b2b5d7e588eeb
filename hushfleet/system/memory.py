"""The memory of a process that holds keys: no other process of the same user reads it, and no crash leaves it on disk."""

import ctypes
import resource
import sys
from contextlib import suppress

_PR_SET_DUMPABLE = 4


def hide_memory() -> None:
    """Write no core dump and be readable by no debugger, where Linux offers it; elsewhere no core dump alone."""
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
