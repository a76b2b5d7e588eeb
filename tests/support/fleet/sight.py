"""Looking for secrets in everything a network saw: every spelling of a number that a careless programme might send."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from hushfleet.wire import Kind
from tests.support.fleet.attacked import AttackedFleet

_NEIGHBOURS = 8


def secrets_seen(stage: AttackedFleet) -> set[str]:
    """Names of the secrets of a finished round, any part of which stands anywhere in what was published since the fleet exists."""
    everything = b"".join(delivery.topic.encode() + delivery.data for _, delivery in stage.tape)
    return {name for name, pieces in _secrets(stage).items() if any(piece in everything for piece in pieces)}


def _secrets(stage: AttackedFleet) -> dict[str, list[bytes]]:
    answers = [stage.open_answer(member, stage.sent(Kind.PARTIAL, by=member)[0]) for member in stage.committee]
    encoded = [stage.encoded(name) for name in stage.names]
    rows = [np.asarray(stage.running.agents[name]._work.rows.rows_for(None).features[0]) for name in stage.names]
    return {
        "update": [piece for row in rows for piece in _vector(row, ("f8", "f4"))],
        "encoded vector": [piece for values in encoded for piece in _vector(values, ("i8", "i4", "f8", "f4"))],
        "packed vector": _numbers(number for values in encoded for number in stage.packed(values)),
        "key share": _numbers(share.value for share in stage.fleet.dealing.shares),
        "partial decryption": _numbers(value for answer in answers for value in answer.values),
    }


def _vector(values: npt.NDArray[np.generic], kinds: tuple[str, ...]) -> list[bytes]:
    """Each run of neighbours as raw numbers of these kinds, in either byte order."""
    runs = [values[start : start + _NEIGHBOURS] for start in range(0, len(values) - _NEIGHBOURS + 1, _NEIGHBOURS)]
    return [run.astype(order + kind).tobytes() for run in runs for kind in kinds for order in "<>"]


def _numbers(numbers: Iterable[int]) -> list[bytes]:
    """Sixteen low bytes of each large number in either order, whatever width it is written at."""
    lows = [number.to_bytes((number.bit_length() + 7) // 8, "big")[-18:-2] for number in numbers]
    return lows + [low[::-1] for low in lows]
