"""The words for an exception that foreign code raised: its type and the place, never its message, which may hold a value of the data."""

from pathlib import Path

from hushfleet.errors import HushfleetError, LocalError, Refusal


def fault_text(error: BaseException) -> str:
    """The exception's type, and the file and line of this program or plug-in that raised it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace is not None else ""
    return f"{type(error).__name__}{place}"


def as_failure(error: BaseException, what: str) -> HushfleetError:
    """The refusal that stands for `error` where `what` failed: our own as it is, anything else as `LocalError(TRAINING_FAILED)`.

    KeyboardInterrupt in the main thread is the person at the keyboard: it is raised again by whoever catches it, and never comes here.
    """
    if isinstance(error, HushfleetError):
        return error
    failed = LocalError(Refusal.TRAINING_FAILED, f"{what} failed: {fault_text(error)}")
    failed.__cause__ = error
    return failed
