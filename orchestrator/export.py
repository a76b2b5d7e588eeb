"""A model to take home: an npz file that numpy alone can read, or the ONNX file that it was, with the trained values."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from hushfleet.privacy import epsilon
from models import catalogue
from orchestrator.account import greatest
from orchestrator.job import file as job_file
from orchestrator.job.file import PrivacyTable
from orchestrator.store.reports import Reports

METADATA = "metadata"


def export_model(reports: Reports, *, name: str | None = None, best: bool = False, onnx: bool = False) -> tuple[dict[str, Any], bytes]:
    """The metadata, and a file of one array per parameter and `metadata` as a JSON text. `onnx`: an ordinary inference file.

    The model is that of the current job, or of the latest job `name`. `epsilon` is that of this job alone, for a device that took part
    in each of its rounds; `epsilon_life` that of the device that has spent most over its life, in all jobs, which is `epsilon_life_device`.
    Both at `delta`, None without privacy; a device's status may tell of more than was accepted. Raises `LocalError`:
    `JOB_UNKNOWN`, `STORE_UNUSABLE`, and with `onnx` also `MODEL_NAME` (no ONNX model, or its trainable model is gone), `MODEL_DAMAGED`.
    """
    job = reports.current(name)
    settings = job_file.parse(job.settings, Path(job.name))
    architecture = catalogue.architecture(settings.model.full_name)
    model = reports.model(architecture.dimension, best=best, name=name)
    privacy = settings.privacy
    metadata: dict[str, Any] = {
        "job": job.name,
        "model": architecture.name,
        "architecture": architecture.digest.hex(),
        "version": model.version,
        "parameters": model.digest.hex(),
        "rounds_released": job.released,
        "noise_multiplier": privacy.noise_multiplier,
        "epsilon": None if privacy.without_privacy else epsilon(job.rho_nano, privacy.delta),
        "delta": privacy.delta,
        **_life(reports, privacy),
    }
    if onnx:
        content = catalogue.inference_file(settings.model.full_name, model)
    else:
        content = _npz({**architecture.split(model.parameters), METADATA: np.array(json.dumps(metadata))})
    return metadata, content


def _life(reports: Reports, privacy: PrivacyTable) -> dict[str, Any]:
    """The privacy that the device with the greatest spending has spent over its life."""
    most = greatest(reports.accounts())
    if privacy.without_privacy or most is None:
        return {"epsilon_life": None, "epsilon_life_device": None}
    return {"epsilon_life": epsilon(most.spent_nano, privacy.delta), "epsilon_life_device": most.device_id}


def _npz(arrays: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()
