"""`hushfleet provision contract new`, as it is typed."""

import json
from pathlib import Path

from hushfleet.cli import ExitCode, run


def typed(capsys, *words: str):
    code = run(["provision", "contract", "new", *words])
    return code, capsys.readouterr().out


def test_a_sample_becomes_a_contract_and_the_next_step_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("wine_data.csv").write_text("kind;alc;ash\nred;1;2\nwhite;3;4\n")
    code, out = typed(capsys, "wine_data.csv", "--label", "kind")

    assert (code, "models.allowed=softmax@" in out) == (ExitCode.DONE, True)
    assert 'labels = ["red", "white"]' in Path("wine-data.contract").read_text()
    code, out = typed(capsys, "wine_data.csv", "--label", "kind", "--json", "--name", "wine")
    assert json.loads(out.splitlines()[-1])["labels"] == ["red", "white"]


def test_a_contract_that_differs_is_not_replaced_unasked(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("wine.csv").write_text("a,y\n1,0\n2,1\n")
    Path("wine.contract").write_text("mine")

    assert typed(capsys, "wine.csv")[0] == ExitCode.USAGE
    assert Path("wine.contract").read_text() == "mine"


def test_a_sample_without_names_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("wine.csv").write_text("1,0\n2,1\n")

    assert typed(capsys, "wine.csv")[0] == ExitCode.USAGE
