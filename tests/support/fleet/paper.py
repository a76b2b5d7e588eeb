"""The fleet on paper: keys, rosters, plans, jobs and messages, true ones and others. Nothing here acts.

Everything is derived from a seed, with the 512-bit test keys, 10 model values and 2 ciphertexts a contribution.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from hushfleet.codec import decode, encode
from hushfleet.documents import (
    DecryptionRequest,
    Header,
    LocalTraining,
    NamedHash,
    Plan,
    Policy,
    VerifiedPlan,
    VerifiedRoster,
    sign_header,
    sign_plan,
)
from hushfleet.encryption.paillier.dealing import Dealing
from hushfleet.encryption.sealing import SealingPublicKey, seal, unseal
from hushfleet.labels import Label
from hushfleet.privacy import EncodedVector, Ledger
from hushfleet.randomness import SeededRandomness
from hushfleet.rounds import device as device_phases
from hushfleet.rounds import member as member_phases
from hushfleet.rounds.cohort import cohort_of
from hushfleet.rounds.coordinator import Coordinator, CoordinatorMemory, CoordinatorState, NoRound
from hushfleet.rounds.device import Device, DeviceMemory
from hushfleet.rounds.events import (
    GrantArrived,
)
from hushfleet.rounds.member import Member, MemberMemory, MemberState
from hushfleet.rounds.planning import Job, make_plan
from hushfleet.rounds.tasks.train import TrainingProgress, TrainingTask
from hushfleet.schemes.base import RoundTerms
from hushfleet.schemes.devices import DEVICE_SCHEMES
from hushfleet.signing import Signed
from hushfleet.training import Architecture, GlobalModel
from hushfleet.wire import Body, Contribution, contribution_seal_context, masked_vector_hash
from hushfleet.wire.limits import LIMITS
from simulation.parties import Parties
from tests.support.keys import load

ARCHITECTURE = Architecture("tiny", (("weights", (10,)),), "none", b"tiny")
FLEET_NAME = "testers"

T = TypeVar("T")


@dataclass(frozen=True)
class Fleet:
    """Who there is and what is asked of them. `replace` any field for another fleet; the first four or seven devices are members."""

    parties: Parties
    dealing: Dealing
    policy: Policy
    job: Job
    model: GlobalModel
    serial: int = 1
    key_epoch: int = 0

    @cached_property
    def roster(self) -> VerifiedRoster:
        return self.parties.roster(self.dealing, self.policy, serial=self.serial, key_epoch=self.key_epoch)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.parties.devices)

    def newer(self, **changes: object) -> "Fleet":
        """The same fleet under the next serial."""
        return replace(self, **{"serial": self.serial + 1, **changes})

    def without(self, *names: str, **changes: object) -> "Fleet":
        """The same fleet under the next serial, these devices revoked."""
        left = {name: keys for name, keys in self.parties.devices.items() if name not in names}
        return self.newer(parties=replace(self.parties, devices=left), **changes)

    def signed(self, plan: Plan) -> VerifiedPlan:
        """Any plan, signed by the orchestrator."""
        return sign_plan(plan, self.parties.orchestrator.signing)

    def plan(self, number: int = 1, **changes: object) -> VerifiedPlan:
        """The plan of a round; `changes` replace fields of the plan, of its integers, its task or its training, then it is signed."""
        return self.signed(changed(make_plan(self.job, self.roster, self.progress, number), changes))

    def terms(self, plan: VerifiedPlan | None = None) -> RoundTerms:
        return RoundTerms(plan or self.plan(), self.roster, insecure_keys=True)

    def coordinator(self, *, target: int | None = None) -> Coordinator:
        keys = self.parties.orchestrator
        return Coordinator(keys.signing, keys.sealing, self.parties.owner.root.verify_key, self.job, target, insecure_keys=True)

    def coordinator_state(self) -> CoordinatorState:
        return NoRound(CoordinatorMemory(self.roster, self.progress))

    @property
    def progress(self) -> TrainingProgress:
        """The job's progress before its first round."""
        return TrainingProgress.start(self.model)

    def device(self, name: str = "device-05") -> Device:
        return Device(name, self.parties.devices[name].signing, self.parties.owner.root.verify_key, insecure_keys=True)

    def device_state(self, **memory: object) -> device_phases.Idle:
        """An idle device that holds the roster; `memory` replaces fields of its memory."""
        return device_phases.Idle(replace(DeviceMemory(Ledger()), **memory), self.roster)

    def member(self, name: str = "device-01") -> Member:
        keys = self.parties.devices[name]
        return Member(name, keys.signing, keys.sealing, self.parties.owner.root.verify_key, insecure_keys=True)

    def member_state(self, name: str = "device-01") -> MemberState:
        """A member that holds the roster and its share."""
        without = member_phases.Ready(MemberMemory(), self.roster)
        state, _ = self.member(name).step(without, GrantArrived(self.grants[name]), SeededRandomness(b""))
        return state

    @cached_property
    def grants(self) -> Mapping[str, bytes]:
        return self.parties.owner.grants(self.roster, self.dealing)

    def body(self, plan: VerifiedPlan, name: str, values: npt.NDArray[np.int64] | None = None, seed: bytes = b"") -> Signed:
        """A device's signed body for these encoded values (default: zeros), without any noise."""
        terms = self.terms(plan)
        encoded = EncodedVector(np.zeros(terms.length, np.int64) if values is None else values)
        parts = DEVICE_SCHEMES[plan.plan.scheme].encrypt(terms, name, encoded, SeededRandomness(name.encode() + seed))
        return self.sign_body(Body(plan.digest, name, masked_vector_hash(parts.masked_vector), parts.items, parts.proof))

    def sign_body(self, body: Body, *, by: str | None = None) -> Signed:
        return self.parties.devices[by or body.device_id].signing.sign(Label.BODY, encode(body))

    def sealed(self, plan: VerifiedPlan, name: str, body: Signed, masked_vector: bytes = b"", shares: tuple[bytes, ...] = ()) -> bytes:
        """What travels: a body sealed to the orchestrator."""
        context = contribution_seal_context(plan.plan.key_id, plan.plan.round, name)
        recipient = SealingPublicKey(self.parties.orchestrator.entry.sealing_key)
        return seal(recipient, Label.SEAL_CONTRIBUTION, context, encode(Contribution(body, masked_vector, shares)))

    def unsealed(self, plan: VerifiedPlan, name: str, sealed: bytes) -> Contribution:
        context = contribution_seal_context(plan.plan.key_id, plan.plan.round, name)
        plain = unseal(self.parties.orchestrator.sealing, Label.SEAL_CONTRIBUTION, context, sealed)
        return decode(Contribution, plain, max_bytes=LIMITS.contribution)

    def request(self, plan: VerifiedPlan, bodies: Sequence[Signed], **header: object) -> DecryptionRequest:
        """A decryption request over `bodies` as they stand; `header` replaces fields before the header is signed."""
        p = plan.plan
        honest = Header(p.fleet, p.key_id, p.round, plan.digest, cohort_of(plan.digest, bodies), len(bodies))
        return DecryptionRequest(self.sign_header(msgspec.structs.replace(honest, **header)), plan.signed, tuple(bodies))

    def sign_header(self, header: Header) -> Signed:
        return sign_header(header, self.parties.orchestrator.signing)

    def bodies(self, plan: VerifiedPlan, names: Iterable[str] | None = None) -> tuple[Signed, ...]:
        """Bodies of zeros from these devices (default: as many as the plan asks for at least), in id order."""
        chosen = self.names[: plan.plan.privacy.min_devices] if names is None else names
        return tuple(self.body(plan, name) for name in sorted(chosen))


def changed(struct: T, changes: Mapping[str, Any]) -> T:
    """The struct with fields replaced, in its own structs too."""
    own = {name: getattr(struct, name) for name in struct.__struct_fields__}  # type: ignore[attr-defined]  # a msgspec struct
    inner = {name: changed(value, changes) for name, value in own.items() if isinstance(value, msgspec.Struct)}
    given = {name: value for name, value in changes.items() if name in own}
    return msgspec.structs.replace(struct, **{**inner, **given})  # type: ignore[type-var]  # likewise


def allowing(*architectures: Architecture) -> tuple[NamedHash, ...]:
    """`models` of a policy that allows these."""
    return tuple(NamedHash(one.name, one.digest) for one in architectures)


def make_fleet(
    *,
    devices: int = 6,
    min_devices: int = 4,
    max_devices: int = 5,
    key: str = "insecure-512",
    seed: bytes = b"fleet",
    policy: Mapping[str, Any] | None = None,
    job: Mapping[str, Any] | None = None,
) -> Fleet:
    """A fleet with a noise multiplier of 4 and two assumed colluders. `policy` and `job` replace single fields."""
    randomness, test_key = SeededRandomness(seed), load(key)
    parties = Parties.generate(FLEET_NAME, devices, test_key.public.members, randomness)
    allowed = {"min_devices": 4, "max_devices": max(max_devices, 10), "models": allowing(ARCHITECTURE), "max_values": 1000}
    own = {name: value for name, value in (job or {}).items() if name in {field.name for field in fields(TrainingTask)}}
    task = replace(TrainingTask(ARCHITECTURE, LocalTraining.make(2, 4, 0.5)), **own)
    wanted = Job(task, 1.0, 4, min_devices, max_devices)
    other = {name: value for name, value in (job or {}).items() if name not in own}
    return Fleet(
        parties,
        Dealing(test_key.public, test_key.shares),
        Policy.make(**{**allowed, **(policy or {})}),
        replace(wanted, **other),
        GlobalModel(0, np.linspace(-1, 1, ARCHITECTURE.dimension, dtype=np.float32)),
    )


def without_privacy(fleet: Fleet) -> Fleet:
    """The same fleet with a job that adds no noise, which the owner allows."""
    policy = msgspec.structs.replace(fleet.policy, allow_without_privacy=True)
    return replace(fleet, policy=policy, job=replace(fleet.job, noise_multiplier=0, without_privacy=True))


def update_of(seed: bytes, *, norm: float = 0.8) -> npt.NDArray[np.float64]:
    """An arbitrary update `(10,)` of this norm."""
    raw = np.frombuffer(SeededRandomness(seed).octets(2 * ARCHITECTURE.dimension), dtype="<i2").astype(np.float64)
    return raw * (norm / np.linalg.norm(raw))
