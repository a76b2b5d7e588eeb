"""The roster in force, as the store kept it: verified again whenever it is read."""

from sqlalchemy import Connection, select

from hushfleet.documents import VerifiedRoster, open_roster
from hushfleet.signing import VerifyKey
from hushfleet.wire import decode_signed
from orchestrator.store.schema import rosters


def load_roster(connection: Connection, root: VerifyKey, serial: int | None = None) -> VerifiedRoster:
    """The roster in force, or the one of this serial."""
    wanted = select(rosters.c.signed).order_by(rosters.c.serial.desc()).limit(1)
    if serial is not None:
        wanted = select(rosters.c.signed).where(rosters.c.serial == serial)
    return open_roster(decode_signed(connection.execute(wanted).scalar_one()), root)
