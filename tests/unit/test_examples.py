"""The examples of docs/library.md run as they stand."""

import io
import re
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest

from hushfleet import local_fleet
from tests.support.examples import example
from tests.support.keys import load

PAGE = Path(__file__).parents[2] / "docs/library.md"


def _run(name: str) -> tuple[dict[str, object], str]:
    names: dict[str, object] = {}
    with redirect_stdout(io.StringIO()) as printed:
        exec(compile(example(PAGE, name), f"{PAGE}:{name}", "exec"), names)  # noqa: S102 -- this is what the test is for
    return names, printed.getvalue()


TRUTH = [2.0, -1.0, 0.5]
SIGMA = 4.0 * 0.5 / 50  # of the noise on the mean of fifty updates, in each value


@pytest.mark.parametrize("_run_number", range(3))
def test_the_private_fleet_learns_the_line_whatever_the_noise(monkeypatch, _run_number):
    monkeypatch.setattr(local_fleet, "_dealing", lambda *_: load("test-2048"))

    names, printed = _run("private-fleet")

    told = re.fullmatch(r"version (\d+): slope \[(.+)\], offset (\S+), epsilon (\S+)", printed.splitlines()[-1])
    version, slope, offset, spent = told.groups()
    shown = np.array([*map(float, slope.split()), float(offset)])
    np.testing.assert_allclose(shown, TRUTH, atol=6 * SIGMA + 0.05)
    np.testing.assert_allclose(shown, names["fleet"].model.parameters, atol=0.006)
    assert (version, spent) == ("6", "3.0")
    assert f"epsilon {spent}" in PAGE.read_text()


def test_shares_add_up_without_any_key():
    assert _run("shared-sum")[1].split() == ["[", "3", "15", "8]"]
