"""The registry of the orchestrator's side of each scheme; an auditor uses it, too."""

from hushfleet.schemes.base import OrchestratorScheme
from hushfleet.schemes.paillier.orchestrator import PaillierOrchestrator
from hushfleet.schemes.shared.orchestrator import SharedOrchestrator

ORCHESTRATOR_SCHEMES: dict[str, OrchestratorScheme] = {"paillier": PaillierOrchestrator(), "shared": SharedOrchestrator()}
