"""The library side of the vault: rosters and key share grants that the owner signs, and the fleet's TLS certificates.

Agent and orchestrator cannot import this package. It may import documents, the dealing of Paillier keys, signing and
`hushfleet.system`, and never `hushfleet.link`.
"""

from hushfleet.owner.owner import Owner

__all__ = ["Owner"]
