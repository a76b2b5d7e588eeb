"""The changes that the owner's commands propose: pure steps from a registry to the next one, before anything is signed.

A change carries the lines a person reads before saying yes. `provisioning.vault` carries it out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from hushfleet.codec import encode
from hushfleet.documents import EnrolledRole, EnrolmentRequest, Roster, fingerprint, open_enrolment_request
from hushfleet.documents.validation import SEALED_BOX
from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.owner import certificates
from hushfleet.signing import Signed
from hushfleet.typed import typed
from provisioning.contents import Identity, VaultContents
from provisioning.differences import differences
from provisioning.policy_file import PolicyFile

COMMITTEE_SIZES = (4, 7, 10)


@dataclass(frozen=True, slots=True)
class Proposal:
    """`registry` is the next one, without what needs a secret key: the certificates of `certify` and the signature of `roster`.

    `roster` is None while nothing is to be signed. `deals` for a change that needs a fresh threshold key, whose public part the
    roster then still lacks. `bundles` are the ids whose bundles are to be written, or to be removed if nobody has the id any more.
    """

    before: VaultContents
    registry: VaultContents
    roster: Roster | None
    lines: tuple[str, ...]
    certify: tuple[str, ...] = ()
    bundles: tuple[str, ...] = ()
    deals: bool = False

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to do."""
        return self.roster is None and self.registry == self.before and not self.certify


@dataclass(frozen=True, slots=True)
class _Applicant:
    """Somebody who is to be enrolled, and whom it replaces."""

    identity: Identity
    known: Identity | None

    @property
    def gone(self) -> tuple[str, ...]:
        """The id that nobody has any more."""
        return (self.known.device_id,) if self.known and self.known.device_id != self.identity.device_id else ()


def approval(registry: VaultContents, file: PolicyFile, requests: Sequence[Signed], now: datetime) -> Proposal:
    """Enrol whoever made these requests, or replace keys, or (the same request again) renew the certificate. One roster for all.

    Raises `PeerError`: as `open_enrolment_request`; `CERTIFICATE_REQUEST`; `ROSTER_DUPLICATE` for an id or key that another identity
    or request has.
    """
    after, applicants = registry, list[_Applicant]()
    for signed in requests:
        one = _applicant(after, signed, now)
        _refuse_second(applicants, one.identity)
        after = after.with_identity(one.identity)
        if one.known and (one.known.verify_key, _tls_key(one.known)) != (one.identity.verify_key, _tls_key(one.identity)):
            after = after.withdrawing(one.known.device_id, now)
        applicants.append(one)
    lines = [line for one in applicants for line in _approval_lines(one.known, one.identity)]
    change = _next(registry, after, file, (*lines, *_about_committee(registry, applicants)))
    bundles = [name for one in applicants for name in (*one.gone, *_joinable(change, one.identity))]
    return replace(change, certify=tuple(one.identity.device_id for one in applicants), bundles=tuple(bundles))


def _refuse_second(applicants: Sequence[_Applicant], identity: Identity) -> None:
    orchestrator = identity.role is EnrolledRole.ORCHESTRATOR
    for one in applicants:
        if one.identity.device_id == identity.device_id or (orchestrator and one.identity.role is EnrolledRole.ORCHESTRATOR):
            who = "the orchestrator" if orchestrator else identity.device_id
            raise PeerError(Refusal.ROSTER_DUPLICATE, f"two of these requests are for {who}", next_step="Name the right one alone.")


def _applicant(registry: VaultContents, signed: Signed, now: datetime) -> _Applicant:
    request = open_enrolment_request(signed)
    certificates.check_request(request)
    _refuse_duplicates(registry, request)
    identity = Identity(
        role=request.role,
        device_id=request.device_id,
        verify_key=request.verify_key,
        sealing_key=request.sealing_key,
        certificate_request=request.certificate_request.decode(),
        fingerprint=fingerprint(encode(signed)),
        approved=now,
    )
    return _Applicant(identity, _predecessor(registry, request))


def revocation(registry: VaultContents, file: PolicyFile, device_id: str, now: datetime) -> Proposal:
    """Take a device out. Raises `LocalError`: `NOT_ENROLLED`; `COMMITTEE_MEMBER` while the key is dealt to it."""
    device, roster = registry.device(device_id), registry.verified
    if roster is not None and device_id in roster.roster.committee:
        raise LocalError(
            Refusal.COMMITTEE_MEMBER,
            f"{device_id} is a committee member: it holds a share of the key that is in force",
            next_step=f"Deal a new key to a committee without it, then revoke it: {typed('provision', 'committee', 'deal', 'ID...')}",
        )
    after = registry.without(device_id).withdrawing(device_id, now)
    change = _next(registry, after, file, (f"Revoke {device_id} (fingerprint {device.fingerprint}).",))
    return replace(change, bundles=(device_id,))


def committee(registry: VaultContents, file: PolicyFile, device_ids: Sequence[str], *, deals: bool = True) -> Proposal:
    """These devices as the committee, in this order, under a new key epoch; with a fresh threshold key if `deals`.

    Without one only schemes run that need no dealt key. Raises `LocalError`: `COMMITTEE_SIZE`, `ROSTER_DUPLICATE`, `NOT_ENROLLED`
    (also while no orchestrator is approved).
    """
    orchestrator = _check_committee(registry, device_ids)
    current = registry.verified
    roster = Roster(
        fleet=registry.fleet,
        serial=current.roster.serial + 1 + registry.skipped if current else 1,
        key_epoch=current.roster.key_epoch + 1 + registry.skipped if current else 0,
        orchestrator_verify_key=orchestrator.verify_key,
        orchestrator_sealing_key=orchestrator.sealing_key,
        orchestrator_sealing_suite=SEALED_BOX,
        devices=tuple(one.entry for one in registry.devices),
        committee=tuple(device_ids),
        f=(len(device_ids) - 1) // 3,
        paillier=b"",
        policy=file.as_policy(),
    )
    lines = (_title(current.roster if current else None, roster), *differences(current.roster if current else None, roster))
    everybody = tuple(one.device_id for one in registry.identities())
    after = registry if deals else msgspec.structs.replace(registry, grants={})
    key = "A fresh key is dealt to these members." if deals else "No key is dealt: these members open sums of scheme shared alone."
    return Proposal(registry, after, roster, (*lines, key, *_warnings(roster)), bundles=everybody, deals=deals)


def renewal(registry: VaultContents, file: PolicyFile) -> Proposal:
    """A new roster if the policy says something else than the one in force; everything else as it is."""
    return _next(registry, registry, file, ())


def _next(before: VaultContents, after: VaultContents, file: PolicyFile, lines: tuple[str, ...]) -> Proposal:
    """The change with the roster that follows from `after`. A member keeps the keys that its share was dealt to."""
    current = before.verified
    if current is None or after.orchestrator is None:
        return Proposal(before, after, None, lines)
    dealt = set(current.roster.committee)
    candidate = msgspec.structs.replace(
        current.roster,
        orchestrator_verify_key=after.orchestrator.verify_key,
        orchestrator_sealing_key=after.orchestrator.sealing_key,
        orchestrator_sealing_suite=SEALED_BOX,
        devices=tuple(current.device(one.device_id) if one.device_id in dealt else one.entry for one in after.devices),
        policy=file.as_policy(),
    )
    if candidate == current.roster:
        return Proposal(before, after, None, lines)
    roster = msgspec.structs.replace(candidate, serial=current.roster.serial + 1 + after.skipped)
    told = (_title(current.roster, roster), *differences(current.roster, roster), *_warnings(roster))
    return Proposal(before, after, roster, (*lines, *told))


def _title(before: Roster | None, after: Roster) -> str:
    return f"Roster {before.serial} -> {after.serial}:" if before else f"Roster {after.serial}:"


def _warnings(roster: Roster) -> tuple[str, ...]:
    warnings = []
    if len(roster.devices) < roster.policy.min_devices:
        warnings.append(
            f"! the policy asks for at least {roster.policy.min_devices} devices in a round, and {len(roster.devices)} are enrolled: "
            f"no round can close. Approve more, or: {typed('provision', 'policy', 'set', 'cohort.min_devices=N')}"
        )
    if not roster.policy.models:
        warnings.append(
            "! no model is allowed, so devices refuse every plan. Next: "
            + typed("provision", "policy", "set", "models.allowed=softmax:64x10")
        )
    return tuple(warnings)


def _check_committee(registry: VaultContents, device_ids: Sequence[str]) -> Identity:
    if len(device_ids) not in COMMITTEE_SIZES:
        text = f"a committee has 4, 7 or 10 members, not {len(device_ids)}"
        raise LocalError(
            Refusal.COMMITTEE_SIZE, text, next_step=f"Name as many devices: {typed('provision', 'committee', 'deal', 'ID...')}"
        )
    if len(set(device_ids)) != len(device_ids):
        raise LocalError(Refusal.ROSTER_DUPLICATE, "a device is named twice", next_step="Name different devices.")
    for device_id in device_ids:
        registry.device(device_id)
    if registry.orchestrator is None:
        raise LocalError(
            Refusal.NOT_ENROLLED,
            "no orchestrator is approved yet, and a roster names it",
            next_step=f"Enrol it on its machine ({typed('orchestrator', 'enrol')}), then approve its request: "
            + typed("provision", "approve", "orchestrator.request"),
        )
    return registry.orchestrator


def _predecessor(registry: VaultContents, request: EnrolmentRequest) -> Identity | None:
    """The identity that this request would replace, or None."""
    return registry.orchestrator if request.role is EnrolledRole.ORCHESTRATOR else registry.find(request.device_id)


def _refuse_duplicates(registry: VaultContents, request: EnrolmentRequest) -> None:
    predecessor = _predecessor(registry, request)
    if predecessor is not None and predecessor.role is not request.role:
        raise PeerError(
            Refusal.ROSTER_DUPLICATE,
            f"{request.device_id} is the {predecessor.role} of this fleet; no {request.role} can have its id",
            next_step=f"Enrol the {request.role} under another id.",
        )
    keys = {request.verify_key, request.sealing_key}
    for other in registry.identities():
        if other is predecessor:
            continue
        if other.device_id == request.device_id:
            text = f"{request.device_id} is a device of this fleet; the orchestrator needs another id"
            raise PeerError(Refusal.ROSTER_DUPLICATE, text, next_step="Enrol the orchestrator under another id.")
        tls = certificates.public_key_of(request.certificate_request) == _tls_key(other)
        if keys & {other.verify_key, other.sealing_key} or tls:
            text = f"{request.device_id} brings a key that {other.device_id} has: a state folder was copied"
            raise PeerError(Refusal.ROSTER_DUPLICATE, text, next_step="Enrol again on the device itself, with a fresh state folder.")


def _approval_lines(known: Identity | None, identity: Identity) -> tuple[str, ...]:
    role = "orchestrator" if identity.role is EnrolledRole.ORCHESTRATOR else "device"
    lines = [f"Approve the {role} {identity.device_id}, fingerprint {identity.fingerprint}. Compare it with the one shown there."]
    return (*lines, *_about_predecessor(known, identity))


def _about_committee(registry: VaultContents, applicants: Sequence[_Applicant]) -> tuple[str, ...]:
    deal, roster = typed("provision", "committee", "deal", "ID..."), registry.verified
    if roster is None:
        return (f"This is recorded only: the first roster and all bundles come with: {deal}",)
    changed = (one.identity.device_id for one in applicants if one.known and one.known.entry != one.identity.entry)
    members = [name for name in changed if name in roster.roster.committee]
    return (f"{', '.join(members)}: a committee member's new keys count from the next deal. Next: {deal}",) if members else ()


def _about_predecessor(known: Identity | None, identity: Identity) -> list[str]:
    if known is None:
        return []
    if known.entry == identity.entry:
        return ["The same keys as before: only its certificate is renewed."]
    if identity.role is EnrolledRole.ORCHESTRATOR:
        return [f"! This replaces the orchestrator {known.device_id} (fingerprint {known.fingerprint}) for the whole fleet."]
    if known.verify_key == identity.verify_key:
        return ["The same device with a new sealing key; its privacy budget goes on."]
    return [f"! {known.device_id} was enrolled before, as {known.fingerprint}. With new keys its privacy budget starts again."]


def _joinable(change: Proposal, identity: Identity) -> tuple[str, ...]:
    """The id, if the roster that will be in force holds these very keys: then a bundle is of use."""
    current = change.before.verified
    roster = change.roster or (current.roster if current else None)
    if roster is None:
        return ()
    if identity.role is EnrolledRole.ORCHESTRATOR:
        return (identity.device_id,)
    return (identity.device_id,) if identity.entry in roster.devices else ()


def _tls_key(identity: Identity) -> bytes:
    return certificates.public_key_of(identity.certificate_request.encode())
