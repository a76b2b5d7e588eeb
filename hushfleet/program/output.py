"""The files that a person names for a result: written whole, never in the place of a device or link; `-` is standard output."""

import sys
from pathlib import Path

from hushfleet.errors import LocalError, Refusal
from hushfleet.program.terminal import ask
from hushfleet.system.durable import require_writable, write_durably
from hushfleet.system.files import kind_of, read_named

STDOUT = Path("-")


def write_output(path: Path, data: bytes) -> None:
    """Write a result for others to read. Raises `LocalError(FILE_KIND)` as `write_durably`, OSError."""
    if path == STDOUT:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        write_durably(path, data, mode=0o644)


def ask_to_replace(path: Path, *, yes: bool, new: bytes | None = None) -> None:
    """Ask before something else than `new` is overwritten; `new` None for what is still to be made. Raises as `ask` and `write_output`."""
    if path == STDOUT:
        return
    require_writable(path)
    if kind_of(path) is None or (new is not None and _holds(path, new)):
        return
    ask(f"{path} is there already and holds something else. Replace it?", yes=yes)


def _holds(path: Path, data: bytes) -> bool:
    try:
        return read_named(path, len(data)) == data
    except LocalError as error:
        if error.reason is Refusal.FILE_TOO_LARGE:
            return False
        raise
