"""The account of each device's privacy budget as the orchestrator knows it: what it accepted, and what devices said is left.

The ledger on the device decides. A contribution that came too late is in it and not here, until the device's status tells.
"""

from collections.abc import Iterator, Mapping

from sqlalchemy import Connection, select

from hushfleet.codec import decode
from hushfleet.documents import Plan, RoundRecord, VerifiedRoster
from hushfleet.documents.limits import MAX_PLAN_BYTES, MAX_RECORD_BYTES
from hushfleet.errors import PeerError, Refusal
from hushfleet.signing import VerifyKey
from hushfleet.wire import DeviceStatus, decode_signed, open_status
from orchestrator.account import Account
from orchestrator.store.roster import load_roster
from orchestrator.store.schema import accepted, presence, rounds


def read_accounts(connection: Connection, roster: VerifiedRoster) -> tuple[Account, ...]:
    """The account of every device of `roster`, in id order, over all jobs. A device that was enrolled anew begins at zero."""
    keys = {entry.device_id: entry.verify_key for entry in roster.roster.devices}
    counted = _counted(connection, roster, keys)
    said = read_statuses(connection, roster)
    return tuple(_account(name, counted.get(name, 0), said.get(name), roster.policy.budget_nano_rho) for name in sorted(keys))


def read_statuses(connection: Connection, roster: VerifiedRoster) -> dict[str, DeviceStatus]:
    """The last status of each device, where its key of `roster` signed it."""
    found: dict[str, DeviceStatus] = {}
    keys = {entry.device_id: entry.verify_key for entry in roster.roster.devices}
    for row in connection.execute(select(presence.c.device_id, presence.c.status)):
        if row.device_id in keys:
            try:
                key = VerifyKey(keys[row.device_id])
                found[row.device_id] = open_status(row.status, key, fleet=roster.roster.fleet, device_id=row.device_id)
            except PeerError:
                continue
    return found


def _account(name: str, counted_nano: int, status: DeviceStatus | None, budget_nano: int) -> Account:
    left = status.readiness.left_nano if status else None
    said_nano = 0 if left is None else budget_nano - left
    trains = status is None or status.readiness.out is not Refusal.TRAINING_DISABLED
    return Account(name, max(0, counted_nano, said_nano), budget_nano, trains)


def _counted(connection: Connection, roster: VerifiedRoster, keys: Mapping[str, bytes]) -> dict[str, int]:
    """Device id -> cost of all contributions accepted under the key that it has now, in 10^-9 rho."""
    spent: dict[str, int] = {}
    costs = dict(_costs(connection, roster.root))
    earlier: dict[int, Mapping[str, bytes]] = {}
    query = select(accepted.c.device_id, accepted.c.round_id, rounds.c.roster_serial).join(rounds)
    for device_id, round_id, serial in connection.execute(query):
        if serial not in earlier:
            earlier[serial] = {one.device_id: one.verify_key for one in load_roster(connection, roster.root, serial).roster.devices}
        if device_id in keys and earlier[serial].get(device_id) == keys[device_id]:
            spent[device_id] = spent.get(device_id, 0) + costs[round_id]
    return spent


def _costs(connection: Connection, root: VerifyKey) -> Iterator[tuple[int, int]]:
    """Each round's id, and the cost of one participation."""
    for row in connection.execute(select(rounds.c.id, rounds.c.record, rounds.c.plan, rounds.c.roster_serial)):
        if row.record is not None:
            yield row.id, decode(RoundRecord, decode_signed(row.record).content, max_bytes=MAX_RECORD_BYTES).rho_nano
        else:
            from hushfleet.rounds.plan_check import nano_rho  # noqa: PLC0415 -- with it comes numpy: for an open round alone

            plan = decode(Plan, decode_signed(row.plan).content, max_bytes=MAX_PLAN_BYTES)
            yield row.id, nano_rho(plan, load_roster(connection, root, row.roster_serial))
