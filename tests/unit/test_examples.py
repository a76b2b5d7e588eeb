"""The examples of docs/library.md run as they stand."""

import io
from contextlib import redirect_stdout
from pathlib import Path

from tests.support.examples import example

PAGE = Path(__file__).parents[2] / "docs/library.md"


def _run(name: str) -> tuple[dict[str, object], str]:
    names: dict[str, object] = {}
    with redirect_stdout(io.StringIO()) as printed:
        exec(compile(example(PAGE, name), f"{PAGE}:{name}", "exec"), names)  # noqa: S102 -- this is what the test is for
    return names, printed.getvalue()


def test_the_private_round_releases_a_model_near_the_line():
    names, printed = _run("private-round")

    assert names["model"].version == 1
    assert printed.startswith("version 1 {'slope'")
    # clip norm 2, z = 1: the noise of the mean of 8 has a standard deviation near 2 * sqrt(8 / 4) / 8 = 0.35 a value
    assert abs(names["model"].parameters - [1.2, -0.4, 0.8]).max() < 6 * 0.36 + 0.6


def test_shares_add_up_without_any_key():
    assert _run("shared-sum")[1].split() == ["[", "3", "15", "8]"]
