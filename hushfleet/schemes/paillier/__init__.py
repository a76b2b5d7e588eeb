"""Scheme `paillier`: the encoded update itself, packed into Paillier slots (PROTOCOL 4).

Simple and assumption-light; cost grows with the model. `device` and `member` each serve one role, `orchestrator` folds and
opens, `cohort` is what member, orchestrator and auditor check alike. May import what `hushfleet.schemes` may.
"""

MOST_VALUES = 65_536
"""Larger models are refused unless asked for: the cost for every member grows with the model."""
