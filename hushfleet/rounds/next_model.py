"""From checked answers to the next model: what orchestrator and auditor compute alike (PROTOCOL 5.5)."""

from collections.abc import Mapping

from hushfleet.aggregation import GlobalOptimizer, OptimizerState, RunningOptimizer, check_norm, mean_update
from hushfleet.schemes.base import RoundTerms
from hushfleet.schemes.orchestrators import ORCHESTRATOR_SCHEMES
from hushfleet.training import GlobalModel, update_global
from hushfleet.wire import Answer


def release(
    setting: RoundTerms,
    answers: Mapping[int, Answer],
    *,
    count: int,
    optimizer: GlobalOptimizer,
    optimizer_state: OptimizerState,
    model: GlobalModel,
) -> tuple[OptimizerState, GlobalModel]:
    """The optimiser's next state and the next model version, the same bits on every machine.

    `answers` were checked; `count` is the cohort's size. Raises `PeerError` if the sum or the model fails a check: the round
    aborts, and nobody can be named.
    """
    plan, n = setting.plan, setting.plan.privacy
    total = ORCHESTRATOR_SCHEMES[plan.scheme].open(setting, answers)
    check_norm(total, count=count, b2=n.b2, variance=n.variance)
    aggregate = mean_update(
        total,
        plan_hash=setting.plan_hash,
        dimension=plan.dimension,
        scale=plan.scale,
        count=count,
        slot_bits=n.slot_bits,
        keep_one_in=n.keep_one_in,
    )
    running = RunningOptimizer(optimizer, optimizer_state)
    released = update_global(model, aggregate, running, max_abs=setting.roster.policy.max_abs_parameter)
    return running.state, released
