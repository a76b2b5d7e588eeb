"""Aggregation schemes: what a contribution carries, what a member answers, how the orchestrator opens the sum (PROTOCOL 4).

One folder per scheme; one registry per role (`devices`, `members`, `orchestrators`), paired only in tests and the walkthrough.
May import aggregation, encryption, sharing, privacy, training, wire, documents and the ground floor.
"""

from hushfleet.schemes.base import SCHEMES, RoundTerms, public_key

__all__ = ["SCHEMES", "RoundTerms", "public_key"]
