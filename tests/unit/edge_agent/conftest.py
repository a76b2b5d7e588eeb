from collections.abc import Iterator

import pytest

from edge_agent.logs import LOG


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """Commands set the process's log up; the next test must not find it."""
    handlers, level, propagate = LOG.handlers[:], LOG.level, LOG.propagate
    yield
    LOG.handlers[:], LOG.propagate = handlers, propagate
    LOG.setLevel(level)
