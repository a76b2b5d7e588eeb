"""Fleets and job files for tests of jobs: a softmax over four features and two classes, ten values in all, as in `tests.support.fleet`."""

from pathlib import Path

import msgspec
import numpy as np

from hushfleet.documents import Broker, Bundle, EnrolledRole, Policy, sign_bundle
from models import catalogue
from orchestrator.enrolment import join, read_bundle
from orchestrator.folder import OrchestratorKeys, StateFolder
from tests.support.fleet import Fleet, allowing, make_fleet

MODEL = "softmax:4x2"
JOB = """\
[job]
name = "tiny"
rounds = 2
[model]
name = "softmax"
inputs = 4
outputs = 2
[training]
local_steps = 2
batch_size = 4
learning_rate = 0.5
[privacy]
clip_norm = 1.0
noise_multiplier = 4.0
delta = 1e-6
[cohort]
min_devices = 4
max_devices = 5
deadline_s = 60
[aggregation]
scheme = "auto"
optimizer = "fedavgm"
momentum = 0.8
[evaluation]
path = "holdout.npz"
"""


def job_fleet(*, devices: int = 6, **policy: object) -> Fleet:
    """A fleet whose owner allows the model of `JOB`."""
    architecture = catalogue.architecture(MODEL)
    return make_fleet(devices=devices, policy={"models": allowing(architecture), **policy}, job={"architecture": architecture})


def write_job(folder: Path, **changes: str) -> Path:
    """`job.toml` with its holdout in `folder`; `changes`: key -> the text that replaces that key's line."""
    text = JOB
    for key, line in changes.items():
        before = next(one for one in JOB.splitlines() if one.startswith(f"{key} ="))
        text = text.replace(before, line)
    path = folder / "job.toml"
    path.write_text(text)
    write_holdout(folder / "holdout.npz")
    return path


def write_holdout(path: Path, *, rows: int = 20, width: int = 4) -> None:
    """Rows whose class is the sign of their first feature."""
    features = np.linspace(-1, 1, rows * width).reshape(rows, width)
    np.savez(path, x=features, y=(features[:, 0] > 0).astype(np.int64))


def with_policy(policy: Policy, **changes: object) -> Policy:
    """The same policy with other values."""
    return msgspec.structs.replace(policy, **changes)


def bundle_for(fleet: Fleet, *, name: str = "orchestrator", role: EnrolledRole = EnrolledRole.ORCHESTRATOR) -> bytes:
    """What the owner gives back; its certificates are for nobody."""
    fleet_name = fleet.parties.owner.fleet
    bundle = Bundle(fleet_name, role, name, fleet.roster.signed, b"", Broker("broker.lan", 8883), b"ca", b"certificate")
    return sign_bundle(bundle, fleet.parties.owner.root)


def joined(fleet: Fleet, path: Path) -> StateFolder:
    """The state folder of the fleet's orchestrator, after it joined."""
    folder = StateFolder(path)
    folder.make()
    keys = fleet.parties.orchestrator
    OrchestratorKeys("orchestrator", keys.signing, keys.sealing).save(path)
    join(folder, read_bundle(folder, bundle_for(fleet)))
    return folder
