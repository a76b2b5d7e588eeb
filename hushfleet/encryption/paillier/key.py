"""The public key of the committee: what everybody knows (PROTOCOL 3)."""

import math
from collections.abc import Iterator
from dataclasses import InitVar, dataclass
from typing import Self

from phe.paillier import PaillierPublicKey

from hushfleet.encryption.paillier.arithmetic import first_no_ciphertext, first_no_root
from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import concatenated, unsigned

LEAST_BITS = 2048
LEAST_INSECURE_BITS = 512
COMMITTEE_SIZES = (4, 7, 10)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """N, the hiding base h_s modulo N^2, the verification base v and v_1..v_n modulo N, all as plain integers.

    The constructor refuses with `PeerError`: `COMMITTEE_SIZE` (n not 4, 7 or 10), `KEY_TOO_SMALL` (below 2048 bit, or below
    512 bit where `insecure` allows test keys), `KEY_MALFORMED` (N even or not of whole bytes; h_s not a unit in (1, N^2),
    or v or a v_i not a unit in (1, N)). It cannot see whether N is a product of safe primes: that rests on the owner's signature.
    """

    modulus: int
    h_s: int
    v: int
    verification: tuple[int, ...]
    insecure: InitVar[bool] = False

    def __post_init__(self, insecure: bool) -> None:
        if self.members not in COMMITTEE_SIZES:
            raise PeerError(Refusal.COMMITTEE_SIZE, f"a committee has 4, 7 or 10 members, not {self.members}")
        least = LEAST_INSECURE_BITS if insecure else LEAST_BITS
        if self.bits < least:
            raise PeerError(Refusal.KEY_TOO_SMALL, f"a Paillier key of {self.bits} bit, at least {least} are required")
        if self.modulus < 0 or self.modulus % 2 == 0 or self.bits % 8:
            raise PeerError(Refusal.KEY_MALFORMED, "the modulus is not an odd number of whole bytes")
        values = (self.v, *self.verification)
        if first_no_ciphertext((self.h_s,), self.modulus) is not None or 1 in values or first_no_root(values, self.modulus) is not None:
            raise PeerError(Refusal.KEY_MALFORMED, "a base or verification value of the key is not a unit above 1 of its modulus")

    @property
    def bits(self) -> int:
        """The bit length |N| of the modulus."""
        return self.modulus.bit_length()

    @property
    def members(self) -> int:
        """The size n of the committee."""
        return len(self.verification)

    @property
    def f(self) -> int:
        """The number of members that may be faulty or colluding."""
        return (self.members - 1) // 3

    @property
    def threshold(self) -> int:
        """The number of members required to open a sum: 2f + 1."""
        return 2 * self.f + 1

    @property
    def modulus_bytes(self) -> int:
        """Width of a number modulo N."""
        return self.bits // 8

    @property
    def ciphertext_bytes(self) -> int:
        """Width of a number modulo N^2."""
        return self.bits // 4

    @property
    def modulus_squared(self) -> int:
        """The modulus N^2 of ciphertexts."""
        return self.modulus**2

    @property
    def delta(self) -> int:
        """The factor Delta = n!, with which interpolation needs no fractions."""
        return math.factorial(self.members)

    def phe(self) -> PaillierPublicKey:
        """The same key as python-paillier's public key type."""
        return PaillierPublicKey(self.modulus)

    def to_bytes(self) -> bytes:
        """The Paillier part of the key id: N, h_s, v, v_1..v_n, h_s at the width of N^2, the others at that of N."""
        h_s = unsigned(self.h_s, self.ciphertext_bytes)
        return unsigned(self.modulus, self.modulus_bytes) + h_s + concatenated((self.v, *self.verification), self.modulus_bytes)

    @classmethod
    def from_bytes(cls, data: bytes, *, members: int, insecure: bool = False) -> Self:
        """The key of `members` members in `data`; refuses as the constructor does, any other length with `KEY_MALFORMED`."""
        if members not in COMMITTEE_SIZES:
            raise PeerError(Refusal.COMMITTEE_SIZE, f"a committee has 4, 7 or 10 members, not {members}")
        width, rest = divmod(len(data), widths_of_modulus(members))
        modulus = int.from_bytes(data[:width], "big")
        if rest or not width or (modulus.bit_length() + 7) // 8 != width:
            raise PeerError(Refusal.KEY_MALFORMED, f"{len(data)} bytes are not a Paillier key of {members} members")
        v, *verification = _numbers(data[3 * width :], width)
        return cls(modulus, int.from_bytes(data[width : 3 * width], "big"), v, tuple(verification), insecure)


def widths_of_modulus(members: int) -> int:
    """The length of the Paillier part in widths of N: N, h_s at twice the width, v, v_1..v_n."""
    return members + 4


def _numbers(data: bytes, width: int) -> Iterator[int]:
    return (int.from_bytes(data[start : start + width], "big") for start in range(0, len(data), width))
