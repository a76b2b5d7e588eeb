"""CPU time of every step of a round on this machine, as the table of docs/measurements.md.

`OPENBLAS_NUM_THREADS=1 python -m benchmarks.steps`: more threads of numpy's BLAS would wait busily, and their waiting would count.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hushfleet.aggregation import check_norm, mean_update
from hushfleet.encryption.paillier.arithmetic import power_quiet
from hushfleet.encryption.paillier.comb import FixedBase
from hushfleet.encryption.paillier.contexts import partial_context, proof_context
from hushfleet.encryption.paillier.dealing import Dealing, deal
from hushfleet.encryption.paillier.key import PublicKey
from hushfleet.encryption.paillier.knowledge import Statement, prove, verify, verify_batch
from hushfleet.encryption.paillier.packing import pack, unpack
from hushfleet.encryption.paillier.partials import combine, verify_partial
from hushfleet.encryption.paillier.public import HIDING_SLACK_BITS, encrypt, sum_ciphertexts
from hushfleet.encryption.paillier.secret import answer
from hushfleet.privacy import PlanIntegers, clip, derive, discrete_gaussian, encode_vector
from hushfleet.randomness import SystemRandomness
from hushfleet.training import Data, GlobalModel, LocalTraining, train
from hushfleet.wire import masked_vector_hash
from models import catalogue

RANDOM = SystemRandomness()
PLAN_HASH = bytes(32)
KEY_BITS = 3072
COHORT = 50
EVERYBODY = "orchestrator and each member"
MILLION = 1_000_000


class Row(NamedTuple):
    """One step: who does it, what it is, and the median CPU time in seconds, all threads added up."""

    party: str
    step: str
    seconds: float


def measured(party: str, step: str, work: Callable[[], object], repeats: int, *, per: int = 1) -> Row:
    """Run `work` once to warm up, then `repeats` times; `per` is how many of the step one run does."""
    work()
    return Row(party, step, statistics.median(_cpu(work) for _ in range(repeats)) / per)


def rows(bits: int, repeats: int, *, insecure: bool = False) -> Iterator[Row]:
    """Every step, in the order of a round, with a key dealt on the way."""
    dealt: list[Dealing] = []
    with ThreadPoolExecutor(2) as threads:
        work = lambda: dealt.append(deal(bits, 1, RANDOM, insecure=insecure, executor=threads))  # noqa: E731 -- read once, here
        yield Row("owner", "deal a key to four members", statistics.median(_cpu(work) for _ in range(repeats)))
    yield from _once_per_key(dealt[-1].public, repeats)
    yield from _privacy(repeats)
    yield from _round(dealt[-1], repeats)


def _once_per_key(key: PublicKey, repeats: int) -> Iterator[Row]:
    square, width = key.modulus_squared, key.bits // 2 + HIDING_SLACK_BITS
    yield measured("device", "comb table, once per key", lambda: FixedBase(key.h_s, square, width), repeats)


def _privacy(repeats: int) -> Iterator[Row]:
    trainer = catalogue.trainer("softmax:64x10")
    grid = np.linspace(0, 1, 30 * 64).reshape(30, 64)
    data, model = Data(grid, np.arange(30) % 10), GlobalModel(0, np.zeros(trainer.architecture.dimension, np.float32))
    settings = LocalTraining.make(6, 16, 1.0)
    yield measured("device", "train softmax 64x10, six local steps", lambda: train(trainer, model, settings, data, RANDOM), repeats)
    for dimension, words in ((trainer.architecture.dimension, "encode 650 values"), (MILLION, "encode 1,000,000 values")):
        plan, clipped = _plan(dimension), clip(np.linspace(-1, 1, dimension), 1.0)
        yield measured("device", words, lambda plan=plan, clipped=clipped: encode_vector(clipped, plan, PLAN_HASH, RANDOM), repeats)  # type: ignore[misc]  # binds now
    for variance in (16, 10_000, 200_000_000):
        sampler = discrete_gaussian(variance)
        draw = lambda sampler=sampler: sampler.draw(MILLION, RANDOM)  # noqa: E731 -- read once, in the next line
        yield measured("device", f"one draw of noise at V = {variance:,}", draw, repeats, per=MILLION)


def _round(dealing: Dealing, repeats: int) -> Iterator[Row]:
    """One contribution, a cohort of fifty, a committee's answers."""
    key, plan = dealing.public, _plan(650)
    plaintexts = _plaintexts(key, plan)
    count, encryption = len(plaintexts), encrypt(key, plaintexts, RANDOM)
    context = proof_context(PLAN_HASH, "device-01", masked_vector_hash(b""))
    yield measured("device", "encrypt, per ciphertext", lambda: encrypt(key, plaintexts, RANDOM), repeats, per=count)
    yield measured("device", "prove knowledge", lambda: prove(key, encryption, plaintexts, context, RANDOM), repeats)
    statements = [_statement(key, _plaintexts(key, plan), f"device-{number:02d}") for number in range(COHORT)]
    first = statements[0]
    yield measured("orchestrator", "verify one contribution", lambda: verify(key, first.ciphertexts, first.context, first.proof), repeats)
    yield measured(EVERYBODY, f"verify {COHORT} contributions in one batch", lambda: verify_batch(key, statements, RANDOM), repeats)
    vectors = [statement.ciphertexts for statement in statements]
    total = sum_ciphertexts(key, vectors)
    yield measured(EVERYBODY, f"add {COHORT} contributions", lambda: sum_ciphertexts(key, vectors), repeats)
    contexts = {share.index: partial_context(bytes(32), 1, PLAN_HASH, bytes(32), share.index) for share in dealing.shares}
    partials = [answer(key, share, total, contexts[share.index], RANDOM) for share in dealing.shares[: key.threshold]]
    yield measured("member", "answer, with its proof", lambda: answer(key, dealing.shares[0], total, contexts[1], RANDOM), repeats)
    long = RANDOM.bits(2 * key.bits)
    decrypt = lambda: power_quiet(total[0], long, key.modulus_squared)  # noqa: E731 -- read once, in the next line
    yield measured("for comparison", "one partial modulo N^2, without roots", decrypt, repeats)
    root = lambda: power_quiet(total[0] % key.modulus, long >> key.bits, key.modulus)  # noqa: E731 -- read once, in the next line
    yield measured("member", "one partial", root, repeats)
    check = lambda: verify_partial(key, total, partials[0], contexts[1])  # noqa: E731 -- read once, in the next line
    yield measured("orchestrator", "verify one answer, if the sum does not open", check, repeats)
    yield measured("orchestrator", "open the sum from a quorum", lambda: combine(key, total, partials), repeats)
    opened = combine(key, total, partials)
    yield measured("orchestrator", "decode, check, un-rotate", lambda: _release(key, opened, plan), repeats)


def _plan(dimension: int) -> PlanIntegers:
    return derive(dimension=dimension, clip_norm=1.0, noise_multiplier=Fraction(4), k_min=40, k_max=COHORT, colluding=2)


def _plaintexts(key: PublicKey, plan: PlanIntegers) -> list[int]:
    """One device's update with noise of its own: fifty times one draw would overflow a slot now and then."""
    return pack(encode_vector(clip(np.linspace(-1, 1, 650), 1.0), plan, PLAN_HASH, RANDOM).values, plan.slot_bits, key)


def _statement(key: PublicKey, plaintexts: list[int], device_id: str) -> Statement:
    context, encryption = proof_context(PLAN_HASH, device_id, masked_vector_hash(b"")), encrypt(key, plaintexts, RANDOM)
    return Statement(encryption.ciphertexts, context, prove(key, encryption, plaintexts, context, RANDOM))


def _release(key: PublicKey, opened: tuple[int, ...], plan: PlanIntegers) -> None:
    total = unpack(opened, plan.padded, plan.slot_bits, key)
    check_norm(total, count=COHORT, b2=plan.b2, variance=plan.variance)
    mean_update(total, plan_hash=PLAN_HASH, dimension=650, scale=plan.scale, count=COHORT, slot_bits=plan.slot_bits)


def _cpu(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _words(seconds: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")] or ["unknown"]
    blas = os.environ.get("OPENBLAS_NUM_THREADS", "several")
    return f"{platform.machine()}, {os.cpu_count()} x {cpu[0]}, Python {platform.python_version()}, BLAS threads: {blas}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="the median of so many runs is printed")
    repeats = parser.parse_args().repeats
    print(f"{_machine()}; {KEY_BITS}-bit key, median of {repeats}, CPU time of all threads\n")
    print("| who | step | CPU |\n|---|---|---|")
    for row in rows(KEY_BITS, repeats):
        print(f"| {row.party} | {row.step} | {_words(row.seconds)} |", flush=True)
