"""Checks every signature, proof and number of a job's archive and computes each released model again.

What it proves: each released model is the stated optimiser's step on the mean of exactly the named contributions, each signed by
an enrolled device under the same plan, opened by a quorum of the committee, with the stated privacy cost. What it cannot
prove: that a device trained honestly, or that the archive holds every round there was.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hushfleet.codec import decode
from hushfleet.documents import DecryptionRequest, Outcome, RoundRecord, open_header, open_plan, open_record, open_roster
from hushfleet.documents.archive import RoundArchive
from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import Label, sha256
from hushfleet.randomness import Randomness
from hushfleet.rounds.cohort import cohort_of, open_bodies
from hushfleet.rounds.plan_check import Standing, check_plan, nano_rho, standing
from hushfleet.rounds.release import release
from hushfleet.rounds.tasks.base import AuditedTask, Progress
from hushfleet.rounds.tasks.results import audited_task
from hushfleet.schemes.base import RoundTerms, Sum, VerifiedBody
from hushfleet.schemes.orchestrators import ORCHESTRATOR_SCHEMES
from hushfleet.signing import Signed, VerifyKey
from hushfleet.wire import Answer
from hushfleet.wire.limits import LIMITS


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
    result_digest: bytes
    """SHA-256 of the last round's outcome: for training, the hash of the model in force."""

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
            f"{quorum} or more members opened each sum; model {self.result_digest.hex()[:16]}"
        )


@dataclass(frozen=True, slots=True)
class _Round:
    """One round whose signed documents belong together; its cohort, answers and outcome are still to be checked."""

    terms: RoundTerms
    record: RoundRecord
    archive: RoundArchive
    task: AuditedTask

    def require(self, holds: bool, text: str) -> None:
        """Raise `PeerError(ARCHIVE)` with `text` unless it holds."""
        if not holds:
            raise PeerError(Refusal.ARCHIVE, f"round {self.record.round}: {text}")


def verify_job(rounds: Sequence[Mapping[str, bytes]], root: VerifyKey, randomness: Randomness, *, insecure_keys: bool = False) -> JobReport:
    """Verify rounds in their order, each its files by name. Raises `PeerError` at the first thing that does not hold; its message names it.

    `randomness` weighs proofs in batches: it must be unpredictable to those who made the archive.
    """
    if not rounds:
        raise PeerError(Refusal.ARCHIVE, "the archive holds no round")
    progress: Progress | None = None
    fleet, before = "", (0, b"", 0)
    reports: list[RoundReport] = []
    for files in rounds:
        one = _open_round(RoundArchive.read(files), root, insecure_keys=insecure_keys)
        here = (one.terms.roster.roster.serial, one.record.key_id, one.record.round)
        one.require(progress is None or _follows(before, here), "rounds are not in order")
        before, fleet = here, fleet or one.terms.plan.fleet
        progress, members = _check_round(one, progress or one.task.start(one.terms, one.archive.before), randomness)
        record = one.record
        reports.append(RoundReport(record.round, record.outcome, record.reason, len(record.device_ids), members, record.rho_nano))
    return JobReport(fleet, tuple(reports), sha256(progress.result if progress is not None else b""))


def _follows(before: tuple[int, bytes, int], here: tuple[int, bytes, int]) -> bool:
    """True if `here` comes after `before`, each (roster serial, key id, round).

    Serials never fall, and rounds rise under one key; a new key counts from 1 again.
    """
    return here[0] >= before[0] and (here[1] != before[1] or here[2] > before[2])


def _open_round(archive: RoundArchive, root: VerifyKey, *, insecure_keys: bool) -> _Round:
    """Roster, plan and record: signatures, policy, and that they belong together."""
    roster = open_roster(archive.roster, root)
    plan = open_plan(archive.plan, roster.orchestrator)
    check_plan(plan, roster, ORCHESTRATOR_SCHEMES)
    record = open_record(archive.record, roster.orchestrator)
    one = _Round(RoundTerms(plan, roster, insecure_keys), record, archive, audited_task(plan.plan.task, record.result))
    one.require(standing(plan.plan, roster) is Standing.SAME, "the plan names another roster")
    named = (record.fleet, record.key_id, record.round, record.plan_hash)
    one.require(named == (plan.plan.fleet, plan.plan.key_id, plan.plan.round, plan.digest), "record and plan do not belong together")
    one.require(record.rho_nano == nano_rho(plan.plan, roster), "the stated privacy cost is not the plan's")
    return one


def _check_round(one: _Round, before: Progress, randomness: Randomness) -> tuple[Progress, tuple[int, ...]]:
    one.require(one.task.begins_from(before), "the round does not start from the model before it")
    one.require(one.archive.before == before.result, "the file before is another model")
    if one.record.outcome is Outcome.ABORTED:
        one.require(one.record.result == one.task.result(before, before), "an aborted round changed the model")
        return before, ()
    if one.archive.request is None:
        raise PeerError(Refusal.ARCHIVE, f"round {one.record.round}: the archive lacks the file request")
    total = _check_cohort(one, one.archive.request, randomness)
    answers = _check_answers(one, total)
    after = _released(one, total, answers, before)
    one.require(one.record.result == one.task.result(before, after), "the record states another model")
    one.require(one.archive.after == after.result, "the file after is not what the sum gives")
    return after, tuple(sorted(answers))


def _released(one: _Round, total: Sum, answers: Mapping[int, Answer], before: Progress) -> Progress:
    """The progress that the round had to release, computed again."""
    try:
        return release(one.terms, total.open(answers), one.task, before, count=len(one.record.device_ids))
    except PeerError as error:
        if error.reason is not Refusal.ARCHIVE:
            raise
        raise PeerError(Refusal.ARCHIVE, f"round {one.record.round}: {error.message}") from error


def _check_cohort(one: _Round, request: DecryptionRequest, randomness: Randomness) -> Sum:
    """The header, its root, and every contribution with its signature and proof; their sum."""
    terms, record = one.terms, one.record
    header = open_header(request.header, terms.roster.orchestrator)
    named = (header.fleet, header.key_id, header.round, header.plan_hash)
    one.require(named == (record.fleet, record.key_id, record.round, record.plan_hash), "the request is for another round")
    one.require(header.root == record.root == cohort_of(terms.plan_hash, request.bodies), "the root is not the cohort's")
    one.require(request.plan == terms.verified_plan.signed, "the request carries another plan")
    bodies: tuple[VerifiedBody, ...] = open_bodies(terms, request.bodies)
    one.require(tuple(body.body.device_id for body in bodies) == record.device_ids, "the record names another cohort")
    n = terms.plan.privacy
    one.require(header.count == len(bodies) and n.min_devices <= len(bodies) <= n.max_devices, "the cohort's size is not the plan's")
    return ORCHESTRATOR_SCHEMES[terms.plan.scheme].audited(terms, bodies, one.archive.total, randomness)


def _check_answers(one: _Round, total: Sum) -> dict[int, Answer]:
    """Every member answer: its signature, that it is for this cohort, its proof; and that they are a quorum."""
    answers: dict[int, Answer] = {}
    for index, member_id in enumerate(one.terms.roster.roster.committee, start=1):
        if index in one.archive.answers:
            answers[index] = _open_answer(one, index, member_id, one.archive.answers[index])
            total.check_answer(answers[index])
    one.require(len(answers) >= one.terms.roster.threshold, f"{len(answers)} answers are no quorum")
    return answers


def _open_answer(one: _Round, index: int, member_id: str, data: bytes) -> Answer:
    signed = decode(Signed, data, max_bytes=LIMITS.answer)
    key, record = VerifyKey(one.terms.roster.device(member_id).verify_key), one.record
    answer = decode(Answer, key.open(Label.ANSWER, signed), max_bytes=LIMITS.answer)
    named = (answer.index, answer.key_id, answer.round, answer.plan_hash, answer.root)
    wanted = (index, record.key_id, record.round, record.plan_hash, record.root)
    one.require(named == wanted, f"answer-{index} is for another round or cohort")
    return answer
