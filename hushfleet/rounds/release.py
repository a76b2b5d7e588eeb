"""From an opened sum to the task's next progress: the same computation for orchestrator and auditor (PROTOCOL 5.5)."""

import numpy as np
import numpy.typing as npt

from hushfleet.aggregation import check_norm, mean_update
from hushfleet.rounds.tasks.base import Progress, Releasing
from hushfleet.schemes.base import RoundTerms


def release(terms: RoundTerms, total: npt.NDArray[np.int64], task: Releasing, progress: Progress, *, count: int) -> Progress:
    """The progress after this round, the same bits on every machine.

    `total` is the opened sum, int64 `(length,)`, of `count` contributions. Raises `PeerError` if the sum or the outcome fails a check:
    the round aborts, and nobody can be named.
    """
    plan, n = terms.plan, terms.plan.privacy
    check_norm(total, count=count, b2=n.b2, variance=n.variance)
    aggregate = mean_update(
        total,
        plan_hash=terms.plan_hash,
        dimension=plan.dimension,
        scale=plan.scale,
        count=count,
        slot_bits=n.slot_bits,
        keep_one_in=n.keep_one_in,
    )
    return task.released(progress, aggregate, max_abs=terms.roster.policy.max_abs_parameter)
