"""Retained topics that a crash left behind: it can come between the end of a round and the removal of what the round replaced."""

from sqlalchemy import select

from hushfleet.codec import decode
from hushfleet.documents import RoundRecord, open_roster
from hushfleet.documents.limits import MAX_RECORD_BYTES
from hushfleet.labels import sha256
from hushfleet.rounds.coordinator.publications import record_removal, status_removals
from hushfleet.rounds.effects import Publish
from hushfleet.rounds.tasks.results import retained_topics
from hushfleet.wire import Kind, Topic, decode_signed
from orchestrator.store.schema import rosters, rounds
from orchestrator.store.store import Store

_LOOK_BACK = 2


def removals(store: Store) -> tuple[Publish, ...]:
    """Clears records, models and rosters before those in force, and statuses of devices that left; what is not there in vain."""
    fleet = store.roster().roster.fleet
    with store.engine.connect() as connection:
        latest = select(rounds.c.record).where(rounds.c.record.is_not(None)).order_by(rounds.c.id.desc()).limit(_LOOK_BACK)
        ended = [decode_signed(data) for data in connection.scalars(latest)]
        records = [decode(RoundRecord, signed.content, max_bytes=MAX_RECORD_BYTES) for signed in ended]
        in_force = store.roster()
        before = select(rosters.c.serial, rosters.c.signed).order_by(rosters.c.serial.desc()).offset(1).limit(_LOOK_BACK)
        old = connection.execute(before).all()
    earlier = [open_roster(decode_signed(row.signed), store.root) for row in old]
    current = store.result()
    kept = sha256(current).hex()
    of_tasks = {topic: None for record in records for topic in retained_topics(fleet, record.result) if topic.digest != kept}
    return (
        *(record_removal(signed) for signed in ended[1:]),
        *(Publish(topic, b"", clears_bytes=len(current)) for topic in of_tasks),
        *(removal for roster in earlier for removal in status_removals(roster, in_force)),
        *(Publish(Topic(fleet, Kind.ROSTER, number=row.serial, chunk=0), b"", clears_bytes=len(row.signed)) for row in old),
    )
