"""Transfers that exceed one message: cut into chunks, each bound to its place and to the whole (PROTOCOL 7).

The topic binds a chunk to sender and round. Cuts are even, so sizes and offsets follow from (whole_bytes, total) alone.
"""

from collections.abc import Iterator, Sequence

from hushfleet.codec import Message, decode, encode
from hushfleet.documents.validation import require_counts, require_hashes
from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import sha256

OVERHEAD_BYTES = 128
"""More than everything in a frame besides its data."""
MAX_CHUNKS = 4096

Ranges = Sequence[tuple[int, int]]
"""Half-open ranges of chunk indices."""


class Chunk(Message, frozen=True):
    """Part `index` of `total` of `whole_bytes` bytes with SHA-256 `whole_hash`. Nothing in it is authenticated.

    Raises `PeerError(MESSAGE_MALFORMED)`: out of range, a cut that leaves chunks empty (such a whole could never be complete), or
    `data` not as long as its place asks.
    """

    index: int
    total: int
    whole_bytes: int
    whole_hash: bytes
    data: bytes

    def __post_init__(self) -> None:
        require_hashes(self.whole_hash)
        require_counts(self.whole_bytes, self.total, least=1)
        require_counts(self.total, most=MAX_CHUNKS)
        require_counts(self.index, most=self.total - 1)
        if place(self.total - 1, self.total, self.whole_bytes)[0] == self.whole_bytes:
            raise PeerError(Refusal.MESSAGE_MALFORMED, f"{self.whole_bytes} bytes in {self.total} chunks leave some of them empty")
        start, end = place(self.index, self.total, self.whole_bytes)
        if len(self.data) != end - start:
            raise PeerError(Refusal.MESSAGE_MALFORMED, f"chunk {self.index} of {self.total} has {len(self.data)} bytes, not {end - start}")


def place(index: int, total: int, whole_bytes: int) -> tuple[int, int]:
    """The place of chunk `index` in the whole: a half-open byte range."""
    size = -(-whole_bytes // total)
    return min(index * size, whole_bytes), min((index + 1) * size, whole_bytes)


def chunk_count(whole_bytes: int, max_bytes: int) -> int:
    """The number of frames of at most `max_bytes` carry `whole_bytes`; at least 1. ValueError if `max_bytes` leaves no room for it."""
    if max_bytes <= OVERHEAD_BYTES:
        raise ValueError(f"{max_bytes} bytes leave no room for data in a frame")
    count = max(1, -(-whole_bytes // (max_bytes - OVERHEAD_BYTES)))
    if count > MAX_CHUNKS:
        raise ValueError(f"{whole_bytes} bytes need {count} frames of {max_bytes}, at most {MAX_CHUNKS} are sent")
    return count


def frames(data: bytes, max_bytes: int, ranges: Ranges = ()) -> Iterator[tuple[int, bytes]]:
    """(index, frame) for every chunk of `data`, or those in `ranges`; each frame at most `max_bytes`. `data` are not empty."""
    total, whole_hash = chunk_count(len(data), max_bytes), sha256(data)
    for index in range(total):
        if not ranges or any(first <= index < end for first, end in ranges):
            start, end = place(index, total, len(data))
            yield index, encode(Chunk(index, total, len(data), whole_hash, data[start:end]))


def open_frame(frame: bytes, *, max_bytes: int) -> Chunk:
    """One chunk, not yet checked against its whole. Raises `PeerError`."""
    return decode(Chunk, frame, max_bytes=max_bytes)


def missing_ranges(held: Sequence[int], total: int) -> tuple[tuple[int, int], ...]:
    """Half-open ranges of the indices below `total` that are not in `held` (sorted, distinct)."""
    ranges, start = [], 0
    for index in [*held, total]:
        if start < index:
            ranges.append((start, index))
        start = index + 1
    return tuple(ranges)
