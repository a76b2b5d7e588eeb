"""Checks every signature, proof and number of a job's archive and computes each released model again.

What it proves: each released model is the stated optimiser's step on the mean of exactly the named contributions, each signed by
an enrolled device under the same plan, opened by a quorum of the committee, with the stated privacy cost. What it cannot
prove: that a device trained honestly, or that no round followed the last. Rounds are numbered without gaps under a key, so that
one left out in between is seen: it is reported, because its cost is not in the sum.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from hushfleet.codec import decode
from hushfleet.documents import DecryptionRequest, Outcome, RoundRecord, open_header, open_plan, open_record, open_roster
from hushfleet.documents.archive import RoundArchive, file_limit
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

_MOST_EPOCHS = 100  # that are named: a roster may state any number


@dataclass(frozen=True, slots=True)
class RoundReport:
    """One round that checks out."""

    number: int
    outcome: Outcome
    reason: str
    devices: int
    members: tuple[int, ...]
    """Those whose answers hold, by index. A sum that opens is the true one, whoever answered."""
    rho_nano: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Rounds that must have been and are not here, from `first` to `last` under one key epoch."""

    key_epoch: int
    first: int
    last: int

    def __str__(self) -> str:
        """The rounds in words."""
        rounds = f"round {self.first}" if self.last == self.first else f"rounds {self.first} to {self.last}"
        return f"{rounds} under key epoch {self.key_epoch}"


@dataclass(frozen=True, slots=True)
class JobReport:
    """A job of which everything that is here checks out. `gaps` are rounds that are not here; `unchecked` names files not looked at."""

    fleet: str
    rounds: tuple[RoundReport, ...]
    result_digest: bytes
    """SHA-256 of the last round's outcome: for training, the hash of the model in force."""
    gaps: tuple[Gap, ...] = ()
    empty_epochs: tuple[int, ...] = ()
    """Key epochs between the first and the last of which there is no round. A key may be dealt anew before any round."""
    unchecked: tuple[str, ...] = ()

    @property
    def released(self) -> int:
        """Rounds that released a model."""
        return sum(one.outcome is Outcome.RELEASED for one in self.rounds)

    @property
    def rho_nano(self) -> int:
        """The most that a device that took part in every round here spent, in 10^-9 rho. With `gaps` it spent more."""
        return sum(one.rho_nano for one in self.rounds)

    def lines(self) -> tuple[str, ...]:
        """The report for a person: what holds, and then what is missing, begins later, or was not looked at."""
        quorum = min((len(one.members) for one in self.rounds if one.outcome is Outcome.RELEASED), default=0)
        holds = "every signature, device's proof and sum" if not (self.gaps or self.unchecked) else "what is here and was checked"
        first = self.rounds[0].number
        released = f"{self.released} of {len(self.rounds)} rounds of {self.fleet} released a model"
        opened = f"{quorum} or more members' answers stand behind each sum; model {self.result_digest.hex()[:16]}"
        lines = [f"{'INCOMPLETE' if self.gaps else 'verified'}: {released}; {holds} holds, {opened}"]
        lines += [f"missing: {gap}; what they cost is not in rho, which is more than {self.rho_nano / 1e9:.4f}" for gap in self.gaps]
        lines += [f"nothing is here of key epoch {epoch}: no round was run under it, or all are missing" for epoch in self.empty_epochs]
        lines += [f"begins at round {first}: rounds before it belong to another job, or are missing"] if first > 1 else []
        return (*lines, *(f"not checked: {name}" for name in self.unchecked))

    def summary(self) -> str:
        """The report in one line."""
        return "; ".join(self.lines())


@dataclass(frozen=True, slots=True)
class _Round:
    """One round whose signed documents belong together; its cohort, answers and outcome are still to be checked."""

    terms: RoundTerms
    record: RoundRecord
    archive: RoundArchive
    task: AuditedTask

    @property
    def request(self) -> DecryptionRequest:
        """The decryption request. Raises `PeerError(ARCHIVE)` if its file is missing."""
        if self.archive.request is None:
            raise PeerError(Refusal.ARCHIVE, f"round {self.record.round}: the archive lacks the file request")
        return self.archive.request

    def require(self, holds: bool, text: str) -> None:
        """Raise `PeerError(ARCHIVE)` with `text` unless it holds."""
        if not holds:
            raise PeerError(Refusal.ARCHIVE, f"round {self.record.round}: {text}")


def verify_job(rounds: Iterable[Mapping[str, bytes]], root: VerifyKey, randomness: Randomness, *, insecure_keys: bool = False) -> JobReport:
    """Verify rounds in their order, each its files by name. Raises `PeerError` at the first thing that does not hold; its message names it.

    `randomness` weighs proofs in batches: it must be unpredictable to those who made the archive.
    """
    progress: Progress | None = None
    fleet, places = "", _Places()
    reports: list[RoundReport] = []
    unchecked: list[str] = []
    for files in rounds:
        one = _open_round(RoundArchive.read(files), root, insecure_keys=insecure_keys)
        one.require(places.take(_Place.of(one)), "rounds are not in order")
        fleet = fleet or one.terms.plan.fleet
        progress, members = _check_round(one, progress or one.task.start(one.terms, one.archive.before), randomness)
        record = one.record
        reports.append(RoundReport(record.round, record.outcome, record.reason, len(record.device_ids), members, record.rho_nano))
        unchecked += _unchecked(one, files)
    if progress is None:
        raise PeerError(Refusal.ARCHIVE, "the archive holds no round")
    return JobReport(fleet, tuple(reports), sha256(progress.result), tuple(places.gaps), tuple(places.empty_epochs), tuple(unchecked))


def _unchecked(one: _Round, files: Mapping[str, bytes]) -> list[str]:
    """The files of a round that no check looks at: those of other names, and answers beyond the committee."""
    members = {f"answer-{index}" for index in range(1, len(one.terms.roster.roster.committee) + 1)}
    checked = [name for name in files if name in members or (file_limit(name) is not None and not name.startswith("answer-"))]
    return [f"{name} of round {one.record.round}" for name in sorted(set(files) - set(checked))]


@dataclass(frozen=True, slots=True)
class _Place:
    """The place of a round among all of its fleet."""

    serial: int
    key_id: bytes
    key_epoch: int
    round: int

    @classmethod
    def of(cls, one: _Round) -> "_Place":
        roster = one.terms.roster.roster
        return cls(roster.serial, one.record.key_id, roster.key_epoch, one.record.round)


@dataclass
class _Places:
    """The places so far, and the gaps between them. Serials never fall, rounds rise under one key, a new key counts from 1 again."""

    last: _Place | None = None
    gaps: list[Gap] = field(default_factory=list)
    empty_epochs: list[int] = field(default_factory=list)

    def take(self, here: _Place) -> bool:
        """Note the next place. False if it does not come after the last."""
        last, self.last = self.last, here
        if last is None:
            return True
        same_key = here.key_id == last.key_id
        if here.serial < last.serial or (same_key and here.round <= last.round):
            return False
        self.empty_epochs += islice(range(last.key_epoch + 1, here.key_epoch), _MOST_EPOCHS)
        expected = last.round + 1 if same_key else 1
        if here.round > expected:
            self.gaps.append(Gap(here.key_epoch, expected, here.round - 1))
        return True


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
    cost = nano_rho(plan.plan, roster) if record.device_ids else 0
    one.require(record.rho_nano == cost, "the stated privacy cost is not the plan's")
    return one


def _check_round(one: _Round, before: Progress, randomness: Randomness) -> tuple[Progress, tuple[int, ...]]:
    one.require(one.task.begins_from(before), "the round does not start from the model before it")
    one.require(one.archive.before == before.result, "the file before is another model")
    if one.record.outcome is Outcome.ABORTED:
        one.require(one.record.result == one.task.result(before, before), "an aborted round changed the model")
        return before, _check_aborted(one, randomness)
    total = _check_cohort(one, one.request, randomness)
    answers = _check_answers(one, total)
    faulty = total.faulty(answers)
    one.require(len(answers) >= one.terms.roster.threshold, f"{len(answers)} answers are no quorum")
    try:
        after = _released(one, total, answers, before)
    except PeerError as error:
        raise next(iter(faulty.values()), error) from error
    one.require(one.record.result == one.task.result(before, after), "the record states another model")
    one.require(one.archive.after == after.result, "the file after is not what the sum gives")
    return after, tuple(sorted(answers.keys() - faulty.keys()))


def _check_aborted(one: _Round, randomness: Randomness) -> tuple[int, ...]:
    """The request and the answers of a round that ended without a release, if it came so far; the members whose answers hold."""
    if not one.record.root:
        one.require(one.archive.request is None and not one.archive.answers, "its record says that the committee was not asked")
        return ()
    total = _check_cohort(one, one.request, randomness)
    answers = _check_answers(one, total)
    return tuple(sorted(answers.keys() - total.faulty(answers).keys()))


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
    """Every member answer: its signature, its form, that it is for this cohort."""
    answers: dict[int, Answer] = {}
    for index, member_id in enumerate(one.terms.roster.roster.committee, start=1):
        if index in one.archive.answers:
            answers[index] = _open_answer(one, index, member_id, one.archive.answers[index])
            total.check_answer(answers[index])
    return answers


def _open_answer(one: _Round, index: int, member_id: str, data: bytes) -> Answer:
    signed = decode(Signed, data, max_bytes=LIMITS.answer)
    key, record = VerifyKey(one.terms.roster.device(member_id).verify_key), one.record
    answer = decode(Answer, key.open(Label.ANSWER, signed), max_bytes=LIMITS.answer)
    named = (answer.index, answer.key_id, answer.round, answer.plan_hash, answer.root)
    wanted = (index, record.key_id, record.round, record.plan_hash, record.root)
    one.require(named == wanted, f"answer-{index} is for another round or cohort")
    return answer
