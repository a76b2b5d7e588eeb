"""The making of a lasting fleet: vault, keys of every party, enrolment, the committee's key, the broker's folder and a job."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_agent import enrolment as devices
from edge_agent.config import DataSettings
from edge_agent.folder import StateFolder as AgentFolder
from hushfleet.codec import decode
from hushfleet.documents.limits import MAX_ENROLMENT_REQUEST_BYTES
from hushfleet.encryption.paillier.dealing import deal
from hushfleet.errors import LocalError, Refusal
from hushfleet.randomness import SystemRandomness
from hushfleet.signing import Signed
from hushfleet.system.durable import write_durably
from orchestrator import enrolment as orchestrators
from orchestrator.folder import StateFolder as OrchestratorFolder
from provisioning.contents import Address, BrokerFolder
from provisioning.passphrase import Passphrase
from provisioning.policy_text import DEFAULT, with_settings
from provisioning.vault import Vault
from simulation.broker import free_port
from simulation.lasting.data import FleetData
from simulation.lasting.place import FleetFacts, Place

COMMITTEE = 4
FLEET, ORCHESTRATOR = "home", "orchestrator"
JOBS_PAID = 4
"""As many jobs like the first are within a device's budget."""
_ENVELOPE_BYTES = 256

_AGENT = """\
# One device of the fleet that `hushfleet up` made. docs/operations.md tells what else can stand here.
[data]
source = "{source}"
path = {path}
features = "{features}"
labels = "{labels}"
"""
_JOB = """\
# The job that `hushfleet up` made. With so few devices the noise is small and epsilon great; docs/privacy.md says how they go together.
[job]
name = "first"
rounds = {rounds}
[model]
name = "softmax"
inputs = {inputs}
outputs = {outputs}
[training]
local_steps = 20
batch_size = 32
learning_rate = 1.0
[privacy]
clip_norm = 1.0
noise_multiplier = {noise}
delta = 1e-6
[cohort]
min_devices = {devices}
max_devices = {devices}
deadline_s = 600
[aggregation]
scheme = "auto"
optimizer = "fedavgm"
momentum = 0.8
"""
_EVALUATION = '[evaluation]\npath = "holdout.npz"\n'
_INSECURE = "[testing]\ninsecure_keys = true\n"


@dataclass(frozen=True, slots=True)
class FleetChoices:
    """The choices of the person who types `hushfleet up`. `bits` below 2048 is a key that anybody can break: for tests."""

    devices: int
    rounds: int
    noise_multiplier: float
    host: str = "localhost"
    bits: int = 3072

    def __post_init__(self) -> None:
        if self.devices < COMMITTEE:
            text = f"a fleet has at least {COMMITTEE} devices: they are its committee"
            raise LocalError(Refusal.SETTINGS_INVALID, text, next_step=f"Choose --devices {COMMITTEE} or more.")

    @property
    def budget_rho(self) -> int:
        """The policy's budget: a round costs rho 1 / (2 z^2)."""
        return math.ceil(JOBS_PAID * self.rounds / (2 * self.noise_multiplier**2))

    @property
    def insecure(self) -> bool:
        """True for a key of a test."""
        return self.bits < 2048


def build(place: Place, wanted: FleetChoices, data: FleetData, tell: Callable[[str], None]) -> FleetFacts:
    """Make a fleet in `place`, which is empty. Takes as long as two safe primes."""
    place.make()
    names = tuple(f"pi-{number:02d}" for number in range(1, wanted.devices + 1))
    facts = FleetFacts(FLEET, free_port(), wanted.devices, wanted.insecure)
    write_durably(place.passphrase, SystemRandomness().octets(24).hex().encode() + b"\n")
    passphrase = Passphrase(place.passphrase.read_bytes().strip())
    policy = with_settings(DEFAULT, _policy(wanted, data))
    with Vault.create(place.vault, FLEET, passphrase, broker=Address(wanted.host, facts.port), policy=policy) as vault:
        tell(f"The owner's vault is made. {wanted.devices} devices and an orchestrator make their keys.")
        vault.approve(*(_enrol(place, name) for name in names), _enrol_orchestrator(place))
        tell(f"A key of {wanted.bits} bits is dealt to {', '.join(names[:COMMITTEE])}: seconds on a laptop, minutes on a small machine.")
        with ThreadPoolExecutor(2) as executor:
            fresh = deal(wanted.bits, (COMMITTEE - 1) // 3, SystemRandomness(), insecure=wanted.insecure, executor=executor)
        vault.deal(names[:COMMITTEE], fresh)
        vault.keep_broker(BrokerFolder(str(place.broker.absolute()), tuple(dict.fromkeys((wanted.host, "localhost", "127.0.0.1")))))
        for name, settings in zip(names, data.devices, strict=True):
            _join(place, vault, name, insecure=wanted.insecure)
            _write(place.agent(name) / "agent.toml", _agent_toml(settings) + (_INSECURE if wanted.insecure else ""))
        _join_orchestrator(place, vault)
    _write_job(place, wanted, data)
    place.keep(facts)
    return facts


def _policy(wanted: FleetChoices, data: FleetData) -> tuple[str, ...]:
    return (
        f"cohort.min_devices={wanted.devices}",
        f"privacy.min_noise_multiplier={wanted.noise_multiplier}",
        f"privacy.budget_rho={wanted.budget_rho}",
        f"models.allowed={data.model}",
    )


def _signed(request: bytes) -> Signed:
    return decode(Signed, request, max_bytes=MAX_ENROLMENT_REQUEST_BYTES + _ENVELOPE_BYTES)


def _agent_state(place: Place, name: str) -> AgentFolder:
    return AgentFolder(place.agent(name) / "state")


def _enrol(place: Place, name: str) -> Signed:
    return _signed(devices.enrol(_agent_state(place, name), name).data)


def _enrol_orchestrator(place: Place) -> Signed:
    return _signed(orchestrators.enrol(OrchestratorFolder(place.orchestrator), ORCHESTRATOR))


def _join(place: Place, vault: Vault, name: str, *, insecure: bool) -> None:
    """A member's bundle goes once it has joined: it holds its key share (PROTOCOL 2)."""
    folder, bundle = _agent_state(place, name), vault.folder.bundle_file(name)
    offer = devices.read_bundle(folder, bundle.read_bytes())
    devices.join(folder, offer, insecure_keys=insecure)
    if offer.bundle.grant:
        bundle.unlink()


def _join_orchestrator(place: Place, vault: Vault) -> None:
    folder = OrchestratorFolder(place.orchestrator)
    orchestrators.join(folder, orchestrators.read_bundle(folder, vault.folder.bundle_file(ORCHESTRATOR).read_bytes()))


def _agent_toml(settings: DataSettings) -> str:
    labels = settings.labels if isinstance(settings.labels, str) else settings.labels[0]
    features = settings.features if isinstance(settings.features, str) else settings.features[0]
    return _AGENT.format(source=settings.source, path=_quoted(str(settings.path)), features=features, labels=labels)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _write_job(place: Place, wanted: FleetChoices, data: FleetData) -> None:
    text = _JOB.format(
        rounds=wanted.rounds, inputs=data.inputs, outputs=data.outputs, noise=wanted.noise_multiplier, devices=wanted.devices
    )
    if data.holdout is not None:
        np.savez(place.holdout, x=data.holdout.features, y=data.holdout.targets)
        text += _EVALUATION
    _write(place.job, text)
    _write(place.orchestrator_config, _INSECURE if wanted.insecure else "")


def _write(path: Path, text: str) -> None:
    write_durably(path, text.encode())
