"""Dealing, packing and opening of shares (PROTOCOL 3, 4)."""

from itertools import combinations

from hushfleet.randomness import SeededRandomness
from hushfleet.sharing import FIELD, VectorShare, add, combine, combine_scalar, deal, deal_integer, deal_scalar, integer_coefficients

COMMITTEES = ((4, 3), (7, 5), (10, 7))
SECRETS = ([0, 1, -1, 83, -83, FIELD.largest], [5, 5, 5, -5, -5, -FIELD.largest])


def build() -> dict[str, object]:
    return {
        "modulus": FIELD.modulus,
        "coefficients": [_coefficients(quorum, members) for members, threshold in COMMITTEES for quorum in _quorums(members, threshold)],
        "integer": [_integer(members, threshold) for members, threshold in COMMITTEES],
        "scalar": [_scalar(secret) for secret in (0, 7, -7, FIELD.largest)],
        "vector": [_vector(members, threshold) for members, threshold in COMMITTEES],
        "tampered_set": _tampered_sets(),
        "tampered_share": _tampered_shares(),
    }


def _quorums(members, threshold):
    """The first, the last and a middle quorum: enough to fix the formula, few enough to read."""
    every = list(combinations(range(1, members + 1), threshold))
    return every[0], every[len(every) // 2], every[-1]


def _coefficients(quorum, members):
    values = integer_coefficients(quorum, members)
    return {"members": members, "indices": list(quorum), "lambda": [values[index] for index in quorum]}


def _integer(members, threshold):
    seed, modulus, secret = f"integer {members}", 2**127 - 1, 2**100 + members
    shares = deal_integer(secret, threshold=threshold, members=members, modulus=modulus, randomness=SeededRandomness(seed.encode()))
    return {
        "seed": seed,
        "modulus": hex(modulus),
        "secret": hex(secret),
        "members": members,
        "threshold": threshold,
        "shares": [hex(share) for share in shares],
    }


def _scalar(secret):
    seed = f"scalar {secret}"
    shares = deal_scalar(secret, threshold=3, members=4, randomness=SeededRandomness(seed.encode()))
    opened = combine_scalar({share.index: share for share in shares}, 3)
    return {"seed": seed, "secret": secret, "members": 4, "threshold": 3, "shares": [share.value for share in shares], "opened": opened}


def _vector(members, threshold):
    seeds = [f"vector {members} {number}" for number in range(len(SECRETS))]
    dealt = [
        deal(secret, threshold=threshold, members=members, randomness=SeededRandomness(seed.encode()))
        for seed, secret in zip(seeds, SECRETS, strict=True)
    ]
    sums = [add(shares) for shares in zip(*dealt, strict=True)]
    return {
        "seeds": seeds,
        "secrets": list(SECRETS),
        "members": members,
        "threshold": threshold,
        "shares": [[share.to_bytes().hex() for share in shares] for shares in dealt],
        "sums": [share.to_bytes().hex() for share in sums],
        "opened": combine({share.index: share for share in sums}, threshold).tolist(),
    }


def _honest_set():
    shares = deal([1, -2, 3], threshold=3, members=4, randomness=SeededRandomness(b"tampered"))
    return {share.index: share for share in shares}


def _tampered_sets():
    honest = _honest_set()
    shifted = honest[4].plus(VectorShare(4, FIELD.unpack(bytes([1, 0, 0, 0, 0, 0, 0, 0]), 3)))
    swapped = {1: honest[1].to_bytes(), 2: honest[3].to_bytes(), 3: honest[2].to_bytes(), 4: honest[4].to_bytes()}
    plain = {index: share.to_bytes() for index, share in honest.items()}
    return [
        _set("one value of one share raised by one", {**plain, 4: shifted.to_bytes()}, "combine-misfit"),
        _set("two shares exchanged", swapped, "combine-misfit"),
        _set("two shares only", {1: plain[1], 4: plain[4]}, "combine-too-few"),
        _set("untouched", plain, None),
    ]


def _set(what, shares, refusal):
    return {"what": what, "threshold": 3, "count": 3, "shares": {str(i): data.hex() for i, data in shares.items()}, "refusal": refusal}


def _tampered_shares():
    def case(what, data, count, index, refusal):
        return {"what": what, "bytes": data.hex(), "count": count, "index": index, "refusal": refusal}

    return [
        case("the greatest element", (FIELD.modulus - 1).to_bytes(3, "little"), 1, 1, None),
        case("the modulus itself", FIELD.modulus.to_bytes(3, "little"), 1, 1, "field-element"),
        case("all ones", b"\xff\xff\x0f", 1, 1, "field-element"),
        case("a bit after the last element", b"\x00\x00\x10", 1, 1, "message-malformed"),
        case("a byte short", bytes(2), 1, 1, "message-malformed"),
        case("a byte long", bytes(4), 1, 1, "message-malformed"),
        case("the index of the secret", bytes(3), 1, 0, "share-index"),
    ]
