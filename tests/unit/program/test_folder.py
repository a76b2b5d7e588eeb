import os
import subprocess
import sys

import pytest

import edge_agent.folder
import orchestrator.folder
from hushfleet.errors import LocalError, Refusal
from hushfleet.program.folder import Membership
from tests.support.refusals import refused

NO_KEY = b'{"fleet":"f","device_id":"d","root_key":"of the owner","broker_host":"h","broker_port":1}'
LOCK = "import os, pathlib, {} as s\nwith s.StateFolder(pathlib.Path({!r})).locked(): "

STATES = {"agent": edge_agent.folder, "orchestrator": orchestrator.folder}

FLEET = Membership("testers", "pi-01", "ab" * 32, "broker.lan", 8883)


@pytest.fixture(params=STATES)
def program(request):
    return request.param


@pytest.fixture
def folder(tmp_path, program):
    folder = STATES[program].StateFolder(tmp_path / "state")
    folder.make()
    return folder


def test_a_second_one_hears_who_holds_the_folder(folder):
    code = LOCK.format(type(folder).__module__, str(folder.path)) + "print('mine', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(LocalError, match=f"process {other.pid}") as caught, folder.locked():
            pass
        assert folder.holder() == f"process {other.pid}"
        other.communicate(b"\n")

    with refused(Refusal.STATE_IN_USE, LocalError):
        raise caught.value
    assert folder.holder() is None
    with folder.locked():
        assert folder.holder() == f"process {os.getpid()}"


def test_the_lock_goes_with_a_process_that_is_killed(folder):
    code = LOCK.format(type(folder).__module__, str(folder.path)) + "os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9

    with folder.locked():
        pass


def test_looking_who_holds_the_folder_does_not_take_it(folder):
    with folder.locked():
        pass
    assert folder.holder() is None
    with folder.locked():
        pass


def test_what_joining_left_is_read_again(folder):
    folder.keep_fleet(FLEET, ca=b"ca", certificate=b"own")

    assert folder.joined() == FLEET
    assert folder.joined().root.raw == b"\xab" * 32
    assert (folder.ca.read_bytes(), folder.certificate.read_bytes()) == (b"ca", b"own")


def test_before_joining_there_is_no_fleet(folder, program):
    assert folder.fleet() is None
    with pytest.raises(LocalError) as caught:
        folder.joined()
    assert f"hushfleet {program} join" in caught.value.next_step
    with refused(Refusal.NOT_ENROLLED, LocalError):
        raise caught.value


@pytest.mark.parametrize("damage", [b"", b"{", b'{"fleet": 1}', b"\xff", NO_KEY])
def test_a_damaged_file_says_to_join_again(folder, damage):
    (folder.path / "fleet.json").write_bytes(damage)

    with refused(Refusal.NOT_ENROLLED, LocalError):
        folder.fleet()


def test_what_root_writes_goes_to_the_folders_owner(folder, monkeypatch):
    owners = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "chown", lambda name, *owner, follow_symlinks, **_: owners.append((name, *owner, follow_symlinks)))
    (folder.path / "tls.key").touch()
    folder.hand_over()

    owner = folder.path.stat()
    assert owners == [("tls.key", owner.st_uid, owner.st_gid, False)]


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_root_locks_through_no_link_and_gives_no_linked_file_away(folder, tmp_path, monkeypatch, link):
    """The folder is the service's, which may be hostile; what it links to is root's."""
    given = []
    (tmp_path / "shadow").write_text("root's")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/passwd").touch()
    getattr(folder.path / "mine", link)(tmp_path / "shadow")
    (folder.path / "folder").symlink_to(tmp_path / "outside")
    (folder.path / "lock").symlink_to(tmp_path / "shadow")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "chown", lambda name, *_, follow_symlinks, **__: given.append((name, follow_symlinks)))

    folder.hand_over()
    with pytest.raises(OSError, match="symbolic link"), folder.locked():
        pass

    assert (tmp_path / "shadow").read_text() == "root's"
    assert not any(follows for _, follows in given)
    assert {name for name, _ in given} <= {"folder", "lock", *(["mine"] if link == "symlink_to" else [])}


def test_anybody_else_hands_nothing_over(folder, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "chown", None)
    (folder.path / "tls.key").touch()

    folder.hand_over()


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/hushfleet"),
        ({"XDG_STATE_HOME": "", "HOME": "/h"}, "/h/.local/state/hushfleet"),
    ],
)
def test_by_hand_the_state_is_the_users_own(program, environment, path):
    assert str(STATES[program].default_state(environment)) == f"{path}/{program}"
