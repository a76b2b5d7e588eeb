"""The vault's passphrase, and where it may come from: a prompt, a file or a file descriptor; never an argument or the environment."""

import getpass
import os
import stat
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import click

from hushfleet.errors import LocalError, Refusal

LEAST_CHARACTERS = 12
_LEAST_DIFFERENT = 5
_MOST_BYTES = 1024
_OTHERS = stat.S_IRGRP | stat.S_IROTH


class Passphrase:
    """A passphrase of at most 1,024 bytes. Its repr shows nothing; it cannot be pickled. Raises `LocalError(VAULT_PASSPHRASE)`.

    A short one may be typed at a vault that exists, which it does not open; for a vault in the making see `require_strong`.
    """

    __slots__ = ("raw",)

    def __init__(self, raw: str | bytes) -> None:
        self.raw = raw.encode() if isinstance(raw, str) else bytes(raw)
        if len(self.raw) > _MOST_BYTES:
            text = f"a passphrase has at most {_MOST_BYTES:,} bytes"
            raise LocalError(Refusal.VAULT_PASSPHRASE, text, next_step="Check that the file holds the passphrase alone, on its first line.")

    def require_strong(self) -> None:
        """Raise `LocalError(VAULT_PASSPHRASE)` unless it may protect a vault: 12 characters or more that are no simple pattern."""
        text = self.raw.decode(errors="replace")
        if len(text) < LEAST_CHARACTERS:
            raise _too_weak(f"a vault's passphrase has {LEAST_CHARACTERS} characters or more")
        if len(set(text)) < _LEAST_DIFFERENT or _repeats(text) or _counts(text):
            raise _too_weak("this passphrase repeats or counts a few characters, which is tried first by whoever guesses")

    def __repr__(self) -> str:
        return "Passphrase(secret)"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a passphrase does not leave the process")


def _repeats(text: str) -> bool:
    """True if the text is one part again and again, the last time perhaps cut off."""
    return any(text == (text[:part] * len(text))[: len(text)] for part in range(1, len(text) // 2 + 1))


def _counts(text: str) -> bool:
    """True if each character follows the one before at the same distance, as in abcdefghijkl."""
    return len({ord(after) - ord(before) for before, after in pairwise(text)}) == 1


def _too_weak(what: str) -> LocalError:
    return LocalError(Refusal.VAULT_PASSPHRASE, what, next_step="Choose four or more words that belong together for nobody else.")


@dataclass(frozen=True, slots=True)
class PassphraseSource:
    """The source that the command line names: a file, a file descriptor, or neither, which means a prompt."""

    file: Path | None = None
    descriptor: int | None = None

    def read(self, *, new: bool = False) -> Passphrase:
        """The passphrase; a `new` one must be strong, and is asked for twice.

        Raises `LocalError(VAULT_PASSPHRASE)`, `click.UsageError` (both sources, or no terminal to ask at), OSError.
        """
        if self.file is not None and self.descriptor is not None:
            raise click.UsageError("--passphrase-file and --passphrase-fd exclude each other")
        if self.file is not None:
            passphrase = _first_line(_read_file(self.file))
        elif self.descriptor is not None:
            with os.fdopen(os.dup(self.descriptor), "rb") as file:
                passphrase = _first_line(file.read(_MOST_BYTES + 2))
        else:
            return _ask(new=new)
        if new:
            passphrase.require_strong()
        return passphrase


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISREG(mode) and mode & _OTHERS:
            raise LocalError(Refusal.VAULT_PASSPHRASE, f"others can read {path}", next_step=f"Run: chmod 600 {path}")
        return file.read(_MOST_BYTES + 2)


def _first_line(data: bytes) -> Passphrase:
    return Passphrase(data.split(b"\n", 1)[0].removesuffix(b"\r"))


def _ask(*, new: bool) -> Passphrase:
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask for the passphrase at: use --passphrase-file FILE or --passphrase-fd N")
    passphrase = Passphrase(getpass.getpass("New passphrase of the vault: " if new else "Passphrase of the vault: "))
    if new:
        passphrase.require_strong()
    if new and Passphrase(getpass.getpass("The same again: ")).raw != passphrase.raw:
        raise LocalError(Refusal.VAULT_PASSPHRASE, "the two passphrases differ", next_step="Run the command again.")
    return passphrase
