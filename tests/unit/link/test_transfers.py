"""Chunks become whole again from what is on disk, and nobody's chunks cost anybody else a transfer."""

import os
from dataclasses import replace

import pytest

from hushfleet.codec import encode
from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import sha256
from hushfleet.link import transfers as module
from hushfleet.link.transfers import MAX_SLOTS, SLOTS_PER_SENDER, STALLED_S, Assembly, Slot
from hushfleet.system.durable import write_durably, write_unsynced
from hushfleet.wire import Kind, Topic
from hushfleet.wire.chunks import OVERHEAD_BYTES, Chunk, frames, open_frame
from hushfleet.wire.limits import LIMITS
from tests.support.refusals import refused

FLEET = "greenhouse"
DATA = bytes(range(100))
DIGEST = sha256(DATA).hex()
MAX_BYTES = OVERHEAD_BYTES + 30
"""Four chunks of 25 bytes."""


def contribution(device="pi-01", number=3):
    return Topic(FLEET, Kind.CONTRIBUTION, device=device, number=number, chunk=0)


MINE = contribution()


def cut(data=DATA):
    return dict(frames(data, MAX_BYTES))


def first_of(whole_bytes):
    return encode(Chunk(0, 256, whole_bytes, bytes(32), bytes(-(-whole_bytes // 256))))


def altered(frame, data=None, **changes: object):
    """A frame that the network made from a true one."""
    chunk = open_frame(frame, max_bytes=1000)
    fields = {name: getattr(chunk, name) for name in chunk.__struct_fields__}
    return encode(Chunk(**{**fields, "data": chunk.data if data is None else data, **changes}))


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(autouse=True)
def _without_syncing(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def reopen(tmp_path, clock):
    """The process starts (again) with the same folder."""
    return lambda: Assembly(tmp_path / "spool", clock)


@pytest.fixture
def assembly(reopen):
    return reopen()


def put(assembly, pieces, topic=MINE, only=None):
    """Hand over these chunks; what the last gave."""
    found = None
    for index, frame in pieces.items():
        if only is None or index in only:
            found = assembly.take(replace(topic, chunk=index), frame)
    return found


def poison(assembly, topic, count):
    """The network opens `count` slots under a topic with headers of its own."""
    for number in range(count):
        put(assembly, cut(b"poison" * 20 + bytes([number])), topic, only=[0])


def folders(tmp_path):
    return sorted(path.name for path in (tmp_path / "spool").iterdir())


class TestAssembling:
    def test_the_last_chunk_gives_the_whole(self, assembly):
        assert put(assembly, cut(), only=[3, 0, 2]) is None
        slot, data = put(assembly, cut(), only=[1])
        assert (slot.topic, data) == (MINE, DATA)

    def test_a_message_of_one_chunk_needs_no_slot_and_no_disk(self, assembly, tmp_path):
        slot, data = put(assembly, dict(frames(DATA, 1000)))
        assert (slot.topic, data) == (MINE, DATA)
        assert folders(tmp_path) == []
        assembly.done(slot)

    def test_what_is_done_leaves_nothing_behind(self, assembly, tmp_path):
        slot, _ = put(assembly, cut())
        assert len(folders(tmp_path)) == 1
        assembly.done(slot)
        assert folders(tmp_path) == []
        assembly.done(slot)

    def test_the_whole_comes_again_until_it_is_done(self, assembly):
        assert put(assembly, cut())[1] == DATA
        assert put(assembly, cut(), only=[2])[1] == DATA

    def test_what_is_missing_is_named_with_how_long_nothing_came(self, assembly, clock):
        put(assembly, cut(), only=[1])
        clock.now_s += 7
        (waiting,) = assembly.incomplete()
        assert (waiting.topic, waiting.whole_hash, waiting.missing, waiting.idle_s) == (MINE, sha256(DATA), ((0, 1), (2, 4)), 7)
        put(assembly, cut(), only=[0, 2, 3])
        assert assembly.incomplete() == ()

    def test_topics_and_wholes_do_not_mix(self, assembly):
        other = DATA[::-1]
        put(assembly, cut(), only=[0, 1])
        for topic, data in ((MINE, other), (contribution(number=4), DATA), (contribution("pi-02"), DATA)):
            assert put(assembly, cut(data), topic, only=[2, 3]) is None
        assert put(assembly, cut(), only=[2, 3])[1] == DATA

    def test_two_cuts_of_one_whole_do_not_mix(self, assembly):
        put(assembly, dict(frames(DATA, OVERHEAD_BYTES + 50)), only=[0])
        assert put(assembly, cut(), only=[2, 3]) is None
        assert put(assembly, dict(frames(DATA, OVERHEAD_BYTES + 50)), only=[1])[1] == DATA


class TestRefusals:
    @pytest.mark.parametrize("index", [0, 2, 4, 100])
    def test_a_chunk_under_the_number_of_another_is_refused(self, assembly, index):
        with refused(Refusal.MESSAGE_MALFORMED, PeerError):
            assembly.take(replace(MINE, chunk=index), cut()[1])
        assert assembly.incomplete() == ()

    def test_what_is_no_frame_is_refused(self, assembly):
        with refused(Refusal.MESSAGE_MALFORMED, PeerError):
            assembly.take(MINE, b"no frame")

    @pytest.mark.parametrize("kind", [kind for kind in Kind if "{chunk}" in kind.pattern], ids=lambda kind: kind.name)
    def test_every_kind_that_comes_in_chunks_has_a_ceiling_that_holds_before_anything_is_kept(self, assembly, tmp_path, kind):
        fields = {"device": "pi-01", "number": 3, "digest": DIGEST}
        topic = Topic(FLEET, kind, chunk=0, **{name: value for name, value in fields.items() if f"{{{name}}}" in kind.pattern})
        ceiling = module.CEILINGS[kind]
        for whole_bytes in (ceiling + 1, 2 * ceiling):
            with refused(Refusal.MESSAGE_TOO_LARGE, PeerError):
                assembly.take(topic, first_of(whole_bytes))
        assert folders(tmp_path) == []
        assembly.take(topic, first_of(ceiling))
        assert len(folders(tmp_path)) == 1

    def test_a_single_frame_above_the_ceiling_is_refused_before_it_is_parsed(self, assembly):
        with refused(Refusal.MESSAGE_TOO_LARGE, PeerError):
            assembly.take(Topic(FLEET, Kind.INBOX, device="pi-01", chunk=0), bytes(LIMITS.inbox + 5000))

    def test_one_chunk_that_does_not_match_its_hash_is_refused(self, assembly):
        with refused(Refusal.TRANSFER_HASH, PeerError):
            assembly.take(MINE, encode(Chunk(0, 1, 4, sha256(b"else"), b"data")))


class TestBounds:
    def test_a_sender_has_so_many_transfers_at_once_and_no_more(self, assembly, tmp_path):
        poison(assembly, MINE, SLOTS_PER_SENDER)
        with refused(Refusal.TRANSFER_SLOTS, PeerError):
            put(assembly, cut())
        assert len(folders(tmp_path)) == SLOTS_PER_SENDER

    def test_the_round_in_a_topic_makes_no_further_room(self, assembly):
        for number in range(1, 5):
            poison(assembly, contribution(number=number), 1)
        with refused(Refusal.TRANSFER_SLOTS, PeerError):
            poison(assembly, contribution(number=9), 1)

    def test_senders_and_kinds_do_not_bound_each_other(self, assembly):
        poison(assembly, MINE, SLOTS_PER_SENDER)
        partial = Topic(FLEET, Kind.PARTIAL, device="pi-01", number=3, chunk=0)
        for topic in (contribution("pi-02"), partial, Topic(FLEET, Kind.REQUEST, number=3, chunk=0)):
            assert put(assembly, cut(), topic)[1] == DATA

    def test_what_fits_one_chunk_needs_no_slot(self, assembly):
        poison(assembly, MINE, SLOTS_PER_SENDER)
        assert put(assembly, dict(frames(DATA, 1000)))[1] == DATA

    def test_poison_evicts_nothing_that_has_begun(self, assembly):
        put(assembly, cut(), only=[0, 1])
        poison(assembly, MINE, SLOTS_PER_SENDER - 1)
        with refused(Refusal.TRANSFER_SLOTS, PeerError):
            poison(assembly, MINE, SLOTS_PER_SENDER)
        assert put(assembly, cut(), only=[2, 3])[1] == DATA

    def test_a_transfer_that_stalled_makes_room_for_the_next_one_of_its_sender_alone(self, assembly, clock):
        """Else a device whose link broke off four models would take none for hours."""
        put(assembly, cut(), contribution("pi-02"), only=[0])
        poison(assembly, MINE, SLOTS_PER_SENDER - 1)
        clock.now_s += STALLED_S
        put(assembly, cut(), only=[0])
        clock.now_s += 1
        for data in (DATA[::-1], DATA[1:], DATA[2:]):
            put(assembly, cut(data), only=[0])

        with refused(Refusal.TRANSFER_SLOTS, PeerError):
            put(assembly, cut(DATA[3:]), only=[0])
        assert put(assembly, cut(), only=[1, 2, 3])[1] == DATA
        assert put(assembly, cut(), contribution("pi-02"), only=[1, 2, 3])[1] == DATA

    def test_a_slot_that_is_done_or_forgotten_makes_room(self, assembly, clock):
        poison(assembly, MINE, SLOTS_PER_SENDER - 1)
        assembly.done(put(assembly, cut())[0])
        assembly.done(put(assembly, cut(DATA[::-1]))[0])
        poison(assembly, contribution(number=4), 1)
        clock.now_s += 61
        assert assembly.forget_idle(60) == SLOTS_PER_SENDER
        assert put(assembly, cut())[1] == DATA

    def test_all_senders_together_are_bounded(self, assembly, monkeypatch):
        assert MAX_SLOTS >= 2 * 2800
        monkeypatch.setattr(module, "MAX_SLOTS", 6)
        for number in range(6):
            poison(assembly, contribution(f"pi-{number}"), 1)
        with refused(Refusal.TRANSFER_SLOTS, PeerError):
            poison(assembly, contribution("pi-7"), 1)
        assert len(assembly.incomplete()) == 6


class TestForgetting:
    def test_only_what_got_nothing_for_so_long_is_forgotten(self, assembly, clock, tmp_path):
        put(assembly, cut(), only=[0])
        put(assembly, cut(), contribution("pi-02"), only=[0])
        clock.now_s += 50
        put(assembly, cut(), only=[0])  # a duplicate shows that the sender is alive
        clock.now_s += 50
        assert assembly.forget_idle(60) == 1
        assert [one.topic for one in assembly.incomplete()] == [MINE]
        assert len(folders(tmp_path)) == 1
        assert assembly.forget_idle(50) == 0

    def test_whoever_was_forgotten_begins_again(self, assembly, clock):
        put(assembly, cut(), only=[0, 1])
        clock.now_s += 100
        assembly.forget_idle(60)
        assert put(assembly, cut(), only=[2, 3]) is None
        assert put(assembly, cut(), only=[0, 1])[1] == DATA


class TestPoisonedData:
    def poisoned(self, assembly):
        """The network was faster with chunk 2 than the sender."""
        assembly.take(replace(MINE, chunk=2), altered(cut()[2], data=bytes(25)))
        with refused(Refusal.TRANSFER_HASH, PeerError):
            put(assembly, cut())

    def test_it_spoils_the_whole_which_is_then_waited_for_from_the_start(self, assembly):
        self.poisoned(assembly)
        (waiting,) = assembly.incomplete()
        assert (waiting.whole_hash, waiting.missing) == (sha256(DATA), ((0, 4),))
        assert put(assembly, cut())[1] == DATA

    def test_the_same_after_a_restart(self, assembly, reopen):
        self.poisoned(assembly)
        again = reopen()
        assert [one.missing for one in again.incomplete()] == [((0, 4),)]
        assert put(again, cut())[1] == DATA

    def test_what_did_not_match_is_gone_from_the_disk_and_the_slot_ends_like_any_other(self, assembly, clock, tmp_path):
        self.poisoned(assembly)
        (folder,) = (tmp_path / "spool").iterdir()
        assert [path.name for path in folder.iterdir()] == ["topic"]
        clock.now_s += 61
        assert assembly.forget_idle(60) == 1
        assert folders(tmp_path) == []

    def test_the_first_copy_of_a_chunk_stays(self, assembly):
        put(assembly, cut(), only=[0, 1, 2])
        assembly.take(replace(MINE, chunk=2), altered(cut()[2], data=bytes(25)))
        assert put(assembly, cut(), only=[3])[1] == DATA

    @pytest.mark.parametrize("changes", [{"whole_hash": bytes(32)}, {"whole_bytes": 99}])
    def test_a_poisoned_header_opens_a_slot_of_its_own(self, assembly, changes):
        put(assembly, cut(), only=[0])
        assembly.take(MINE, altered(cut()[0], **changes))
        assert len(assembly.incomplete()) == 2
        assert put(assembly, cut(), only=[1, 2, 3])[1] == DATA


class TestRestart:
    def test_it_goes_on_with_what_had_come(self, assembly, reopen, clock):
        put(assembly, cut(), only=[0, 3])
        clock.now_s += 500
        again = reopen()
        (waiting,) = again.incomplete()
        assert (waiting.topic, waiting.missing, waiting.idle_s) == (MINE, ((1, 3),), 0)
        assert put(again, cut(), only=[1, 2])[1] == DATA

    def test_the_bound_of_a_sender_counts_what_was_found(self, assembly, reopen):
        poison(assembly, MINE, SLOTS_PER_SENDER)
        with refused(Refusal.TRANSFER_SLOTS, PeerError):
            put(reopen(), cut())

    def test_what_was_complete_and_not_done_comes_again_with_its_last_chunk(self, assembly, reopen):
        put(assembly, cut())
        again = reopen()
        assert again.incomplete() == ()
        slot, data = put(again, cut(), only=[3])
        assert data == DATA
        again.done(slot)
        assert reopen().incomplete() == ()

    def test_a_chunk_that_was_half_written_comes_again(self, assembly, reopen, tmp_path):
        put(assembly, cut(), only=[0, 1])
        (folder,) = (tmp_path / "spool").iterdir()
        (folder / "2.part").write_bytes(b"hal")
        again = reopen()
        assert [one.missing for one in again.incomplete()] == [((2, 4),)]
        assert put(again, cut(), only=[2, 3])[1] == DATA

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda folder: (folder / "1").write_bytes(b"not its length"),
            lambda folder: (folder / "4").write_bytes(bytes(25)),
            lambda folder: (folder / "99999").write_bytes(b""),
            lambda folder: (folder / "\u00b2").write_bytes(b""),
            lambda folder: (folder / "\u0663").write_bytes(b""),
            lambda folder: (folder / "03").write_bytes(bytes(25)),
            lambda folder: (folder / "topic").unlink(),
            lambda folder: (folder / "topic").write_bytes(b""),
            lambda folder: (folder / "topic").write_bytes(bytes(32) + b"\xff\xfe"),
            lambda folder: (folder / "topic").write_bytes(bytes(32) + b"hushfleet/v1/greenhouse/plan"),
            lambda folder: (folder / "topic").write_bytes(bytes(32) + (folder / "topic").read_bytes()[32:]),
            lambda folder: folder.rename(folder.with_name("4-101" + folder.name[5:])),
            lambda folder: folder.rename(folder.with_name("5-100" + folder.name[5:])),
            lambda folder: folder.rename(folder.with_name("0-100" + folder.name[5:])),
            lambda folder: folder.rename(folder.with_name("-4-100" + folder.name[5:])),
            lambda folder: folder.rename(folder.with_name("four-100" + folder.name[5:])),
            lambda folder: folder.rename(folder.with_name("lost+found")),
        ],
    )
    def test_what_is_no_transfer_of_this_house_is_removed(self, assembly, reopen, tmp_path, spoil):
        put(assembly, cut(), only=[0, 1])
        put(assembly, cut(), contribution("pi-02"), only=[0])
        folder = next(path for path in (tmp_path / "spool").iterdir() if (path / "1").exists())
        assert folder.name.startswith("4-100-")
        spoil(folder)
        again = reopen()
        assert [one.topic for one in again.incomplete()] == [contribution("pi-02")]
        assert len(folders(tmp_path)) == 1
        assert put(again, cut())[1] == DATA

    @pytest.mark.parametrize(("total", "whole_bytes"), [(0, 0), (0, 5), (1, 100), (4097, 8194), (-3, 9)])
    def test_a_folder_whose_numbers_no_chunk_could_have_is_removed(self, reopen, tmp_path, total, whole_bytes):
        slot = Slot(MINE, sha256(DATA), total, whole_bytes)
        folder = tmp_path / "spool" / slot.name
        folder.mkdir(parents=True)
        write_durably(folder / "topic", slot.whole_hash + b"hushfleet/v1/greenhouse/device/pi-01/contribution/3/0")
        (folder / "0").write_bytes(b"")
        assert reopen().incomplete() == ()
        assert folders(tmp_path) == []

    def test_strange_files_are_removed_and_links_are_not_followed(self, reopen, tmp_path):
        spool, elsewhere = tmp_path / "spool", tmp_path / "elsewhere"
        (elsewhere / "inner").mkdir(parents=True)
        spool.mkdir()
        (spool / "a-file-here").write_bytes(b"x")
        (spool / "link-to-elsewhere").symlink_to(elsewhere)
        (spool / "broken").symlink_to(tmp_path / "nowhere")
        reopen()
        assert folders(tmp_path) == []
        assert (elsewhere / "inner").is_dir()

    def test_names_on_disk_hold_nothing_that_a_sender_chose_freely(self, assembly, tmp_path):
        for topic in (MINE, Topic(FLEET, Kind.MODEL, digest=DIGEST, chunk=0), Topic(FLEET, Kind.ROSTER, number=2**63 - 1, chunk=0)):
            put(assembly, cut(), topic, only=[0, 2])
        for folder in (tmp_path / "spool").iterdir():
            total, whole_bytes, name = folder.name.split("-")
            assert (total, whole_bytes, len(bytes.fromhex(name))) == ("4", "100", 32)
            assert sorted(path.name for path in folder.iterdir()) == ["0", "2", "topic"]


class TestDisk:
    @pytest.fixture
    def disk(self, monkeypatch):
        """Full while `full` is set: a write leaves half of it beside and fails."""

        class Disk:
            full = False

        def write(path, data, **_: object):
            if Disk.full:
                path.with_name(path.name + ".part").write_bytes(data[: len(data) // 2])
                raise OSError("the disk is full")
            write_unsynced(path, data)

        monkeypatch.setattr(module, "write_unsynced", write)
        return Disk

    @pytest.mark.parametrize("already", [(), (0,), (0, 1, 2)])
    def test_a_full_disk_is_reported_and_the_same_chunk_may_come_again(self, assembly, disk, already):
        put(assembly, cut(), only=already)
        disk.full = True
        for _ in range(SLOTS_PER_SENDER + 1):
            with pytest.raises(OSError, match="disk is full"):
                put(assembly, cut(), only=[3])
        assert [one.missing for one in assembly.incomplete()] == ([((len(already), 4),)] if already else [])
        disk.full = False
        assert put(assembly, cut())[1] == DATA

    @pytest.mark.parametrize("already", [(), (0,), (0, 1, 2)])
    def test_a_restart_after_a_full_disk_finds_what_was_written(self, assembly, reopen, disk, already):
        put(assembly, cut(), only=already)
        disk.full = True
        with pytest.raises(OSError, match="disk is full"):
            put(assembly, cut(), only=[3])
        disk.full = False
        again = reopen()
        assert [one.missing for one in again.incomplete()] == ([((len(already), 4),)] if already else [])
        assert put(again, cut())[1] == DATA

    def test_a_disk_that_fails_between_slot_and_chunk_leaves_a_slot_like_any_other(self, assembly, monkeypatch, clock):
        """The topic is written, its first chunk is not."""

        def write(path, data, **_: object):
            if path.name != "topic":
                raise OSError("the disk is full")
            write_unsynced(path, data)

        monkeypatch.setattr(module, "write_unsynced", write)
        with pytest.raises(OSError, match="disk is full"):
            put(assembly, cut(), only=[0])
        assert [one.missing for one in assembly.incomplete()] == [((0, 4),)]
        clock.now_s += 61
        assert assembly.forget_idle(60) == 1
        assert assembly.incomplete() == ()

    def test_a_disk_that_cannot_be_read_is_reported(self, assembly, tmp_path):
        put(assembly, cut(), only=[0, 1, 2])
        (folder,) = (tmp_path / "spool").iterdir()
        (folder / "1").unlink()
        with pytest.raises(OSError, match="No such file"):
            put(assembly, cut(), only=[3])

    def test_no_chunk_waits_for_the_disk(self, assembly, monkeypatch):
        """Thousands of small ones would: whoever takes the whole makes it durable, and what a power cut took is asked for again."""

        def sync(_):
            raise AssertionError("a chunk waited for the disk")

        monkeypatch.setattr(os, "fsync", sync)
        assert put(assembly, cut())[1] == DATA

    @pytest.mark.parametrize("spoilt", ["topic", "1"])
    def test_what_a_power_cut_spoilt_is_asked_for_again(self, assembly, reopen, tmp_path, spoilt):
        """The file is there, its bytes never reached the disk."""
        put(assembly, cut(), only=[0, 1])
        (path,) = (tmp_path / "spool").glob(f"*/{spoilt}")
        path.write_bytes(bytes(path.stat().st_size))
        again = reopen()
        if spoilt == "1":
            with refused(Refusal.TRANSFER_HASH, PeerError):
                put(again, cut(), only=[2, 3])
        assert put(again, cut())[1] == DATA
