"""What an earlier life may have left at the broker: a crash can come between the end of a round and the removal of what it replaced."""

from sqlalchemy import select

from hushfleet.codec import decode
from hushfleet.documents import ModelResult, RoundRecord
from hushfleet.documents.limits import MAX_RECORD_BYTES
from hushfleet.labels import sha256
from hushfleet.rounds.coordinator.publications import record_removal
from hushfleet.rounds.effects import Publish
from hushfleet.wire import Kind, Topic, decode_signed
from orchestrator.store.schema import rosters, rounds
from orchestrator.store.store import Store

_LOOK_BACK = 2


def removals(store: Store) -> tuple[Publish, ...]:
    """Clears the records, models and rosters before those in force. What is not there is cleared in vain."""
    fleet = store.roster().roster.fleet
    with store.engine.connect() as connection:
        latest = select(rounds.c.record).where(rounds.c.record.is_not(None)).order_by(rounds.c.id.desc()).limit(_LOOK_BACK)
        ended = [decode_signed(data) for data in connection.scalars(latest)]
        records = [decode(RoundRecord, signed.content, max_bytes=MAX_RECORD_BYTES) for signed in ended]
        before = select(rosters.c.serial, rosters.c.signed).order_by(rosters.c.serial.desc()).offset(1).limit(_LOOK_BACK)
        old = connection.execute(before).all()
    current = store.model()
    results = [record.result for record in records if isinstance(record.result, ModelResult)]
    models = {digest for one in results for digest in (one.model_before, one.model_after)} - {sha256(current)}
    return (
        *(record_removal(signed) for signed in ended[1:]),
        *(
            Publish(Topic(fleet, Kind.MODEL, digest=digest.hex(), chunk=0), b"", clears_bytes=len(current))
            for digest in sorted(models)
        ),
        *(Publish(Topic(fleet, Kind.ROSTER, number=row.serial, chunk=0), b"", clears_bytes=len(row.signed)) for row in old),
    )
