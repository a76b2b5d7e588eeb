"""The pre-dealt Paillier keys of `tests/keys`, so that no test waits for primes. Everything in them is public."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hushfleet.encryption.paillier.key import PublicKey
from hushfleet.encryption.paillier.share import KeyShare

_FOLDER = Path(__file__).parent.parent / "keys"


@dataclass(frozen=True)
class TestKey:
    """A committee's key with everything its dealer should have forgotten. `shares[i - 1]` is member i's."""

    __test__ = False  # pytest: not a test class

    public: PublicKey
    shares: tuple[KeyShare, ...]
    p: int
    q: int


@cache
def load(name: str) -> TestKey:
    """One of `insecure-512` (f = 1), `insecure-512-f2` (f = 2), `test-2048`, `test-3072` (f = 1)."""
    stored = json.loads((_FOLDER / f"{name}.json").read_text())
    public = PublicKey.from_bytes(bytes.fromhex(stored["public"]), members=stored["members"], insecure=name.startswith("insecure"))
    shares = tuple(KeyShare(index, int(value, 16)) for index, value in enumerate(stored["shares"], start=1))
    return TestKey(public, shares, int(stored["p"], 16), int(stored["q"], 16))
