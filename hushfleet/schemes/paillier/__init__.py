"""Scheme `paillier`: the encoded update itself, packed into Paillier slots (PROTOCOL 4).

Simple and assumption-light; cost grows with the model. `profile` knows costs and limits, `device`, `member` and `orchestrator`
each serve one role, `cohort` is what member, orchestrator and auditor check alike. May import what `hushfleet.schemes` may.
"""
