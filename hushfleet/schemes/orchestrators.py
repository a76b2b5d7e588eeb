"""The registry of the orchestrator's side of each scheme; an auditor uses it, too."""

from hushfleet.schemes.base import OrchestratorScheme
from hushfleet.schemes.paillier.orchestrator import PaillierOrchestrator

ORCHESTRATOR_SCHEMES: dict[str, OrchestratorScheme] = {"paillier": PaillierOrchestrator()}
