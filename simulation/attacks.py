"""The demo attacks itself: what a malicious orchestrator, device or network would try, and who refuses it.

Each attack uses the real keys and messages of the party it plays. One that is not refused ends the demo with an error.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import msgspec

from edge_agent.folder import DeviceKeys
from hushfleet.codec import encode
from hushfleet.documents import DecryptionRequest, Header, Plan, VerifiedPlan, sign_header, sign_plan
from hushfleet.encryption.sealing import SealingPublicKey, seal
from hushfleet.errors import LocalError, Refusal
from hushfleet.labels import Label
from hushfleet.privacy import encode_zero
from hushfleet.randomness import SystemRandomness
from hushfleet.rounds.cohort import cohort_of
from hushfleet.rounds.coordinator import Collecting, Decrypting, NoRound
from hushfleet.rounds.planning import make_plan
from hushfleet.schemes.devices import DEVICE_SCHEMES
from hushfleet.schemes.paillier.profile import key_of
from hushfleet.signing import Signed
from hushfleet.wire import Body, Contribution, Kind, Topic, contribution_seal_context, encode_signed, masked_vector_hash
from simulation.fleet import Fleet

SHIFT_BITS = 200
"""The copy's values land ten slots above the victim's: read off the sum there, were it accepted."""


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack and its end: `reason` is the refusal's identifier, `detail` the refusing party's own words."""

    name: str
    refused_by: str
    reason: Refusal
    detail: str


class Attacks:
    """Plays all attacks around one round of a running fleet; `done` lists them in order."""

    def __init__(self, fleet: Fleet) -> None:
        self.done: list[Attack] = []
        self._fleet = fleet
        self._recorded: tuple[str, bytes] | None = None
        self._cohort: tuple[VerifiedPlan, tuple[Signed, ...]] | None = None
        devices = list(fleet.parties.devices)
        self._victim, self.thief = devices[0], devices[-1]

    def record(self, number: int) -> None:
        """Keep what a network can keep of an earlier round: the victim's sealed contribution."""
        self._recorded = self._recorded or (self._victim, self._fleet.sealed_contribution(self._victim, number))

    def before_round(self) -> None:
        """The orchestrator publishes a plan with a quarter of the noise."""
        fleet = self._fleet
        number = fleet.orchestrator.state.memory.last_round.get(fleet.roster.key_id, 0) + 1
        honest = make_plan(fleet.job, fleet.roster, fleet.orchestrator.state.memory.progress, number)
        thinned = sign_plan(_with_variance(honest, honest.privacy.variance // 4), fleet.parties.orchestrator.signing)
        fleet.messenger.send(Topic(honest.fleet, Kind.PLAN), encode_signed(thinned.signed))
        self._expect("the orchestrator plans a round with a quarter of the noise", Refusal.PLAN_NOISE, fleet.parties.devices)

    def during_round(self) -> None:
        """To be called once some devices, the victim among them, have contributed, and the thief has not."""
        self._open_one()
        if self._open_round().accepted[self._victim].sealed_shares:
            self._copy_masked()
        else:
            self._copy_shifted()
        self._forge_device()
        self._replay()

    def remember_cohort(self) -> None:
        """Keep what the orchestrator holds of the round, as a malicious one would."""
        state = self._open_round()
        bodies = tuple(state.accepted[name].verified.signed for name in sorted(state.accepted))
        self._cohort = (state.terms.verified_plan, bodies)

    def after_round(self) -> None:
        """The orchestrator asks for the same round again, with one device left out; the difference would be that device."""
        if self._cohort is None:
            raise LocalError(Refusal.PHASE, "no cohort was recorded")
        plan, bodies = self._cohort
        self._request(plan, bodies[1:])
        text = "the orchestrator asks for a second cohort of the same round"
        self._expect(text, Refusal.REQUEST_SECOND_ROOT, self._fleet.parties.committee)

    def _open_one(self) -> None:
        accepted = self._open_round().accepted[self._victim]
        self._request(self._open_round().terms.verified_plan, (accepted.verified.signed,))
        text = f"the orchestrator asks the committee to open {self._victim} alone"
        self._expect(text, Refusal.REQUEST_COUNT, self._fleet.parties.committee)

    def _copy_shifted(self) -> None:
        """Paillier is malleable: c^(2^s) encrypts the victim's values s bits higher. Only the proof of knowledge is missing."""
        terms = self._open_round().terms
        victim = self._open_round().accepted[self._victim].verified.body
        key, thief = key_of(terms), self._fleet.parties.devices[self.thief]
        shifted = [pow(int.from_bytes(item, "big"), 1 << SHIFT_BITS, key.modulus_squared) for item in victim.items]
        items = tuple(value.to_bytes(key.ciphertext_bytes, "big") for value in shifted)
        self._contribute(thief, Body(terms.plan_hash, thief.device_id, victim.masked_hash, items, victim.proof))
        self._expect(f"{self.thief} submits a shifted copy of {self._victim}'s ciphertexts", Refusal.KNOWLEDGE_PROOF)

    def _copy_masked(self) -> None:
        """A masked vector adds up under anybody's name. Only the shares of its key are missing, sealed to be opened under the victim's."""
        victim = self._open_round().accepted[self._victim].verified.body
        thief = self._fleet.parties.devices[self.thief]
        self._contribute(thief, Body(victim.plan_hash, thief.device_id, victim.masked_hash, victim.items, b""))
        self._expect(f"{self.thief} submits {self._victim}'s masked vector without the shares of its key", Refusal.SHARE_MISMATCH)

    def _forge_device(self) -> None:
        terms, randomness = self._open_round().terms, SystemRandomness()
        forged = DeviceKeys.generate("device-forged", randomness)
        encoded = encode_zero(terms.plan.dimension, terms.encoding, terms.plan_hash, randomness)
        parts = DEVICE_SCHEMES[terms.plan.scheme].encrypt(terms, forged.device_id, encoded, randomness)
        self._contribute(forged, Body(terms.plan_hash, forged.device_id, masked_vector_hash(b""), parts.items, parts.proof))
        self._expect("a forged device that the owner never enrolled contributes", Refusal.NOT_ENROLLED)

    def _replay(self) -> None:
        if self._recorded is None:
            raise LocalError(Refusal.PHASE, "no contribution was recorded")
        victim, sealed = self._recorded
        self._fleet.network.send(self._contribution_topic(victim), sealed)
        self._expect(f"the network replays {victim}'s contribution of an earlier round", Refusal.SEAL)

    def _request(self, plan: VerifiedPlan, bodies: Sequence[Signed]) -> None:
        p = plan.plan
        header = Header(p.fleet, p.key_id, p.round, plan.digest, cohort_of(plan.digest, bodies), len(bodies))
        request = DecryptionRequest(sign_header(header, self._fleet.parties.orchestrator.signing), plan.signed, tuple(bodies))
        self._fleet.messenger.send(Topic(p.fleet, Kind.REQUEST, number=p.round, chunk=0), encode(request))

    def _contribute(self, keys: DeviceKeys, body: Body) -> None:
        """The network carries whatever it likes on whatever topic: only signatures and proofs decide."""
        plan = self._open_round().terms.plan
        signed = keys.signing.sign(Label.BODY, encode(body))
        recipient = SealingPublicKey(self._fleet.roster.roster.orchestrator_sealing_key)
        context = contribution_seal_context(plan.key_id, plan.round, keys.device_id)
        sealed = seal(recipient, Label.SEAL_CONTRIBUTION, context, encode(Contribution(signed, b"", ())))
        self._fleet.network.send(self._contribution_topic(keys.device_id), sealed)

    def _expect(self, name: str, reason: Refusal, parties: Collection[str] = ("orchestrator",)) -> None:
        """The attack must have been refused by exactly these parties, for this reason and no other."""
        refusals = self._fleet.await_refusals(set(parties))
        refusing = {party for party, _ in refusals}
        if refusing != set(parties) or any(refused.error.reason is not reason for _, refused in refusals):
            found = ", ".join(sorted({refused.error.reason.value for _, refused in refusals})) or "nothing"
            missing = len(set(parties) - refusing)
            raise LocalError(Refusal.ATTACK_NOT_REFUSED, f"{name}: expected {reason.value}; refused was {found}; {missing} did not refuse")
        self.done.append(Attack(name, self._by(refusing), reason, refusals[0][1].error.message))

    def _by(self, parties: set[str]) -> str:
        if len(parties) == 1:
            return f"the {next(iter(parties))}"
        if parties == set(self._fleet.parties.committee):
            return f"all {len(parties)} committee members"
        return f"all {len(parties)} devices"

    def _open_round(self) -> Collecting | Decrypting:
        state = self._fleet.orchestrator.state
        if isinstance(state, NoRound):
            raise LocalError(Refusal.PHASE, "no round is under way")
        return state

    def _contribution_topic(self, device_id: str) -> Topic:
        plan = self._open_round().terms.plan
        return Topic(plan.fleet, Kind.CONTRIBUTION, device=device_id, number=plan.round, chunk=0)


def _with_variance(plan: Plan, variance: int) -> Plan:
    n = plan.privacy
    thinned = msgspec.structs.replace(n, variance=max(16, variance))
    return msgspec.structs.replace(plan, privacy=thinned)
