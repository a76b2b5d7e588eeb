"""A job file to begin with: what fits the fleet's roster, its owner's policy and the budgets that are left."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hushfleet.documents import VerifiedRoster
from hushfleet.errors import LocalError, Refusal
from models import catalogue
from orchestrator.account import NANO, Account
from orchestrator.job import file as job_file
from orchestrator.job.check import CheckedJob, Spending, check

_SHARE = 0.25
"""The part of the least budget that is left which the job may spend."""
_PRESENT = 0.8
"""The part of the enrolled devices that a round counts on."""
_ROUNDING = 100

_TEXT = """\
# A job for this fleet. Everything that is wrong with it, and what it costs: {check}

[job]
name = {name}
rounds = {rounds}                  # released models; more rounds learn more and cost more

[model]
{model}

[training]                  # on every device, whatever its data
local_steps = {local_steps}
batch_size = {batch_size}
learning_rate = {learning_rate:g}

[privacy]
clip_norm = {clip_norm:g}             # about the length of an update; the noise grows with it
noise_multiplier = {noise:g}     # {rounds} rounds then cost about {share:.0%} of what each device has left of its budget
delta = 1e-6                # at which epsilon is told

[cohort]
min_devices = {least}             # of {enrolled} enrolled; a round waits for as many
max_devices = {most}
deadline_s = 600            # a round closes at max_devices, or then

[aggregation]
scheme = "auto"
optimizer = "fedavgm"       # or fedavg, fedadam
momentum = 0.8

# [evaluation]              # rows that no device has: without them nothing says how good the model is
# path = "holdout.npz"      # npz or csv, relative to this file
"""


@dataclass(frozen=True, slots=True)
class NewJob:
    """The text of a new job file, and the job in it, checked."""

    text: str
    checked: CheckedJob


def new_job(model: str, path: Path, roster: VerifiedRoster, accounts: Sequence[Account], *, rounds: int, name: str, command: str) -> NewJob:
    """The job for `model`, a name of the catalogue or a trainable model, as it will stand in the file at `path`.

    `command`: the check that the file's first line names. Raises `LocalError`: `MODEL_NAME` for a model that is unknown or that the
    owner's policy does not allow, `CONFIG_INVALID` where no job of that model fits.
    """
    architecture = catalogue.architecture(model)
    _require_allowed(architecture.name, architecture.digest, roster)
    first = _written(1.0, model, path, roster, accounts, rounds=rounds, name=name, command=command)
    update = check(*_parsed(first, path), path, roster).noise.update
    text = first
    if update is not None and update < 1:
        text = _written(float(f"{max(update, 1e-6):.1g}"), model, path, roster, accounts, rounds=rounds, name=name, command=command)
    file, whole = _parsed(text, path)
    return NewJob(text, check(file, whole, path, roster, Spending(tuple(accounts), rounds)))


def _written(
    clip_norm: float,
    model: str,
    path: Path,
    roster: VerifiedRoster,
    accounts: Sequence[Account],
    *,
    rounds: int,
    name: str,
    command: str,
) -> str:
    policy, enrolled = roster.policy, len(roster.roster.devices)
    least = max(policy.min_devices, math.ceil(_PRESENT * enrolled))
    left = min((one.left_nano for one in accounts if one.trains and one.left_nano), default=policy.budget_nano_rho)
    noise = _noise(rounds, left, float(policy.min_noise_squared))
    return _TEXT.format(
        check=command,
        name=json.dumps(name),
        rounds=rounds,
        model=_model_line(model, path),
        local_steps=min(20, policy.max_local_steps),
        batch_size=min(16, policy.max_batch_size),
        learning_rate=min(0.5, policy.max_learning_rate),
        clip_norm=clip_norm,
        noise=noise,
        share=min(9.99, rounds / (2 * noise**2) * NANO / left) if left else 1,
        least=least,
        most=max(least, min(policy.max_devices, enrolled)),
        enrolled=enrolled,
    )


def _noise(rounds: int, left_nano: int, least_squared: float) -> float:
    """The multiplier at which `rounds` rounds, each 1 / (2 z^2), cost that share of what is left; never below the policy's."""
    budget = _SHARE * left_nano / NANO
    wanted = math.sqrt(rounds / (2 * budget)) if budget > 0 else 0.0
    return math.ceil(_ROUNDING * max(wanted, math.sqrt(least_squared))) / _ROUNDING


def _model_line(model: str, path: Path) -> str:
    if catalogue.is_trainable(model):
        return f"onnx = {_path_line(Path(model), path)}"
    if not catalogue.names_a_file(model):
        return f"name = {json.dumps(str(catalogue.parse(model)))}"
    under = catalogue.parse_contracted(model)
    parsed = under.sized(1, 1)
    lines = [f"name = {json.dumps(under.family)}", f"contract = {_path_line(Path(under.contract), path)}   # says inputs and outputs"]
    lines += [f"hidden = [{under.hidden.replace('x', ', ')}]"] if under.hidden else []
    chosen = {"activation": parsed.activation, "loss": parsed.loss}
    return "\n".join([*lines, *(f"{key} = {json.dumps(value)}" for key, value in chosen.items() if value in under.options)])


def _path_line(file: Path, path: Path) -> str:
    """The text of `file` in the job file at `path`: as it counts from there."""
    whole, folder = file.expanduser().absolute(), path.absolute().parent
    return json.dumps(str(whole.relative_to(folder) if whole.is_relative_to(folder) else whole))


def _parsed(text: str, path: Path) -> tuple[job_file.JobFile, str]:
    return job_file.parse(text, path), text


def _require_allowed(name: str, digest: bytes, roster: VerifiedRoster) -> None:
    if any((one.name, one.digest) == (name, digest) for one in roster.policy.models):
        return
    allowed = ", ".join(one.name for one in roster.policy.models) or "none"
    raise LocalError(
        Refusal.MODEL_NAME,
        f"the owner's policy does not allow the model {name}",
        next_step=f"It allows: {allowed}. Or have the owner add it to [models] allowed in policy.toml and sign the policy.",
    )
