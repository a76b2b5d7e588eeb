"""One small fleet for tests, in the form that a test needs. Every form is made from the same `Fleet`.

| a test of | takes |
|---|---|
| documents, messages, one machine's step | `Fleet` of `tests.support.fleet.paper`: keys, roster, plans, bodies, each machine's start |
| rounds, message by message | `Machines`, or `OrchestratorMachine` alone, of `tests.support.fleet.machines`: no link, no store |
| crash and restart | `StoredOrchestrator`, `StoredDevice` of `tests.support.fleet.stores`: a machine around its real store |
| the agent and its daemon | `AgentOnALink`, `DaemonOnALink` of `tests.support.fleet.agent`, with an orchestrator's link beside it |
| orchestrator: service, loop, command | `OrchestratorOnALink`, `LoopOnALink`, `TypedOrchestrator` of `tests.support.fleet.orchestrator` |
| attacks | `AttackedFleet` of `tests.support.fleet.attacked`: every party real, and a network that records and alters |
| programs as people type them | `TypedFleet` of `tests.support.fleet.typed`: processes, files, Mosquitto |
"""

from tests.support.fleet.effects import changes, of, published, raise_refusal
from tests.support.fleet.paper import (
    ARCHITECTURE,
    FLEET_NAME,
    Fleet,
    allowing,
    changed,
    make_fleet,
    update_of,
    without_privacy,
)

__all__ = [
    "ARCHITECTURE",
    "FLEET_NAME",
    "Fleet",
    "allowing",
    "changed",
    "changes",
    "make_fleet",
    "of",
    "published",
    "raise_refusal",
    "update_of",
    "without_privacy",
]
