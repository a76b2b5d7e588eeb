"""One honest round, top to bottom: the documents that travel between the parties, without machines, messages or a network.

`LocalUpdate -> ClippedVector -> EncodedVector -> Contribution`, then
`EncryptedSum -> Answer x threshold -> AggregateUpdate -> GlobalModel`

Documentation and test at once; the only place outside tests that holds the secrets of all parties.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hushfleet.documents import Header, VerifiedRoster, sign_header, sign_plan
from hushfleet.randomness import Randomness
from hushfleet.rounds.cohort import cohort_of, open_bodies
from hushfleet.rounds.contributing import contribution_of, protect
from hushfleet.rounds.plan_check import check_plan
from hushfleet.rounds.planning import Job, make_plan
from hushfleet.rounds.release import release
from hushfleet.rounds.tasks.base import Progress
from hushfleet.schemes.base import MemberKeys, OpenedContribution, RoundTerms
from hushfleet.schemes.devices import DEVICE_SCHEMES
from hushfleet.schemes.members import MEMBER_SCHEMES
from hushfleet.schemes.orchestrators import ORCHESTRATOR_SCHEMES
from hushfleet.signing import SigningKey
from hushfleet.training import LocalUpdate
from hushfleet.wire import Answer


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets of the parties: signing keys by device id, the orchestrator's, and what members open sums with, by index."""

    devices: Mapping[str, SigningKey] = field(repr=False)
    orchestrator: SigningKey = field(repr=False)
    members: Mapping[int, MemberKeys] = field(repr=False)


def honest_round(
    roster: VerifiedRoster,
    secrets: Secrets,
    job: Job,
    progress: Progress,
    updates: Mapping[str, LocalUpdate],
    *,
    randomness: Randomness,
    round_number: int = 1,
    insecure_keys: bool = False,
) -> Progress:
    """The job's next progress from the updates of a cohort, by device id. `insecure_keys` is for tests."""
    # the orchestrator plans, and signs what it asks for
    plan = sign_plan(make_plan(job, roster, progress, round_number), secrets.orchestrator)
    terms = RoundTerms(plan, roster, insecure_keys)

    # each device checks the plan against the owner's policy, protects its update, and signs what it contributes
    contributions = {}
    for device_id, update in updates.items():
        check_plan(plan, roster, DEVICE_SCHEMES)
        encoded, _ = protect(terms, update, "", randomness)
        contributions[device_id] = contribution_of(terms, device_id, secrets.devices[device_id], encoded, randomness)

    # the orchestrator checks signatures and proofs, adds up, and commits to the cohort
    cohort = [contributions[device_id] for device_id in sorted(contributions)]
    bodies = open_bodies(terms, [one.body for one in cohort])
    opened = [OpenedContribution(body, one.masked_vector, one.sealed_shares) for body, one in zip(bodies, cohort, strict=True)]
    scheme = ORCHESTRATOR_SCHEMES[job.scheme]
    for fault in scheme.find_faulty(terms, opened, randomness).values():
        raise fault
    total = scheme.start(terms)
    for contribution in opened:
        total = total.add(contribution)
    root = cohort_of(terms.plan_hash, [one.signed for one in bodies])
    header = Header(roster.roster.fleet, roster.key_id, round_number, terms.plan_hash, root, len(bodies))
    sign_header(header, secrets.orchestrator)

    # a quorum of the committee checks the same again, forms the sum itself, and answers once
    answers = {}
    for index in range(1, roster.threshold + 1):
        check_plan(plan, roster, MEMBER_SCHEMES)
        member = MEMBER_SCHEMES[job.scheme]
        member.check(terms, bodies, randomness)
        shares = [one.sealed_shares[index - 1] for one in cohort] if member.takes_shares else ()
        update_sum = member.answer(terms, secrets.members[index], root, bodies, randomness, shares=shares)
        answers[index] = Answer(roster.key_id, round_number, terms.plan_hash, root, index, update_sum.items, update_sum.proof)

    # the orchestrator checks each answer, opens the sum - never one update - and the task goes on from it
    for answer in answers.values():
        total.check_answer(answer)
    return release(terms, total.open(answers), job.task, progress, count=len(bodies))
