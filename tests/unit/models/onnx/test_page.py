"""The code of docs/onnx.md runs, and what it says of losses and refusals is so."""

import os
import re

import numpy as np
import pytest

from hushfleet.errors import Refusal
from models.onnx.prepare import prepare
from models.onnx.prepare.loss_names import LOSS_NAMES
from models.onnx.prepare.losses import LOSSES


@pytest.fixture(scope="module")
def page(pytestconfig):
    return (pytestconfig.rootpath / "docs" / "onnx.md").read_text()


def test_the_manifest_is_enough_to_run_the_graph(page, pytestconfig, tmp_path, monkeypatch):
    golden = pytestconfig.rootpath / "tests" / "golden" / "onnx"
    prepare(golden / "lenet.script.onnx", loss="softmax-cross-entropy").save(tmp_path / "net.trainable")
    code = next(block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "manifest" in block)
    monkeypatch.chdir(tmp_path)
    with np.load(golden / "lenet.npz") as stored:
        names = {"features": stored["features"], "targets": stored["targets"]}
        exec(code.replace("open(", "_open("), names | {"_open": closing(opened := [])}, names)  # noqa: S102 -- our own page
        for file in opened:
            file.close()

        assert names["loss"] == pytest.approx(float(stored["loss"]))
        np.testing.assert_allclose(names["gradients"][0], stored["gradient:0.weight"], atol=1e-6)


def closing(opened):
    """The page leaves files open, as a script may; a test that warnings fail may not."""

    def open_(name, mode="r"):
        opened.append(os.fdopen(os.open(name, os.O_RDONLY), mode))
        return opened[-1]

    return open_


def test_the_losses_are_those_of_the_tool(page):
    rows = page.split("| loss | targets |")[1].split("\n\n")[0]

    assert re.findall(r"^\| `([a-z-]+)`", rows, re.MULTILINE) == list(LOSSES) == list(LOSS_NAMES)


def test_the_refusals_it_names_exist(page):
    named = set(re.findall(r"`(model-[a-z-]+)`", page))

    assert named
    assert named <= {reason.value for reason in Refusal}
