"""The fleet's model in a program of one's own, in three lines: from `edge_agent` import this module, then `current` and `predict`.

Each call looks at the disk, so a program that runs for long uses a later version from its release on. Importing this loads no network, and
no model until one is used.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.kept_models import KeptModels

if TYPE_CHECKING:
    import numpy.typing as npt

    from edge_agent.predictor import Array, Predictor

_loaded: "dict[Path, Predictor]" = {}


def current(state: Path | None = None) -> "Predictor":
    """The version in use on this device: what is pinned, or the latest release that was verified. `LocalError(MODEL_NONE)` without one.

    `state`: the agent's state folder; by default that of `HUSHFLEET_AGENT_STATE`, or of an agent that is run by hand.
    """
    from edge_agent.predictor import Predictor  # noqa: PLC0415 -- numpy and the catalogue, when a model is used

    folder = (state or _state(os.environ)).absolute()
    found = KeptModels(folder).current()
    held = _loaded.get(folder)
    if held is None or held.kept != found:
        held = _loaded[folder] = Predictor(found)
    return held


def predict(rows: "npt.ArrayLike", state: Path | None = None) -> "Array":
    """Predictions of the version in use for rows (n, features). Raises as `current`, and as the version's own `predict`."""
    return current(state).predict(rows)


def version(state: Path | None = None) -> int:
    """The number of the version in use. Raises as `current`."""
    return current(state).version


def _state(environment: Mapping[str, Any]) -> Path:
    from edge_agent.folder import default_state  # noqa: PLC0415 -- the cryptography of a party's folder, where it is needed

    named = environment.get("HUSHFLEET_AGENT_STATE")
    return Path(named) if named else default_state()
