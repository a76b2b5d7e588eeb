"""Einsum: the gradient by a factor is the product of the others and of what arrives, summed to the factor's own letters."""

from collections.abc import Sequence

from models.onnx.prepare.registry import Context, derivative

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@derivative("Einsum")
def einsum(at: Context) -> Sequence[str | None]:
    """Takes any number of factors; a letter twice in one of them, a diagonal, is refused."""
    factors, result = _terms(at)
    if any(len(set(one)) < len(one) for one in factors):
        raise at.refusal("a letter stands twice in one of its factors", "Write the diagonal with gather.")
    return [_by_factor(at, factors, result, index) if at.wants(index) else None for index in range(len(factors))]


def _by_factor(at: Context, factors: list[str], result: str, index: int) -> str:
    """A letter that nothing else has was summed over: its gradient is the same along that axis."""
    emit, own = at.emit, factors[index]
    others = [number for number in range(len(factors)) if number != index]
    known = set(result).union(*(factors[number] for number in others))
    kept = "".join(letter for letter in own if letter in known)
    terms = ",".join([result, *(factors[number] for number in others)])
    found = emit.op("Einsum", at.grad, *[at.input(number) for number in others], equation=f"{terms}->{kept}")
    missing = [axis for axis, letter in enumerate(own) if letter not in known]
    if missing:
        found = emit.expand_to(emit.unsqueeze(found, missing), at.input(index))
    return found if at.shape(index) == _sizes(at, factors, own) else emit.unbroadcast_to(found, _sizes(at, factors, own), at.input(index))


def _terms(at: Context) -> tuple[list[str], str]:
    """The letters of each factor and of the result, with those that `...` stands for written out."""
    equation = str(at.attribute("equation")).replace(" ", "")
    left, arrow, right = equation.partition("->")
    factors = left.split(",")
    used = [letter for letter in left if letter.isalpha()]
    if not arrow:
        single = sorted({letter for letter in used if used.count(letter) == 1})
        right = ("..." if "..." in left else "") + "".join(single)
    free = [letter for letter in _LETTERS if letter not in equation]
    ranks = [at.graph.rank(at.input(index)) - len(one.replace("...", "")) for index, one in enumerate(factors)]
    most = max((rank for rank, one in zip(ranks, factors, strict=True) if "..." in one), default=0)
    written = [one.replace("...", "".join(free[most - rank : most])) for one, rank in zip(factors, ranks, strict=True)]
    return written, right.replace("...", "".join(free[:most]))


def _sizes(at: Context, factors: list[str], own: str) -> tuple[int | str, ...]:
    """The sizes that the letters have in the result: 1 in a factor is broadcast."""
    sizes: dict[str, int | str] = {}
    for index, letters in enumerate(factors):
        for letter, size in zip(letters, at.shape(index), strict=True):
            if sizes.get(letter, 1) == 1:
                sizes[letter] = size
    return tuple(sizes[letter] for letter in own)
