"""A vault under random changes of who is in the fleet, and beside it what must then be true of every certificate ever issued."""

import random
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509

from hushfleet.documents import EnrolledRole
from hushfleet.owner import certificates
from provisioning.broker import access
from tests.support.enrolling import MEMBERS, ORCHESTRATOR, Applicant, Founded, applicant, dealing, found, new_vault


@dataclass
class Card:
    """One certificate, whoever holds it by now, with its key. `valid`: it may still be used."""

    name: str
    certificate: bytes
    key: bytes
    orchestrator: bool
    valid: bool = True

    @property
    def serial(self) -> int:
        return certificates.serial_number(self.certificate)


@dataclass
class ChangingFleet:
    """Types the owner's commands in random order. `step` returns what it typed."""

    founded: Founded
    random: random.Random
    cards: list[Card] = field(default_factory=list)
    committee: tuple[str, ...] = MEMBERS
    orchestrator: str = ORCHESTRATOR
    made: int = 1

    @classmethod
    def begin(cls, folder: Path, seed: int) -> "ChangingFleet":
        vault = new_vault(folder, now=certificates.now())
        fleet = cls(found(vault, others=["pi-05", "pi-06"]), random.Random(seed))
        for name in fleet.founded.people:
            fleet._note(name)
        return fleet

    @property
    def enrolled(self) -> set[str]:
        return {one.device_id for one in self.founded.vault.registry.identities()}

    def step(self) -> str:
        acts = [self._renew, self._renew, self._enrol_anew, self._revoke, self._replace_orchestrator, self._remove_member]
        return self.random.choice(acts)()

    def _renew(self) -> str:
        name = self._any(self.enrolled)
        self._approve(self.founded.people[name])
        return f"renew {name}"

    def _enrol_anew(self) -> str:
        """Somebody who is here, or who was revoked, with new keys."""
        name = self._any({one.name for one in self.cards if not one.orchestrator})
        self._withdraw(name)
        self._approve(self._fresh(name))
        return f"enrol {name} anew"

    def _revoke(self) -> str:
        free = self.enrolled - set(self.committee) - {self.orchestrator}
        if len(free) < 2:
            return self._enrol_anew()
        name = self._any(free)
        self.founded.vault.revoke(name)
        self._withdraw(name)
        return f"revoke {name}"

    def _replace_orchestrator(self) -> str:
        old, self.orchestrator = self.orchestrator, self._any({self.orchestrator, "orchestrator", "second"})
        self._withdraw(old)
        self._approve(self._fresh(self.orchestrator, EnrolledRole.ORCHESTRATOR))
        return f"replace the orchestrator {old} by {self.orchestrator}"

    def _remove_member(self) -> str:
        candidates = sorted(self.enrolled - {self.orchestrator})
        gone = self._any(set(self.committee))
        left = [name for name in candidates if name != gone]
        if len(left) < len(self.committee):
            return self._enrol_anew()
        self.committee = tuple(self.random.sample(left, len(self.committee)))
        self.founded.vault.deal(self.committee, dealing())
        self.founded.vault.revoke(gone)
        self._withdraw(gone)
        return f"remove the member {gone}"

    def _any(self, names: set[str]) -> str:
        return self.random.choice(sorted(names))

    def _fresh(self, name: str, role: EnrolledRole = EnrolledRole.DEVICE) -> Applicant:
        self.made += 1
        return applicant(name, self.made, role)

    def _approve(self, person: Applicant) -> None:
        self.founded.join(person)
        self._note(person.name)

    def _note(self, name: str) -> None:
        person, identity = self.founded.people[name], self.founded.vault.registry.find(name)
        assert identity is not None
        self.cards.append(Card(name, identity.certificate.encode(), person.tls_key, person.role is EnrolledRole.ORCHESTRATOR))

    def _withdraw(self, name: str) -> None:
        for card in self.cards:
            if card.name == name:
                card.valid = False

    def withdrawn(self) -> set[int]:
        """The serial numbers in the vault's own list."""
        listed = x509.load_pem_x509_crl((self.founded.vault.folder.path / "crl.pem").read_bytes())
        return {one.serial_number for one in listed}

    def allowed(self) -> dict[str, tuple[bool, bool]]:
        """By identity: whether the broker takes it for the orchestrator, and for a member."""
        return {one.identity: (one.orchestrator, one.member) for one in access(self.founded.vault.registry)}
