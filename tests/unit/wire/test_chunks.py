import pytest

from hushfleet.codec import encode
from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import sha256
from hushfleet.wire.chunks import MAX_CHUNKS, OVERHEAD_BYTES, Chunk, chunk_count, frames, missing_ranges, open_frame
from tests.support.documents import chunk
from tests.support.refusals import refused
from tests.support.twins import fields_of, packed


def assembled(cut) -> bytes:
    parts = {index: open_frame(frame, max_bytes=len(frame)).data for index, frame in cut}
    return b"".join(parts[index] for index in range(len(parts)))


class TestFrames:
    def test_one_frame_holds_what_fits(self):
        ((index, frame),) = frames(b"data", 1000)
        assert (index, open_frame(frame, max_bytes=1000)) == (0, Chunk(0, 1, 4, sha256(b"data"), b"data"))

    def test_cuts_are_even(self):
        sizes = [len(open_frame(frame, max_bytes=1000).data) for _, frame in frames(bytes(901), OVERHEAD_BYTES + 400)]
        assert sizes == [301, 301, 299]

    def test_only_the_chunks_in_the_ranges_are_made(self):
        data = bytes(range(200))
        cut = dict(frames(data, OVERHEAD_BYTES + 10))
        some = dict(frames(data, OVERHEAD_BYTES + 10, [(0, 2), (19, 30), (5, 6)]))
        assert some == {index: cut[index] for index in (0, 1, 5, 19)}

    @pytest.mark.parametrize("ranges", [[(20, 25)], [(5, 5)], [(7, 3)]])
    def test_ranges_that_name_no_chunk_give_none(self, ranges):
        assert list(frames(bytes(200), OVERHEAD_BYTES + 10, ranges)) == []

    def test_the_greatest_number_of_chunks(self):
        data = bytes(MAX_CHUNKS)
        cut = list(frames(data, OVERHEAD_BYTES + 1))
        assert [index for index, _ in cut] == list(range(MAX_CHUNKS))
        assert assembled(cut) == data

    def test_nothing_cannot_be_framed(self):
        with refused(Refusal.MESSAGE_MALFORMED, PeerError):
            list(frames(b"", 1000))

    @pytest.mark.parametrize("max_bytes", [0, 1, OVERHEAD_BYTES, OVERHEAD_BYTES - 1])
    def test_a_limit_without_room_is_a_mistake(self, max_bytes):
        with pytest.raises(ValueError, match="no room"):
            chunk_count(1, max_bytes)

    def test_more_chunks_than_anybody_takes_is_a_mistake(self):
        with pytest.raises(ValueError, match="4097 frames"):
            chunk_count(MAX_CHUNKS + 1, OVERHEAD_BYTES + 1)


@pytest.mark.parametrize(
    ("whole_bytes", "room", "count"),
    [(0, 1, 1), (1, 1, 1), (1, 1000, 1), (1000, 1000, 1), (1001, 1000, 2), (2 * MAX_CHUNKS, 2, MAX_CHUNKS), (10, 3, 4), (9, 2, 5)],
)
def test_chunk_counts(whole_bytes, room, count):
    assert chunk_count(whole_bytes, OVERHEAD_BYTES + room) == count


@pytest.mark.parametrize(
    ("held", "total", "ranges"),
    [
        ([], 1, ((0, 1),)),
        ([], 5, ((0, 5),)),
        ([0, 1, 2], 3, ()),
        ([1], 3, ((0, 1), (2, 3))),
        ([0, 2], 4, ((1, 2), (3, 4))),
        ([3], 4, ((0, 3),)),
    ],
)
def test_missing_ranges(held, total, ranges):
    assert missing_ranges(held, total) == ranges


class TestChunk:
    @pytest.mark.parametrize(
        "changes",
        [
            {"index": 3},
            {"index": -1},
            {"index": 2**64},
            {"total": 0},
            {"total": -1},
            {"total": MAX_CHUNKS + 1, "whole_bytes": MAX_CHUNKS + 1, "data": b"x"},
            {"whole_bytes": 0, "data": b""},
            {"whole_bytes": -7},
            {"whole_bytes": 2**63},
            {"whole_bytes": 10},
            {"whole_hash": bytes(31)},
            {"whole_hash": b""},
            {"data": b""},
            {"data": b"ab"},
            {"data": b"abcd"},
            {"index": 2, "data": b"abc"},
        ],
    )
    def test_what_does_not_fit_together_is_refused(self, changes):
        with refused(Refusal.MESSAGE_MALFORMED, PeerError):
            chunk(**changes)

    def test_the_same_in_a_frame_is_refused(self):
        index, total, whole_bytes, whole_hash, data = fields_of(encode(chunk()))
        for fields in ([total, total, whole_bytes, whole_hash, data], [index, total, 2 * whole_bytes, whole_hash, data]):
            with refused(Refusal.MESSAGE_MALFORMED, PeerError):
                open_frame(packed(fields), max_bytes=1000)

    @pytest.mark.parametrize("index", [0, 1, 2])
    def test_a_cut_with_empty_chunks_is_refused_at_its_first(self, index):
        """Four bytes in three chunks are two of two bytes: the third, and with it the whole, could never come."""
        with refused(Refusal.MESSAGE_MALFORMED, PeerError):
            chunk(index=index, total=3, whole_bytes=4, data=b"ab"[: 2 if index < 2 else 0])

    def test_each_place_takes_what_belongs_there(self):
        assert [chunk(index=index, data=data).index for index, data in ((0, b"abc"), (1, b"abc"), (2, b"a"))] == [0, 1, 2]

    def test_a_frame_above_its_ceiling_is_refused(self):
        frame = encode(chunk())
        with refused(Refusal.MESSAGE_TOO_LARGE, PeerError):
            open_frame(frame, max_bytes=len(frame) - 1)
