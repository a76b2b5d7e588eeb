"""What an orchestrator is told besides its job: `orchestrator.toml`, then the environment. All of it is optional.

A key `port` of the table `[broker]` is `HUSHFLEET_ORCHESTRATOR_BROKER_PORT` in the environment, which wins.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from hushfleet.cli_settings import parse_settings, text_of

DEFAULT_PATH = Path("/etc/hushfleet/orchestrator.toml")
ENVIRONMENT = "HUSHFLEET_ORCHESTRATOR_"

_Text = Annotated[str, msgspec.Meta(min_length=1)]


class BrokerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What differs from the bundle. No message exceeds `max_bytes`, nor what the broker allows."""

    host: _Text | None = None
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] | None = None
    max_bytes: Annotated[int, msgspec.Meta(ge=1024, le=1_000_000)] = 120_000
    keepalive_s: Annotated[int, msgspec.Meta(ge=5, le=3600)] = 60


class StoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the database is, as an SQLAlchemy URL; by default SQLite in the state folder. Blobs and archive stay in that folder."""

    url: _Text | None = None


class TestingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Never in production: `insecure_keys` accepts threshold keys that anyone can break."""

    __test__ = False  # pytest: a class of settings, not of tests

    insecure_keys: bool = False


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
