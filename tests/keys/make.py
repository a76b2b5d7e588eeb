"""Makes the pre-dealt test keys beside it: `python -m tests.keys.make [NAME ...]`. Their factors are public: never enrol one.

Fresh primes and shares every time; vectors that use these keys change with them.
"""

import json
import sys
from pathlib import Path

from hushfleet.encryption.paillier.dealing import deal
from hushfleet.encryption.paillier.primes import safe_prime
from hushfleet.randomness import SystemRandomness

FOLDER = Path(__file__).parent
WARNING = "TEST KEY: its factors and shares are published here. Whatever is encrypted under it is public."
KEYS = {"insecure-512": (512, 1), "insecure-512-f2": (512, 2), "test-2048": (2048, 1), "test-3072": (3072, 1)}


def make(name: str) -> dict[str, object]:
    bits, f = KEYS[name]
    randomness = SystemRandomness()
    p, q = safe_prime(bits // 2, randomness), safe_prime(bits // 2, randomness)
    dealing = deal(bits, f, randomness, primes=(p, q), insecure=True)
    return {
        "warning": WARNING,
        "bits": bits,
        "members": dealing.public.members,
        "p": hex(p),
        "q": hex(q),
        "public": dealing.public.to_bytes().hex(),
        "shares": [hex(share.value) for share in dealing.shares],
    }


if __name__ == "__main__":
    for name in sys.argv[1:] or KEYS:
        (FOLDER / f"{name}.json").write_text(json.dumps(make(name), indent=1) + "\n")
