"""The settings of an agent: `agent.toml`, then the environment, checked whole before anything starts.

A key `port` of the table `[broker]` is `HUSHFLEET_AGENT_BROKER_PORT` in the environment, which wins. Imports nothing heavy:
the number of threads has to be known before numpy is imported.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from hushfleet.program.settings import BrokerSettings, Mistake, TestingSettings, Text, parse_settings, text_of, wrong
from hushfleet.typed import typed

DEFAULT_PATH = Path("/etc/hushfleet/agent.toml")
ENVIRONMENT = "HUSHFLEET_AGENT_"


class DataSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The source of training data. The meaning of `features`, `labels` and `options` is the source's own."""

    source: Text
    path: Path | None = None
    features: Text | tuple[Text, ...] = "x"
    labels: Text | tuple[Text, ...] = "y"
    options: dict[str, Any] = {}
    contract: Path | None = None
    columns: dict[str, str] = {}
    """From the contract's names to this file's own, where they differ."""


class TrainingChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The switch for training, and the share of the machine that it takes. `nice`: 0 as others, 19 after all others.

    `models` are names of the catalogue, and trainable models, `net.trainable`; empty: those that the agent finds for a plan by itself.
    """

    enabled: bool = True
    threads: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1
    nice: Annotated[int, msgspec.Meta(ge=0, le=19)] = 10
    models: tuple[Text, ...] = ()


class LogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The amount of logging."""

    level: Literal["error", "warning", "info", "debug"] = "info"


class StatusSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The line that everybody who may read this device's status sees beside its name; nothing by default."""

    shown: Annotated[str, msgspec.Meta(max_length=80, pattern="^[ -~]*$")] = ""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole configuration. `data` is None on a box that only decrypts."""

    broker: BrokerSettings = BrokerSettings()
    data: DataSettings | None = None
    training: TrainingChoice = TrainingChoice()
    log: LogSettings = LogSettings()
    status: StatusSettings = StatusSettings()
    testing: TestingSettings = TestingSettings()


def load(path: Path | None, environment: Mapping[str, str] = os.environ, *, needs_data: bool = True) -> Config:
    """The configuration in the file `path` (None: the default one, if it is there) under `environment`.

    `needs_data`: a device that trains must say on what. Raises `FileNotFoundError` for a path that was given,
    `LocalError(CONFIG_INVALID)` with every mistake.
    """
    source, next_step = path or DEFAULT_PATH, f"Correct this, then run: {typed('agent', 'config', 'check')}"
    text = text_of(source, next_step=next_step) if path is not None or source.exists() else ""
    if source.parent == Path(environment.get("CREDENTIALS_DIRECTORY") or "/nowhere"):
        source = DEFAULT_PATH  # what systemd copied for the service: a person knows the original
    config = parse_settings(Config, text, source=source, next_step=next_step, environment=environment, prefix=ENVIRONMENT)
    if needs_data and config.training.enabled and config.data is None:
        missing = "a device that trains needs [data]: source and path; a box that only decrypts has [training] enabled = false"
        raise wrong(source, text, [Mistake("training", "", missing)], next_step)
    named_in = Path.cwd() if f"{ENVIRONMENT}TRAINING_MODELS" in environment else source.absolute().parent
    models = tuple(_placed(name, named_in) for name in config.training.models)
    return msgspec.structs.replace(config, training=msgspec.structs.replace(config.training, models=models))


def _placed(name: str, folder: Path) -> str:
    """As `models.catalogue.placed`, which brings numpy along: a trainable model's path counts from the folder of the file that names it."""
    if "@" in name:
        family, _, rest = name.partition("@")
        path, *options = rest.split(":")
        return ":".join((f"{family}@{folder / Path(path).expanduser()}", *options))
    return str(folder / Path(name).expanduser()) if name.endswith((".trainable", ".bundle")) else name
