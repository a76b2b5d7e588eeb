"""Planted bugs: programs and stores with one fault each, which the simulator must notice."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from edge_agent.agent import Agent
from edge_agent.store import Store as DeviceStore
from hushfleet.privacy import Ledger
from hushfleet.rounds import device
from hushfleet.rounds.effects import Change, KeepAccepted, KeepAnswer, KeepContribution
from hushfleet.rounds.events import RolledBack
from orchestrator.service import Orchestrator
from orchestrator.store import restore
from orchestrator.store.archive_folder import Archive, Files
from orchestrator.store.store import Store

Plant = Callable[[pytest.MonkeyPatch], None]


def send_before_persist(patch: pytest.MonkeyPatch) -> None:
    """A device's changes become durable one transaction late."""
    persist, late = DeviceStore.persist, dict[int, tuple[Change, ...]]()

    def lazy(self: DeviceStore, changes: Iterable[Change]) -> None:
        persist(self, late.pop(id(self), ()))
        late[id(self)] = tuple(changes)

    patch.setattr(DeviceStore, "persist", lazy)


def member_forgets_its_log(patch: pytest.MonkeyPatch) -> None:
    """A restarted member does not know what it answered."""
    _after(patch, DeviceStore, "member_state", lambda state: replace(state, memory=replace(state.memory, answered={})))


def round_number_is_used_again(patch: pytest.MonkeyPatch) -> None:
    """A restarted orchestrator counts from 1."""
    patch.setattr(restore, "_last_rounds", lambda *_: {})


def resend_is_charged(patch: pytest.MonkeyPatch) -> None:
    """A device whose contribution goes again pays again."""
    connect = Agent.connect

    def costly(self: Agent) -> None:
        connect(self)
        store = self._store
        if store.waits_for_receipt():
            last = "INSERT INTO ledger (kind, key_id, round, rho_nano) SELECT kind, key_id, round, rho_nano FROM ledger"
            with store._connection:
                store._run(f"{last} ORDER BY rowid DESC LIMIT 1")

    patch.setattr(Agent, "connect", costly)


def timer_ends_the_round(patch: pytest.MonkeyPatch) -> None:
    """A deadline gives the round up, whoever has paid."""
    patch.setattr(Orchestrator, "end_collection", lambda self: self.abort("the time is up"))


def accepted_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    """An orchestrator sends receipts for what only its memory holds."""
    _without(patch, Store, KeepAccepted)


def answer_is_not_stored(patch: pytest.MonkeyPatch) -> None:
    """A member answers, and a power cut makes it forget that."""
    _without(patch, DeviceStore, KeepAnswer)


def contribution_is_not_stored(patch: pytest.MonkeyPatch) -> None:
    """A device sends what it has not stored or charged."""
    _without(patch, DeviceStore, KeepContribution)


def sent_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A restarted device does not know that it has something to send."""
    _after(patch, DeviceStore, "_sent", lambda _: None)


def charge_is_lost(patch: pytest.MonkeyPatch) -> None:
    """The ledger is empty at every look."""
    _after(patch, DeviceStore, "ledger", lambda _: Ledger())


def trains_again(patch: pytest.MonkeyPatch) -> None:
    """A restarted device remembers no round."""

    def fresh(state: Any) -> Any:  # noqa: ANN401 -- any phase
        return replace(state, memory=replace(state.memory, ledger=Ledger(), seen={}, sent=None, done=b""))

    _after(patch, DeviceStore, "device_state", fresh)


def old_store_is_believed(patch: pytest.MonkeyPatch) -> None:
    """A device does not notice that its store was put back, whatever others hold of it."""
    both = Agent._both
    patch.setattr(Agent, "_both", lambda self, event: None if isinstance(event, RolledBack) else both(self, event))
    patch.setattr(device, "_proves_another", lambda *_: False)


def archive_is_altered(patch: pytest.MonkeyPatch) -> None:
    """The model in the archive is another one than was released."""
    prepare = Archive.prepare

    def other(self: Archive, key_epoch: int, round_number: int, files: Files) -> str:
        return prepare(self, key_epoch, round_number, {**files, "after": bytes(len(files["after"]))})

    patch.setattr(Archive, "prepare", other)


def contribution_never_goes_again(patch: pytest.MonkeyPatch) -> None:
    """Neither a new connection nor the want of a receipt makes a device send again."""
    send = Agent._send

    def once(self: Agent, wanted: Any) -> None:  # noqa: ANN401 -- a `Publish`
        done = self.__dict__.setdefault("_gone", set())
        folder = self._store._folder / "gone"
        name = f"{wanted.topic.kind.name}-{wanted.topic.number}"
        done |= set(folder.read_text().split()) if folder.exists() else set()
        if name not in done:
            folder.write_text(" ".join([*done, name]))
            send(self, wanted)

    patch.setattr(Agent, "_send", once)


def _after(patch: pytest.MonkeyPatch, owner: type, name: str, change: Callable[[Any], Any]) -> None:
    original = getattr(owner, name)
    patch.setattr(owner, name, lambda self, *args, **options: change(original(self, *args, **options)))


def _without(patch: pytest.MonkeyPatch, owner: type, kind: type) -> None:
    """A store that drops changes of one kind."""
    persist = owner.persist  # type: ignore[attr-defined]  # one of two stores
    patch.setattr(owner, "persist", lambda self, changes: persist(self, tuple(one for one in changes if not isinstance(one, kind))))


PLANTED: tuple[tuple[Plant, int, str], ...] = (
    (send_before_persist, 0, "sent-is-charged"),
    (member_forgets_its_log, 2, "stands-up"),
    (round_number_is_used_again, 0, "stands-up"),
    (resend_is_charged, 0, "stands-up"),
    (timer_ends_the_round, 0, "paid-is-counted"),
    (accepted_is_forgotten, 0, "liveness"),
    (answer_is_not_stored, 2, "one-answer"),
    (contribution_is_not_stored, 0, "sent-is-charged"),
    (sent_is_forgotten, 0, "liveness"),
    (charge_is_lost, 0, "sent-is-charged"),
    (trains_again, 0, "stands-up"),
    (old_store_is_believed, 91, "one-contribution"),
    (archive_is_altered, 0, "stands-up"),
    (contribution_never_goes_again, 0, "liveness"),
)
"""Each with a seed that finds it, and the invariant that it breaks; without the bug these seeds are among those that hold."""
