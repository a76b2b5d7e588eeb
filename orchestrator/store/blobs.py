"""Bytes too large for rows: a folder of files named after their SHA-256."""

from collections.abc import Iterable
from pathlib import Path

from hushfleet.errors import LocalError, Refusal
from hushfleet.labels import sha256
from hushfleet.system.durable import write_durably


class Blobs:
    """A blob is durable before the transaction that names it; one that no row names is swept away."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`, made if missing."""
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def put(self, data: bytes) -> bytes:
        """Store durably, also what seems to be there: a crash may have come before its name was durable. The hash, 32 bytes."""
        digest = sha256(data)
        write_durably(self._folder / digest.hex(), data)
        return digest

    def get(self, digest: bytes) -> bytes:
        """The bytes that `put` stored under this hash. Raises `LocalError(STORE_UNUSABLE)` if it is gone or altered."""
        path = self._folder / digest.hex()
        data = path.read_bytes() if path.exists() else b""
        if sha256(data) != digest:
            raise LocalError(
                Refusal.STORE_UNUSABLE,
                f"{path} is {'altered' if path.exists() else 'gone'}",
                next_step="Check the disk. What this file held cannot be made again: begin the job anew with --new.",
            )
        return data

    def sweep(self, keep: Iterable[bytes]) -> None:
        """Remove every file but these."""
        names = {digest.hex() for digest in keep}
        for path in self._folder.iterdir():
            if path.name not in names:
                path.unlink()
