import socket

import pytest

from edge_agent.watch import MOST_STEP_S, Watch
from hushfleet.link.notify import Notifier


class Manager:
    """The socket that systemd would listen on."""

    def __init__(self, folder, **environment: str) -> None:
        self.path = folder / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.notifier = Notifier({"NOTIFY_SOCKET": str(self.path), **environment})

    def heard(self):
        self.socket.setblocking(False)
        lines = []
        while True:
            try:
                lines.append(self.socket.recv(1000).decode())
            except BlockingIOError:
                return lines


@pytest.fixture
def manager(tmp_path):
    manager = Manager(tmp_path)
    yield manager
    manager.socket.close()


@pytest.mark.parametrize(
    ("after_s", "link", "alive"),
    [(0, True, True), (MOST_STEP_S, True, True), (MOST_STEP_S + 1, True, False), (0, False, False)],
    ids=["idle", "a long step", "stuck loop", "stuck link"],
)
def test_alive_is_said_only_while_link_and_loop_work(manager, after_s, link, alive):
    clock = [100.0]
    watch = Watch(manager.notifier, lambda: link, lambda: clock[0])
    clock[0] += after_s

    assert watch.check() is alive
    assert manager.heard() == (["WATCHDOG=1"] if alive else [])


def test_a_loop_that_turns_stays_alive(manager):
    clock = [100.0]
    watch = Watch(manager.notifier, lambda: True, lambda: clock[0])
    for _ in range(3):
        clock[0] += MOST_STEP_S - 1
        watch.turned()
        assert watch.check()


def test_its_thread_speaks_until_it_ends(tmp_path):
    manager = Manager(tmp_path, WATCHDOG_USEC="20000")
    watch = Watch(manager.notifier, lambda: True)
    watch.start()
    manager.socket.settimeout(10)
    assert manager.socket.recv(1000) == b"WATCHDOG=1"
    watch.end()
    manager.socket.close()


def test_nobody_asked_nothing_runs(manager, monkeypatch):
    monkeypatch.setattr("threading.Thread", None)

    Watch(manager.notifier, lambda: True).start()
