"""Opening a batch of sealed contributions: each alone, then all proofs together (PROTOCOL 5.3)."""

from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field

from hushfleet.codec import decode
from hushfleet.encryption.sealing import SealingKey, unseal
from hushfleet.errors import FaultyDevice, HushfleetError, Refusal
from hushfleet.labels import Label, sha256
from hushfleet.randomness import Randomness
from hushfleet.rounds.cohort import open_body
from hushfleet.schemes.base import OpenedContribution, RoundTerms, VerifiedBody
from hushfleet.schemes.orchestrators import ORCHESTRATOR_SCHEMES
from hushfleet.wire import Contribution, contribution_seal_context, masked_vector_hash
from hushfleet.wire.limits import LIMITS


@dataclass(frozen=True, slots=True)
class Opened:
    """A contribution that passed every check. `sealed` is as it arrived."""

    contribution: OpenedContribution
    sealed: bytes = field(repr=False)

    @property
    def device_id(self) -> str:
        """The contributing device."""
        return self.contribution.device_id

    @property
    def whole_hash(self) -> bytes:
        """SHA-256 of the sealed bytes."""
        return sha256(self.sealed)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A contribution that did not pass, and the reason."""

    device_id: str
    sealed: bytes = field(repr=False)
    error: HushfleetError


def open_batch(
    terms: RoundTerms,
    sealing_key: SealingKey,
    held: Mapping[str, VerifiedBody],
    contributions: Iterable[tuple[str, bytes]],
    randomness: Randomness,
    *,
    executor: Executor | None = None,
) -> tuple[list[Opened], list[Rejected]]:
    """Contributions that pass every check, and those that do not. `held` are the bodies accepted before, by device id.

    The same body again passes; a second, different one is rejected whatever came first. Nothing raises for a peer's fault.
    """
    opened: dict[str, Opened] = {}
    rejected: list[Rejected] = []
    for device_id, sealed in contributions:
        try:
            one = Opened(open_contribution(terms, sealing_key, device_id, sealed), sealed)
            verified = one.contribution.verified
            before = held.get(device_id) or (opened[device_id].contribution.verified if device_id in opened else verified)
            _require_same(device_id, before, verified)
            opened[device_id] = one
        except HushfleetError as error:
            rejected.append(Rejected(device_id, sealed, error))
    candidates = list(opened.values())
    scheme = ORCHESTRATOR_SCHEMES[terms.plan.scheme]
    faulty = scheme.find_faulty(terms, [one.contribution for one in candidates], randomness, executor=executor)
    rejected += [Rejected(candidates[position].device_id, candidates[position].sealed, fault) for position, fault in faulty.items()]
    return [one for position, one in enumerate(candidates) if position not in faulty], rejected


def receive(terms: RoundTerms, sealing_key: SealingKey, device_id: str, sealed: bytes, randomness: Randomness) -> Opened:
    """One sealed contribution, checked. Raises what is wrong with it (`PeerError`). Many at once: `open_batch`, which is faster."""
    opened, rejected = open_batch(terms, sealing_key, {}, [(device_id, sealed)], randomness)
    for one in rejected:
        raise one.error
    return opened[0]


def open_contribution(terms: RoundTerms, sealing_key: SealingKey, device_id: str, sealed: bytes) -> OpenedContribution:
    """A contribution as far as it can be checked alone: seal, signature, plan, masked vector; not its proof. Raises `PeerError`."""
    context = contribution_seal_context(terms.plan.key_id, terms.plan.round, device_id)
    contribution = decode(Contribution, unseal(sealing_key, Label.SEAL_CONTRIBUTION, context, sealed), max_bytes=LIMITS.contribution)
    verified = open_body(terms, contribution.body)
    if verified.body.device_id != device_id:
        raise FaultyDevice(Refusal.CONTRIBUTION_PLAN, device_id, f"sent what {verified.body.device_id} signed")
    if contribution.masked_vector and masked_vector_hash(contribution.masked_vector) != verified.body.masked_hash:
        raise FaultyDevice(Refusal.MASKED_VECTOR, device_id, "sent another masked vector than its body names")
    return OpenedContribution(verified, contribution.masked_vector, contribution.sealed_shares)


def _require_same(device_id: str, before: VerifiedBody, new: VerifiedBody) -> None:
    if before.digest != new.digest:
        raise FaultyDevice(Refusal.CONTRIBUTION_SECOND, device_id, "sent a second, different contribution")
