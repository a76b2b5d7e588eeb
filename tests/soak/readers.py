"""`python -m tests.soak.readers --minutes 10`: altered inputs for every reader until the time is over, with atheris where it is installed.

What escapes is kept in `tests/corpus/READER/`, where the ordinary tests find it.
"""

import argparse
import random
import subprocess
import sys
import time
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from tests.support.readers import CORPUS, READERS, Reader

_REPORT_EVERY_S = 10.0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.readers")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--one", choices=sorted(READERS), help="This reader alone, in this process.")
    given = parser.parse_args(arguments)
    if given.one:
        return _one(READERS[given.one], 60 * given.minutes)
    share, failed = given.minutes / len(READERS), []
    for number, name in enumerate(READERS, start=1):
        print(f"[{number}/{len(READERS)}] {name}, {60 * share:.0f} s", flush=True)
        command = [sys.executable, "-m", "tests.soak.readers", "--one", name, "--minutes", str(share)]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    print(f"escaped: {', '.join(failed) or 'nothing'}")
    return 1 if failed else 0


def _one(reader: Reader, seconds: float) -> int:
    return _with_atheris(reader, seconds) if find_spec("atheris") else _by_chance(reader, seconds)


def _with_atheris(reader: Reader, seconds: float) -> int:
    import atheris  # noqa: PLC0415 -- installed by `make soak` alone

    atheris.instrument_all()
    seeds = CORPUS / reader.name
    options = [f"-max_total_time={seconds:.0f}", f"-artifact_prefix={seeds}/escaped-", "-print_final_stats=1"]
    seeds.mkdir(parents=True, exist_ok=True)
    atheris.Setup([sys.argv[0], *options], reader.try_on)
    atheris.Fuzz()
    return 0


def _by_chance(reader: Reader, seconds: float) -> int:
    chance, end, tried, told = random.Random(), time.monotonic() + seconds, 0, time.monotonic()
    seeds = [reader.good, *(path.read_bytes() for path in reader.escaped_once)]
    while (now := time.monotonic()) < end:
        data = _altered(chance, chance.choice(seeds))
        try:
            reader.try_on(data)
        except BaseException as error:  # noqa: BLE001 -- this is what is looked for
            print(f"  {type(error).__name__} escaped: {_kept(reader, data)}")
            return 1
        tried += 1
        if now - told > _REPORT_EVERY_S:
            told = now
            print(f"  {tried:,} inputs, {end - now:.0f} s left", flush=True)
    print(f"  {tried:,} inputs, nothing escaped")
    return 0


def _altered(chance: random.Random, good: bytes) -> bytes:
    data = bytearray(good)
    for _ in range(chance.randint(1, 6)):
        place = chance.randint(0, max(0, len(data) - 1))
        act = chance.randint(0, 3)
        if act == 0 and data:
            data[place] ^= 1 << chance.randint(0, 7)
        elif act == 1:
            del data[place : place + chance.randint(1, 64)]
        elif act == 2:
            data[place:place] = chance.randbytes(chance.randint(1, 16))
        else:
            del data[place:]
    return bytes(data)


def _kept(reader: Reader, data: bytes) -> Path:
    path = CORPUS / reader.name / f"escaped-{sha256(data).hexdigest()[:12]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
