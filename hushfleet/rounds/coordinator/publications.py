"""The orchestrator's messages and their topics."""

from hushfleet.codec import decode, encode
from hushfleet.documents import Receipt, ReceiptStatus, RoundRecord, VerifiedPlan, VerifiedRoster, sign_receipt
from hushfleet.documents.limits import MAX_RECORD_BYTES
from hushfleet.errors import HushfleetError
from hushfleet.rounds.cohort import cohort_of
from hushfleet.rounds.coordinator.machine import Decrypting
from hushfleet.rounds.effects import Publish
from hushfleet.rounds.tasks.base import Progress
from hushfleet.signing import Signed, SigningKey
from hushfleet.wire import Inbox, Kind, SharesDelivery, Topic, encode_signed


def roster_publication(roster: VerifiedRoster) -> Publish:
    """The roster in force, retained."""
    topic = Topic(roster.roster.fleet, Kind.ROSTER, number=roster.roster.serial, chunk=0)
    return Publish(topic, encode_signed(roster.signed))


def roster_removal(roster: VerifiedRoster) -> Publish:
    """Clears a roster that is no longer in force."""
    there = roster_publication(roster)
    return Publish(there.topic, b"", clears_bytes=len(there.data))


def status_removals(before: VerifiedRoster, after: VerifiedRoster) -> tuple[Publish, ...]:
    """Clears what the broker keeps of the devices that the later roster does not name any more."""
    gone = {entry.device_id for entry in before.roster.devices} - {entry.device_id for entry in after.roster.devices}
    return tuple(Publish(Topic(after.roster.fleet, Kind.STATUS, device=device_id), b"") for device_id in sorted(gone))


def progress_publications(fleet: str, progress: Progress) -> tuple[Publish, ...]:
    """The messages of the task that the broker retains, such as the model in force."""
    return tuple(Publish(topic, data) for topic, data in progress.retained(fleet).items())


def progress_changes(fleet: str, before: Progress, after: Progress) -> tuple[Publish, ...]:
    """Clears the task's messages that are no longer in force, then publishes the ones that are in force from now on."""
    old, new = before.retained(fleet), after.retained(fleet)
    cleared = tuple(Publish(topic, b"", clears_bytes=len(data)) for topic, data in old.items() if topic not in new)
    return cleared + tuple(Publish(topic, data) for topic, data in new.items() if topic not in old)


def plan_publication(plan: VerifiedPlan) -> Publish:
    """The plan of the open round, retained while it collects."""
    return Publish(Topic(plan.plan.fleet, Kind.PLAN), encode_signed(plan.signed))


def plan_removal(fleet: str) -> Publish:
    """Clears the plan of a closed round."""
    return Publish(Topic(fleet, Kind.PLAN), b"")


def record_publication(record: Signed) -> Publish:
    """The latest round record, retained. This side signed it."""
    return Publish(_record_topic(record), encode_signed(record))


def record_removal(record: Signed) -> Publish:
    """Clears the record of a round that is no longer the latest."""
    there = record_publication(record)
    return Publish(there.topic, b"", clears_bytes=len(there.data))


def _record_topic(record: Signed) -> Topic:
    content = decode(RoundRecord, record.content, max_bytes=MAX_RECORD_BYTES)
    return Topic(content.fleet, Kind.RECORD, number=content.round, chunk=0)


def committee_publications(state: Decrypting) -> tuple[Publish, ...]:
    """The decryption request, to all members at once, and each member's sealed shares where the scheme has them."""
    fleet, number = state.terms.plan.fleet, state.terms.plan.round
    request = Publish(Topic(fleet, Kind.REQUEST, number=number, chunk=0), encode(state.request))
    rows = [state.accepted[name].sealed_shares for name in sorted(state.accepted)]
    if not any(rows):
        return (request,)
    root = cohort_of(state.terms.plan_hash, state.request.bodies)
    deliveries = (
        Publish(Topic(fleet, Kind.INBOX, device=member, chunk=0), encode(Inbox(SharesDelivery(state.terms.plan_hash, root, column))))
        for member, column in zip(state.terms.roster.roster.committee, zip(*rows, strict=True), strict=True)
    )
    return (request, *deliveries)


def receipt_publication(
    plan: VerifiedPlan, device_id: str, whole_hash: bytes, signing_key: SigningKey, error: HushfleetError | None = None
) -> Publish:
    """A final receipt: accepted, or refused with nothing but the reason's identifier."""
    status = ReceiptStatus.REFUSED if error else ReceiptStatus.ACCEPTED
    reason = error.reason.value if error else ""
    receipt = Receipt(plan.plan.fleet, device_id, plan.plan.key_id, plan.plan.round, whole_hash, status, (), reason)
    topic = Topic(plan.plan.fleet, Kind.RECEIPT, device=device_id, number=plan.plan.round)
    return Publish(topic, encode_signed(sign_receipt(receipt, signing_key)))
