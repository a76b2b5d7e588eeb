"""Chunks on their way to being whole again: on disk, bounded before anything is kept (PROTOCOL 7).

One folder per assembly, one file per chunk, so that a restart finds what had come. Nothing waits for the disk: the whole becomes
durable with the step that takes it, and what a power cut takes or spoils before that is asked for again. A poisoned header opens
another bounded slot and evicts nothing that moves; a whole that does not match its hash is dropped and waits for all its chunks
again.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import sha256
from hushfleet.system.durable import write_unsynced
from hushfleet.wire.chunks import MAX_CHUNKS, Chunk, missing_ranges, open_frame, place
from hushfleet.wire.limits import LIMITS
from hushfleet.wire.topics import Kind, Role, Topic, build, parse

SLOTS_PER_SENDER = 4
UNFINISHED_BYTES = 16 << 20
"""The wholes that one device has begun come to so much at most, as their headers say: its greatest contribution and answer at once."""
MAX_SLOTS = 8192
STALLED_S = 120.0
"""A transfer that got nothing for so long makes room where its sender has no slot left: it may have been given up."""
_TOPIC_FILE = "topic"
CEILINGS = {
    Kind.ROSTER: LIMITS.signed_document,
    Kind.MODEL: LIMITS.model,
    Kind.ASSET: LIMITS.asset,
    Kind.RECORD: LIMITS.signed_document,
    Kind.REQUEST: LIMITS.request,
    Kind.INBOX: LIMITS.inbox,
    Kind.CONTRIBUTION: LIMITS.contribution,
    Kind.PARTIAL: LIMITS.answer,
    Kind.PLAN: LIMITS.signed_document,
    Kind.RECEIPT: LIMITS.signed_document,
    Kind.STATUS: LIMITS.evidence,
    Kind.EVIDENCE: LIMITS.evidence,
    Kind.COMPLAINT: LIMITS.evidence,
}
"""Greatest whole per kind, in bytes; for kinds without chunks, the greatest message."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The name of a transfer under way: the topic without its chunk number, and what every chunk of the whole repeats."""

    topic: Topic
    whole_hash: bytes
    total: int
    whole_bytes: int

    @classmethod
    def of(cls, topic: Topic, chunk: Chunk) -> "Slot":
        """The slot that a chunk on a topic belongs to."""
        return cls(replace(topic, chunk=0), chunk.whole_hash, chunk.total, chunk.whole_bytes)

    @property
    def sender(self) -> tuple[Kind, str | None]:
        """The sender and kind of transfer that one bound is for."""
        return self.topic.kind, self.topic.device

    @property
    def name(self) -> str:
        """A folder name of its own."""
        return f"{self.total}-{self.whole_bytes}-" + sha256(build(self.topic).encode() + self.whole_hash).hex()


@dataclass(frozen=True, slots=True)
class Incomplete:
    """A transfer that waits for the chunks in `missing`, the last one having come `idle_s` seconds ago."""

    topic: Topic
    whole_hash: bytes
    missing: tuple[tuple[int, int], ...]
    idle_s: float


class Assembly:
    """All transfers under way into one folder. Not for two threads at once."""

    def __init__(self, folder: Path, now_s: Callable[[], float]) -> None:
        """Use `folder`, made if missing, and go on with what is there."""
        self._folder, self._now_s = folder, now_s
        self._held: dict[Slot, set[int]] = {}
        self._last_s: dict[Slot, float] = {}
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in folder.iterdir():
            self._find(path)

    def take(self, topic: Topic, frame: bytes) -> tuple[Slot, bytes] | None:
        """The slot and its whole, once the last chunk is here and everything matches; None before.

        A chunk of several survives this process when this returns. The whole stays on disk until `done`. Raises `PeerError`:
        `MESSAGE_MALFORMED`, `MESSAGE_TOO_LARGE`, `TRANSFER_SLOTS`, `TRANSFER_HASH`; OSError if the disk does not take it, and then
        the same chunk may come again.
        """
        ceiling = CEILINGS[topic.kind]
        chunk = open_frame(frame, max_bytes=min(len(frame), ceiling + 4096))
        slot = Slot.of(topic, chunk)
        if chunk.index != topic.chunk:
            raise PeerError(Refusal.MESSAGE_MALFORMED, f"chunk {chunk.index} came as chunk {topic.chunk}")
        if slot.whole_bytes > ceiling:
            raise PeerError(Refusal.MESSAGE_TOO_LARGE, f"a {topic.kind.name.lower()} of {slot.whole_bytes} bytes, at most {ceiling}")
        if slot.total == 1:
            return slot, self._checked(slot, chunk.data)
        self._keep(slot, chunk)
        return (slot, self._whole(slot)) if len(self._held[slot]) == slot.total else None

    def done(self, slot: Slot) -> None:
        """Forget what was assembled: it is durable elsewhere."""
        if slot in self._held:
            del self._held[slot], self._last_s[slot]
            shutil.rmtree(self._folder / slot.name, ignore_errors=True)

    def incomplete(self) -> tuple[Incomplete, ...]:
        """The transfers that have begun and wait for more."""
        now_s = self._now_s()
        waiting = [(slot, missing_ranges(sorted(held), slot.total)) for slot, held in self._held.items()]
        return tuple(Incomplete(slot.topic, slot.whole_hash, gaps, now_s - self._last_s[slot]) for slot, gaps in waiting if gaps)

    def forget_idle(self, after_s: float) -> int:
        """Drop transfers that got no chunk for `after_s`, and return their number. Their senders begin again when they want."""
        old = [slot for slot, last_s in self._last_s.items() if self._now_s() - last_s > after_s]
        for slot in old:
            self.done(slot)
        return len(old)

    def _keep(self, slot: Slot, chunk: Chunk) -> None:
        if slot not in self._held:
            self._open(slot)
        if chunk.index not in self._held[slot]:
            write_unsynced(self._folder / slot.name / str(chunk.index), chunk.data)
            self._held[slot].add(chunk.index)
        self._last_s[slot] = self._now_s()

    def _open(self, slot: Slot) -> None:
        self._make_room(slot.sender)
        of_sender = sum(other.sender == slot.sender for other in self._held)
        if of_sender >= SLOTS_PER_SENDER or len(self._held) >= MAX_SLOTS or self._begun_bytes(slot) > UNFINISHED_BYTES:
            raise PeerError(Refusal.TRANSFER_SLOTS, f"{of_sender} transfers of this sender are under way already")
        folder = self._folder / slot.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        write_unsynced(folder / _TOPIC_FILE, slot.whole_hash + build(slot.topic).encode())
        self._held[slot], self._last_s[slot] = set(), self._now_s()

    def _begun_bytes(self, slot: Slot) -> int:
        """The bytes that the device of `slot` would have begun with it; 0 for what is the orchestrator's."""
        if slot.topic.kind.publisher is Role.ORCHESTRATOR:
            return 0
        return slot.whole_bytes + sum(other.whole_bytes for other in self._held if other.topic.device == slot.topic.device)

    def _make_room(self, sender: tuple[Kind, str | None]) -> None:
        own = sorted((slot for slot in self._held if slot.sender == sender), key=self._last_s.__getitem__)
        if len(own) >= SLOTS_PER_SENDER and self._now_s() - self._last_s[own[0]] > STALLED_S:
            self.done(own[0])

    def _whole(self, slot: Slot) -> bytes:
        folder = self._folder / slot.name
        data = b"".join((folder / str(index)).read_bytes() for index in range(slot.total))
        try:
            return self._checked(slot, data)
        except PeerError:
            self._empty(slot)
            raise

    def _empty(self, slot: Slot) -> None:
        """Empty a slot whose whole does not fit its hash: the bad chunk cannot be told from the others, so all are asked for again."""
        self._held[slot].clear()
        for index in range(slot.total):
            (self._folder / slot.name / str(index)).unlink(missing_ok=True)

    def _checked(self, slot: Slot, data: bytes) -> bytes:
        if sha256(data) != slot.whole_hash:
            raise PeerError(Refusal.TRANSFER_HASH, f"what came on {build(slot.topic)} does not match its hash")
        return data

    def _find(self, path: Path) -> None:
        """A slot that an earlier process left; anything else is removed."""
        try:
            slot, held = _read(path)
        except (OSError, ValueError, PeerError):
            _remove(path)
        else:
            self._held[slot], self._last_s[slot] = held, self._now_s()


def _read(path: Path) -> tuple[Slot, set[int]]:
    """The slot in this folder and the chunks that it holds. Raises OSError, ValueError or `PeerError` if that is not what it is."""
    total, whole_bytes, _ = path.name.split("-")
    named = (path / _TOPIC_FILE).read_bytes()
    slot = Slot(parse(named[32:].decode()), named[:32], int(total), int(whole_bytes))
    held = {int(file.name) for file in path.iterdir() if file.name.isdigit()}
    if slot.name != path.name or not 1 < slot.total <= MAX_CHUNKS or not held <= set(range(slot.total)):
        raise ValueError("not what its name says")
    if any((path / str(index)).stat().st_size != _size(slot, index) for index in held):
        raise ValueError("a chunk is not as long as its place asks")
    return slot, held


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()


def _size(slot: Slot, index: int) -> int:
    start, end = place(index, slot.total, slot.whole_bytes)
    return end - start
