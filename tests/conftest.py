"""What every run shares: the report on refusals and skips, and the profile of the property tests."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import settings

from edge_agent import store
from hushfleet.rounds import machine
from tests.support.session_report import SessionReport

# A deadline per example is an assertion on wall time. In CI the same examples every time; by hand new ones, which find more.
settings.register_profile("hushfleet", deadline=None, derandomize=bool(os.environ.get("CI")), print_blob=True)


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("hushfleet")
    config.pluginmanager.register(SessionReport(config), "hushfleet-session-report")


@pytest.fixture(autouse=True)
def _a_defect_is_loud(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program refuses what raised an error that nobody foresaw and goes on; a test that is not about that fails."""

    def raised(_: str, error: Exception) -> NoReturn:
        raise error

    monkeypatch.setattr(machine, "unforeseen", raised)


@pytest.fixture(autouse=True)
def _no_database_stays_open(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tests pull plugs: what a killed agent would leave to the system is closed here."""
    opened: list[sqlite3.Connection] = []
    connect = store._connect

    def remembered(path: Path) -> sqlite3.Connection:
        opened.append(connect(path))
        return opened[-1]

    monkeypatch.setattr(store, "_connect", remembered)
    yield
    for connection in opened:
        connection.close()
