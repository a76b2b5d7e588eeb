"""The orchestrator's round: plan, collect, ask the committee, release or abort (PROTOCOL 5).

Who speaks. The owner sends rosters. The program begins rounds, ends collections, gives rounds up, and says that the link is up
again. Devices send contributions, committee members send answers. The orchestrator sends roster, plan, model and record to
everybody, a receipt to each sender, and the decryption request to the committee.

What is durable before what leaves. A plan is stored before it is published, so that no number is used twice. Contributions and the
running sum that holds them are one transaction before their receipts leave. The request is stored before it is sent: there is one
root per round. An answer that passed is stored with the step that takes it. Archive, record and the task's new state are one
transaction before anything of them is published.

What a refusal leaves behind. A refused contribution or answer leaves the state as it was; its sender gets a receipt with a
generic reason. A contribution that comes after the cohort is closed gets a refusing receipt, too, so that its sender stops sending
it. An answer that is proven wrong when the sum is opened is dropped, its member named and not heard again in this round, which
goes on with the others while at most f are named: beyond that the fault may be this orchestrator's own, and the round ends. A sum
or a model that fails a check ends the round by an abort; nobody can be named for it. No round ends for lack of time: what devices
have paid for waits for more contributions and for answers, until a release, a new roster or the owner's word.

The orchestrator reads sums only: what it knows of one contribution is ciphertexts and a proof. `collecting`, `decrypting` and
`closing` hold the handlers, `opening` the checks of contributions, `publications` what is sent.
"""

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field

from hushfleet.documents import EMPTY_JOURNAL, DecryptionRequest, JournalHead, VerifiedPlan, VerifiedRoster
from hushfleet.encryption.sealing import SealingKey
from hushfleet.errors import LocalError, Refusal
from hushfleet.randomness import Randomness
from hushfleet.rounds.effects import AcceptedContribution, Effect
from hushfleet.rounds.events import (
    AbortWanted,
    AnswerArrived,
    Connected,
    ContributionsArrived,
    DeadlinePassed,
    ReadBack,
    RosterArrived,
    RoundWanted,
)
from hushfleet.rounds.machine import Transitions
from hushfleet.rounds.planning import Job
from hushfleet.rounds.tasks.base import Progress
from hushfleet.schemes.base import RoundTerms, Sum
from hushfleet.signing import Signed, SigningKey, VerifyKey
from hushfleet.wire import Answer


@dataclass(frozen=True, slots=True)
class CoordinatorMemory:
    """Everything that holds in every phase; all of it is durable.

    `progress` is the task's state, for training the model in force; `last_round` the highest round begun under each key id;
    `record` the latest signed record; `journal` the head of the list of everything signed. `read_back` is False from a start until it is
    known what others hold of this orchestrator (PROTOCOL 8): until then no round begins, closes or ends with a release.
    """

    roster: VerifiedRoster
    progress: Progress
    last_round: Mapping[bytes, int] = field(default_factory=dict)
    record: Signed | None = None
    journal: JournalHead = EMPTY_JOURNAL
    read_back: bool = True


@dataclass(frozen=True, slots=True)
class ClosedRound:
    """A round that is over: its plan, the hash of each accepted contribution's bytes, for late senders, and the number of answers."""

    plan: VerifiedPlan
    accepted: Mapping[str, bytes]
    answers: int = 0


@dataclass(frozen=True, slots=True)
class NoRound:
    """No round is open. `closed` is the one before, if there was any."""

    memory: CoordinatorMemory
    closed: ClosedRound | None = None


@dataclass(frozen=True, slots=True)
class Collecting:
    """A plan is out. `accepted` holds the cohort so far, by device id, and `total` the sum of its contributions."""

    memory: CoordinatorMemory
    terms: RoundTerms
    started_ms: int
    total: Sum = field(repr=False)
    accepted: Mapping[str, AcceptedContribution] = field(default_factory=dict)

    @property
    def missing(self) -> int:
        """The number of contributions that a close still needs."""
        return max(0, self.terms.plan.privacy.min_devices - len(self.accepted))


@dataclass(frozen=True, slots=True)
class Decrypting:
    """The cohort is closed and the committee has been asked.

    `answers` are those that passed, by member index; `refuted` the members whose answer was proven wrong: nothing more of theirs is
    opened in this round.
    """

    memory: CoordinatorMemory
    terms: RoundTerms
    started_ms: int
    total: Sum = field(repr=False)
    accepted: Mapping[str, AcceptedContribution]
    request: DecryptionRequest = field(repr=False)
    answers: Mapping[int, tuple[Answer, Signed]] = field(default_factory=dict)
    refuted: frozenset[int] = frozenset()


Open = Collecting | Decrypting
CoordinatorState = NoRound | Open
CoordinatorStep = tuple[CoordinatorState, tuple[Effect, ...]]

TRANSITIONS = Transitions(
    {
        (NoRound, RoundWanted): (Collecting,),
        (Collecting, ContributionsArrived): (Collecting, Decrypting),
        (Collecting, DeadlinePassed): (Collecting, Decrypting),
        (Collecting, AbortWanted): (NoRound,),
        (Decrypting, AnswerArrived): (Decrypting, NoRound),
        (Decrypting, AbortWanted): (NoRound,),
        (NoRound, ContributionsArrived): (NoRound,),
        (Decrypting, ContributionsArrived): (Decrypting,),
        (NoRound, RosterArrived): (NoRound,),
        (Collecting, RosterArrived): (Collecting, NoRound),
        (Decrypting, RosterArrived): (Decrypting, NoRound),
        **{(phase, Connected): (phase,) for phase in (NoRound, Collecting, Decrypting)},
        (NoRound, ReadBack): (NoRound,),
        (Collecting, ReadBack): (Collecting, Decrypting),
        (Decrypting, ReadBack): (Decrypting, NoRound),
    }
)


@dataclass(frozen=True, slots=True)
class Coordinator:
    """The part that never changes during a job: keys, the pinned root key, the job, and where a collection ends (default: max_devices).

    `executor`: threads on which heavy arithmetic is spread. `insecure_keys` is for tests.
    Raises `LocalError(SETTINGS_INVALID)` for a `target` below the job's min_devices.
    """

    signing_key: SigningKey
    sealing_key: SealingKey
    root: VerifyKey
    job: Job
    target: int | None = None
    insecure_keys: bool = False
    executor: Executor | None = None

    def __post_init__(self) -> None:
        if self.enough < self.job.min_devices:
            message = f"a round cannot close at {self.enough} contributions: min_devices is {self.job.min_devices}"
            raise LocalError(Refusal.SETTINGS_INVALID, message)

    @property
    def enough(self) -> int:
        """Contributions at which a round closes before its deadline."""
        return min(self.target or self.job.max_devices, self.job.max_devices)

    def step(self, state: CoordinatorState, event: object, randomness: Randomness) -> CoordinatorStep:
        """Take one event. Raises `PhaseError`; a peer's fault is a `Refused` effect. In both cases the state is as it was."""
        return TRANSITIONS.step(self, state, event, randomness)
