"""Signed bodies and the root over them: what member, orchestrator and auditor check alike (PROTOCOL 5.3, 5.4)."""

from collections.abc import Sequence

from hushfleet.codec import decode
from hushfleet.documents import cohort_root
from hushfleet.errors import FaultyDevice, FaultyOrchestrator, PeerError, Refusal
from hushfleet.labels import Label, sha256
from hushfleet.schemes.base import RoundTerms, VerifiedBody
from hushfleet.signing import Signed, VerifyKey
from hushfleet.wire import Body
from hushfleet.wire.limits import LIMITS


def cohort_of(plan_hash: bytes, bodies: Sequence[Signed]) -> bytes:
    """The root over bodies as they stand, in the order given. Nothing is verified. Raises `PeerError` if one is malformed."""
    return cohort_root(plan_hash, [(_decode(signed).device_id, sha256(signed.content)) for signed in bodies])


def open_body(setting: RoundTerms, signed: Signed) -> VerifiedBody:
    """One body: enrolled device, its signature, this plan. Raises `PeerError`, `FaultyDevice(CONTRIBUTION_PLAN)`."""
    body = _decode(signed)
    VerifyKey(setting.roster.device(body.device_id).verify_key).verify(Label.BODY, signed.content, signed.signature)
    if body.plan_hash != setting.plan_hash:
        raise FaultyDevice(Refusal.CONTRIBUTION_PLAN, body.device_id, "contributed to another plan")
    return VerifiedBody(body, signed, sha256(signed.content))


def open_bodies(setting: RoundTerms, signed: Sequence[Signed]) -> tuple[VerifiedBody, ...]:
    """All bodies of a request. Raises `FaultyOrchestrator`: `REQUEST_DUPLICATE`, `REQUEST_ORDER`; and as `open_body`."""
    bodies = tuple(open_body(setting, one) for one in signed)
    ids = [one.body.device_id for one in bodies]
    if len(set(ids)) != len(ids):
        raise FaultyOrchestrator(Refusal.REQUEST_DUPLICATE, "a device stands twice in the cohort")
    if ids != sorted(ids):
        raise FaultyOrchestrator(Refusal.REQUEST_ORDER, "the cohort is not in id order")
    return bodies


def _decode(signed: Signed) -> Body:
    if len(signed.content) > LIMITS.body:
        raise PeerError(Refusal.MESSAGE_TOO_LARGE, "a body is too large")
    return decode(Body, signed.content, max_bytes=LIMITS.body)
