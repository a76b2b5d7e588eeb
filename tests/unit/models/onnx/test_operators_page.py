"""docs/onnx.md lists what the registry has."""

import pytest

from models.onnx.prepare import operators
from models.onnx.prepare.registry import load

MARKED = "before\n<!-- operators: begin -->\n<!-- operators: end -->\nafter\n"


def test_the_page_is_up_to_date(pytestconfig):
    assert operators.main(["--check"], pytestconfig.rootpath / operators.PAGE) == 0


def test_every_operator_is_listed_once():
    assert sorted(operators.table().replace("|", " ").split("`")[1::2]) == sorted(load())


def test_a_page_that_lacks_one_is_noticed_and_renewed(tmp_path, capsys):
    page = tmp_path / "onnx.md"
    page.write_text(operators.renewed(MARKED).replace("`Conv`", ""))

    assert operators.main(["--check"], page) == 1
    assert "python -m models.onnx.prepare.operators" in capsys.readouterr().out
    assert operators.main([], page) == 0
    assert page.read_text() == operators.renewed(MARKED)
    assert operators.main(["--check"], page) == 0


@pytest.mark.parametrize("page", ["", "<!-- operators: begin -->\n", "<!-- operators: end -->\n<!-- operators: begin -->\n"])
def test_a_page_without_its_marks_is_refused(page):
    with pytest.raises(ValueError, match="operators: begin"):
        operators.renewed(page)
