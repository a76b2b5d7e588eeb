"""Aggregation schemes: the contents of a contribution, a member's answer, and the opening of the sum (PROTOCOL 4).

`base` is the seam; a scheme is one folder beside it and one line in the registry of each role (`devices`, `members`,
`orchestrators`), which meet only in tests and the walkthrough. May import aggregation, encryption, sharing, privacy, training,
wire, documents and the ground floor.
"""

from hushfleet.schemes.base import Costs, RoundTerms

__all__ = ["Costs", "RoundTerms"]
