"""What a whole run must also show: every refusal was reached, and in CI nothing was skipped that may not be.

A pytest plugin, registered by tests/conftest.py. With xdist each process hands what it reached to the controlling one.
"""

import os
from collections.abc import Iterable

import pytest

from hushfleet.errors import Refusal
from tests.support import refusals

#: Beginnings of test ids that may be skipped in CI, each with its reason. Empty is the aim.
ALLOWED_SKIPS: dict[str, str] = {}

_HANDED_OVER = "refusals_reached"
_SELECTING_OPTIONS = ("keyword", "markexpr", "lf", "stepwise", "deselect", "ignore", "ignore_glob", "collectonly")


def unreached(reached: Iterable[Refusal]) -> list[Refusal]:
    """The refusals that no test reached, in the order of their definition."""
    found = set(reached)
    return [refusal for refusal in Refusal if refusal not in found]


def forbidden_skips(skipped: Iterable[str], allowed: Iterable[str]) -> list[str]:
    """The ids among `skipped` that begin with none of `allowed`."""
    beginnings = tuple(allowed)
    return [test for test in skipped if not test.startswith(beginnings)]


def is_whole_suite(config: pytest.Config) -> bool:
    """Whether nothing on the command line left a test out."""
    chosen = config.args_source is not pytest.Config.ArgsSource.TESTPATHS
    return not chosen and not any(getattr(config.option, option, None) for option in _SELECTING_OPTIONS)


class SessionReport:
    """Collects during the run, judges at its end."""

    def __init__(self, config: pytest.Config) -> None:
        self._worker_output: dict[str, object] | None = getattr(config, "workeroutput", None)
        self._whole = is_whole_suite(config)
        self._in_ci = bool(os.environ.get("CI"))
        self._reached: set[Refusal] = set()
        self._skipped: list[str] = []
        self._complaints: list[str] = []

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object) -> None:
        """Take over what another process reached."""
        handed_over: dict[str, list[str]] = getattr(node, "workeroutput", {})
        self._reached |= {Refusal(value) for value in handed_over.get(_HANDED_OVER, [])}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self._skipped.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._skipped.append(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self._worker_output is not None:
            self._worker_output[_HANDED_OVER] = [refusal.value for refusal in refusals.reached]
            return
        self._complaints = self._judge() if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) else []
        if self._complaints:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for complaint in self._complaints:
            terminalreporter.write_line(complaint, red=True)

    def _judge(self) -> list[str]:
        missing = unreached(self._reached | refusals.reached) if self._whole else []
        skipped = forbidden_skips(self._skipped, ALLOWED_SKIPS) if self._in_ci else []
        return [f"No test reached the refusal {refusal.name} ({refusal.value})." for refusal in missing] + [
            f"Skipped in CI without being on the allow-list: {test}" for test in skipped
        ]
