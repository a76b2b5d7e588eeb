"""Checks every signature, proof and number of a job's archive and computes each released model again.

What it proves: each released model is the stated optimiser's step on the mean of exactly the named contributions, each signed by
an enrolled device under the same plan, opened by a quorum of the committee, with the stated privacy cost. What it cannot
prove: that a device trained honestly, or that the archive holds every round there was.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hushfleet.aggregation import OptimizerState
from hushfleet.codec import decode
from hushfleet.documents import (
    DecryptionRequest,
    Outcome,
    RoundRecord,
    model_result,
    open_header,
    open_plan,
    open_record,
    open_roster,
    require_train,
)
from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.labels import Label
from hushfleet.randomness import Randomness
from hushfleet.rounds.cohort import cohort_of, open_bodies
from hushfleet.rounds.next_model import release
from hushfleet.rounds.plan_check import Standing, check_plan, nano_rho, standing
from hushfleet.rounds.planning import make_optimizer
from hushfleet.schemes.base import RoundTerms, VerifiedBody
from hushfleet.schemes.orchestrators import ORCHESTRATOR_SCHEMES
from hushfleet.signing import Signed, VerifyKey
from hushfleet.training import GlobalModel
from hushfleet.wire import Answer, Contribution, decode_decryption_request, decode_signed
from hushfleet.wire.limits import LIMITS

Files = Mapping[str, bytes]
"""One round's files by name, as the orchestrator archived them."""


@dataclass(frozen=True, slots=True)
class RoundReport:
    """One round that checks out."""

    number: int
    outcome: Outcome
    reason: str
    devices: int
    members: tuple[int, ...]
    rho_nano: int


@dataclass(frozen=True, slots=True)
class JobReport:
    """A job that checks out from its first round to its last."""

    fleet: str
    rounds: tuple[RoundReport, ...]
    model_digest: bytes

    @property
    def released(self) -> int:
        """Rounds that released a model."""
        return sum(one.outcome is Outcome.RELEASED for one in self.rounds)

    @property
    def rho_nano(self) -> int:
        """The most that a device that took part in every round spent, in 10^-9 rho."""
        return sum(one.rho_nano for one in self.rounds)

    def summary(self) -> str:
        """One line for a person."""
        quorum = min((len(one.members) for one in self.rounds if one.members), default=0)
        return (
            f"verified: {self.released} of {len(self.rounds)} rounds of {self.fleet} released a model; every signature and proof holds, "
            f"{quorum} or more members opened each sum; model {self.model_digest.hex()[:16]}"
        )


@dataclass(frozen=True, slots=True)
class _Chain:
    """The values that one round hands to the next."""

    model: GlobalModel
    optimizer_state: OptimizerState


def verify_job(rounds: Sequence[Files], root: VerifyKey, randomness: Randomness, *, insecure_keys: bool = False) -> JobReport:
    """Verify rounds in their order. Raises `PeerError` at the first thing that does not hold; its message names round and file.

    `randomness` weighs proofs in batches: it must be unpredictable to those who made the archive.
    """
    if not rounds:
        raise PeerError(Refusal.ARCHIVE, "the archive holds no round")
    first, _ = _open_round(rounds[0], root, insecure_keys=insecure_keys)
    chain = _start(first, rounds[0])
    reports: list[RoundReport] = []
    before: tuple[int, bytes, int] | None = None
    for files in rounds:
        setting, record = _open_round(files, root, insecure_keys=insecure_keys)
        here = (setting.roster.roster.serial, record.key_id, record.round)
        _require(before is None or _follows(before, here), record, "rounds are not in order")
        before = here
        chain, members = _check_round(setting, record, files, chain, randomness)
        count = len(record.device_ids)
        reports.append(RoundReport(record.round, record.outcome, record.reason, count, members, record.rho_nano))
    return JobReport(first.plan.fleet, tuple(reports), chain.model.digest)


def _follows(before: tuple[int, bytes, int], here: tuple[int, bytes, int]) -> bool:
    """(roster serial, key id, round): serials never fall, and rounds rise under one key; a new key counts from 1 again."""
    return here[0] >= before[0] and (here[1] != before[1] or here[2] > before[2])


def _open_round(files: Files, root: VerifyKey, *, insecure_keys: bool) -> tuple[RoundTerms, RoundRecord]:
    """Roster, plan and record: signatures, policy, and that they belong together."""
    roster = open_roster(_signed(files, "roster"), root)
    plan = open_plan(_signed(files, "plan"), roster.orchestrator)
    check_plan(plan, roster)
    record = open_record(_signed(files, "record"), roster.orchestrator)
    _require(standing(plan.plan, roster) is Standing.SAME, record, "the plan names another roster")
    named = (record.fleet, record.key_id, record.round, record.plan_hash, model_result(record).model_before)
    _require(
        named == (plan.plan.fleet, plan.plan.key_id, plan.plan.round, plan.digest, require_train(plan.plan.task).parameter_hash),
        record,
        "record and plan do not belong together",
    )
    _require(record.rho_nano == nano_rho(plan.plan, roster), record, "the stated privacy cost is not the plan's")
    return RoundTerms(plan, roster, insecure_keys), record


def _start(setting: RoundTerms, files: Files) -> _Chain:
    plan = setting.plan
    model = GlobalModel.from_bytes(
        _file(files, "model-before"),
        version=require_train(plan.task).model_version,
        dimension=plan.dimension,
        max_abs=setting.roster.policy.max_abs_parameter,
    )
    return _Chain(model, OptimizerState.initial(plan.dimension))


def _check_round(
    setting: RoundTerms, record: RoundRecord, files: Files, chain: _Chain, randomness: Randomness
) -> tuple[_Chain, tuple[int, ...]]:
    result = model_result(record)
    before = (require_train(setting.plan.task).model_version, result.model_before)
    _require(before == (chain.model.version, chain.model.digest), record, "the round does not start from the model before it")
    _require(_file(files, "model-before") == chain.model.to_bytes(), record, "model-before is another model")
    if record.outcome is Outcome.ABORTED:
        after = (result.version_after, result.model_after)
        _require(after == (chain.model.version, chain.model.digest), record, "an aborted round changed the model")
        return chain, ()
    bodies = _check_cohort(setting, record, decode_decryption_request(_file(files, "request")), randomness)
    answers = _check_answers(setting, record, bodies, files)
    optimizer_state, model = _released(setting, record, answers, chain)
    _require(model.digest == result.model_after and model.version == result.version_after, record, "the record states another model")
    _require(_file(files, "model-after") == model.to_bytes(), record, "model-after is not what the sum gives")
    return _Chain(model, optimizer_state), tuple(sorted(answers))


def _released(
    setting: RoundTerms, record: RoundRecord, answers: Mapping[int, Answer], chain: _Chain
) -> tuple[OptimizerState, GlobalModel]:
    """The release that the round had to make, computed again."""
    try:
        return release(
            setting,
            answers,
            count=len(record.device_ids),
            optimizer=make_optimizer(model_result(record).optimizer),
            optimizer_state=chain.optimizer_state,
            model=chain.model,
        )
    except LocalError as error:  # here the settings are the orchestrator's
        raise PeerError(Refusal.ARCHIVE, f"round {record.round}: {error.message}") from error


def _check_cohort(setting: RoundTerms, record: RoundRecord, request: DecryptionRequest, randomness: Randomness) -> tuple[VerifiedBody, ...]:
    """The header, its root, and every contribution with its signature and proof."""
    header = open_header(request.header, setting.roster.orchestrator)
    named = (header.fleet, header.key_id, header.round, header.plan_hash)
    _require(named == (record.fleet, record.key_id, record.round, record.plan_hash), record, "the request is for another round")
    _require(header.root == record.root == cohort_of(setting.plan_hash, request.bodies), record, "the root is not the cohort's")
    _require(request.plan == setting.verified_plan.signed, record, "the request carries another plan")
    bodies = open_bodies(setting, request.bodies)
    _require(tuple(one.body.device_id for one in bodies) == record.device_ids, record, "the record names another cohort")
    n = setting.plan.privacy
    _require(header.count == len(bodies) and n.min_devices <= len(bodies) <= n.max_devices, record, "the cohort's size is not the plan's")
    nothing_beside = [Contribution(one.signed, b"", ()) for one in bodies]
    faulty = ORCHESTRATOR_SCHEMES[setting.plan.scheme].find_faulty(setting, bodies, nothing_beside, randomness)
    if faulty:
        raise faulty[min(faulty)]
    return bodies


def _check_answers(setting: RoundTerms, record: RoundRecord, bodies: Sequence[VerifiedBody], files: Files) -> dict[int, Answer]:
    """Every member answer: its signature, that it is for this cohort, its proof; and that they are a quorum."""
    answers: dict[int, Answer] = {}
    for index, member_id in enumerate(setting.roster.roster.committee, start=1):
        if f"answer-{index}" not in files:
            continue
        key = VerifyKey(setting.roster.device(member_id).verify_key)
        answer = decode(Answer, key.open(Label.ANSWER, _signed(files, f"answer-{index}")), max_bytes=LIMITS.answer)
        named = (answer.index, answer.key_id, answer.round, answer.plan_hash, answer.root)
        wanted = (index, record.key_id, record.round, record.plan_hash, record.root)
        _require(named == wanted, record, f"answer-{index} is for another round or cohort")
        ORCHESTRATOR_SCHEMES[setting.plan.scheme].check_answer(setting, [one.body for one in bodies], answer)
        answers[index] = answer
    _require(len(answers) >= setting.roster.threshold, record, f"{len(answers)} answers are no quorum")
    return answers


def _signed(files: Files, name: str) -> Signed:
    return decode_signed(_file(files, name))


def _file(files: Files, name: str) -> bytes:
    if name not in files:
        raise PeerError(Refusal.ARCHIVE, f"the archive lacks the file {name}")
    return files[name]


def _require(holds: bool, record: RoundRecord, text: str) -> None:
    if not holds:
        raise PeerError(Refusal.ARCHIVE, f"round {record.round}: {text}")
