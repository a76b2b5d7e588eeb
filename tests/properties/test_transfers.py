"""Transfers: however a whole is cut, and in whatever order and however often its chunks come, it is the same again or refused."""

import itertools
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, find, given, settings
from hypothesis import strategies as st

from hushfleet.codec import encode
from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import sha256
from hushfleet.link import transfers as assembly_module
from hushfleet.link.transfers import Assembly
from hushfleet.wire import Kind, Topic
from hushfleet.wire.chunks import MAX_CHUNKS, OVERHEAD_BYTES, Chunk, chunk_count, frames, missing_ranges, open_frame, place
from tests.support.twins import flipped, packed

TOPIC = Topic("greenhouse", Kind.CONTRIBUTION, device="pi-01", number=3, chunk=0)
FORM = {Refusal.MESSAGE_MALFORMED, Refusal.MESSAGE_VERSION, Refusal.MESSAGE_TOO_LARGE}

# Most wholes are small and many chunks; some are as large as they come.
wholes = st.one_of(st.integers(1, 300), st.integers(1, 1 << 28))
rooms = st.one_of(st.integers(1, 40), st.integers(1, 200_000))


@given(wholes, rooms)
def test_even_cuts_fill_every_chunk_and_no_frame_exceeds_its_room(whole_bytes, room):
    assume(-(-whole_bytes // room) <= MAX_CHUNKS)
    total = chunk_count(whole_bytes, OVERHEAD_BYTES + room)
    places = [place(index, total, whole_bytes) for index in range(total)]
    assert places[0][0] == 0
    assert places[-1][1] == whole_bytes
    assert all(end == start for (_, end), (start, _) in itertools.pairwise(places))
    assert all(0 < end - start <= room for start, end in places)
    sizes = {end - start for start, end in places[:-1]}
    assert len(sizes) <= 1
    assert total == -(-whole_bytes // room)


@given(st.integers(1, MAX_CHUNKS), st.integers(-1, 1), st.integers(1, 100_000))
def test_the_number_of_chunks_is_bounded(count, beside, room):
    whole_bytes = max(1, count * room + beside)
    if whole_bytes > MAX_CHUNKS * room:
        with pytest.raises(ValueError, match="frames"):
            chunk_count(whole_bytes, OVERHEAD_BYTES + room)
    else:
        assert chunk_count(whole_bytes, OVERHEAD_BYTES + room) <= MAX_CHUNKS


@given(st.binary(min_size=1, max_size=2000), st.integers(1, 2200))
def test_every_frame_keeps_the_limit_and_together_they_are_the_whole(data, room):
    max_bytes = OVERHEAD_BYTES + room
    cut = list(frames(data, max_bytes))
    opened = [open_frame(frame, max_bytes=max_bytes) for _, frame in cut]
    assert [chunk.index for chunk in opened] == [index for index, _ in cut] == list(range(len(cut)))
    assert len({(chunk.total, chunk.whole_bytes, chunk.whole_hash) for chunk in opened}) == 1
    assert b"".join(chunk.data for chunk in opened) == data


@given(st.integers(1, MAX_CHUNKS), st.sampled_from([1, 255, 256, 65_535, 65_536, 1 << 16, (1 << 28) // MAX_CHUNKS]))
def test_the_overhead_holds_for_the_greatest_headers(total, size):
    chunk = Chunk(total - 1, total, total * size, bytes(32), bytes(size))
    assert len(encode(chunk)) <= size + OVERHEAD_BYTES


@given(st.integers(1, 60), st.data())
def test_missing_ranges_name_what_is_missing_and_nothing_else(total, data):
    held = data.draw(st.sets(st.integers(0, total - 1)))
    ranges = missing_ranges(sorted(held), total)
    named = [index for first, end in ranges for index in range(first, end)]
    assert named == sorted(set(range(total)) - held)
    assert all(end < first for (_, end), (first, _) in itertools.pairwise(ranges))


@given(st.binary(min_size=1, max_size=500), st.integers(1, 100), st.data())
def test_ranges_resend_the_missing_and_nothing_else(data, room, drawn):
    whole = dict(frames(data, OVERHEAD_BYTES + room))
    held = drawn.draw(st.sets(st.sampled_from(sorted(whole))))
    ranges = missing_ranges(sorted(held), len(whole))
    if ranges:  # no ranges at all mean everything
        assert dict(frames(data, OVERHEAD_BYTES + room, ranges)) == {index: whole[index] for index in set(whole) - held}


def taken(assembly, index, frame):
    return assembly.take(replace(TOPIC, chunk=index), frame)


@settings(max_examples=30)
@given(st.binary(min_size=2, max_size=300), st.integers(1, 60), st.data())
def test_in_any_order_with_any_duplicates_and_restarts_the_whole_comes_once_everything_is_there(data, room, drawn):
    cut = list(frames(data, OVERHEAD_BYTES + room))
    order = drawn.draw(st.permutations(cut + drawn.draw(st.lists(st.sampled_from(cut), max_size=5))))
    restarts = drawn.draw(st.sets(st.integers(0, len(order) - 1), max_size=3))
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        assembly, came = Assembly(Path(name), lambda: 0), set()
        for step, (index, frame) in enumerate(order):
            if step in restarts:
                assembly = Assembly(Path(name), lambda: 0)
            came.add(index)
            found = taken(assembly, index, frame)
            if len(came) < len(cut):
                assert found is None
                (waiting,) = assembly.incomplete()
                assert waiting.missing == missing_ranges(sorted(came), len(cut))
            else:
                assert found is not None
                assert found[1] == data
                assert assembly.incomplete() == ()
        assembly.done(found[0])
        assert list(Path(name).iterdir()) == []


def taken_or_refused(assembly, index, frame):
    try:
        return taken(assembly, index, frame)
    except PeerError as error:
        return error.reason


@settings(max_examples=30)
@given(st.binary(min_size=20, max_size=200), st.data())
def test_a_flipped_bit_in_any_frame_never_gives_another_whole(data, drawn):
    """It is refused, or opens a slot of its own, or spoils the whole, which then comes again."""
    cut = list(frames(data, OVERHEAD_BYTES + 15))
    poisoned = drawn.draw(st.sampled_from(cut))
    altered = flipped(poisoned[1], drawn.draw(st.integers(0, 8 * len(poisoned[1]) - 1)))
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        assembly = Assembly(Path(name), lambda: 0)
        found = [taken_or_refused(assembly, index, frame) for index, frame in [(poisoned[0], altered), *cut, *cut]]
    assert {one for one in found if isinstance(one, Refusal)} <= FORM | {Refusal.TRANSFER_HASH}
    assert {one[1] for one in found if isinstance(one, tuple)} == {data}


near = st.integers(-2, MAX_CHUNKS + 2)
loose = st.one_of(
    st.binary(max_size=200),
    st.tuples(
        st.lists(st.one_of(near, st.integers(-(2**63), 2**64 - 1), st.binary(max_size=40), st.none()), max_size=6),
        st.sampled_from([0, 1, 1, 2]),
    ).map(lambda pair: packed(*pair)),
    st.tuples(st.integers(0, 3), st.integers(1, 4), st.integers(1, 40), st.sampled_from([bytes(32), sha256(b""), bytes(31)])).map(
        lambda head: packed([*head, bytes(-(-head[2] // head[1]))])
    ),
)


def is_chunk(frame):
    try:
        return bool(open_frame(frame, max_bytes=1000))
    except PeerError:
        return False


def test_the_bytes_above_are_chunks_at_times():
    assert find(loose, is_chunk)


@given(loose)
def test_arbitrary_bytes_are_a_chunk_that_can_belong_to_a_whole_or_refused(frame):
    try:
        chunk = open_frame(frame, max_bytes=1000)
    except PeerError:
        return
    start, end = place(chunk.index, chunk.total, chunk.whole_bytes)
    assert end - start == len(chunk.data) > 0
    assert all(place(index, chunk.total, chunk.whole_bytes)[0] < chunk.whole_bytes for index in (0, chunk.total - 1))


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 5), loose), max_size=12))
def test_whatever_arrives_the_slots_of_a_sender_stay_bounded(arrivals):
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        assembly = Assembly(Path(name), lambda: 0)
        for index, frame in arrivals:
            taken_or_refused(assembly, index, frame)
        assert len(assembly.incomplete()) <= assembly_module.SLOTS_PER_SENDER
        assert len(list(Path(name).iterdir())) == len(assembly._held)


def test_the_hash_binds_the_whole():
    assert {chunk.whole_hash for chunk in (open_frame(frame, max_bytes=1000) for _, frame in frames(b"x" * 99, 200))} == {sha256(b"x" * 99)}
