"""What a service tells systemd, read from a real datagram socket."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from hushfleet.system.systemd import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(5)
        yield channel


def test_each_message_is_one_datagram_of_one_line(manager: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()})

    notifier.ready()
    notifier.alive()
    notifier.status("round 3:\n4 of 8 contributions")
    notifier.stopping()

    received = [manager.recv(1000) for _ in range(4)]
    assert received == [b"READY=1", b"WATCHDOG=1", b"STATUS=round 3: 4 of 8 contributions", b"STOPPING=1"]


def test_a_name_in_the_abstract_namespace_is_reached() -> None:
    name = f"hushfleet-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind("\0" + name)
        channel.settimeout(5)

        Notifier({"NOTIFY_SOCKET": "@" + name}).ready()

        assert channel.recv(1000) == b"READY=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/nowhere/notify"}, {"NOTIFY_SOCKET": "relative"}])
def test_nobody_listening_is_no_failure(environment: dict[str, str]) -> None:
    Notifier(environment).ready()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getppid())}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_counts_only_if_it_is_meant_for_this_process(environment: dict[str, str], expected: float | None) -> None:
    assert Notifier(environment).watchdog_s == expected
