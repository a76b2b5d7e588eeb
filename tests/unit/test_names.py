"""Names in prose exist: what a docstring or a page puts into backticks is a name of the code, a command or a file."""

from pathlib import Path

import pytest

from tests.support.house_names import ROOT, house, names_in, read_module

PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), ROOT / "systemd" / "README.md"])

ALLOWED = {
    "NAME": "a placeholder, as in NAME.request",
    "JOB": "a placeholder, as in JOB/VERSION",
    "NAME.2": "the second of two parameters called NAME",
    "ALERT": "the beginning of a line that a program prints",
    "HUSHFLEET_AGENT_BROKER_PORT": "made from the names of a table and its key",
    "HUSHFLEET_AGENT_BROKER_HOST": "likewise",
    "HUSHFLEET_ORCHESTRATOR_BROKER_PORT": "likewise",
    "--check": "an option of a script that is run with python -m",
} | {
    name: reason
    for reason, names in {
        "a word of ONNX, or of what exports to it": "LSTM GRU RNN Einsum Scan Indices output_padding opset_version dynamic_axes val_1",
        "a layer of PyTorch": "Embedding GroupNorm",
        "a name of scikit-learn": "MLPRegressor MLPClassifier LogisticRegression LinearRegression zipmap",
        "a function of libsodium, of the operating system, of SQLite": "crypto_box_seal getrandom secure_delete",
        "a setting of Mosquitto, of systemd": "acl_file IPAddressDeny PrivateNetwork",
        "a name of phe or paho, which a decision speaks of": "EncryptedNumber loop_start is_connected()",
        "a scheme that a policy may name and this version lacks": "masked shared",
        "an activation, by the name that a manifest gives it": "sigmoid",
    }.items()
    for name in names.split()
}
"""Names that are in no code, and why they may stand in prose."""


def strange_in_module(name: str, source: str) -> set[str]:
    module = read_module(name, source)
    ticked = {one for _, text in module.docstrings for one in names_in(text)}
    return {one for one in ticked - set(ALLOWED) if not house().exists(one, module)}


def strange_in_page(text: str) -> set[str]:
    return {one for one in set(names_in(text)) - set(ALLOWED) if not house().exists(one, None)}


def source_of(name: str) -> str:
    path = ROOT / name.replace(".", "/")
    return (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()


@pytest.mark.parametrize("name", sorted(house().modules))
def test_names_in_a_module_exist(name: str) -> None:
    assert strange_in_module(name, source_of(name)) == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_on_a_page_exist(page: Path) -> None:
    assert strange_in_page(page.read_text()) == set()


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("models.onnx.prepare", "normalise"),
        ("hushfleet.aggregation.global_optimizers", "check_model"),
        ("hushfleet.signing", "VerifyKey.shut"),
        ("hushfleet.signing", "hushfleet.signing.Unsigned"),
        ("hushfleet.link", "hushfleet/link/interface.py"),
        ("hushfleet.errors", "PeerError(NO_SUCH_REASON)"),
        ("edge_agent.cli", "hushfleet agent enroll"),
        ("edge_agent.cli", "--jsn"),
        ("edge_agent.folder", "nowhere.json"),
        ("models.onnx", "onnx.no_such_name"),
        ("simulation", "python -m simulation.nothing"),
    ],
)
def test_a_name_that_names_nothing_is_found(name: str, wrong: str) -> None:
    source = source_of(name)
    planted = source.replace('"""', f'"""`{wrong}` ', 1)

    assert strange_in_module(name, source) == set()
    assert strange_in_module(name, planted) == {wrong}


@pytest.mark.parametrize("wrong", ["hushfleet agent enroll", "--jsn", "docs/nothing.md", "no_such_name", "hushfleet.no.name", "nope.toml"])
def test_a_name_that_names_nothing_is_found_on_a_page(wrong: str) -> None:
    assert strange_in_page(f"Type `{wrong}`.") == {wrong}


def test_what_is_no_name_is_left_alone() -> None:
    assert strange_in_page("`sum(y^2) <= B2`, `(d,)`, `a .. b`\n```\n`no_such_name`\n```\n") == set()


def test_what_is_allowed_is_still_written_somewhere() -> None:
    ticked = {one for module in house().modules.values() for _, text in module.docstrings for one in names_in(text)}
    ticked |= {one for page in PAGES for one in names_in(page.read_text())}

    assert set(ALLOWED) <= ticked
