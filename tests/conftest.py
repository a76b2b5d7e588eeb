"""What every run shares: the report on refusals and skips, and the profile of the property tests."""

import os

import pytest
from hypothesis import settings

from tests.support.session_report import SessionReport

# A deadline per example is an assertion on wall time. In CI the same examples every time; by hand new ones, which find more.
settings.register_profile("hushfleet", deadline=None, derandomize=bool(os.environ.get("CI")), print_blob=True)


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("hushfleet")
    config.pluginmanager.register(SessionReport(config), "hushfleet-session-report")
