"""Rosters on their way to the orchestrator that runs, or will: a file each, taken by its loop (PROTOCOL 2)."""

from collections.abc import Iterator
from pathlib import Path

from hushfleet.documents import VerifiedRoster, newer_roster, open_roster
from hushfleet.system.durable import write_durably
from hushfleet.wire import decode_signed, encode_signed
from orchestrator.folder import StateFolder

_PATTERN = "*.roster"


def hand_over(folder: StateFolder, roster: VerifiedRoster) -> Path:
    """Leave a verified roster for the running orchestrator."""
    folder.pending_rosters.mkdir(mode=0o700, exist_ok=True)
    path = folder.pending_rosters / f"{roster.roster.serial:020d}.roster"
    write_durably(path, encode_signed(roster.signed))
    folder.hand_over()
    return path


def waiting(folder: StateFolder) -> tuple[Path, ...]:
    """The files that wait, lowest serial first."""
    return tuple(sorted(folder.pending_rosters.glob(_PATTERN))) if folder.pending_rosters.exists() else ()


def newest(folder: StateFolder, current: VerifiedRoster) -> VerifiedRoster:
    """The roster that will be in force once what waits was taken. Raises `PeerError` as `newer_roster` for what will be refused."""
    for path in waiting(folder):
        current = newer_roster(current, open_roster(decode_signed(path.read_bytes()), current.root))
    return current


def differences(old: VerifiedRoster, new: VerifiedRoster) -> Iterator[str]:
    """The changes that a new roster brings, a line each."""
    was, will = ({entry.device_id: entry for entry in one.roster.devices} for one in (old, new))
    yield f"serial {old.roster.serial} -> {new.roster.serial}"
    if added := sorted(will.keys() - was.keys()):
        yield f"enrolled: {', '.join(added)}"
    if removed := sorted(was.keys() - will.keys()):
        yield f"revoked: {', '.join(removed)}"
    if changed := sorted(name for name in was.keys() & will.keys() if was[name] != will[name]):
        yield f"enrolled anew, with new keys: {', '.join(changed)}"
    if old.key_id != new.key_id:
        yield f"committee's key dealt anew: {', '.join(new.roster.committee)}, key epoch {new.roster.key_epoch}"
    for name in new.policy.__struct_fields__:
        before, after = getattr(old.policy, name), getattr(new.policy, name)
        if before != after:
            yield f"policy: {name} {_short(before)} -> {_short(after)}"


def _short(value: object) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(item.hex()[:16] if isinstance(item, bytes) else str(item) for item in value) + "]"
    return str(value)
