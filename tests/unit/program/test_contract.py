"""Data contracts: made from a sample, read back, and what they make of a device's columns, labels and empty cells."""

from pathlib import Path

import numpy as np
import pytest

from edge_agent.config import Config, DataSettings
from edge_agent.data.check import builder
from hushfleet.errors import DataError, LocalError, Refusal
from hushfleet.program.contract import Contract, Feature, contract_of_sample, load_contract
from models import catalogue
from orchestrator.job.file import ModelTable
from tests.support.refusals import refused
from tests.support.rows import read_whole

SAMPLE = "t,wind,season\n1,2,2\n3,4,1\n5,6,2\n"
ITALY = Contract("italy", (Feature("t"), Feature("wind", low=0, high=10)), "season", ("1", "2"))


def settings(folder: Path, text: str, contract: Contract = ITALY, **columns: str) -> DataSettings:
    (folder / "d.csv").write_text(text)
    (folder / "italy.contract").write_text(contract.to_text())
    return DataSettings("csv", folder / "d.csv", contract=folder / "italy.contract", columns=columns)


def test_a_contract_from_a_sample_is_read_back_as_it_was_written(tmp_path):
    (tmp_path / "sample.csv").write_text(SAMPLE)
    made = contract_of_sample(tmp_path / "sample.csv", "italy")
    (tmp_path / "italy.contract").write_text(made.to_text())

    assert (made.label, made.labels) == ("season", ("1", "2"))
    assert [one.name for one in made.features] == ["t", "wind"]
    assert load_contract(tmp_path / "italy.contract") == made
    assert load_contract(tmp_path / "italy.contract").digest == made.digest


@pytest.mark.parametrize(
    "text", ["", "name = 3", 'name = "a"\nlabel = "y"\nfeatures = []\n', "\xff", 'name = "a"\nlabel = "t"\n[[features]]\nname = "t"\n']
)
def test_a_file_that_is_no_contract(tmp_path, text):
    (tmp_path / "a.contract").write_text(text)
    with refused(Refusal.CONFIG_INVALID, LocalError):
        load_contract(tmp_path / "a.contract")


def test_columns_are_found_by_name_and_labels_by_value(tmp_path):
    reversed_columns = "season,note,wind,t\n2,x,2,1\n1,y,4,3\n"
    data = read_whole(settings(tmp_path, reversed_columns))

    np.testing.assert_array_equal(data.features, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(data.targets, [1, 0])


def test_a_device_may_have_names_of_its_own(tmp_path):
    data = read_whole(settings(tmp_path, "temp,wind,season\n1,2,2\n", t="temp"))

    np.testing.assert_array_equal(data.features, [[1, 2]])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("t,wind,season\n1,2,marker\n", "line 2, column 'season': no label of the data contract, which has 1 or 2"),
        ("t,wind,season\n1,99.5,2\n", "line 2, column 'wind': outside the range of the data contract"),
        ("t,wind,season\n,2,2\n", "line 2, column 't': the cell is empty"),
        ("t,season\n1,2\n", "'wind'"),
    ],
)
def test_what_does_not_fit_is_named_without_its_value(tmp_path, text, told):
    with pytest.raises(DataError) as caught:
        read_whole(settings(tmp_path, text))

    assert told in str(caught.value)
    assert "marker" not in str(caught.value)
    assert "99.5" not in str(caught.value)


@pytest.mark.parametrize(("missing", "features"), [("skip", [[3, 4]]), (0.0, [[0, 2], [3, 4]])])
def test_an_empty_cell_means_what_the_contract_says(tmp_path, missing, features):
    contract = Contract("italy", ITALY.features, "season", ("1", "2"), missing)

    np.testing.assert_array_equal(read_whole(settings(tmp_path, "t,wind,season\nNA,2,2\n3,4,1\n", contract)).features, features)


def test_policy_plan_and_device_name_one_model_by_name_and_hash(tmp_path):
    device = Config(data=settings(tmp_path, SAMPLE))
    allowed = catalogue.architecture(f"softmax@{tmp_path / 'italy.contract'}")
    planned = catalogue.architecture(ModelTable(name="softmax", contract=tmp_path / "italy.contract").full_name)
    built = builder(device)(planned.name)

    assert allowed.name == planned.name == "softmax@italy"
    assert allowed.digest == planned.digest == built.architecture.digest
    assert built.architecture.dimension == 2 * 2 + 2
    assert built.architecture.digest != catalogue.architecture("softmax:2x2").digest


def test_another_contract_of_the_same_name_is_another_model(tmp_path):
    other = Contract("italy", ITALY.features, "season", ("2", "1"))
    device = Config(data=settings(tmp_path, SAMPLE, other))
    planned = catalogue.contracted("softmax@italy", ITALY)

    assert builder(device)("softmax@italy").architecture.digest != planned.architecture.digest
    assert builder(Config())("softmax@italy") is None
    assert builder(device)("softmax@elsewhere") is None


def test_hidden_layers_and_options_follow_the_contract():
    model = catalogue.contracted("mlp@italy:5x4:tanh", ITALY)

    assert model.architecture.name == "mlp@italy:5x4:tanh"
    assert model.sizes == (2, 5, 4, 2)
