"""The topic table: one place that builds and parses topics both ways and gives the broker its ACL (PROTOCOL 7)."""

import re
from collections.abc import Container
from dataclasses import dataclass
from enum import Enum

from hushfleet.documents.validation import require_counts, require_ids
from hushfleet.errors import PeerError, Refusal
from hushfleet.ids import HASH_BYTES

PREFIX = "hushfleet/v1"
"""The version of the topic table, not of what travels on it: the protocol's version stands in each message (PROTOCOL 7)."""

_HASH = re.compile(f"[0-9a-f]{{{2 * HASH_BYTES}}}")
_SENDERS = "device"
_NUMBER = re.compile("0|[1-9][0-9]{0,18}")


class Role(Enum):
    """The parties that publish or read."""

    ORCHESTRATOR = "orchestrator"
    DEVICE = "device"
    """The device whose id stands in the topic."""
    MEMBER = "member"
    """Every committee member."""
    OWN_MEMBER = "own-member"
    """The committee member whose id stands in the topic."""
    EVERYBODY = "everybody"
    """Every device, and the orchestrator."""


class Kind(Enum):
    """A kind of topic: its pattern, who publishes, who reads, and whether the broker retains it."""

    ROSTER = ("roster/{number}/{chunk}", Role.ORCHESTRATOR, Role.EVERYBODY, True)
    PLAN = ("plan", Role.ORCHESTRATOR, Role.EVERYBODY, True)
    MODEL = ("model/{digest}/{chunk}", Role.ORCHESTRATOR, Role.EVERYBODY, True)
    ASSET = ("asset/{digest}/{chunk}", Role.ORCHESTRATOR, Role.EVERYBODY, True)
    RECORD = ("record/{number}/{chunk}", Role.ORCHESTRATOR, Role.EVERYBODY, True)
    REQUEST = ("request/{number}/{chunk}", Role.ORCHESTRATOR, Role.MEMBER, False)
    RECEIPT = ("receipt/{device}/{number}", Role.ORCHESTRATOR, Role.DEVICE, False)
    INBOX = ("inbox/{device}/{chunk}", Role.ORCHESTRATOR, Role.DEVICE, False)
    STATUS = ("device/{device}/status", Role.DEVICE, Role.ORCHESTRATOR, True)
    CONTRIBUTION = ("device/{device}/contribution/{number}/{chunk}", Role.DEVICE, Role.ORCHESTRATOR, False)
    PARTIAL = ("device/{device}/partial/{number}/{chunk}", Role.OWN_MEMBER, Role.ORCHESTRATOR, False)
    EVIDENCE = ("device/{device}/evidence/{number}", Role.OWN_MEMBER, Role.EVERYBODY, False)
    COMPLAINT = ("device/{device}/complaint/{number}", Role.OWN_MEMBER, Role.ORCHESTRATOR, False)

    def __init__(self, pattern: str, publisher: Role, reader: Role, retained: bool) -> None:
        self.pattern = pattern
        self.publisher = publisher
        self.reader = reader
        self.retained = retained


@dataclass(frozen=True, slots=True)
class Topic:
    """A parsed topic. `number` is a serial (roster) or a round; `digest` is a hash in lower-case hex; unused fields stay None.

    Raises `PeerError`: `ID_MALFORMED`, `MESSAGE_MALFORMED`.
    """

    fleet: str
    kind: Kind
    device: str | None = None
    number: int | None = None
    digest: str | None = None
    chunk: int | None = None

    def __post_init__(self) -> None:
        require_ids(self.fleet, *(() if self.device is None else (self.device,)))
        require_counts(*(value for value in (self.number, self.chunk) if value is not None))
        if self.digest is not None and not _HASH.fullmatch(self.digest):
            raise PeerError(Refusal.MESSAGE_MALFORMED, f"not a hash in a topic: {self.digest[:80]!r}")


def build(topic: Topic) -> str:
    """The topic string. ValueError if a field that the pattern needs is None, or one it lacks is given."""
    fields = _fields(topic)
    wanted = {part[1:-1] for part in topic.kind.pattern.split("/") if part.startswith("{")}
    if wanted != {name for name, value in fields.items() if value is not None}:
        raise ValueError(f"{topic.kind.name} takes {sorted(wanted)}")
    return f"{PREFIX}/{topic.fleet}/{topic.kind.pattern.format(**fields)}"


def parse(text: str) -> Topic:
    """The parts of a topic string. Raises `PeerError` for anything outside the table: `MESSAGE_MALFORMED`, `ID_MALFORMED`."""
    parts = text.split("/")
    if "/".join(parts[:2]) == PREFIX and len(parts) > len(PREFIX.split("/")) + 1:
        for kind in Kind:
            fields = _match(kind.pattern.split("/"), parts[3:])
            if fields is not None:
                return _topic(parts[2], kind, fields)
    raise PeerError(Refusal.MESSAGE_MALFORMED, f"no such topic: {text[:200]!r}")


def sender(text: str) -> str | None:
    """The id under which a topic string was published, at the cost of cutting it up; None if it is not a device's own.

    The broker lets a device publish under its own id only. Unlike `parse` it takes topics outside the table, and ids that are none.
    """
    parts = text.split("/", 5)
    return parts[4] if len(parts) > 5 and parts[3] == _SENDERS else None


def acl(fleet: str, identity: str, *, orchestrator: bool = False, member: bool = False) -> tuple[tuple[str, str], ...]:
    """("write" | "read" | "clear", topic filter) pairs for one identity: only its own topics, its role's, or everybody's.

    "clear": publish empty data, which the orchestrator may on every topic of the fleet: so it empties what others left behind.
    Raises `PeerError(ID_MALFORMED)`: an identity of `+` would be everybody's.
    """
    require_ids(fleet, identity)
    roles = {Role.EVERYBODY, Role.ORCHESTRATOR if orchestrator else Role.DEVICE} | ({Role.MEMBER, Role.OWN_MEMBER} if member else set())
    return rules_of(fleet, identity, roles)


def rules_of(fleet: str, identity: str, roles: Container[Role]) -> tuple[tuple[str, str], ...]:
    """As `acl`, for these roles alone. `identity` may be what a broker puts the user's name for."""
    rules = []
    for kind in Kind:
        for verb, role in (("write", kind.publisher), ("read", kind.reader)):
            if role in roles:
                rules.append((verb, _filter(fleet, kind, identity if role in (Role.DEVICE, Role.OWN_MEMBER) else None)))
        if Role.ORCHESTRATOR in roles and kind.publisher is not Role.ORCHESTRATOR:
            rules.append(("clear", _filter(fleet, kind, None)))
        if kind.retained and kind.publisher is Role.DEVICE and Role.DEVICE in roles:
            # What others keep of a device it may read back: so it notices that its store has forgotten (PROTOCOL 8).
            rules.append(("read", _filter(fleet, kind, identity)))
    return tuple(rules)


def subscription(fleet: str, kind: Kind, *, device: str | None = None, digest: str | None = None) -> str:
    """The filter that receives all topics of a kind, or those of one device or one digest."""
    return _filter(fleet, kind, device, digest)


def matches(pattern: str, topic: str) -> bool:
    """True if a filter (without `#`) matches a topic."""
    wanted, parts = pattern.split("/"), topic.split("/")
    return len(wanted) == len(parts) and all(w in ("+", p) for w, p in zip(wanted, parts, strict=True))


def _filter(fleet: str, kind: Kind, device: str | None, digest: str | None = None) -> str:
    fixed = {"{device}": device, "{digest}": digest}
    parts = [(fixed.get(part) or "+") if part.startswith("{") else part for part in kind.pattern.split("/")]
    return "/".join((PREFIX, fleet, *parts))


def _fields(topic: Topic) -> dict[str, str | int | None]:
    return {"device": topic.device, "number": topic.number, "digest": topic.digest, "chunk": topic.chunk}


def _match(pattern: list[str], parts: list[str]) -> dict[str, str] | None:
    if len(pattern) != len(parts):
        return None
    fields = {}
    for expected, part in zip(pattern, parts, strict=True):
        if expected.startswith("{"):
            fields[expected[1:-1]] = part
        elif expected != part:
            return None
    return fields


def _topic(fleet: str, kind: Kind, fields: dict[str, str]) -> Topic:
    number, chunk = _number(fields.get("number")), _number(fields.get("chunk"))
    return Topic(fleet, kind, fields.get("device"), number, fields.get("digest"), chunk)


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    if not _NUMBER.fullmatch(text):
        raise PeerError(Refusal.MESSAGE_MALFORMED, f"not a number in a topic: {text[:40]!r}")
    return int(text)
