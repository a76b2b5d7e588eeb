"""The orchestrator's round, a file per phase: collecting, decrypting, closing; `machine` has the table of transitions.

Reads sums only: what it knows of one contribution is ciphertexts and a proof. May import what `hushfleet.rounds` may, except
any device's or member's side.
"""
