"""Recurrent layers: RNN, GRU and LSTM in all directions, with first states and lengths."""

from collections.abc import Callable, Sequence

from models.onnx.prepare.recurrence import Direction, Recurrence, body
from models.onnx.prepare.registry import Context, derivative

Grads = Sequence[str | None]
Cell = Callable[[Direction], dict[int, str]]
_WAYS = {"forward": 1, "reverse": 1, "bidirectional": 2}


@derivative("RNN")
def rnn(at: Context) -> Grads:
    """The layer h = f(W x + R h' + b), f tanh or relu (ONNX, RNN-14)."""
    kind = _activations(at, (("tanh",), ("relu",)))
    return _joined(at, 1, lambda side: _simple(side, kind))


@derivative("GRU")
def gru(at: Context) -> Grads:
    """The layer h = (1 - z) n + z h', the reset before or after its product (ONNX, GRU-14)."""
    _activations(at, (("sigmoid", "tanh"),))
    return _joined(at, 3, _reset_after if at.attribute("linear_before_reset", 0) else _reset_before)


@derivative("LSTM")
def lstm(at: Context) -> Grads:
    """The layer c = f c' + i g, h = o tanh(c) (ONNX, LSTM-14). Gates in the order i, o, f, g."""
    if at.input(7):
        raise at.refusal("it has peepholes: its gates look at the cells", "Export it without, or freeze it with --freeze.")
    if at.attribute("input_forget", 0):
        raise at.refusal("its input and forget gates are one", "Export it without, or freeze it with --freeze.")
    _activations(at, (("sigmoid", "tanh", "tanh"),))
    return _joined(at, 4, _cells)


def _activations(at: Context, known: Sequence[tuple[str, ...]]) -> str:
    """The first activation, if all directions have one of the known sets. Refuses the layer otherwise."""
    ways = _WAYS[at.attribute("direction", "forward")]
    given = [one.decode() if isinstance(one, bytes) else one for one in at.attribute("activations", [])]
    names = tuple(one.lower() for one in given) or known[0] * ways
    found = [one for one in known if names == one * ways]
    if not found:
        raise at.refusal(f"its activations {', '.join(given)} are not the usual ones", "Freeze it with --freeze.")
    if at.attribute("clip", 0) or at.attribute("layout", 0):
        raise at.refusal("clip and layout 1 are not supported", "Export it with steps first and without a clip.")
    return found[0][0]


def _joined(at: Context, gates: int, cell: Cell) -> Grads:
    """The gradients of x add up, all others stand one behind the other."""
    direction = at.attribute("direction", "forward")
    sides = [Direction(at, number, back=direction == "reverse" or number == 1, gates=gates) for number in range(_WAYS[direction])]
    found = [cell(side) for side in sides]
    grads: list[str | None] = [None] * len(at.node.input)
    for index in found[0]:
        if index < len(grads) and at.wants(index):
            parts = [one[index] for one in found]
            stacked = [at.emit.unsqueeze(one, [0]) for one in parts]
            grads[index] = (
                (at.emit.op("Sum", *parts) if len(parts) > 1 else parts[0])
                if index == 0
                else (at.emit.op("Concat", *stacked, axis=0) if len(parts) > 1 else stacked[0])
            )
    return grads


def _scanned(side: Direction, values: dict[str, str], carried: dict[str, str]) -> list[tuple[str, str]]:
    """The values that a loop reads: past a row's length nothing acts on a state (`values`), and it is passed on as it is (`carried`)."""
    counted = side.counted()
    if not counted:
        return [*values.items(), *carried.items()]
    rest = side.emit.sub(side.scalar(1), counted)
    masked = [(name, side.emit.mul(value, counted)) for name, value in values.items()]
    return [*masked, *((name, side.emit.add(side.emit.mul(value, counted), rest)) for name, value in carried.items()), ("off", rest)]


def _kept(side: Direction, state: str, following: str) -> list[str]:
    """Lines that add what a masked step passes on of a state without a carried factor."""
    return [f"kept = Mul {state} off", f"{following} = Add through kept"] if side.lengths else [f"{following} = Identity through"]


def _simple(side: Direction, kind: str) -> dict[int, str]:
    emit = side.emit
    bent = side.round_(side.y) if kind == "tanh" else side.cast(emit.op("Greater", side.y, side.scalar(0)))
    dy, dh, _ = side.arriving()
    lines = ["a = Add dy dh", "slope = Mul a k", f"through = MatMul slope {side.r}", *_kept(side, "dh", "dh2")]
    scanned = _scanned(side, {"dy": dy, "k": bent}, {})
    first, slopes = side.scan(Recurrence(body(*lines), [("dh", dh, "dh2")], scanned, ["slope"]), back=True)
    return {**side.back_to_inputs(slopes, slopes), 5: first}


def _cells(side: Direction) -> dict[int, str]:
    emit, at = side.emit, side.at
    sums = emit.add(side.product(side.x, side.w, side.w_bias), side.product(side.before, side.r, side.r_bias))
    i, o, f, g = (emit.op("Tanh" if n == 3 else "Sigmoid", one) for n, one in enumerate(side.parts(sums)))
    start = side.own(at.input(6), 0) if at.input(6) else side.nothing()
    forward = body("k = Mul f c", "c2 = Add k u", "out = Identity c2")
    moved = [one for one in _scanned(side, {"u": emit.mul(i, g)}, {"f": f}) if one[0] != "off"]
    _, cells = side.scan(Recurrence(forward, [("c", start, "c2")], moved, ["out"]), back=False)
    bent, before = emit.op("Tanh", cells), side.shifted(start, cells)
    dy, dh, dc = side.arriving()
    values = {
        "dy": dy,
        "ac": emit.mul(o, side.round_(bent)),
        "ao": emit.mul(bent, side.bend(o)),
        "ki": emit.mul(g, side.bend(i)),
        "kf": emit.mul(before, side.bend(f)),
        "kg": emit.mul(i, side.round_(g)),
    }
    lines = [
        "a = Add dy dh",
        "b = Mul a ac",
        "e = Add b dc",
        "s0 = Mul e ki",
        "s1 = Mul a ao",
        "s2 = Mul e kf",
        "s3 = Mul e kg",
        "slope = Concat s0 s1 s2 s3",
        f"through = MatMul slope {side.r}",
        *_kept(side, "dh", "dh2"),
        "dc2 = Mul e f",
    ]
    states = [("dh", dh, "dh2"), ("dc", dc, "dc2")]
    first, first_cell, slopes = side.scan(Recurrence(body(*lines), states, _scanned(side, values, {"f": f}), ["slope"]), back=True)
    return {**side.back_to_inputs(slopes, slopes), 5: first, 6: first_cell}


def _reset_after(side: Direction) -> dict[int, str]:
    """As PyTorch and Keras have it: n = tanh(W x + r (R h' + b))."""
    emit = side.emit
    xz, xr, xn = side.parts(side.product(side.x, side.w, side.w_bias))
    hz, hr, hn = side.parts(side.product(side.before, side.r, side.r_bias))
    z, r = emit.op("Sigmoid", emit.add(xz, hz)), emit.op("Sigmoid", emit.add(xr, hr))
    n = emit.op("Tanh", emit.add(xn, emit.mul(r, hn)))
    kn = emit.mul(emit.sub(side.scalar(1), z), side.round_(n))
    dy, dh, _ = side.arriving()
    values = {
        "dy": dy,
        "kz": emit.mul(emit.sub(side.before, n), side.bend(z)),
        "kr": emit.mul(kn, emit.mul(hn, side.bend(r))),
        "kn": kn,
        "kh": emit.mul(kn, r),
    }
    lines = [
        "a = Add dy dh",
        "sz = Mul a kz",
        "sr = Mul a kr",
        "sn = Mul a kn",
        "sh = Mul a kh",
        "slope = Concat sz sr sh",
        "other = Concat sz sr sn",
        f"through = MatMul slope {side.r}",
        "own = Mul a z",
        "dh2 = Add through own",
    ]
    scanned = [one for one in _scanned(side, values, {"z": z}) if one[0] != "off"]
    first, slopes_h, slopes_x = side.scan(Recurrence(body(*lines), [("dh", dh, "dh2")], scanned, ["slope", "other"]), back=True)
    return {**side.back_to_inputs(slopes_x, slopes_h), 5: first}


def _reset_before(side: Direction) -> dict[int, str]:
    """As the first paper has it: n = tanh(W x + R (r h') + b)."""
    emit, hidden = side.emit, side.hidden
    r_z, r_r, r_n = side.parts(side.r, axis=0)
    gates = emit.op("Concat", r_z, r_r, axis=0)
    xz, xr, xn = side.parts(side.product(side.x, side.w, side.w_bias))
    biases = side.parts(side.r_bias, axis=0) if side.r_bias else ("", "", "")
    z, r = (emit.op("Sigmoid", emit.add(x, side.product(side.before, w, b))) for x, w, b in ((xz, r_z, biases[0]), (xr, r_r, biases[1])))
    reset = emit.mul(r, side.before)
    n = emit.op("Tanh", emit.add(xn, side.product(reset, r_n, biases[2])))
    dy, dh, _ = side.arriving()
    values = {
        "dy": dy,
        "kz": emit.mul(emit.sub(side.before, n), side.bend(z)),
        "kn": emit.mul(emit.sub(side.scalar(1), z), side.round_(n)),
        "kr": emit.mul(side.before, side.bend(r)),
        "r": r,
    }
    lines = [
        "a = Add dy dh",
        "sz = Mul a kz",
        "sn = Mul a kn",
        f"q = MatMul sn {r_n}",
        "sr = Mul q kr",
        "zr = Concat sz sr",
        "slope = Concat sz sr sn",
        f"through = MatMul zr {gates}",
        "over = Mul q r",
        "own = Mul a z",
        "dh2 = Sum through over own",
    ]
    scanned = [one for one in _scanned(side, values, {"z": z}) if one[0] != "off"]
    first, slopes = side.scan(Recurrence(body(*lines), [("dh", dh, "dh2")], scanned, ["slope"]), back=True)
    sz, sr, sn = side.parts(slopes)
    by_gates = side.across(emit.op("Concat", sz, sr, axis=-1), side.before, hidden, 2)
    by_r = emit.op("Concat", by_gates, side.across(sn, reset, hidden, 1), axis=0)
    return {**side.back_to_inputs(slopes, slopes, by_r), 5: first}
