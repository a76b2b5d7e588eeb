"""Folders with secrets in them: their owner's alone, or not used."""

import os
import shlex
import stat
from pathlib import Path

from hushfleet.errors import LocalError, Refusal

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
ROOT = 0


def make_private(path: Path) -> None:
    """Make the folder, or close the one that is there: mode 0700 whatever the umask. Raises as `require_private`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    require_private(path)
    if stat.S_IMODE(path.stat().st_mode) != 0o700:
        path.chmod(0o700)


def require_private(path: Path) -> None:
    """Return if nobody but its owner can change what is in the folder, and that is this user; root acts for every owner.

    Raises `LocalError(FOLDER_UNSAFE)` with the command that mends it: whoever can write there can exchange keys and forget a ledger.
    """
    found, user = path.stat(), os.geteuid()
    if user not in (ROOT, found.st_uid):
        text = f"{path} belongs to user {found.st_uid}, not to you, user {user}"
        raise LocalError(Refusal.FOLDER_UNSAFE, text, next_step=f"Run: sudo chown -R {user} {shlex.quote(str(path))}")
    if found.st_mode & _OTHERS_WRITE:
        text = f"others can write in {path}: they could exchange what is kept there"
        next_step = f"See that all in it is as you left it, then run: chmod go-w {shlex.quote(str(path))}"
        raise LocalError(Refusal.FOLDER_UNSAFE, text, next_step=next_step)
