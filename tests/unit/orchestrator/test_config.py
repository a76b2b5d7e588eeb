import re
from pathlib import Path

import pytest

from hushfleet.errors import LocalError, Refusal
from hushfleet.program.settings import BrokerSettings
from orchestrator.config import Config, load
from tests.support.refusals import refused


def write(folder, text):
    path = folder / "orchestrator.toml"
    path.write_text(text)
    return path


def test_everything_is_optional():
    assert load(None, {}) == Config()


def test_a_file_and_the_environment_which_wins(tmp_path):
    path = write(tmp_path, '[broker]\nhost = "broker.lan"\nport = 1883\n[store]\nurl = "sqlite:///x.db"\n')

    config = load(path, {"HUSHFLEET_ORCHESTRATOR_BROKER_PORT": "8884", "HUSHFLEET_ORCHESTRATOR_STATE": "/elsewhere"})

    assert config.broker == BrokerSettings("broker.lan", 8884)
    assert config.store.url == "sqlite:///x.db"


def test_a_file_that_was_named_must_be_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "orchestrator.toml", {})


def test_what_is_wrong_is_refused(tmp_path):
    with refused(Refusal.CONFIG_INVALID, LocalError):
        load(write(tmp_path, "[broker]\nport = 0\n"), {})


def test_the_shipped_example_says_what_is_so_anyway_and_its_comments_are_settings_too(tmp_path):
    example = Path(__file__).parents[3] / "examples" / "orchestrator.toml"
    assert load(example, {}) == Config()

    config = load(write(tmp_path, re.sub(r"^# (?=host|port|url)", "", example.read_text(), flags=re.MULTILINE)), {})
    assert (config.broker.host, config.broker.port) == ("broker.lan", 8883)
    assert config.store.url.startswith("sqlite:")
