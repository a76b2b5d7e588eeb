"""The orchestrator: it turns the effects of `hushfleet.rounds.coordinator.machine` into a running job.

Here live the job file with its checks, the durable store, the loop that drives a job, the holdout, configuration and
the commands under `hushfleet orchestrator`. May import `hushfleet` and `models.catalogue`, no other program, and can reach
no dealing, no key share and no device or member side, not even through others: it only ever handles sums.
"""
