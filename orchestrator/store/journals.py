"""The journal of an orchestrator's store, the rounds that others hold and it has forgotten, and its place (PROTOCOL 8)."""

from pathlib import Path

from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from hushfleet.documents import EMPTY_JOURNAL, JournalHead
from hushfleet.errors import LocalError, Refusal
from hushfleet.system.place import differences, place_of
from hushfleet.typed import typed
from orchestrator.echo import forgotten
from orchestrator.store import database
from orchestrator.store.schema import floors, journal, place


def head(connection: Connection) -> JournalHead:
    """The head of the journal."""
    row = connection.execute(select(journal).order_by(journal.c.number.desc()).limit(1)).one_or_none()
    return EMPTY_JOURNAL if row is None else JournalHead(row.number, row.head)


def append(connection: Connection, entry: bytes, *, number: int | None = None) -> None:
    """Append one entry, under the next number or a higher one."""
    before = head(connection)
    after = before.at(number or before.number + 1, entry)
    connection.execute(insert(journal).values(number=after.number, entry=entry, head=after.head))


def check(engine: Engine, *, where: str) -> None:
    """Raise `LocalError(STORE_DAMAGED)` if an entry was altered or is gone from the middle."""
    found = EMPTY_JOURNAL
    with engine.connect() as connection:
        for row in connection.execute(select(journal).order_by(journal.c.number)):
            found = found.at(row.number, row.entry)
            if found.head != row.head:
                message = f"{where}: entry {row.number} of the journal was altered"
                raise LocalError(Refusal.STORE_DAMAGED, message, next_step=database.DAMAGED_NEXT)


def keep_floor(connection: Connection, key_id: bytes, number: int, *, settled: bool) -> None:
    """Remember that others hold round `number` of this key, or a higher one that is known already."""
    known = connection.execute(select(floors.c.round).where(floors.c.key_id == key_id)).scalar_one_or_none()
    connection.execute(delete(floors).where(floors.c.key_id == key_id))
    connection.execute(insert(floors).values(key_id=key_id, round=max(number, known or 0), settled=settled))


def settled_floors(connection: Connection) -> dict[bytes, int]:
    """The rounds above which this orchestrator goes on, by key id."""
    return {row.key_id: row.round for row in connection.execute(select(floors)) if row.settled}


def settle_floors(connection: Connection) -> int:
    """A person has said that nothing else runs: go on above every floor. The number of keys."""
    return connection.execute(update(floors).where(floors.c.settled.is_(False)).values(settled=True)).rowcount


def require_settled(engine: Engine) -> None:
    """Raise `LocalError(STORE_ROLLED_BACK)` while others hold what this store has forgotten, and nobody has settled it."""
    with engine.connect() as connection:
        highest = connection.execute(select(func.max(floors.c.round)).where(floors.c.settled.is_(False))).scalar_one_or_none()
    if highest is not None:
        raise forgotten(highest)


def require_place(engine: Engine, file: Path) -> None:
    """Remember where the store lives, at its first start. Raises `LocalError(STORE_MOVED)` if it lives elsewhere by now."""
    if not file.exists():
        return  # a database elsewhere has its own ways
    here = place_of(file)
    with engine.begin() as connection:
        before = {row.name: row.value for row in connection.execute(select(place))}
        if not before:
            keep_place(connection, file)
            return
    if changed := differences(before, here):
        raise LocalError(
            Refusal.STORE_MOVED,
            f"{file.parent} is not where this orchestrator's store was: another {', '.join(changed)}",
            next_step="If it was moved, and no copy of it runs elsewhere: " + typed("orchestrator", "recover"),
        )


def keep_place(connection: Connection, file: Path) -> None:
    """The store lives here from now on."""
    connection.execute(delete(place))
    if file.exists():
        connection.execute(insert(place), [{"name": name, "value": value} for name, value in place_of(file).items()])
