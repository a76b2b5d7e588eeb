"""One honest round, top to bottom: what travels between the parties, without machines, messages or a network.

`LocalUpdate -> ClippedVector -> EncodedVector -> Contribution`, then
`EncryptedSum -> Answer x threshold -> AggregateUpdate -> GlobalModel`

Documentation and test at once; the only place outside tests that holds the secrets of all parties.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hushfleet.aggregation import GlobalOptimizer, OptimizerState
from hushfleet.codec import encode
from hushfleet.documents import Header, VerifiedRoster, sign_header, sign_plan
from hushfleet.encryption.paillier.share import KeyShare
from hushfleet.labels import Label
from hushfleet.privacy import clip, encode_vector
from hushfleet.randomness import Randomness
from hushfleet.rounds.cohort import cohort_of, open_bodies
from hushfleet.rounds.next_model import release
from hushfleet.rounds.plan_check import check_plan
from hushfleet.rounds.planning import Job, make_plan
from hushfleet.schemes.base import RoundTerms
from hushfleet.schemes.devices import DEVICE_SCHEMES
from hushfleet.schemes.members import MEMBER_SCHEMES
from hushfleet.schemes.orchestrators import ORCHESTRATOR_SCHEMES
from hushfleet.signing import SigningKey
from hushfleet.training import GlobalModel, LocalUpdate
from hushfleet.wire import Answer, Body, Contribution


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the parties keep to themselves: signing keys by device id, the orchestrator's, and key shares by member index."""

    devices: Mapping[str, SigningKey] = field(repr=False)
    orchestrator: SigningKey = field(repr=False)
    shares: Mapping[int, KeyShare] = field(repr=False)


def honest_round(
    roster: VerifiedRoster,
    secrets: Secrets,
    job: Job,
    model: GlobalModel,
    updates: Mapping[str, LocalUpdate],
    *,
    optimizer: GlobalOptimizer,
    optimizer_state: OptimizerState,
    randomness: Randomness,
    round_number: int = 1,
    insecure_keys: bool = False,
) -> tuple[OptimizerState, GlobalModel]:
    """The next optimiser state and model from the updates of a cohort, by device id. `insecure_keys` is for tests."""
    # the orchestrator plans, and signs what it asks for
    plan = sign_plan(make_plan(job, roster, model, round_number), secrets.orchestrator)
    setting = RoundTerms(plan, roster, insecure_keys)

    # each device checks the plan against the owner's policy, protects its update, and signs what it contributes
    signed = {}
    for device_id, update in updates.items():
        check_plan(plan, roster)
        clipped = clip(update.vector, plan.plan.clip_norm)
        encoded = encode_vector(clipped, setting.encoding, setting.plan_hash, randomness)
        parts = DEVICE_SCHEMES[job.scheme].encrypt(setting, device_id, encoded, randomness)
        body = Body(setting.plan_hash, device_id, parts.masked_hash, parts.items, parts.proof)
        signed[device_id] = secrets.devices[device_id].sign(Label.BODY, encode(body))

    # the orchestrator checks signatures and proofs, and commits to the cohort
    bodies = open_bodies(setting, [signed[device_id] for device_id in sorted(signed)])
    contributions = [Contribution(one.signed, b"", ()) for one in bodies]
    scheme = ORCHESTRATOR_SCHEMES[job.scheme]
    for fault in scheme.find_faulty(setting, bodies, contributions, randomness).values():
        raise fault
    root = cohort_of(setting.plan_hash, [one.signed for one in bodies])
    header = Header(roster.roster.fleet, roster.key_id, round_number, setting.plan_hash, root, len(bodies))
    sign_header(header, secrets.orchestrator)

    # a quorum of the committee checks the same again, forms the sum itself, and answers once
    answers = {}
    for index in range(1, roster.threshold + 1):
        check_plan(plan, roster)
        MEMBER_SCHEMES[job.scheme].check(setting, bodies, randomness)
        items, proof = MEMBER_SCHEMES[job.scheme].answer(setting, secrets.shares[index], root, bodies, randomness)
        answers[index] = Answer(roster.key_id, round_number, setting.plan_hash, root, index, items, proof)

    # the orchestrator checks each answer, opens the sum - never one update - and takes one optimiser step
    for answer in answers.values():
        scheme.check_answer(setting, [one.body for one in bodies], answer)
    return release(setting, answers, count=len(bodies), optimizer=optimizer, optimizer_state=optimizer_state, model=model)
