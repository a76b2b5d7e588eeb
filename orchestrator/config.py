"""The settings of an orchestrator besides its job: `orchestrator.toml`, then the environment. All of it is optional.

A key `port` of the table `[broker]` is `HUSHFLEET_ORCHESTRATOR_BROKER_PORT` in the environment, which wins.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from hushfleet.program.settings import BrokerSettings, TestingSettings, Text, parse_settings, text_of

DEFAULT_PATH = Path("/etc/hushfleet/orchestrator.toml")
ENVIRONMENT = "HUSHFLEET_ORCHESTRATOR_"


class StoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The database, as an SQLAlchemy URL; by default SQLite in the state folder. Blobs and archive stay in that folder."""

    url: Text | None = None


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole configuration."""

    broker: BrokerSettings = BrokerSettings()
    store: StoreSettings = StoreSettings()
    testing: TestingSettings = TestingSettings()


def load(path: Path | None, environment: Mapping[str, str] = os.environ) -> Config:
    """The configuration in the file `path` (None: the default one, if it is there) under `environment`.

    Raises `FileNotFoundError` for a path that was given, `LocalError(CONFIG_INVALID)` with every mistake.
    """
    source = path or DEFAULT_PATH
    next_step = f"Correct {source} or the environment, then run the command again."
    text = text_of(source, next_step=next_step) if path is not None or source.exists() else ""
    return parse_settings(Config, text, source=source, next_step=next_step, environment=environment, prefix=ENVIRONMENT)
