"""The fleet owner's tools, used offline: the vault with the root key, enrolment, dealing, certificates, broker files.

Whoever can run this package decides who is in the fleet, so it never runs beside the orchestrator.
May import `hushfleet` and `models.catalogue` (to resolve the names of allowed models), no other program.
"""
