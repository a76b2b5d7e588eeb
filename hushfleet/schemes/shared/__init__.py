"""Scheme `shared`: a ring mask hides the update, and its key is secret-shared to the committee in sealed boxes (PROTOCOL 4).

No dealt key, no Paillier, and almost no work for members, whatever the size of the model. `profile` knows costs and limits,
`device`, `member` and `orchestrator` each serve one role, `bodies` is what they check alike. May import what `hushfleet.schemes` may.
"""
