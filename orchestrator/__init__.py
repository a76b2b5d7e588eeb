"""The orchestrator: it turns the effects of `hushfleet.rounds.coordinator.machine` into a running job.

Here live its durable store, the choice of cohorts, the privacy account, the registrar, dashboard and metrics, configuration
and the commands under `hushfleet orchestrator`. May import `hushfleet` and `models.catalogue`, no other program, and can reach
no dealing, no key share and no device or member side, not even through others: it only ever handles sums.
"""
