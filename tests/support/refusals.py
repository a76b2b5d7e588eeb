"""`refused`: the one way tests assert a refusal, so that a run can list the identifiers no test reached."""

from collections.abc import Iterator
from contextlib import contextmanager

from hushfleet.errors import HushfleetError, Refusal

reached: set[Refusal] = set()


@contextmanager
def refused(reason: Refusal, kind: type[HushfleetError] = HushfleetError) -> Iterator[None]:
    """The block must raise a `kind` with exactly this reason."""
    try:
        yield
    except HushfleetError as error:
        assert isinstance(error, kind), f"expected {kind.__name__}, got {error!r}"  # noqa: PT017 -- this is the assertion helper itself
        assert error.reason is reason, f"expected {reason!r}, got {error.reason!r}: {error}"  # noqa: PT017 -- likewise
        reached.add(reason)
        return
    raise AssertionError(f"nothing was refused; expected {reason}")
