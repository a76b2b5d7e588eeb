"""The interface of a fleet to the demo and its attacks, over whatever link it runs."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from hushfleet.documents import Policy, VerifiedRoster
from hushfleet.encryption.paillier.dealing import Dealing
from hushfleet.link import Messenger
from hushfleet.rounds.effects import Alert, Note, Refused, ZeroContributed
from hushfleet.rounds.planning import Job
from hushfleet.training import Data, GlobalModel
from orchestrator.service import Orchestrator
from simulation.parties import Parties

Happening = Note | Alert | Refused | ZeroContributed


@dataclass
class PartyLog:
    """Everything that the parties noted, refused or raised an alarm about, with who did."""

    entries: list[tuple[str, Happening]] = field(default_factory=list)

    def add(self, party: str, happening: Happening) -> None:
        """Called by the parties, from several threads."""
        self.entries.append((party, happening))

    def take_refusals(self) -> list[tuple[str, Refused]]:
        """The refusals since the last call."""
        taken, self.entries = self.entries, []
        return [(party, happening) for party, happening in taken if isinstance(happening, Refused)]


@dataclass(frozen=True)
class FleetSetup:
    """The beginning of a fleet: parties and their dealt key, the owner's policy, the job with its first model, each device's rows."""

    parties: Parties
    dealing: Dealing
    policy: Policy
    job: Job
    model: GlobalModel
    data: Mapping[str, Data]


class Fleet(Protocol):
    """A running fleet. `messenger` is the orchestrator's; `network` may publish anything on any topic, as a broker can."""

    @property
    def parties(self) -> Parties:
        """The parties with all their keys."""

    @property
    def roster(self) -> VerifiedRoster:
        """The roster in force."""

    @property
    def job(self) -> Job:
        """The job that the fleet runs."""

    @property
    def orchestrator(self) -> Orchestrator:
        """The orchestrator, in this process."""

    @property
    def messenger(self) -> Messenger:
        """The orchestrator's link."""

    @property
    def network(self) -> Messenger:
        """The connection of whoever runs the broker, who may publish anything."""

    def hold(self, name: str) -> None:
        """This device does nothing until it is released."""

    def release(self, name: str) -> None:
        """Let a device that was held back go on."""

    def contribute(self) -> Iterator[int]:
        """Let all devices that are not held contribute to the open round; yields how many were accepted so far."""

    def decrypt(self, progress: Callable[[int], None]) -> bool:
        """Let the committee answer and the orchestrator release; whether it did."""

    def await_refusals(self, parties: set[str]) -> list[tuple[str, Refused]]:
        """The refusals since the last call, once each of `parties` has refused something (or a while has passed)."""

    def sealed_contribution(self, name: str, number: int) -> bytes:
        """The sealed contribution of a device in a round, as the network carried it."""

    def close(self) -> None:
        """End everything that runs."""
