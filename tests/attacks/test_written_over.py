"""A person, perhaps root, names a path to write at, and something else than a file is there: a device, a FIFO, a link, a folder.

`hushfleet provision roster export /dev/full`, typed by root, once left a file where the device had been.
"""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from hushfleet.cli import run
from hushfleet.errors import LocalError, Refusal
from hushfleet.system import durable
from hushfleet.system.durable import write_durably, write_quickly
from tests.support.enrolling import found, new_vault
from tests.support.refusals import refused


def fifo(path: Path) -> None:
    os.mkfifo(path)


def link(path: Path) -> None:
    (path.parent / "elsewhere").write_bytes(b"kept")
    path.symlink_to("elsewhere")


def dangling(path: Path) -> None:
    path.symlink_to("nothing")


def folder(path: Path) -> None:
    path.mkdir()


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


def device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 7))
    except PermissionError:
        path.symlink_to("/dev/full")  # what a user without rights can name


OTHERS = [fifo, link, dangling, folder, unix_socket, device]


@pytest.mark.parametrize("make", OTHERS)
@pytest.mark.parametrize("write", [write_durably, write_quickly])
def test_what_is_no_regular_file_stays_as_it_is(write: Callable[..., None], make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "out"
    make(path)
    before = path.lstat()

    with refused(Refusal.FILE_KIND, LocalError):
        write(path, b"new")

    after = path.lstat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)


def test_control_without_the_look_the_device_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out"
    device(path)
    monkeypatch.setattr(durable, "require_writable", lambda _: None)

    write_durably(path, b"new")

    assert stat.S_ISREG(path.lstat().st_mode)


def test_a_command_refuses_and_standard_output_is_named_by_a_dash(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with new_vault(tmp_path / "vault") as vault:
        found(vault)
        wanted = vault.registry.roster
    device(tmp_path / "full")
    words = ["provision", "roster", "export", "--vault", str(tmp_path / "vault")]

    assert run([*words, str(tmp_path / "full")]) == 2
    assert b"not a regular file" in capfdbinary.readouterr().err
    assert run([*words, "-"]) == 0
    assert capfdbinary.readouterr().out == wanted


@pytest.mark.parametrize("role", ["agent", "orchestrator"])
def test_a_request_of_other_keys_is_not_overwritten_unasked(role: str, tmp_path: Path) -> None:
    words = [role, "enrol", "--name", "pi-01", "--out", str(tmp_path)]
    assert run([*words, "--state", str(tmp_path / "a")]) == 0
    first = (tmp_path / "pi-01.request").read_bytes()

    assert run([*words, "--state", str(tmp_path / "b")]) == 2
    assert (tmp_path / "pi-01.request").read_bytes() == first
    assert not (tmp_path / "b").exists()

    assert run([*words, "--state", str(tmp_path / "b"), "--yes"]) == 0
    assert (tmp_path / "pi-01.request").read_bytes() != first
