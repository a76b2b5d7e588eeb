"""The archive of a finished round: its files by name, both ways, and the names of the folders that hold them.

| file | contents |
|---|---|
| `roster`, `plan`, `record` | the signed documents of the round |
| `request` | the decryption request with the signed bodies of the cohort; missing if the committee was not asked |
| `sum` | the part of the encrypted sum that the bodies do not give; missing where they give all |
| `answer-1`, `answer-2`, .. | the signed answers, by member index |
| `before`, `after` | the state of the job's task before and after the round: for `train`, the parameters of the model |

Nothing here is verified: `hushfleet.audit` does that.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from hushfleet.codec import decode, encode
from hushfleet.documents.decryption_request import DecryptionRequest
from hushfleet.documents.limits import MAX_ANSWER_BYTES, MAX_DECRYPTION_REQUEST_BYTES, MAX_MEMBERS, MAX_SIGNED_BYTES, MAX_VALUES
from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import length_prefixed, sha256
from hushfleet.signing import Signed, VerifyKey

ROOT_KEY_FILE = "root.pub"
"""The file beside the rounds' folders that holds the owner's root public key in hex."""

_ANSWER = re.compile(rf"answer-([1-9]|{MAX_MEMBERS})")
_LIMITS = {
    "roster": MAX_SIGNED_BYTES,
    "plan": MAX_SIGNED_BYTES,
    "record": MAX_SIGNED_BYTES,
    "request": MAX_DECRYPTION_REQUEST_BYTES,
    "sum": MAX_DECRYPTION_REQUEST_BYTES,
    "before": 4 * MAX_VALUES,
    "after": 4 * MAX_VALUES,
}
_FOLDER = re.compile(r"epoch-([0-9]{3,19})-round-([0-9]{6,19})")


@dataclass(frozen=True, slots=True)
class RoundArchive:
    """The documents of one finished round. `answers` are encoded signed answers by member index; `before` and `after` are the task's."""

    roster: Signed = field(repr=False)
    plan: Signed = field(repr=False)
    record: Signed = field(repr=False)
    before: bytes = field(repr=False)
    after: bytes = field(repr=False)
    request: DecryptionRequest | None = field(default=None, repr=False)
    total: bytes = field(default=b"", repr=False)
    answers: Mapping[int, bytes] = field(default_factory=dict, repr=False)

    def files(self) -> dict[str, bytes]:
        """The files by name, in the order of their names."""
        signed = {"roster": self.roster, "plan": self.plan, "record": self.record}
        files = {name: encode(document) for name, document in signed.items()} | {"before": self.before, "after": self.after}
        files |= {f"answer-{index}": answer for index, answer in self.answers.items()}
        if self.request is not None:
            files["request"] = encode(self.request)
        if self.total:
            files["sum"] = self.total
        return dict(sorted(files.items()))

    @classmethod
    def read(cls, files: Mapping[str, bytes]) -> Self:
        """The inverse of `files`. Raises `PeerError`: `ARCHIVE` for a missing file, and what the decoder raises."""
        indices = [index for index in range(1, MAX_MEMBERS + 1) if f"answer-{index}" in files]
        return cls(
            _signed(files, "roster"),
            _signed(files, "plan"),
            _signed(files, "record"),
            _file(files, "before"),
            _file(files, "after"),
            decode(DecryptionRequest, files["request"], max_bytes=MAX_DECRYPTION_REQUEST_BYTES) if "request" in files else None,
            files.get("sum", b""),
            {index: files[f"answer-{index}"] for index in indices},
        )


def file_limit(name: str) -> int | None:
    """The most bytes that a file of a round may have, or None if an archive has no file of this name."""
    return MAX_ANSWER_BYTES if _ANSWER.fullmatch(name) else _LIMITS.get(name)


def digest(files: Mapping[str, bytes]) -> bytes:
    """32 bytes over names and contents of one round's files."""
    return sha256(b"".join(length_prefixed(name.encode()) + length_prefixed(data) for name, data in sorted(files.items())))


def folder_name(key_epoch: int, round_number: int) -> str:
    """The name of a round's folder: rounds count from 1 again under each key. Names sort like their rounds."""
    return f"epoch-{key_epoch:03d}-round-{round_number:06d}"


def round_in(name: str) -> tuple[int, int] | None:
    """Key epoch and round of a folder's name, or None if it is not the name of a round's folder."""
    found = _FOLDER.fullmatch(name)
    return (int(found[1]), int(found[2])) if found else None


def root_key_text(root: VerifyKey) -> str:
    """The contents of `ROOT_KEY_FILE`."""
    return root.raw.hex() + "\n"


MAX_ROOT_KEY_FILE_BYTES = 4096


def read_root_key(data: bytes) -> VerifyKey:
    """The key in the contents of `ROOT_KEY_FILE`. Raises `PeerError(KEY_MALFORMED)`."""
    try:
        return VerifyKey(bytes.fromhex(data.decode("ascii").strip()))
    except ValueError as error:
        raise PeerError(Refusal.KEY_MALFORMED, "not a root public key of 64 hex digits") from error


def _signed(files: Mapping[str, bytes], name: str) -> Signed:
    return decode(Signed, _file(files, name), max_bytes=MAX_SIGNED_BYTES)


def _file(files: Mapping[str, bytes], name: str) -> bytes:
    if name not in files:
        raise PeerError(Refusal.ARCHIVE, f"the archive lacks the file {name}")
    return files[name]
