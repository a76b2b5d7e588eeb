"""Threshold Paillier at 512 bit: dealing from fixed primes, packing, encryption, both proofs, combining (PROTOCOL 3)."""

from dataclasses import replace

import numpy as np

from hushfleet.encryption.paillier import (
    KnowledgeProof,
    Partial,
    PublicKey,
    answer,
    ciphertexts_to_bytes,
    combine,
    deal,
    encrypt,
    pack,
    partial_context,
    proof_context,
    prove,
    sum_ciphertexts,
    unpack,
)
from hushfleet.randomness import SeededRandomness
from hushfleet.wire import masked_vector_hash

# Safe primes of 256 bit with their top two bits set.
P = 0xD840C29CDD415B438D9F36F855BFD2684C0C2E7B68346AFD6861D1CC80022643
Q = 0xEAF3E501E729CC8E557AB34C7EBFC65916F768C5A59CCC3310CA446795EBA6A7
PLAN, ROOT, KEY_ID = (bytes([byte]) * 32 for byte in (1, 2, 3))
DEVICES = ("pi-01", "pi-02")
WIDTH = 20


def build() -> dict[str, object]:
    dealing = deal(512, 1, SeededRandomness(b"deal 1"), primes=(P, Q), insecure=True)
    public, shares = dealing.public, dealing.shares
    contributions = [_contribution(public, device) for device in DEVICES]
    total = sum_ciphertexts(public, [encryption.ciphertexts for encryption, _ in contributions])
    partials = [answer(public, share, total, _partial_context(share.index), _seeded(f"answer {share.index}")) for share in shares]
    return {
        "dealing": [_dealing(f) for f in (1, 2, 3)],
        "tampered_dealing": _tampered_dealings(),
        "public": public.to_bytes().hex(),
        "tampered_public": _tampered_keys(public),
        "shares": [share.to_bytes(public).hex() for share in shares],
        "tampered_share": _tampered_shares(public, shares),
        "packing": [_packing(public, values, width) for width, values in _packed_values()],
        "tampered_packing": _tampered_packings(),
        "tampered_plaintexts": _tampered_plaintexts(public),
        "contexts": _contexts(),
        "contributions": [_recorded(public, device, *made) for device, made in zip(DEVICES, contributions, strict=True)],
        "tampered_ciphertexts": _tampered_ciphertexts(public, contributions[0][0].ciphertexts),
        "tampered_knowledge": _tampered_knowledge(public, contributions),
        "sum": ciphertexts_to_bytes(public, total).hex(),
        "partials": [_partial(public, partial) for partial in partials],
        "tampered_partials": _tampered_partials(public, partials),
        "opened": _opened(public, total, partials),
        "tampered_combination": _tampered_combinations(public, partials),
    }


def _seeded(seed):
    return SeededRandomness(seed.encode())


def _dealing(f):
    seed = f"deal {f}"
    dealing = deal(512, f, _seeded(seed), primes=(P, Q), insecure=True)
    return {
        "bits": 512,
        "f": f,
        "p": hex(P),
        "q": hex(Q),
        "seed": seed,
        "public": dealing.public.to_bytes().hex(),
        "shares": [hex(share.value) for share in dealing.shares],
    }


def _tampered_dealings():
    base = {"bits": 512, "f": 1, "p": hex(P), "q": hex(Q), "seed": "deal 1", "insecure": True}
    return [
        base | {"q": hex(P), "why": "equal primes", "refusal": "key-malformed"},
        base | {"q": hex(Q + 2), "why": "not a prime", "refusal": "key-malformed"},
        base | {"bits": 528, "why": "primes of another length", "refusal": "key-malformed"},
        base | {"f": 4, "why": "a committee of 13", "refusal": "committee-size"},
        base | {"insecure": False, "why": "512 bit without the insecure flag", "refusal": "key-too-small"},
        base | {"bits": 496, "why": "below 512 bit", "refusal": "key-too-small"},
    ]


def _tampered_keys(public):
    data, width, kept = public.to_bytes(), public.ciphertext_bytes, public.modulus_bytes
    one, zero = (1).to_bytes(width, "big"), bytes(kept)
    cases = [
        ("one byte short", data[:-1], 4, "key-malformed"),
        ("one byte more", data + b"\0", 4, "key-malformed"),
        ("an even modulus", (public.modulus + 1).to_bytes(kept, "big") + data[kept:], 4, "key-malformed"),
        ("a modulus with a leading zero", b"\0" + data[1:], 4, "key-malformed"),
        ("h_s = 1", data[:kept] + one + data[kept + width :], 4, "key-malformed"),
        ("v = N", data[: kept + width] + public.modulus.to_bytes(kept, "big") + data[2 * kept + width :], 4, "key-malformed"),
        ("v_4 = 0", data[:-kept] + zero, 4, "key-malformed"),
        ("v_4 above N", data[:-kept] + b"\xff" * kept, 4, "key-malformed"),
        ("read for 7 members", data, 7, "key-malformed"),
        ("read for 5 members", data, 5, "committee-size"),
    ]
    return [{"why": why, "public": wrong.hex(), "members": members, "refusal": refusal} for why, wrong, members, refusal in cases]


def _tampered_shares(public, shares):
    data = shares[0].to_bytes(public)
    cases = [
        ("another value", data[:-1] + bytes([data[-1] ^ 1])),
        ("another index", b"\0\2" + data[2:]),
        ("no such member", b"\0\5" + data[2:]),
        ("index 0", b"\0\0" + data[2:]),
        ("value 0", data[:2] + bytes(len(data) - 2)),
        ("one byte short", data[:-1]),
    ]
    return [{"why": why, "share": wrong.hex(), "refusal": "share-mismatch"} for why, wrong in cases]


def _packed_values():
    limit = (1 << (WIDTH - 1)) - 1
    return [
        (WIDTH, [0]),
        (WIDTH, [1, -1, 7]),
        (WIDTH, [limit, -limit] * 12 + [limit]),
        (WIDTH, [-limit] * 25),
        (WIDTH, [-1] * 26),
        (13, list(range(-40, 41))),
        (13, [4095, -4095]),
        (62, [1 << 60, -(1 << 60), 3]),
    ]


def _packing(public, values, width):
    plaintexts = pack(np.array(values, np.int64), width, public)
    return {"width": width, "values": values, "plaintexts": [hex(plaintext) for plaintext in plaintexts]}


def _tampered_packings():
    bound = 1 << (WIDTH - 1)
    cases = [([bound], WIDTH), ([-bound], WIDTH), ([0] * 30 + [bound], WIDTH), ([4096], 13), ([-(2**63)], WIDTH)]
    return [{"values": values, "width": width, "refusal": "value-out-of-slot"} for values, width in cases]


def _tampered_plaintexts(public):
    bound, n = 1 << (WIDTH - 1), public.modulus
    cases = [
        ("the lowest slot overflows", [bound], 1, "sum-remainder"),
        ("the lowest slot underflows", [n - bound - 1], 1, "sum-remainder"),
        ("an unused slot holds something", [1 << 2 * WIDTH], 2, "sum-remainder"),
        ("a value above all slots", [1 << 25 * WIDTH], 25, "sum-remainder"),
        ("a uniform plaintext", [n // 2], 25, "sum-remainder"),
        ("in the second plaintext", [0, bound], 26, "sum-remainder"),
        ("one plaintext missing", [0], 26, "ciphertext-count"),
    ]
    return [{"why": why, "plaintexts": [hex(p) for p in given], "count": count, "refusal": refusal} for why, given, count, refusal in cases]


def _contexts():
    masked = masked_vector_hash(b"masked")
    return {
        "plan_hash": PLAN.hex(),
        "root": ROOT.hex(),
        "key_id": KEY_ID.hex(),
        "device": DEVICES[0],
        "round": 7,
        "index": 2,
        "masked_vector": b"masked".hex(),
        "masked_vector_hash": masked.hex(),
        "empty_hash": masked_vector_hash(b"").hex(),
        "contribution": proof_context(PLAN, DEVICES[0], masked).hex(),
        "partial": _partial_context(2).hex(),
    }


def _device_context(device):
    return proof_context(PLAN, device, masked_vector_hash(b""))


def _partial_context(index):
    return partial_context(KEY_ID, 7, PLAN, ROOT, index)


def _values(device):
    return np.arange(40, dtype=np.int64) * (1 if device == DEVICES[0] else -3) - 20


def _contribution(public, device):
    randomness, plaintexts = _seeded(device), pack(_values(device), WIDTH, public)
    encryption = encrypt(public, plaintexts, randomness)
    return encryption, prove(public, encryption, plaintexts, _device_context(device), randomness)


def _recorded(public, device, encryption, proof):
    return {
        "seed": device,
        "values": _values(device).tolist(),
        "width": WIDTH,
        "context": _device_context(device).hex(),
        "openings": [hex(opening) for opening in encryption.openings],
        "ciphertexts": ciphertexts_to_bytes(public, encryption.ciphertexts).hex(),
        "proof": proof.to_bytes(public).hex(),
    }


def _tampered_ciphertexts(public, ciphertexts):
    width, data = public.ciphertext_bytes, ciphertexts_to_bytes(public, ciphertexts)
    square = public.modulus_squared
    bad = [("zero", 0), ("one", 1), ("N", public.modulus), ("p", P), ("N^2", square), ("above N^2", square + 5)]
    cases = [(why, data[:width] + value.to_bytes(width, "big"), 2, "ciphertext-invalid") for why, value in bad]
    cases += [
        ("one byte short", data[:-1], 2, "ciphertext-count"),
        ("one byte more", data + b"\0", 2, "ciphertext-count"),
        ("one ciphertext too many", data, 1, "ciphertext-count"),
    ]
    return [{"why": why, "ciphertexts": wrong.hex(), "count": count, "refusal": refusal} for why, wrong, count, refusal in cases]


def _tampered_knowledge(public, contributions):
    (encryption, proof), (others, another) = contributions
    ciphertexts, square, n = encryption.ciphertexts, public.modulus_squared, public.modulus
    copy, doubled = (tuple(pow(ciphertext, factor, square) for ciphertext in ciphertexts) for factor in (1 << WIDTH, 2))
    cases = [
        ("A doubled", ciphertexts, replace(proof, commitment=2 * proof.commitment % square), 0),
        ("A = 1", ciphertexts, replace(proof, commitment=1), 0),
        ("A not a unit", ciphertexts, replace(proof, commitment=P), 0),
        ("z_m off by one", ciphertexts, replace(proof, z_m=(proof.z_m + 1) % n), 0),
        ("z_m = N", ciphertexts, replace(proof, z_m=n), 0),
        ("z_r off by one", ciphertexts, replace(proof, z_r=proof.z_r + 1), 0),
        ("z_r at its bound", ciphertexts, replace(proof, z_r=1 << (public.bits // 2 + 265)), 0),
        ("another device's context", ciphertexts, proof, 1),
        ("another device's proof", ciphertexts, another, 0),
        ("another device's ciphertexts", others.ciphertexts, proof, 0),
        ("another order", ciphertexts[::-1], proof, 0),
        ("one ciphertext less", ciphertexts[:1], proof, 0),
        ("a plaintext shifted by one", (ciphertexts[0] * (1 + n) % square, *ciphertexts[1:]), proof, 0),
        ("a copy one slot up, as another device", copy, proof, 1),
        ("a doubled copy with the proof doubled along", doubled, _doubled(public, proof), 0),
    ]
    tampered = [_statement(public, why, given, wrong, DEVICES[who]) for why, given, wrong, who in cases]
    short = proof.to_bytes(public)[:-1].hex()
    return [*tampered, tampered[0] | {"why": "one byte short", "proof": short}]


def _doubled(public, proof):
    return KnowledgeProof(proof.commitment**2 % public.modulus_squared, 2 * proof.z_m % public.modulus, 2 * proof.z_r)


def _statement(public, why, ciphertexts, proof, device):
    return {
        "why": why,
        "ciphertexts": ciphertexts_to_bytes(public, ciphertexts).hex(),
        "count": len(ciphertexts),
        "context": _device_context(device).hex(),
        "proof": proof.to_bytes(public).hex(),
        "refusal": "knowledge-proof",
    }


def _partial(public, partial):
    index = partial.index
    return {"seed": f"answer {index}", "index": index, "context": _partial_context(index).hex(), "partial": partial.to_bytes(public).hex()}


def _tampered_partials(public: PublicKey, partials: list[Partial]):
    good, another, n = partials[1], partials[2], public.modulus
    proof = good.proof

    def first(value):
        return replace(good, values=(value % n, *good.values[1:]))

    cases = [
        ("doubled", first(2 * good.values[0]), 2, "partial-proof"),
        ("negated after the proof", first(-good.values[0]), 2, "partial-proof"),
        ("another order", replace(good, values=good.values[::-1]), 2, "partial-proof"),
        ("another challenge", replace(good, proof=replace(proof, challenge=proof.challenge ^ 1)), 2, "partial-proof"),
        ("another response", replace(good, proof=replace(proof, response=proof.response + 1)), 2, "partial-proof"),
        ("another context", good, 3, "partial-proof"),
        ("another member's answer", replace(another, index=2), 2, "partial-proof"),
        ("another index", replace(good, index=3), 3, "partial-proof"),
        ("a response at its bound", replace(good, proof=replace(proof, response=1 << (public.bits + 5 + 257))), 2, "partial-proof"),
        ("zero", first(0), 2, "partial-invalid"),
        ("one", first(1), 2, "partial-proof"),
        ("not a unit", first(P), 2, "partial-invalid"),
        ("no such member", replace(good, index=5), 5, "partial-invalid"),
    ]
    tampered = [
        {"why": why, "partial": wrong.to_bytes(public).hex(), "context": _partial_context(index).hex(), "refusal": refusal}
        for why, wrong, index, refusal in cases
    ]
    cut = {"why": "one byte short", "partial": good.to_bytes(public)[:-1].hex(), "refusal": "partial-invalid"}
    return [*tampered, tampered[0] | cut]


def _opened(public, total, partials):
    plaintexts = combine(public, total, partials)
    return {"plaintexts": [hex(p) for p in plaintexts], "width": WIDTH, "values": unpack(plaintexts, 40, WIDTH, public).tolist()}


def _tampered_combinations(public, partials):
    doubled = replace(partials[0], values=(partials[0].values[0] * 2 % public.modulus, *partials[0].values[1:]))
    cases = [
        ("two of three", partials[:2], "combine-too-few"),
        ("one member twice", [partials[0], *partials[:3]], "partial-invalid"),
        ("a partial that does not fit", [doubled, *partials[1:3]], "combine-residue"),
    ]
    return [{"why": why, "partials": [p.to_bytes(public).hex() for p in given], "refusal": refusal} for why, given, refusal in cases]
