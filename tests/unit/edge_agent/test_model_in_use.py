"""The kept model used: by a person at the terminal, and by a program in three lines."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_agent import model
from edge_agent.kept_models import CARD, Card, KeptModels
from edge_agent.model_follower import ModelFollower
from edge_agent.predictor import Predictor
from hushfleet.cli import ExitCode, run
from hushfleet.documents import sign_record
from hushfleet.errors import DataError, LocalError, Refusal
from hushfleet.program.contract import Contract, Feature
from hushfleet.training import GlobalModel
from hushfleet.wire import Kind, Topic, encode_signed
from models import catalogue
from models.evaluation import predict
from tests.support.fleet import changed
from tests.support.fleet.agent import FLEET, FLEET_NAME, TRAINER, released
from tests.support.hand_made_model import hand_made
from tests.support.refusals import refused

PAGE = Path(__file__).parents[3] / "docs/using.md"
ROWS = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 9.0], [-3.0, 1.0, 0.5, 0.0]])
RIGHT_SIDE = GlobalModel(1, np.array([1, -1, 0, 0, 0, 0, -1, 1, 0, 0], np.float32))
"""Class 0 for a large first number, class 1 for a large last one."""


def come(folder, version, model=RIGHT_SIDE, *, trainer=TRAINER, contract=None):
    """Release a version to the device in `folder`."""
    folder.mkdir(exist_ok=True)
    record = changed(released(version)[0], {"model_after": model.digest, "model_before": RIGHT_SIDE.digest})
    follower, signed = ModelFollower(folder, FLEET_NAME, contract), sign_record(record, FLEET.parties.orchestrator.signing)
    name = FLEET.roster.policy.models[0].name
    for topic, data in (
        (Topic(FLEET_NAME, Kind.RECORD, number=version, chunk=0), encode_signed(signed)),
        (Topic(FLEET_NAME, Kind.MODEL, digest=model.digest.hex(), chunk=0), model.to_bytes()),
    ):
        told = list(follower.offer(topic, data, FLEET.roster, lambda: {name: trainer} if trainer else {}))
    return told


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HUSHFLEET_AGENT_STATE", "state")
    come(tmp_path / "state", 1)
    return tmp_path / "state"


@pytest.fixture
def typed(capsys):
    def type_it(*words: str):
        code = run(["agent", *words])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return type_it


def test_the_page_shows_three_lines_that_run(state, capsys):
    del state
    code = PAGE.read_text().split("```python\n")[1].split("```")[0]
    assert len([line for line in code.splitlines() if line]) == 3
    exec(compile(code, "docs/using.md", "exec"), {})  # noqa: S102 -- our own page

    assert capsys.readouterr().out == "1 [0 1]\n"


def test_a_later_version_is_used_from_its_release_on(state):
    held = model.current()
    assert model.predict(ROWS).tolist() == [0, 1, 1]
    come(state, 2, GlobalModel(2, -RIGHT_SIDE.parameters))

    assert model.version() == 2
    assert model.predict(ROWS).tolist() == [1, 0, 0]
    assert held.predict(ROWS).tolist() == [0, 1, 1]
    assert model.current() is model.current()


def test_predictions_are_those_of_the_model(state):
    del state
    assert model.predict(ROWS).tolist() == predict(TRAINER, RIGHT_SIDE, ROWS).tolist()


def test_importing_it_loads_no_network_and_no_model():
    probe = "import sys, edge_agent.model; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)

    assert "edge_agent.kept_models" in done.stdout.split()
    assert not {"paho", "hushfleet.link", "numpy", "onnxruntime", "models"} & set(done.stdout.split())


def test_rows_that_the_model_does_not_take(state):
    del state
    with refused(Refusal.DATA_SHAPE, DataError):
        model.predict(ROWS[:, :3])
    with refused(Refusal.DATA_SHAPE, DataError):
        model.predict([1.0, 2.0])
    with refused(Refusal.DATA_NOT_FINITE, DataError):
        model.predict([[np.nan, 0, 0, 0]])


def test_no_rows_are_no_predictions(state):
    del state
    assert model.predict(np.empty((0, 4))).tolist() == []


def test_values_without_their_model_cannot_predict_and_can_be_exported(tmp_path, typed, monkeypatch):
    monkeypatch.chdir(tmp_path)
    come(tmp_path / "state", 1, trainer=None)
    with refused(Refusal.MODEL_ABSENT, LocalError):
        model.predict(ROWS, tmp_path / "state")
    code, _, err = typed("model", "export", "model.npz", "--state", "state")

    assert code == ExitCode.DONE, err
    with np.load("model.npz") as arrays:
        assert arrays["parameters"].tolist() == RIGHT_SIDE.parameters.tolist()


CONTRACT = Contract("wine", tuple(Feature(name) for name in "abcd"), "kind", ("red", "white"))


def test_with_a_contract_columns_and_classes_have_names(tmp_path, typed, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trainer = catalogue.contracted("softmax@wine", CONTRACT)
    monkeypatch.setattr("edge_agent.model_follower.ModelFollower._name", lambda *_: "softmax@wine")
    follower = "edge_agent.model_follower.ModelFollower.offer"
    real = ModelFollower.offer
    monkeypatch.setattr(follower, lambda self, topic, data, roster, _: real(self, topic, data, roster, lambda: {"softmax@wine": trainer}))
    come(tmp_path / "state", 1, contract=CONTRACT)
    Path("rows.csv").write_text("d,kind,c,b,a\n0,red,0,0,1\n9,red,0,0,0\n")

    code, out, err = typed("predict", "rows.csv", "--state", "state")
    assert (code, out) == (ExitCode.DONE, "red\nwhite\n"), err


def test_an_onnx_model_is_kept_as_an_inference_file_and_used(tmp_path, monkeypatch, typed):
    monkeypatch.chdir(tmp_path)
    trainer = catalogue.OnnxTrainer(hand_made())
    initial = GlobalModel(1, hand_made().initial)
    told = come(tmp_path / "state", 1, initial, trainer=trainer)
    rows = np.array([[1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]])
    code, _, err = typed("model", "export", "net.onnx", "--state", "state")

    assert code == ExitCode.DONE, (told, err)
    assert Path("net.onnx").read_bytes() == hand_made().inference_file(initial.parameters)
    assert model.predict(rows, tmp_path / "state").tolist() == predict(trainer, initial, rows).tolist()


def test_a_model_that_is_no_onnx_file_says_so(state, typed):
    del state
    code, out, _ = typed("model", "export", "net.onnx", "--json")

    assert code == ExitCode.FAILED
    assert json.loads(out)["error"]["kind"] == "model-name"


def test_list_show_pin_and_unpin(state, typed):
    come(state, 2, GlobalModel(2, -RIGHT_SIDE.parameters))
    code, out, _ = typed("model", "list", "--json")
    rows = json.loads(out)["versions"]
    assert (code, [(one["version"], one["current"], one["pinned"]) for one in rows]) == (0, [(2, True, False), (1, False, False)])

    assert json.loads(typed("model", "pin", "1", "--json")[1]) == {"job": "softmax-4x2-1", "version": 1, "pinned": True}
    assert model.version() == 1
    shown = typed("model", "list")[1].splitlines()
    assert any(re.match(r"\*p +1 ", line) for line in shown)
    assert typed("model", "unpin")[1].startswith("in use: version 2")
    assert json.loads(typed("model", "show", "--json")[1])["version"] == 2
    assert "parameters" in typed("model", "show")[1]


def test_commands_before_the_first_model_say_what_to_do(tmp_path, typed):
    for words in (["model", "list"], ["model", "show"], ["model", "export", "m.npz"], ["model", "pin", "1"], ["predict", "rows.csv"]):
        code, out, _ = typed(*words, "--state", str(tmp_path / "nothing"), "--json")
        error = json.loads(out)["error"]
        assert (code != ExitCode.DONE, error["kind"]) == (True, "model-none")
        assert error["next"]


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_predict_from_a_file_to_a_file(state, typed, kind):
    del state
    if kind == "csv":
        Path("rows.csv").write_text("a,b,c,d\n" + "".join(",".join(map(str, row)) + "\n" for row in ROWS))
    else:
        np.savez("rows.npz", x=ROWS)
    code, out, _ = typed("predict", f"rows.{kind}", "--out", f"out.{kind}", "--json")
    assert (code, json.loads(out)["rows"], json.loads(out)["version"]) == (ExitCode.DONE, 3, 1)

    if kind == "csv":
        assert Path("out.csv").read_text().split() == ["prediction", "0", "1", "1"]
    else:
        with np.load("out.npz") as arrays:
            assert arrays["predictions"].tolist() == [0, 1, 1]
    assert typed("predict", f"rows.{kind}")[1] == "0\n1\n1\n"


def test_columns_may_be_named(state, typed):
    del state
    Path("rows.csv").write_text("label,d,c,b,a\n7,0,0,0,1\n7,9,0,0,0\n")
    assert typed("predict", "rows.csv", "--features", "a,b,c,d")[1] == "0\n1\n"


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "a,b,c,d\n1,2,3,what\n"])
def test_a_file_without_usable_rows_is_refused_without_its_values(state, typed, text):
    del state
    Path("rows.csv").write_text(text)
    code, out, err = typed("predict", "rows.csv", "--json")

    assert code != ExitCode.DONE
    assert json.loads(out)["error"]["kind"].startswith("data-")
    assert "what" not in err


def test_a_damaged_card_is_no_version(state):
    (KeptModels(state).current().folder / CARD).write_text("{")
    with refused(Refusal.MODEL_NONE, LocalError):
        KeptModels(state).current()


def test_a_card_tells_nothing_secret():
    assert set(Card.__struct_fields__) & {"data", "rows", "key", "share"} == set()


def test_a_damaged_file_is_not_used(state):
    found = KeptModels(state).current()
    (found.folder / "model.npz").write_bytes(b"PK")
    with refused(Refusal.MODEL_DAMAGED, LocalError):
        Predictor(found).predict(ROWS)


def test_root_pins_through_no_link(state, tmp_path):
    found = KeptModels(state).current()
    (state / "models").rename(tmp_path / "elsewhere")
    (state / "models").symlink_to(tmp_path / "elsewhere")
    before = sorted(path.name for path in (tmp_path / "elsewhere").iterdir())

    for change in (lambda: KeptModels(state).pin(found), KeptModels(state).unpin):
        with refused(Refusal.FOLDER_UNSAFE, LocalError):
            change()
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == before
