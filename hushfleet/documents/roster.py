"""The roster: who is in the fleet, signed by the owner's root key (PROTOCOL 2)."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

from hushfleet.codec import Message, decode, encode
from hushfleet.documents.limits import MAX_COUNTER, MAX_ROSTER_BYTES
from hushfleet.documents.policy import Policy
from hushfleet.documents.validation import SEALED_BOX, require_ids, require_suite
from hushfleet.errors import FaultyOwner, PeerError, Refusal
from hushfleet.labels import Label, labelled_hash, length_prefixed, sha256, unsigned
from hushfleet.signing import KEY_BYTES, Signed, SigningKey, VerifyKey


class DeviceEntry(Message, frozen=True):
    """One device: its id, its Ed25519 key and its sealing key (X25519 under the only suite there is), 32 bytes each.

    `group` is an id that names a person or household with several devices; empty: a group of its own (PROTOCOL 2).
    Raises `PeerError`: `ID_MALFORMED`, `SEALING_SUITE`; `FaultyOwner(KEY_MALFORMED)`.
    """

    device_id: str
    verify_key: bytes
    sealing_key: bytes
    sealing_suite: int
    group: str

    def __post_init__(self) -> None:
        require_ids(self.device_id, *((self.group,) if self.group else ()))
        require_suite(self.sealing_suite)
        _check_keys(self.verify_key, self.sealing_key)

    @classmethod
    def make(cls, device_id: str, verify_key: bytes, sealing_key: bytes, *, group: str = "") -> Self:
        """An entry whose sealing key is of the suite of this version."""
        return cls(device_id, verify_key, sealing_key, SEALED_BOX, group)


class Roster(Message, frozen=True):
    """The fleet as the owner signed it.

    `committee` are the ids of the members in the order of their indices 1..n, n = 3 f + 1.
    `paillier` is the public part of the threshold key at fixed width, empty if none was dealt.
    Ids and keys are distinct. No two devices have one group: their turns are not kept in this version, and without them each would
    spend a whole budget of one person. Raises `FaultyOwner`; `PeerError(SEALING_SUITE)`.
    """

    fleet: str
    serial: int
    key_epoch: int
    orchestrator_verify_key: bytes
    orchestrator_sealing_key: bytes
    orchestrator_sealing_suite: int
    devices: tuple[DeviceEntry, ...]
    committee: tuple[str, ...]
    f: int
    paillier: bytes
    policy: Policy

    def __post_init__(self) -> None:
        require_ids(self.fleet)
        require_suite(self.orchestrator_sealing_suite)
        _check_keys(self.orchestrator_verify_key, self.orchestrator_sealing_key)
        if not (1 <= self.serial <= MAX_COUNTER and 0 <= self.key_epoch <= MAX_COUNTER):
            raise FaultyOwner(Refusal.ROSTER_INVALID, "serial counts from 1 and key epoch from 0, both below 2^63")
        if len(self.committee) != 3 * self.f + 1 or self.f not in (1, 2, 3):
            raise FaultyOwner(Refusal.COMMITTEE_SIZE, "a committee has 3f + 1 members, f = 1, 2 or 3")
        self._check_distinct()

    def _check_distinct(self) -> None:
        ids = [entry.device_id for entry in self.devices]
        keys = [self.orchestrator_verify_key, self.orchestrator_sealing_key]
        keys += [key for entry in self.devices for key in (entry.verify_key, entry.sealing_key)]
        for what, items in (("device id", ids), ("key", keys), ("committee member", list(self.committee))):
            if len(set(items)) != len(items):
                raise FaultyOwner(Refusal.ROSTER_DUPLICATE, f"a {what} stands twice in the roster")
        groups = [entry.group for entry in self.devices if entry.group]
        if len(set(groups)) != len(groups):
            text = "a group of several devices is not possible in this version: they would have to take turns"
            raise FaultyOwner(Refusal.ROSTER_GROUP, text, next_step="Enrol one device of that group.")
        if not set(self.committee) <= set(ids):
            raise FaultyOwner(Refusal.ROSTER_INVALID, "a committee member is not enrolled")

    def key_id(self, root: VerifyKey) -> bytes:
        """32 bytes that name this committee and its key (PROTOCOL 3). One per roster, whatever a plan's scheme."""
        entries = {entry.device_id: entry for entry in self.devices}
        members = b"".join(length_prefixed(name.encode()) + entries[name].verify_key + entries[name].sealing_key for name in self.committee)
        return labelled_hash(
            Label.KEY_ID,
            root.raw,
            length_prefixed(self.fleet.encode()),
            unsigned(self.key_epoch, 8),
            unsigned(len(self.committee), 1),
            unsigned(self.f, 1),
            members,
            length_prefixed(self.paillier),
        )


@dataclass(frozen=True)
class VerifiedRoster:
    """A roster whose root signature was checked. Made by `open_roster` only."""

    roster: Roster
    signed: Signed
    root: VerifyKey
    digest: bytes = field(repr=False)
    key_id: bytes = field(repr=False)

    @property
    def policy(self) -> Policy:
        """The owner's floor."""
        return self.roster.policy

    @property
    def threshold(self) -> int:
        """Members required to open a sum: 2 f + 1."""
        return 2 * self.roster.f + 1

    @cached_property
    def orchestrator(self) -> VerifyKey:
        """The orchestrator's signing key."""
        return VerifyKey(self.roster.orchestrator_verify_key)

    @cached_property
    def _entries(self) -> dict[str, DeviceEntry]:
        return {entry.device_id: entry for entry in self.roster.devices}

    def device(self, device_id: str) -> DeviceEntry:
        """The entry of a device; `PeerError(NOT_ENROLLED)` if it has none."""
        try:
            return self._entries[device_id]
        except KeyError:
            raise PeerError(Refusal.NOT_ENROLLED, f"{device_id[:63]!r} is not in roster {self.roster.serial}") from None

    def member_index(self, device_id: str) -> int:
        """The index, from 1, of a committee member; `PeerError(NOT_ENROLLED)` if it is none."""
        try:
            return self.roster.committee.index(device_id) + 1
        except ValueError:
            raise PeerError(Refusal.NOT_ENROLLED, f"{device_id[:63]!r} is not on the committee") from None


def sign_roster(roster: Roster, root: SigningKey) -> Signed:
    """The owner's signature over an encoded roster."""
    return root.sign(Label.ROSTER, encode(roster))


def open_roster(signed: Signed, root: VerifyKey) -> VerifiedRoster:
    """Verify with the pinned root key, then decode. Raises `PeerError`."""
    content = root.open(Label.ROSTER, signed)
    roster = decode(Roster, content, max_bytes=MAX_ROSTER_BYTES)
    return VerifiedRoster(roster, signed, root, sha256(content), roster.key_id(root))


def newer_roster(current: VerifiedRoster | None, candidate: VerifiedRoster) -> VerifiedRoster:
    """The roster to keep: the highest serial ever seen (PROTOCOL 2).

    Raises `FaultyOwner`: `ROSTER_INVALID` for another fleet of the same owner; `ROSTER_OLDER`; `ROSTER_CONFLICT` if two
    root-signed rosters carry one serial (stop and alert).
    """
    if current is None:
        return candidate
    if candidate.roster.fleet != current.roster.fleet:
        raise FaultyOwner(Refusal.ROSTER_INVALID, f"a roster of the fleet {candidate.roster.fleet}, this is {current.roster.fleet}")
    if candidate.roster.serial > current.roster.serial:
        return candidate
    if candidate.roster.serial < current.roster.serial:
        raise FaultyOwner(Refusal.ROSTER_OLDER, f"roster {candidate.roster.serial} is older than {current.roster.serial}")
    if candidate.digest != current.digest:
        raise FaultyOwner(
            Refusal.ROSTER_CONFLICT,
            f"two different rosters carry serial {current.roster.serial}",
            next_step="Stop and ask the fleet owner: the root key signed both.",
        )
    return current


def _check_keys(*keys: bytes) -> None:
    if any(len(key) != KEY_BYTES for key in keys):
        raise FaultyOwner(Refusal.KEY_MALFORMED, f"Ed25519 and X25519 public keys have {KEY_BYTES} bytes")
