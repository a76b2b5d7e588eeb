"""The vault's passphrase, and where it may come from: a prompt, a file or a file descriptor; never an argument or the environment."""

import getpass
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from hushfleet.errors import LocalError, Refusal

LEAST_BYTES = 8
_MOST_BYTES = 1024
_OTHERS = stat.S_IRGRP | stat.S_IROTH


class Passphrase:
    """A passphrase of at least 8 bytes. Its repr shows nothing; it cannot be pickled. Raises `LocalError(VAULT_PASSPHRASE)`."""

    __slots__ = ("raw",)

    def __init__(self, raw: str | bytes) -> None:
        self.raw = raw.encode() if isinstance(raw, str) else bytes(raw)
        if not LEAST_BYTES <= len(self.raw) <= _MOST_BYTES:
            raise LocalError(
                Refusal.VAULT_PASSPHRASE,
                f"a passphrase has {LEAST_BYTES} to {_MOST_BYTES} characters",
                next_step="Choose several words that belong together for nobody else.",
            )

    def __repr__(self) -> str:
        return "Passphrase(secret)"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a passphrase does not leave the process")


@dataclass(frozen=True, slots=True)
class PassphraseSource:
    """The source that the command line names: a file, a file descriptor, or neither, which means a prompt."""

    file: Path | None = None
    descriptor: int | None = None

    def read(self, *, new: bool = False) -> Passphrase:
        """The passphrase; a `new` one is asked for twice.

        Raises `LocalError(VAULT_PASSPHRASE)`, `click.UsageError` (both sources, or no terminal to ask at), OSError.
        """
        if self.file is not None and self.descriptor is not None:
            raise click.UsageError("--passphrase-file and --passphrase-fd exclude each other")
        if self.file is not None:
            return _first_line(_read_file(self.file))
        if self.descriptor is not None:
            with os.fdopen(os.dup(self.descriptor), "rb") as file:
                return _first_line(file.read(_MOST_BYTES + 2))
        return _ask(new=new)


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
    if new and Passphrase(getpass.getpass("The same again: ")).raw != passphrase.raw:
        raise LocalError(Refusal.VAULT_PASSPHRASE, "the two passphrases differ", next_step="Run the command again.")
    return passphrase
