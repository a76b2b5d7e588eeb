"""The archive folder of a job as an outsider reads it: whoever made it may have put anything there.

Regular files with the names of an archive are read, each up to its limit, and nothing else is opened. What has another name is
listed, so that nobody takes it for checked.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hushfleet.documents.archive import ROOT_KEY_FILE, file_limit, folder_name, round_in
from hushfleet.errors import LocalError, PeerError, Refusal
from hushfleet.system.files import kind_of, read_file

MOST_ROUNDS = 100_000
_MOST_FILES = 1000


@dataclass(frozen=True, slots=True)
class ArchiveFolder:
    """The rounds of an archive folder in their order; iterating reads one round's files after the other. From `read_archive`."""

    rounds: tuple[Path, ...]
    unknown: tuple[str, ...]
    """Names beside the rounds that no archive has, sorted; nothing of them was opened."""
    passed_over: list[str] = field(default_factory=list)
    """Names inside the rounds that no archive has, once they were iterated over."""

    def __iter__(self) -> Iterator[dict[str, bytes]]:
        """Each round's files by name. Raises `PeerError(ARCHIVE)` for what is no regular file, or too large."""
        for path in self.rounds:
            names = _names(path, _MOST_FILES)
            known = {name: limit for name in names if (limit := file_limit(name)) is not None}
            self.passed_over.extend(f"{path.name}/{name}" for name in names if name not in known)
            yield {name: read_archived(path / name, limit) for name, limit in known.items()}


def read_archive(folder: Path) -> ArchiveFolder:
    """The archive in `folder`. Raises `FileNotFoundError` if there is no round in it, `PeerError(ARCHIVE)` for one that is no folder."""
    names = _names(folder, MOST_ROUNDS) if folder.is_dir() else []
    rounds = [folder / name for name in names if round_in(name)]
    for path in rounds:
        if (kind := kind_of(path, follow=False)) != "a folder":
            raise PeerError(Refusal.ARCHIVE, f"{path} is {kind or 'a file'}, not the folder of a round")
    if not rounds:
        raise FileNotFoundError(f"{folder} holds no finished round; name the folder that holds {folder_name(0, 1)}")
    return ArchiveFolder(tuple(rounds), tuple(name for name in names if not round_in(name) and name != ROOT_KEY_FILE))


def _names(folder: Path, most: int) -> list[str]:
    """The names in a folder, sorted. Raises `PeerError(ARCHIVE)` if there are more than any archive has."""
    names: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            names.append(entry.name)
            if len(names) > most:
                raise PeerError(Refusal.ARCHIVE, f"{folder} holds more than {most:,} names")
    return sorted(names)


def read_archived(path: Path, max_bytes: int) -> bytes:
    """A file of an archive. Raises `PeerError(ARCHIVE)` for what is no regular file, or too large; OSError, as if it is missing."""
    try:
        return read_file(path, max_bytes=max_bytes, follow=False)
    except LocalError as error:
        raise PeerError(Refusal.ARCHIVE, error.message) from error
