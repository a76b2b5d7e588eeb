import os
import subprocess
import sys

import pytest

from hushfleet.errors import LocalError, Refusal
from hushfleet.system.locks import folder_locked, lock_holder

OTHER = "import os, pathlib; from hushfleet.system.locks import folder_locked\nwith folder_locked(pathlib.Path({!r}), next_step=''): "


def test_a_second_process_is_refused_and_told_who_and_what_to_do(tmp_path):
    code = OTHER.format(str(tmp_path)) + "print('mine', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(LocalError) as caught, folder_locked(tmp_path, next_step="Wait."):
            pass
        assert lock_holder(tmp_path) == f"process {other.pid}"
        other.communicate(b"\n")

    assert (caught.value.reason, caught.value.next_step) == (Refusal.STATE_IN_USE, "Wait.")
    assert f"process {other.pid}" in caught.value.message
    assert lock_holder(tmp_path) is None


def test_the_lock_goes_with_a_process_that_is_killed(tmp_path):
    assert subprocess.run([sys.executable, "-c", OTHER.format(str(tmp_path)) + "os.kill(os.getpid(), 9)"], check=False).returncode == -9

    with folder_locked(tmp_path, next_step=""):
        assert lock_holder(tmp_path) == f"process {os.getpid()}"


def test_an_error_inside_lifts_the_lock(tmp_path):
    with pytest.raises(KeyError), folder_locked(tmp_path, next_step=""):
        raise KeyError

    with folder_locked(tmp_path, next_step=""):
        pass


def test_no_lock_is_taken_through_a_link(tmp_path):
    (tmp_path / "theirs").write_text("as it was")
    (tmp_path / "lock").symlink_to(tmp_path / "theirs")

    with pytest.raises(OSError, match="symbolic link"), folder_locked(tmp_path, next_step=""):
        pass
    assert (tmp_path / "theirs").read_text() == "as it was"


def test_a_folder_that_was_never_locked_has_no_holder(tmp_path):
    assert lock_holder(tmp_path) is None
