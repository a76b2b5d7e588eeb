"""A round costs a card few writes: the syncs and bytes of a device and of a member are counted, and an idle agent writes nothing."""

import os
from pathlib import Path

import pytest

from edge_agent.store import Store
from hushfleet.privacy import Participation
from hushfleet.rounds.effects import DropContribution, KeepAnswer, KeepContribution, KeepRoster, KeepSeen, KeepShare
from tests.support.fleet import make_fleet

FLEET = make_fleet()
KEY_ID = FLEET.roster.key_id
HEADER = FLEET.request(FLEET.plan(), FLEET.bodies(FLEET.plan())).header
SEALED = bytes(5000)
"""As long as the contribution to a small model."""


class Disk:
    """Counts what a store has a disk do: its own syncs, those of SQLite, and the bytes that it writes.

    SQLite syncs once a commit, and three times a checkpoint: the log, the database, the head of the next log. strace counts the same.
    """

    def __init__(self, store, monkeypatch) -> None:
        self.store, self.syncs, self.checkpoints = store, 0, 0
        sync = os.fsync
        monkeypatch.setattr(os, "fsync", lambda descriptor: (self.synced(), sync(descriptor)))
        store._connection.set_trace_callback(self.traced)

    def synced(self, times=1):
        self.syncs += times

    def traced(self, sql):
        if sql == "COMMIT":
            self.synced()
        elif "wal_checkpoint" in sql:
            self.synced(3)

    @staticmethod
    def written() -> int:
        """Bytes that this process has handed to the system so far, to whatever file."""
        counters = Path("/proc/self/io").read_text().splitlines()
        return int(next(line for line in counters if line.startswith("wchar")).split()[1])


def a_round(store, number, *, member):
    store.persist((KeepSeen(KEY_ID, number),))
    store.persist((KeepContribution(Participation(KEY_ID, number, 10**6), SEALED),))
    if member:
        store.persist((KeepAnswer(KEY_ID, number, bytes(32), HEADER, SEALED),))
    store.persist((DropContribution(KEY_ID, number),))


@pytest.mark.parametrize(("member", "most_syncs", "most_bytes"), [(False, 6, 40_000), (True, 8, 60_000)], ids=["device", "member"])
def test_a_round_stays_within_its_budget(tmp_path, monkeypatch, member, most_syncs, most_bytes):
    store = Store.create(tmp_path)
    store.persist((KeepRoster(FLEET.roster.signed), KeepShare(KEY_ID, bytes(800))))
    for number in range(1, 4):
        a_round(store, number, member=member)
    disk, before, rounds = Disk(store, monkeypatch), Disk.written(), 20

    for number in range(4, 4 + rounds):
        a_round(store, number, member=member)
    written = (Disk.written() - before) / rounds
    store.close()

    assert disk.syncs / rounds <= most_syncs
    assert written <= most_bytes


def test_an_idle_store_writes_nothing(tmp_path):
    store = Store.create(tmp_path)
    a_round(store, 1, member=False)
    before = Disk.written()

    for _ in range(50):
        assert store.head().number == 1
        assert store.told_head() == store.head()
    assert Disk.written() - before == 0
    store.close()


def test_every_commit_is_synced(tmp_path):
    """The count above rests on it: FULL syncs the log at each commit."""
    store = Store.create(tmp_path)
    ((level,),) = store._connection.execute("PRAGMA synchronous").fetchall()
    ((mode,),) = store._connection.execute("PRAGMA journal_mode").fetchall()
    store.close()

    assert (level, mode) == (2, "wal")
