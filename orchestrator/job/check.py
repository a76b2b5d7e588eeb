"""A job held against its fleet before the first byte is sent: everything that is wrong at once, and what it will cost."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from hushfleet.documents import Plan, PrivacyPlan, VerifiedRoster
from hushfleet.documents.plan import SELECT_ALL
from hushfleet.errors import HushfleetError, LocalError, Refusal
from hushfleet.privacy import epsilon
from hushfleet.privacy.integer_rules import LEAST_VARIANCE
from hushfleet.program.contract import load_contract
from hushfleet.program.settings import Mistake, parse_what_is_right, text_of, wrong
from hushfleet.randomness import SystemRandomness
from hushfleet.rounds.plan_check import nano_rho, plan_problems
from hushfleet.rounds.planning import Job, make_plan
from hushfleet.rounds.tasks.base import Progress
from hushfleet.rounds.tasks.train import TrainingProgress, TrainingTask
from hushfleet.schemes.orchestrators import ORCHESTRATOR_SCHEMES
from hushfleet.training import GlobalModel
from models import catalogue
from models.catalogue import Model
from orchestrator.account import NANO, Account, payable_rounds, rest_lines
from orchestrator.job import file as job_file
from orchestrator.job.file import AUTO, CohortTable, JobFile, JobTable, ModelTable, PrivacyTable, TrainingTable, next_step
from orchestrator.job.holdout import Holdout, approval_of, open_holdout
from orchestrator.job.noise import Noise, noise_of, raw_features

HEADROOM = 1.5
"""More devices are asked than a cohort holds, since some are away."""

_WHERE: Mapping[Refusal, tuple[str, str]] = {
    Refusal.MODEL_NAME: ("model", "name"),
    Refusal.PLAN_ARCHITECTURE: ("model", "name"),
    Refusal.PLAN_DIMENSION: ("model", "name"),
    Refusal.PLAN_SCHEME: ("aggregation", "scheme"),
    Refusal.SETTINGS_INVALID: ("aggregation", "optimizer"),
    Refusal.PLAN_COHORT_FLOOR: ("cohort", "min_devices"),
    Refusal.PLAN_COHORT_ORDER: ("cohort", "min_devices"),
    Refusal.PLAN_COHORT_CEILING: ("cohort", "max_devices"),
    Refusal.PLAN_HONEST_CONTRIBUTORS: ("cohort", "min_devices"),
    Refusal.PLAN_DEADLINE: ("cohort", "deadline_s"),
    Refusal.PLAN_WITHOUT_PRIVACY: ("privacy", "noise_multiplier"),
    Refusal.PLAN_NOISE: ("privacy", "noise_multiplier"),
    Refusal.PLAN_UNREACHABLE: ("privacy", "noise_multiplier"),
    Refusal.PLAN_CLIP_NORM: ("privacy", "clip_norm"),
    Refusal.PLAN_SCALE: ("privacy", "clip_norm"),
    Refusal.PLAN_STEPS: ("training", "local_steps"),
    Refusal.PLAN_BATCH_SIZE: ("training", "batch_size"),
    Refusal.PLAN_LEARNING_RATE: ("training", "learning_rate"),
    Refusal.PLAN_PROXIMAL: ("training", "proximal"),
}
"""The line that a refusal is about."""
_OF_THE_INTEGERS = {Refusal.PLAN_VARIANCE, Refusal.PLAN_NOISE, Refusal.PLAN_SLOTS, Refusal.PLAN_SENSITIVITY, Refusal.PLAN_SCALE}


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a job. `epsilons`: (rounds, epsilon) after each tenth of the rounds, of a device that takes part in all of them."""

    values: int
    rho_nano: int
    budget_nano: int
    delta: float
    epsilons: tuple[tuple[int, float], ...]
    contribution_bytes: int
    model_bytes: int
    request_bytes: int


@dataclass(frozen=True, slots=True)
class Spending:
    """The accounts that pay for a job, and the `rounds` that are still to be paid for.

    `begun`: the job is under way, and what its fleet cannot pay for is a remark, no mistake.
    """

    accounts: tuple[Account, ...]
    rounds: int
    begun: bool = False

    @classmethod
    def of_fresh(cls, file: JobFile, roster: VerifiedRoster) -> "Spending":
        """All of the job's rounds, by a fleet that has spent nothing."""
        names = sorted(entry.device_id for entry in roster.roster.devices)
        return cls(tuple(Account(name, 0, roster.policy.budget_nano_rho) for name in names), file.job.rounds)


@dataclass(frozen=True, slots=True)
class CheckedJob:
    """A job that this fleet can run. `first` is the progress it begins with; `notes` is for a person to know."""

    file: JobFile
    text: str
    model: Model
    job: Job
    first: Progress
    holdout: Holdout | None
    cost: Cost
    notes: tuple[str, ...]
    enrolled: int
    spending: Spending
    noise: Noise

    @property
    def target(self) -> int:
        """Contributions at which a round closes before its deadline."""
        return self.file.cohort.target or max(self.file.cohort.min_devices, min(self.file.cohort.max_devices, self.enrolled))

    @property
    def identity(self) -> bytes:
        """The identity of a job: two files of one identity are versions of the same job."""
        return self.file.identity(self.model.architecture)


def check(file: JobFile, text: str, source: Path, roster: VerifiedRoster, spending: Spending | None = None) -> CheckedJob:
    """The job, ready to run, paid for by `spending` (by default all of it by a fleet that has spent nothing).

    Raises `LocalError(CONFIG_INVALID)` with every mistake and its line.
    """
    mistakes: list[Mistake] = []
    pays = spending or Spending.of_fresh(file, roster)
    model = _model(file, mistakes)
    holdout = _holdout(file, model, mistakes)
    devices = len(roster.roster.devices)
    _enrolled(file, roster, mistakes)
    if model is not None:
        asked = selection(devices, file.cohort.max_devices)
        first = TrainingProgress.start(model.initial(SystemRandomness()))
        job = file.to_job(model.architecture, selection=asked, approve=approval_of(file, holdout))
        job = _with_scheme(file, job, roster, first)
        plan = _plan(job, roster, first, mistakes)
        if not mistakes and plan is not None:
            cost = _cost(file, plan, roster)
            short = _over_budget(file, cost, pays)
            if not short or pays.begun:
                noise = noise_of(plan, model, file.training.plan, first.model, holdout.data if holdout else None)
                raw = raw_features(holdout.data) if holdout else ""
                notes = (*filter(None, (short, noise.warning(file.job.rounds), raw)), *_notes(file, plan, roster))
                return CheckedJob(file, text, model, job, first, holdout, cost, notes, devices, pays, noise)
            mistakes.append(Mistake("job", "rounds", f"[job] rounds: {short}"))
    raise wrong(source, text, [_as_written(file, one) for one in mistakes], next_step(source))


_RESTS_ON: Mapping[str, frozenset[str]] = {
    "aggregation": frozenset({"model"}),
    "evaluation": frozenset({"model"}),
    "job": frozenset({"cohort", "model", "privacy"}),
    "privacy": frozenset({"cohort", "model"}),
}
"""The other tables that a mistake in a table may come from."""


def read_for_fleet(path: Path, roster: VerifiedRoster) -> tuple[JobFile, str]:
    """The job in a file, as `orchestrator.job.file.read`. Where the file is wrong, what does not fit the fleet is named at once with it.

    Raises `FileNotFoundError`, `LocalError(CONFIG_INVALID)`.
    """
    text = text_of(path, next_step=next_step(path))
    stand_ins = _stand_ins(roster)
    file, mistakes, stood_in = parse_what_is_right(JobFile, text, source=path, next_step=next_step(path), stand_ins=stand_ins)
    if not mistakes:
        return job_file.read(path)
    later: list[Mistake] = []
    model = _model(file, later)
    if model is not None:
        if "evaluation" not in stood_in:
            _holdout(file, model, later)
        _enrolled(file, roster, later)
        first = TrainingProgress.start(model.initial(SystemRandomness()))
        job = _with_scheme(file, file.to_job(model.architecture), roster, first)
        _plan(job, roster, first, later)
    certain = [_as_written(file, one) for one in later if not stood_in & (_RESTS_ON.get(one.table, frozenset()) | {one.table})]
    raise wrong(path, text, [*mistakes, *certain], next_step(path))


def _stand_ins(roster: VerifiedRoster) -> dict[str, msgspec.Struct]:
    policy = roster.policy
    known = [one.name for one in policy.models if ":" in one.name and "@" not in one.name]
    least_noise = float(policy.min_noise_squared) ** 0.5
    return {
        "job": JobTable("job", 1),
        "model": ModelTable(name=known[0] if known else "softmax:1x2"),
        "training": TrainingTable(1, 1, policy.max_learning_rate),
        "privacy": PrivacyTable(1.0, max(1.0, 2 * least_noise), 1e-6),
        "cohort": CohortTable(policy.min_devices, policy.max_devices),
    }


def _enrolled(file: JobFile, roster: VerifiedRoster, mistakes: list[Mistake]) -> None:
    devices = len(roster.roster.devices)
    if devices < file.cohort.min_devices:
        text = f"[cohort] min_devices: {devices} devices are enrolled, {file.cohort.min_devices} are needed"
        mistakes.append(Mistake("cohort", "min_devices", text))


def job_cost(file: JobFile, roster: VerifiedRoster) -> int:
    """The cost of one round of a job, in 10^-9 rho; 0 where no plan can hold it, or it costs nothing."""
    try:
        architecture = catalogue.architecture(file.model.full_name)
        job = file.to_job(architecture)
        start = TrainingProgress.start(GlobalModel(0, np.zeros(architecture.dimension, np.float32)))
        job = _with_scheme(file, job, roster, start)
        return nano_rho(make_plan(job, roster, start, 1), roster)
    except HushfleetError:
        return 0


def selection(enrolled: int, max_devices: int) -> int:
    """Of 65,536 draws how many ask a device: all of a small fleet, of a large one somewhat more than a cohort holds."""
    return min(SELECT_ALL, math.ceil(SELECT_ALL * HEADROOM * max_devices / max(1, enrolled)))


def _with_scheme(file: JobFile, job: Job, roster: VerifiedRoster, first: Progress) -> Job:
    """The job with the scheme that `auto` stands for: the first that the policy allows and to which the job's size is ordinary.

    Where there is none, the first that the policy allows; `_plan` says what is wrong with it.
    """
    if file.aggregation.scheme != AUTO:
        return job
    allowed = [replace(job, scheme=name) for name in ORCHESTRATOR_SCHEMES if name in roster.policy.schemes]
    return next((one for one in allowed if _is_ordinary(one, roster, first)), (allowed or [job])[0])


def _is_ordinary(job: Job, roster: VerifiedRoster, first: Progress) -> bool:
    try:
        plan = make_plan(job, roster, first, 1)
    except HushfleetError:
        return False
    profile = ORCHESTRATOR_SCHEMES[job.scheme].profile
    return not profile.misfit(plan, roster) and not profile.costs(plan, roster).remark


def _model(file: JobFile, mistakes: list[Mistake]) -> Model | None:
    try:
        return catalogue.trainer(file.model.full_name)
    except LocalError as error:
        mistakes.append(Mistake("model", "name", f"[model] {error.message}. {error.next_step}"))
        return None


def _as_written(file: JobFile, mistake: Mistake) -> Mistake:
    """The line of the job file that names the model: another one where a trainable model is named."""
    if file.model.onnx is None or (mistake.table, mistake.key) != ("model", "name"):
        return mistake
    return replace(mistake, key="onnx", text=mistake.text.replace("[model] name:", "[model] onnx:"))


def _holdout(file: JobFile, model: Model | None, mistakes: list[Mistake]) -> Holdout | None:
    if file.evaluation is None or model is None:
        return None
    try:
        return open_holdout(file.evaluation, model, load_contract(file.model.contract) if file.model.contract else None)
    except LocalError as error:
        mistakes.append(Mistake("evaluation", "path", f"[evaluation] {error.message}"))
    except OSError as error:
        mistakes.append(Mistake("evaluation", "path", f"[evaluation] {file.evaluation.path}: {error.strerror or error}"))
    return None


def _plan(job: Job, roster: VerifiedRoster, first: Progress, mistakes: list[Mistake]) -> Plan | None:
    """The plan of a first round, unsigned, with every problem that device or member would find."""
    unreachable: set[Refusal] = set()
    try:
        if isinstance(job.task, TrainingTask):
            job.task.make_optimizer()
    except LocalError as error:
        mistakes.append(_mistake(error))
    try:
        plan = make_plan(job, roster, first, 1)
    except HushfleetError as error:
        mistakes.append(_mistake(error))
        unreachable = {error.reason, *_OF_THE_INTEGERS}
        plan = _without_integers(job, roster, first)
    for reason, text in plan_problems(plan, roster, ORCHESTRATOR_SCHEMES):
        if reason not in unreachable:
            table, key = _WHERE.get(reason, ("job", ""))
            mistakes.append(Mistake(table, key, f"[{table}] {key}: {text}" if key else text))
    return None if unreachable else plan


def _without_integers(job: Job, roster: VerifiedRoster, first: Progress) -> Plan:
    """A plan for a fleet that asks for nothing, with the job's other values: what else is wrong with it can still be said."""
    easy = make_plan(_easy(job), roster, first, 1)
    return msgspec.structs.replace(
        easy,
        privacy=_integers(easy.privacy, job),
        clip_norm=job.clip_norm,
        dimension=job.task.dimension,
    )


def _integers(easy: PrivacyPlan, job: Job) -> PrivacyPlan:
    variance = 0 if job.without_privacy else LEAST_VARIANCE
    return msgspec.structs.replace(easy, variance=variance, min_devices=job.min_devices, max_devices=job.max_devices)


def _easy(job: Job) -> Job:
    return replace(job, clip_norm=1.0, noise_multiplier=0, without_privacy=True, min_devices=1000, max_devices=1000, accept_slow=True)


def _mistake(error: HushfleetError) -> Mistake:
    table, key = _WHERE.get(error.reason, ("job", ""))
    return Mistake(table, key, f"[{table}] {error.message}" + (f" {error.next_step}" if error.next_step else ""))


def _cost(file: JobFile, plan: Plan, roster: VerifiedRoster) -> Cost:
    costs, rho = ORCHESTRATOR_SCHEMES[plan.scheme].profile.costs(plan, roster), nano_rho(plan, roster)
    return Cost(
        values=plan.dimension,
        rho_nano=rho,
        budget_nano=roster.policy.budget_nano_rho,
        delta=file.privacy.delta,
        epsilons=tuple((done, epsilon(done * rho, file.privacy.delta)) for done in _tenths(file.job.rounds)),
        contribution_bytes=costs.contribution_bytes,
        model_bytes=4 * plan.dimension,
        request_bytes=costs.request_bytes,
    )


def _tenths(rounds: int) -> list[int]:
    return sorted({max(1, round(rounds * tenth / 10)) for tenth in range(1, 11)})


def _over_budget(file: JobFile, cost: Cost, pays: Spending) -> str:
    """The text on a budget that does not reach for all rounds; empty if it does."""
    least = min(file.cohort.min_devices, len(pays.accounts))
    paid = payable_rounds(pays.accounts, cost.rho_nano, least=least, wanted=pays.rounds)
    if paid >= pays.rounds:
        return ""
    price = f"{pays.rounds} rounds cost rho {pays.rounds * cost.rho_nano / NANO:.4g} of each device"
    return f"{price}, and the lifetime budget is spent after {paid}: {'; '.join(rest_lines(pays.accounts, cost.rho_nano))}"


def _notes(file: JobFile, plan: Plan, roster: VerifiedRoster) -> Iterator[str]:
    enrolled = len(roster.roster.devices)
    if remark := ORCHESTRATOR_SCHEMES[plan.scheme].profile.costs(plan, roster).remark:
        yield remark
    if file.privacy.without_privacy:
        yield "no DP: this job adds no noise, and single updates can follow from several rounds"
    if enrolled < file.cohort.max_devices:
        yield f"{enrolled} devices are enrolled: a round closes early only once all of them have contributed"
    if file.evaluation is None:
        yield "no [evaluation]: nothing says how good a model is, and the last one counts as the best"
