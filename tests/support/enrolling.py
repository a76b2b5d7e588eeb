"""Requests and vaults for tests: real keys and certificates, a cheap passphrase, the pre-dealt threshold keys."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hushfleet.documents import EnrolledRole, EnrolmentRequest, sign_enrolment_request
from hushfleet.encryption.paillier.dealing import Dealing
from hushfleet.encryption.sealing import SealingKey
from hushfleet.link.tls import make_key_and_request
from hushfleet.randomness import SeededRandomness
from hushfleet.signing import Signed, SigningKey, VerifyKey
from provisioning.contents import Address
from provisioning.passphrase import Passphrase
from provisioning.policy_text import DEFAULT, with_settings
from provisioning.strongbox import PassphraseCost
from provisioning.vault import Vault
from tests.support.keys import load

FLEET = "greenhouse"
PASSPHRASE = Passphrase("correct horse battery")
CHEAP = PassphraseCost(1, 8192)
NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
MEMBERS = ("pi-01", "pi-02", "pi-03", "pi-04")
ORCHESTRATOR = "hub"
POLICY = with_settings(DEFAULT, ("cohort.min_devices=4", "models.allowed=softmax:64x10"))


@dataclass(frozen=True)
class Applicant:
    """Somebody with keys of its own who wants to join."""

    name: str
    signing: SigningKey
    sealing: SealingKey
    tls_key: bytes
    certificate_request: bytes
    role: EnrolledRole = EnrolledRole.DEVICE

    @property
    def public(self) -> tuple[VerifyKey, bytes]:
        """The keys that a bundle for it has to name."""
        return self.signing.verify_key, self.sealing.public.raw

    def request(self, **changes: object) -> Signed:
        """What leaves it, with fields changed at will and signed by its own key."""
        fields = {
            "role": self.role,
            "device_id": self.name,
            "verify_key": self.signing.verify_key.raw,
            "sealing_key": self.sealing.public.raw,
            "sealing_suite": 1,
            "certificate_request": self.certificate_request,
        }
        return sign_enrolment_request(EnrolmentRequest(**{**fields, **changes}), self.signing)


def applicant(name: str, generation: int = 1, role: EnrolledRole = EnrolledRole.DEVICE) -> Applicant:
    """Another `generation` has other keys. The TLS key is fresh every time."""
    randomness = SeededRandomness(f"applicant/{name}/{generation}".encode())
    signing, sealing = SigningKey.generate(randomness), SealingKey.generate(randomness)
    return Applicant(name, signing, sealing, *make_key_and_request(name), role)


def orchestrator(name: str = ORCHESTRATOR, generation: int = 1) -> Applicant:
    return applicant(name, generation, EnrolledRole.ORCHESTRATOR)


def new_vault(path: Path, *, policy: str = POLICY, now: datetime = NOW) -> Vault:
    """An open, empty vault."""
    broker = Address("broker.lan")
    return Vault.create(path, FLEET, PASSPHRASE, broker=broker, policy=policy, cost=CHEAP, now=lambda: now)


def reopened(path: Path, *, now: datetime = NOW) -> Vault:
    return Vault.open(path, PASSPHRASE, now=lambda: now)


def dealing(f: int = 1) -> Dealing:
    """A threshold key that everybody knows."""
    key = load("insecure-512" if f == 1 else "insecure-512-f2")
    return Dealing(key.public, key.shares)


@dataclass
class Founded:
    """A vault with an orchestrator, a committee and its first roster, and everybody's keys."""

    vault: Vault
    people: dict[str, Applicant]

    def join(self, person: Applicant) -> Applicant:
        self.vault.approve(person.request())
        self.people[person.name] = person
        return person


def found(vault: Vault, members: Iterable[str] = MEMBERS, others: Iterable[str] = ()) -> Founded:
    fleet = Founded(vault, {})
    fleet.join(orchestrator())
    members = tuple(members)
    for name in (*members, *others):
        fleet.join(applicant(name))
    vault.deal(members, dealing((len(members) - 1) // 3))
    return fleet
