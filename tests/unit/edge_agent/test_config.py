from pathlib import Path

import pytest

from edge_agent import config
from edge_agent.config import DataSettings, TrainingChoice, load
from hushfleet.errors import LocalError, Refusal
from hushfleet.program.settings import BrokerSettings
from models import catalogue
from tests.support.refusals import refused

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples/agent.toml"
WRONG = """
[broker]
hoost = "broker.lan"
port = 70000
[data]
source = "npz"
features = 3
[training]
threads = 0
nice = "low"
enabled = 1
[log]
level = "loud"
[trainning]
"""


def written(tmp_path, text):
    path = tmp_path / "agent.toml"
    path.write_text(text)
    return path


def test_the_shipped_example_loads_and_is_what_the_package_carries():
    example = load(EXAMPLE, {})

    assert example.data == DataSettings("npz", Path("/srv/training/digits.npz"), "x", "y")
    assert example.training == TrainingChoice()
    assert (ROOT / "edge_agent/agent.toml").read_bytes() == EXAMPLE.read_bytes()


def test_the_shipped_example_names_every_key_and_its_default(tmp_path):
    """What is commented out there may be written as it stands, and changes nothing."""
    lines = [line.removeprefix("# ") if " = " in line or line.startswith("# [") else line for line in EXAMPLE.read_text().splitlines()]
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("[data.options]", "").replace('host = "broker.lan"', "")

    everything = load(written(tmp_path, text), {})

    assert everything == load(EXAMPLE, {"HUSHFLEET_AGENT_BROKER_PORT": "8883"})
    for table in (BrokerSettings, DataSettings, TrainingChoice, config.LogSettings):
        for key in table.__struct_fields__:
            assert key in EXAMPLE.read_text()


def test_every_wrong_line_is_named_at_once_with_the_next_step(tmp_path):
    with pytest.raises(LocalError) as caught:
        load(written(tmp_path, WRONG), {})

    lines = [line.split(":")[0].strip() for line in caught.value.message.splitlines()[1:]]
    assert lines == [f"line {number}" for number in (3, 4, 7, 9, 10, 11, 13, 14)]
    assert "hushfleet agent config check" in caught.value.next_step
    with refused(Refusal.CONFIG_INVALID, LocalError):
        raise caught.value


def test_the_environment_wins(tmp_path):
    path = written(tmp_path, '[broker]\nport = 1\n[data]\nsource = "npz"\npath = "a.npz"')
    environment = {"HUSHFLEET_AGENT_BROKER_PORT": "18883", "HUSHFLEET_AGENT_DATA_PATH": "/b.npz", "HUSHFLEET_AGENT_LOG_LEVEL": "debug"}

    changed = load(path, environment)

    assert (changed.broker.port, changed.data.path, changed.log.level) == (18883, Path("/b.npz"), "debug")
    assert load(path, {}).data.path == tmp_path / "a.npz"


def test_a_device_that_trains_must_say_on_what(tmp_path):
    path = written(tmp_path, "[broker]\nport = 8883\n[training]\nthreads = 2\n")

    with refused(Refusal.CONFIG_INVALID, LocalError):
        load(path, {})
    assert load(path, {}, needs_data=False).training.threads == 2
    assert load(path, {"HUSHFLEET_AGENT_TRAINING_ENABLED": "false"}).data is None


def test_without_a_file_the_environment_is_enough(monkeypatch, tmp_path):
    monkeypatch.setattr(config, "DEFAULT_PATH", tmp_path / "agent.toml")
    environment = {"HUSHFLEET_AGENT_DATA_SOURCE": "csv", "HUSHFLEET_AGENT_DATA_PATH": "/d.csv"}

    assert load(None, environment).data == DataSettings("csv", Path("/d.csv"))
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "agent.toml", environment)


def test_a_file_that_systemd_copied_is_told_of_under_its_own_name(tmp_path):
    path = written(tmp_path, '[data]\nsource = "npz"\npath = "digits.npz"\n')
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}

    assert load(path, environment).data.path == Path("/etc/hushfleet/digits.npz")
    path.write_text("[brokers]")
    with pytest.raises(LocalError, match=r"^/etc/hushfleet/agent\.toml"):
        load(path, environment)


def test_trainable_model_count_from_the_folder_of_the_file(tmp_path):
    text = '[training]\nmodels = ["softmax:4x3", "net.trainable", "/srv/other.trainable"]\n[data]\nsource = "npz"\n'

    models = load(written(tmp_path, text), {}).training.models

    assert models == ("softmax:4x3", f"{tmp_path}/net.trainable", "/srv/other.trainable")
    assert models == tuple(catalogue.placed(name, tmp_path) for name in ("softmax:4x3", "net.trainable", "/srv/other.trainable"))


def test_a_relative_path_counts_from_where_it_was_typed(monkeypatch, tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "agent.toml").write_text('[data]\nsource = "npz"\npath = "d.npz"\n[training]\nmodels = ["net.trainable"]\n')
    monkeypatch.chdir(tmp_path)
    from_file = load(Path("etc/agent.toml"), {})
    typed = {"HUSHFLEET_AGENT_DATA_PATH": "d.npz", "HUSHFLEET_AGENT_TRAINING_MODELS": "net.trainable"}
    from_variable = load(Path("etc/agent.toml"), typed)

    assert (from_file.data.path, from_file.training.models) == (tmp_path / "etc/d.npz", (str(tmp_path / "etc/net.trainable"),))
    assert (from_variable.data.path, from_variable.training.models) == (tmp_path / "d.npz", (str(tmp_path / "net.trainable"),))


@pytest.mark.parametrize(
    ("variable", "text", "found"),
    [
        ("DATA_FEATURES", '["a", "b"]', ("a", "b")),
        ("DATA_FEATURES", "a", "a"),
        ("DATA_FEATURES", "*", "*"),
        ("DATA_OPTIONS", '{delimiter = ";"}', {"delimiter": ";"}),
        ("TRAINING_MODELS", "softmax:2x2, mlp:2x3x2", ("softmax:2x2", "mlp:2x3x2")),
        ("TRAINING_MODELS", '["softmax:2x2"]', ("softmax:2x2",)),
    ],
)
def test_lists_and_tables_come_from_the_environment_too(variable, text, found):
    environment = {"HUSHFLEET_AGENT_DATA_SOURCE": "csv", "HUSHFLEET_AGENT_DATA_PATH": "/d.csv", f"HUSHFLEET_AGENT_{variable}": text}
    config = load(None, environment)
    table, key = variable.lower().split("_")

    assert getattr(getattr(config, table), key) == found


def test_a_wrong_variable_is_named():
    with pytest.raises(LocalError, match=r"HUSHFLEET_AGENT_TRAINING_THREADS in the environment: .*whole number") as caught:
        load(None, {"HUSHFLEET_AGENT_TRAINING_THREADS": "many"})
    assert "many" not in str(caught.value)
