"""When a service may say that it is alive."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hushfleet.system.systemd import MOST_STEP_S, Notifier, Watch


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(10)
        yield channel


class Service:
    """A service whose link and loop a test stops."""

    def __init__(self, manager: socket.socket, micro: str = "") -> None:
        self.link_lives, self.now_s, self.heard = True, 0.0, []
        notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": micro})
        self.watch = Watch(notifier, lambda: self.link_lives, now_s=lambda: self.now_s, on_stuck=self.heard.append)


def test_a_service_that_works_is_alive(manager):
    service = Service(manager)

    assert service.watch.check()
    assert manager.recv(100) == b"WATCHDOG=1"


def test_a_link_that_is_stuck_is_not_alive(manager):
    service = Service(manager)
    service.link_lives = False

    assert not service.watch.check()
    assert service.heard == ["The link's thread is stuck."]


def test_a_long_step_is_alive_but_not_for_ever(manager):
    service = Service(manager)
    service.now_s = MOST_STEP_S
    assert service.watch.check()

    service.now_s += 1
    assert not service.watch.check()
    assert service.heard == ["The main loop is stuck."]

    service.watch.stepped()
    assert service.watch.check()


def test_a_loop_that_turns_stays_alive(manager):
    service = Service(manager)
    for _ in range(3):
        service.now_s += MOST_STEP_S - 1
        service.watch.stepped()
        assert service.watch.check()


def test_it_speaks_by_itself_until_it_is_ended(manager):
    service = Service(manager, micro="20000")
    service.watch.start()

    assert [manager.recv(100) for _ in range(2)] == [b"WATCHDOG=1"] * 2
    service.watch.end()
    for thread in threading.enumerate():
        if thread.name == "watch":
            thread.join(10)
            assert not thread.is_alive()


def test_it_starts_no_thread_where_nobody_asked(manager):
    service = Service(manager)
    before = threading.active_count()

    service.watch.start()

    assert threading.active_count() == before
