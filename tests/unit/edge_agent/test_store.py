import errno
import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from edge_agent.store import Store
from hushfleet.codec import encode
from hushfleet.documents import NO_SHARE, GrantedShare, JournalHead
from hushfleet.errors import LocalError, Refusal
from hushfleet.labels import sha256
from hushfleet.privacy import Ledger, Participation, WithoutPrivacy
from hushfleet.randomness import SeededRandomness
from hushfleet.rounds import device, member
from hushfleet.rounds.effects import (
    DropContribution,
    DropShare,
    KeepAnswer,
    KeepContribution,
    KeepRoster,
    KeepRound,
    KeepSeen,
    KeepShare,
    KeepStop,
    Persist,
    Refused,
)
from hushfleet.rounds.events import GrantArrived, RequestArrived
from hushfleet.wire import NOTHING_KNOWN, DeviceStatus, Presence, sign_status
from tests.support.fleet import make_fleet
from tests.support.refusals import refused

FLEET = make_fleet()
ROOT = FLEET.parties.owner.root.verify_key
KEY_ID = FLEET.roster.key_id
SHARE = FLEET.dealing.shares[0]
ROSTER = KeepRoster(FLEET.roster.signed)
CONTRIBUTION = KeepContribution(Participation(KEY_ID, 3, 17), b"sealed bytes")
LARGE = replace(CONTRIBUTION, sealed=bytes(100_000))
HEADER = FLEET.request(FLEET.plan(), FLEET.bodies(FLEET.plan())).header
EVERYTHING = (
    ROSTER,
    KeepSeen(KEY_ID, 4),
    CONTRIBUTION,
    KeepStop(bytes(32), Refusal.EQUIVOCATION, b"evidence"),
    KeepStop(bytes([1]) * 32, Refusal.ROSTER_CONFLICT, b"rosters"),
    KeepShare(KEY_ID, SHARE.to_bytes(FLEET.dealing.public)),
    KeepAnswer(KEY_ID, 2, bytes(32), HEADER, b"sealed answer"),
)


@pytest.fixture
def store(tmp_path):
    store = Store.create(tmp_path)
    yield store
    store.close()


def again(store, tmp_path):
    store.close()
    return Store(tmp_path)


def states(store):
    return store.device_state(ROOT), store.member_state(ROOT)


class TestFresh:
    def test_a_fresh_store_knows_nothing(self, store):
        assert states(store) == (device.Unenrolled(device.DeviceMemory(Ledger())), member.Unenrolled())

    def test_it_is_for_this_user_alone(self, store, tmp_path):
        store.persist(EVERYTHING)

        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}

    def test_it_is_made_once(self, store, tmp_path):
        with pytest.raises(FileExistsError):
            Store.create(tmp_path)
        assert store.ledger() == Ledger()


class TestReopened:
    def test_everything_is_found_again(self, store, tmp_path):
        store.persist(EVERYTHING)
        before = states(store)

        store = again(store, tmp_path)

        assert (
            states(store)
            == before
            == (
                device.Idle(
                    device.DeviceMemory(
                        Ledger((CONTRIBUTION.entry,)),
                        {KEY_ID: 4},
                        frozenset({bytes(32), bytes([1]) * 32}),
                        device.Sent(KEY_ID, 3, b"sealed bytes"),
                    ),
                    FLEET.roster,
                ),
                member.Ready(
                    member.MemberMemory({KEY_ID: member.Answered(2, bytes(32), HEADER, b"sealed answer")}, frozenset({bytes([1]) * 32})),
                    FLEET.roster,
                    GrantedShare(SHARE.to_bytes(FLEET.dealing.public)),
                ),
            )
        )
        store.close()

    def test_the_ledger_keeps_its_order_and_kinds(self, store, tmp_path):
        events = (Participation(KEY_ID, 2, 5), WithoutPrivacy(KEY_ID, 3), Participation(bytes(32), 1, 7))
        for event in events:
            store.persist((KeepContribution(event, b"x"),))

        store = again(store, tmp_path)

        assert store.ledger() == Ledger(events)
        store.close()

    def test_a_receipt_lets_the_bytes_go_and_keeps_the_charge(self, store, tmp_path):
        store.persist(EVERYTHING)
        store.persist((DropContribution(KEY_ID, 3),))

        store = again(store, tmp_path)

        state = store.device_state(ROOT)
        assert (type(state), state.memory.sent, state.memory.ledger) == (device.Idle, None, Ledger((CONTRIBUTION.entry,)))
        store.close()

    def test_a_receipt_for_an_earlier_round_lets_nothing_go(self, store):
        store.persist(EVERYTHING)
        store.persist((DropContribution(KEY_ID, 2), DropContribution(bytes(32), 3)))

        assert store.device_state(ROOT).memory.sent is not None

    def test_only_the_latest_contribution_answer_and_roster_are_held(self, store):
        store.persist(EVERYTHING)
        later = FLEET.newer()
        store.persist((KeepContribution(Participation(KEY_ID, 5, 1), b"later"), KeepAnswer(KEY_ID, 5, b"r" * 32, HEADER, b"later answer")))
        store.persist((KeepRoster(later.roster.signed),))

        state, members = states(store)

        assert (state.memory.sent.sealed, state.roster.digest) == (b"later", later.roster.digest)
        assert members.memory.answered[KEY_ID].sealed == b"later answer"

    def test_a_roster_of_another_owner_is_not_believed(self, store):
        store.persist((ROSTER,))
        with refused(Refusal.SIGNATURE):
            store.roster(FLEET.parties.orchestrator.signing.verify_key)


class TestOneTransaction:
    def test_a_failing_change_leaves_nothing_of_the_others(self, store, tmp_path):
        store.persist((ROSTER,))
        before = states(store)

        with pytest.raises(TypeError, match="KeepRound"):
            store.persist((*EVERYTHING, KeepRound(KEY_ID, 1, HEADER)))

        assert states(store) == before
        store = again(store, tmp_path)
        assert states(store) == before
        store.close()

    def test_a_second_charge_for_a_round_is_refused_whole(self, store):
        store.persist((CONTRIBUTION,))

        with pytest.raises(sqlite3.IntegrityError):
            store.persist((KeepSeen(KEY_ID, 9), KeepContribution(Participation(KEY_ID, 3, 1), b"other")))

        assert store.ledger().spent_nano == 17
        assert store.device_state(ROOT).memory.seen == {}

    def test_the_bytes_of_a_large_one_are_on_disk_before_the_charge(self, store, tmp_path):
        seen = []
        store._connection.set_trace_callback(lambda sql: seen.append((sql.split()[0], (tmp_path / "contribution.blob").read_bytes())))

        store.persist((LARGE,))

        assert [word for word, _ in seen if word != "SELECT"] == ["BEGIN", *["INSERT"] * 3, "DELETE", "INSERT", "COMMIT"]
        assert {data for _, data in seen} == {LARGE.sealed}

    @pytest.mark.parametrize("contribution", ["small", "large"])
    def test_the_bytes_are_found_again(self, store, tmp_path, contribution):
        change = {"small": CONTRIBUTION, "large": LARGE}[contribution]
        store.persist((ROSTER, change))

        store = again(store, tmp_path)
        assert store.device_state(ROOT).memory.sent.sealed == change.sealed
        store.close()

    def test_bytes_without_their_charge_are_not_sent(self, store, tmp_path):
        """The power went between the blob and the transaction of a second contribution."""
        store.persist((LARGE,))
        (tmp_path / "contribution.blob").write_bytes(b"of another round")

        state = store.device_state(ROOT)

        assert state.memory.sent is None
        assert state.memory.ledger.spent_nano == 17

    def test_a_charge_whose_bytes_are_gone_stays_and_sends_nothing(self, store, tmp_path):
        store.persist((LARGE,))
        (tmp_path / "contribution.blob").unlink()

        assert store.device_state(ROOT).memory.sent is None
        assert store.ledger().spent_nano == 17

    def test_the_stored_hash_is_that_of_the_bytes(self, store):
        store.persist((CONTRIBUTION,))

        ((stored,),) = store._connection.execute("SELECT hash FROM contribution").fetchall()
        assert stored == sha256(b"sealed bytes")


class TestMissing:
    def test_without_its_database_a_device_does_not_start(self, tmp_path):
        with refused(Refusal.LEDGER_MISSING, LocalError):
            Store(tmp_path)

    @pytest.mark.parametrize("table", ["ledger", "answer"])
    def test_without_ledger_or_log_neither(self, store, tmp_path, table):
        store._connection.execute(f"DROP TABLE {table}")
        store.close()

        with refused(Refusal.LEDGER_MISSING if table == "ledger" else Refusal.DECRYPTION_LOG_MISSING, LocalError):
            Store(tmp_path)

    def test_an_emptied_database_is_a_missing_ledger(self, store, tmp_path):
        store.close()
        (tmp_path / "agent.db").write_bytes(b"")

        with refused(Refusal.LEDGER_MISSING, LocalError):
            Store(tmp_path)

    def test_nor_with_a_damaged_one(self, store, tmp_path):
        store.close()
        (tmp_path / "agent.db").write_bytes(b"no database " * 400)

        with refused(Refusal.STORE_DAMAGED, LocalError):
            Store(tmp_path)

    def test_nor_with_one_garbled_page(self, store, tmp_path):
        store.persist(EVERYTHING)
        store.close()
        data = bytearray((tmp_path / "agent.db").read_bytes())
        size = 256 * data[16] + data[17]
        data[2 * size : 3 * size] = b"\xff" * size
        (tmp_path / "agent.db").write_bytes(data)

        with refused(Refusal.STORE_DAMAGED, LocalError):
            Store(tmp_path)

    def test_nor_with_a_ledger_that_lost_a_charge(self, store, tmp_path):
        store.persist((CONTRIBUTION,))
        store._connection.execute("DELETE FROM ledger")
        store._connection.commit()
        store.close()

        with refused(Refusal.STORE_DAMAGED, LocalError):
            Store(tmp_path)

    def test_nor_with_a_journal_that_was_altered(self, store, tmp_path):
        store.persist((CONTRIBUTION, replace(CONTRIBUTION, entry=Participation(KEY_ID, 4, 1))))
        store._connection.execute("DELETE FROM journal WHERE number = 1")
        store._connection.commit()
        store.close()

        with refused(Refusal.STORE_DAMAGED, LocalError):
            Store(tmp_path)

    def test_another_trouble_with_it_is_no_missing_ledger(self, store, tmp_path):
        """A budget that is not lost must not be reset."""
        store.close()
        (tmp_path / "agent.db").unlink()
        (tmp_path / "agent.db").mkdir()

        with refused(Refusal.DISK_READ_ONLY, LocalError):
            Store(tmp_path)


class TestDisk:
    """A full disk: nothing is lost, no plan is taken, and there is room for what is under way."""

    @pytest.fixture
    def full(self, store, monkeypatch):
        """A disk on which nothing new fits while the reserve is there."""
        path, keep = store._folder / "reserve", store._persist

        def persist(changes):
            if path.exists():
                raise OSError(errno.ENOSPC, "no space left on device")
            keep(changes)

        store.persist((KeepSeen(KEY_ID, 1),))
        monkeypatch.setattr(store, "_persist", persist)
        return store

    def test_no_plan_is_taken(self, full):
        with refused(Refusal.DISK_FULL, LocalError):
            full.persist((KeepSeen(KEY_ID, 2),))

    def test_what_is_under_way_has_its_room(self, full):
        full.persist((CONTRIBUTION,))

        assert full.ledger().spent_nano == 17

    def test_without_room_for_a_reserve_no_plan_is_taken_either(self, store, monkeypatch):
        def no_room(*_: object):
            raise OSError(errno.ENOSPC, "no space left on device")

        monkeypatch.setattr(os, "posix_fallocate", no_room)
        with refused(Refusal.DISK_FULL, LocalError):
            store.persist((KeepSeen(KEY_ID, 2),))
        assert store.seen() == {}
        assert not (store._folder / "reserve").exists()


class TestPlace:
    """A store that was copied or restored does not go on by itself."""

    def test_a_store_stays_where_it_was_started_first(self, store):
        store.require_place()
        store.require_place()

    def test_a_copy_is_noticed(self, store, tmp_path):
        store.require_place()
        store.close()
        shutil.copytree(tmp_path, tmp_path / "copy")

        with closing(Store(tmp_path / "copy")) as copy, refused(Refusal.STORE_MOVED, LocalError):
            copy.require_place()

    def test_a_person_says_that_it_was_moved(self, store, tmp_path):
        store.require_place()
        store.close()
        shutil.copytree(tmp_path, tmp_path / "copy")

        with closing(Store(tmp_path / "copy")) as copy:
            assert copy.recover() == ()
            copy.require_place()


class TestRecovered:
    """A device whose store had gone back goes on above what others know; a member does not."""

    def test_the_stop_is_the_members_alone_and_the_journal_goes_on_above(self, store, tmp_path):
        told = DeviceStatus("testers", "pi-01", Presence.IDLE, 9, "1.0", bytes(16), JournalHead(7, bytes(32)), NOTHING_KNOWN)
        evidence = sign_status(told, FLEET.parties.devices["device-01"].signing)
        store.persist((ROSTER, CONTRIBUTION, KeepStop(KEY_ID, Refusal.STORE_ROLLED_BACK, evidence)))
        assert [state.memory.rolled_back for state in states(store)] == [{KEY_ID}] * 2

        assert store.recover() == (KEY_ID,)

        store = again(store, tmp_path)
        assert [state.memory.rolled_back for state in states(store)] == [set(), {KEY_ID}]
        assert store.head().number == 8
        assert store.recover() == ()
        store.close()


class TestShare:
    NEWER = FLEET.newer(key_epoch=1)

    def test_a_dropped_share_leaves_no_trace_in_the_file(self, store, tmp_path):
        store.persist(EVERYTHING)
        secret = SHARE.to_bytes(FLEET.dealing.public)
        assert secret in b"".join(path.read_bytes() for path in tmp_path.glob("agent.db*"))

        store.persist((KeepRoster(self.NEWER.roster.signed), DropShare(KEY_ID)))

        assert secret not in b"".join(path.read_bytes() for path in tmp_path.glob("agent.db*"))
        assert not states(store)[1].share

    def test_a_share_of_another_key_is_not_the_members(self, store, tmp_path):
        store.persist(EVERYTHING)
        store.persist((KeepRoster(self.NEWER.roster.signed),))

        store = again(store, tmp_path)

        assert not store.member_state(ROOT).share
        store.close()

    def test_the_share_in_force_is_kept_at_every_start(self, store, tmp_path):
        store.persist(EVERYTHING)
        for _ in range(2):
            store = again(store, tmp_path)
            assert store.member_state(ROOT).share == GrantedShare(SHARE.to_bytes(FLEET.dealing.public))
        store.close()

    @pytest.mark.parametrize("insecure_keys", [False, True])
    def test_test_keys_are_used_only_where_they_were_asked_for(self, store, insecure_keys):
        """The store holds a share for its scheme unread; the member judges the key before it imports or uses one."""
        store.persist(EVERYTHING)
        plan, strict = FLEET.plan(3), replace(FLEET.member(), insecure_keys=insecure_keys)
        without = replace(store.member_state(ROOT), share=NO_SHARE)
        request = RequestArrived(encode(FLEET.request(plan, FLEET.bodies(plan))))
        for state, event in ((without, GrantArrived(FLEET.grants["device-01"])), (store.member_state(ROOT), request)):
            after, effects = strict.step(state, event, SeededRandomness(b"member"))
            reasons = [one.error.reason for one in effects if isinstance(one, Refused)]
            assert reasons == ([] if insecure_keys else [Refusal.KEY_TOO_SMALL])
            assert any(isinstance(one, Persist) for one in effects) == insecure_keys
            assert (after == state) != insecure_keys


def test_every_change_of_a_device_or_member_has_its_place(store):
    """What the machines emit in a whole life, each alone."""
    other = replace(CONTRIBUTION, entry=Participation(KEY_ID, 9, 1))
    for change in (*EVERYTHING, other, DropContribution(KEY_ID, 9), DropShare(KEY_ID)):
        store.persist((change,))
    assert store.device_state(ROOT).memory.sent is None
