"""Opening a batch of sealed contributions: each alone, then all proofs together (PROTOCOL 5.3)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hushfleet.codec import decode
from hushfleet.encryption.sealing import SealingKey, unseal
from hushfleet.errors import FaultyDevice, HushfleetError, Refusal
from hushfleet.labels import Label, sha256
from hushfleet.randomness import Randomness
from hushfleet.rounds.cohort import open_body
from hushfleet.schemes.base import RoundTerms, VerifiedBody
from hushfleet.schemes.orchestrators import ORCHESTRATOR_SCHEMES
from hushfleet.wire import Contribution, contribution_seal_context
from hushfleet.wire.limits import LIMITS


@dataclass(frozen=True, slots=True)
class Opened:
    """A contribution that passed every check. `sealed` is as it arrived."""

    device_id: str
    verified: VerifiedBody
    sealed: bytes = field(repr=False)

    @property
    def whole_hash(self) -> bytes:
        """SHA-256 of the sealed bytes."""
        return sha256(self.sealed)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A contribution that did not pass, and why."""

    device_id: str
    sealed: bytes = field(repr=False)
    error: HushfleetError


def open_batch(
    setting: RoundTerms,
    sealing_key: SealingKey,
    held: Mapping[str, VerifiedBody],
    contributions: Iterable[tuple[str, bytes]],
    randomness: Randomness,
) -> tuple[list[Opened], list[Rejected]]:
    """What passes every check, and what does not. `held` are the bodies accepted before, by device id.

    The same body again passes; a second, different one is rejected whatever came first. Nothing raises for a peer's fault.
    """
    opened: dict[str, tuple[Opened, Contribution]] = {}
    rejected: list[Rejected] = []
    for device_id, sealed in contributions:
        try:
            verified, contribution = _open(setting, sealing_key, device_id, sealed)
            before = held.get(device_id) or (opened[device_id][0].verified if device_id in opened else verified)
            _require_same(device_id, before, verified)
            opened[device_id] = (Opened(device_id, verified, sealed), contribution)
        except HushfleetError as error:
            rejected.append(Rejected(device_id, sealed, error))
    candidates = list(opened.values())
    scheme = ORCHESTRATOR_SCHEMES[setting.plan.scheme]
    faulty = scheme.find_faulty(setting, [one.verified for one, _ in candidates], [parts for _, parts in candidates], randomness)
    rejected += [Rejected(candidates[position][0].device_id, candidates[position][0].sealed, fault) for position, fault in faulty.items()]
    return [one for position, (one, _) in enumerate(candidates) if position not in faulty], rejected


def receive(setting: RoundTerms, sealing_key: SealingKey, device_id: str, sealed: bytes, randomness: Randomness) -> Opened:
    """One sealed contribution, checked. Raises what is wrong with it (`PeerError`). Many at once: `open_batch`, which is faster."""
    opened, rejected = open_batch(setting, sealing_key, {}, [(device_id, sealed)], randomness)
    for one in rejected:
        raise one.error
    return opened[0]


def reopen(setting: RoundTerms, sealing_key: SealingKey, device_id: str, sealed: bytes) -> Opened:
    """One that was accepted before and kept as it arrived: opened again, its proof not verified again. Raises as `receive`."""
    verified, _ = _open(setting, sealing_key, device_id, sealed)
    return Opened(device_id, verified, sealed)


def _open(setting: RoundTerms, sealing_key: SealingKey, device_id: str, sealed: bytes) -> tuple[VerifiedBody, Contribution]:
    context = contribution_seal_context(setting.plan.key_id, setting.plan.round, device_id)
    contribution = decode(Contribution, unseal(sealing_key, Label.SEAL_CONTRIBUTION, context, sealed), max_bytes=LIMITS.contribution)
    verified = open_body(setting, contribution.body)
    if verified.body.device_id != device_id:
        raise FaultyDevice(Refusal.CONTRIBUTION_PLAN, device_id, f"sent what {verified.body.device_id} signed")
    return verified, contribution


def _require_same(device_id: str, before: VerifiedBody, new: VerifiedBody) -> None:
    if before.digest != new.digest:
        raise FaultyDevice(Refusal.CONTRIBUTION_SECOND, device_id, "sent a second, different contribution")
