"""The tool that makes and compares the vectors, on a folder of its own."""

from pathlib import Path

import pytest

from tests.vectors.generate import main

GENERATOR = 'def build() -> dict[str, object]:\n    return {"cases": [1, 2], "about": "VALUE"}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "generators").mkdir()
    (tmp_path / "generators/numbers.py").write_text(GENERATOR)
    (tmp_path / "generators/_shared.py").write_text("raise AssertionError('not a generator')\n")
    return tmp_path


def test_written_vectors_pass_the_check(folder: Path) -> None:
    assert main([], folder) == 0
    assert (folder / "numbers.json").read_text() == '{\n "about": "VALUE",\n "cases": [\n  1,\n  2\n ]\n}\n'
    assert main(["--check"], folder) == 0


def test_a_missing_file_is_shown_and_not_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"], folder) == 1
    assert '+ "about": "VALUE",' in capsys.readouterr().out
    assert not (folder / "numbers.json").exists()


def test_a_difference_is_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([], folder)
    (folder / "generators/numbers.py").write_text(GENERATOR.replace("VALUE", "OTHER"))

    assert main(["--check"], folder) == 1
    shown = capsys.readouterr().out
    assert '- "about": "VALUE",' in shown
    assert '+ "about": "OTHER",' in shown


def test_vectors_without_a_generator_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([], folder)
    (folder / "old.json").write_text("{}\n")

    assert main(["--check"], folder) == 1
    assert capsys.readouterr().out == "old.json has no generator\n"
