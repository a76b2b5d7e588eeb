"""`hushfleet model`, as people and programs use it."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from hushfleet.cli import ExitCode, run
from hushfleet.errors import Refusal
from models.onnx.prepare.cli import model as command
from models.onnx.trainable import load_trainable
from tests.support.onnx_files import ROWS, mlp, model, node, saved, tensors, value


def call(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(one) for one in arguments], catch_exceptions=False)


def answer(*arguments: object) -> dict[str, object]:
    result = call(*arguments, "--json")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 1
    return json.loads(result.stdout)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return saved(tmp_path, mlp(softmax=True))


@pytest.fixture
def trainable(file: Path) -> Path:
    call("prepare", file, "--loss", "softmax-cross-entropy")
    return file.with_suffix(".trainable")


def test_prepare_writes_a_trainable_model_and_shows_what_trains(file: Path):
    result = call("prepare", file, "--loss", "softmax-cross-entropy", "--freeze", "b*")
    lines = result.stdout.splitlines()
    assert ["trained", "w1", "6", "x", "4"] in [line.split() for line in lines]
    assert ["frozen", "b1", "6", "frozen", "by", "--freeze"] in [line.split() for line in lines]
    assert "42 values are trained in 2 parameters" in lines
    assert "fed      targets: int64 (rows) from 0 to 2" in lines
    assert "loss     softmax-cross-entropy of p, before its softmax" in lines
    assert "finite differences" in result.stderr
    assert load_trainable(file.with_suffix(".trainable")).manifest.dimension == 42


def test_prepare_for_programs(file: Path, tmp_path: Path):
    found = answer("prepare", file, "--loss", "mse", "--out", tmp_path / "other", "--weights", "--train", "w*")
    loaded = load_trainable(tmp_path / "other")
    assert found["trainable"] == str(tmp_path / "other")
    assert found["architecture"] == loaded.architecture.digest.hex()
    assert found["values"] == loaded.manifest.dimension == 42
    assert found["manifest"]["weights"]["name"] == "sample_weights"
    assert found["check"]["worst"] < found["check"]["tolerance"]


def test_inspect_a_file(tmp_path: Path):
    nodes = [node("MatMul", "x w", "h"), node("Hardmax", "h", "z")]
    path = saved(tmp_path, model(nodes, [value("x", ROWS, 4)], [value("z", ROWS, 3)], tensors(w=(4, 3))))
    assert "without a derivative: Hardmax" in call("inspect", path).stdout.splitlines()
    found = answer("inspect", path)
    assert found["parameters"] == {"w": [4, 3]}
    assert (found["without_derivative"], found["operators"]) == (["Hardmax"], {"MatMul": 1, "Hardmax": 1})


def test_inspect_a_trainable(trainable: Path):
    assert answer("inspect", trainable)["values"] == 51
    assert "51 values are trained in 4 parameters" in call("inspect", trainable).stdout.splitlines()


def test_check_a_trainable(trainable: Path):
    found = answer("check", trainable, "--seed", 4)
    assert set(found["errors"]) == {"w1", "b1", "w2", "b2"}
    assert "gradients agree with finite differences in float64" in call("check", trainable).stdout


@pytest.mark.parametrize("words", ["check", "bench", "inspect"])
def test_the_owners_bundle_is_said_to_be_one(words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    bundle = tmp_path / "pi-01.bundle"
    bundle.write_bytes(b"signed")

    assert run(["model", words, str(bundle)]) == ExitCode.USAGE
    err = capsys.readouterr().err
    assert "the owner's bundle for a device" in err
    assert f"hushfleet agent join {bundle}" in err


def test_bench_a_trainable(trainable: Path):
    found = answer("bench", trainable, "--batch", 8, "--steps", 3)
    assert (found["batch"], found["steps"]) == (8, 3)
    assert found["step_s"] > 0
    assert found["inference_s"] > 0


def test_sizes_and_ranges(tmp_path: Path):
    nodes = [node("ReduceMean", "x axes", "m", keepdims=0), node("MatMul", "m w", "z")]
    stored = tensors(w=(4, 3)) | {"axes": np.array([1])}
    path = saved(tmp_path, model(nodes, [value("x", ROWS, "length", 4)], [value("z", ROWS, 3)], stored))
    found = answer("prepare", path, "--loss", "mse", "--size", "length=5", "--range", "x=-1:2.5")
    (x,) = found["manifest"]["features"]
    assert (x["shape"], x["low"], x["high"]) == ([5, 4], -1, 2.5)


WRONG = [("--size", "length"), ("--size", "length=0"), ("--range", "x=2:1"), ("--range", "x=2"), ("--range", "=1:2")]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_wrong_options_are_told(file: Path, wrong: tuple[str, str]):
    result = call("prepare", file, "--loss", "mse", *wrong)
    assert result.exit_code == ExitCode.USAGE
    assert "as in" in result.stderr


def test_a_refusal_becomes_an_error_with_a_next_step(file: Path, capsys: pytest.CaptureFixture[str]):
    code = run(["model", "prepare", str(file), "--loss", "mse", "--freeze", "*", "--json"])
    told = json.loads(capsys.readouterr().out.splitlines()[-1])["error"]
    assert code != ExitCode.DONE
    assert told["kind"] == Refusal.MODEL_UNSUPPORTED
    assert "hushfleet model inspect" in told["next"]
