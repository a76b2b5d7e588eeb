"""What every run shares: the report on refusals and skips."""

import pytest

from tests.support.session_report import SessionReport


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(SessionReport(config), "hushfleet-session-report")
