"""Nothing that holds a secret shows it, in a text, a pickle, a log line or a message."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pytest

from edge_agent.folder import DeviceKeys
from hushfleet.codec import encode
from hushfleet.documents import GrantedShare, KeyShareGrant, SignedGrant
from hushfleet.encryption.paillier.dealing import Dealing
from hushfleet.encryption.paillier.share import KeyShare
from hushfleet.encryption.sealing import SealingKey
from hushfleet.labels import Label
from hushfleet.owner.owner import Owner
from hushfleet.privacy import clip
from hushfleet.randomness import SeededRandomness
from hushfleet.rounds.effects import Alert, KeepShare, Note, Refused, ZeroContributed
from hushfleet.rounds.events import TaskDone
from hushfleet.schemes.base import MemberKeys
from hushfleet.signing import SigningKey
from hushfleet.training import Data, LocalUpdate
from models import catalogue
from simulation.fleet import FleetSetup
from simulation.memory_fleet import MemoryFleet
from tests.support.fleet import allowing, make_fleet
from tests.support.fleet.machines import Machines

FLEET = make_fleet()
SEED = SeededRandomness(b"a secret seed").octets(32)
SHARE = FLEET.dealing.shares[0]
SHARE_BYTES = SHARE.to_bytes(FLEET.dealing.public)
PRIVATE = np.array([0.123456789, -9.87654321, 3.14159265] + [0.0] * 7)


@dataclass(frozen=True)
class Secret:
    """An object that holds a secret, what must not be seen of it, and whether it may be pickled on purpose."""

    holder: object
    traces: tuple[str, ...]
    picklable: bool = False


def traces_of_bytes(secret: bytes) -> tuple[str, ...]:
    """As hex, as Python writes bytes, as a number; halves too."""
    half = secret[len(secret) // 2 :]
    return (secret.hex(), half.hex(), repr(secret)[2:-1], str(int.from_bytes(secret, "big")), str(int.from_bytes(secret, "little")))


def traces_of_number(number: int) -> tuple[str, ...]:
    digits = str(number)
    return (digits, digits[:20], digits[-20:], f"{number:x}", f"{number:x}"[-16:])


def traces_of_values(values: np.ndarray) -> tuple[str, ...]:
    return tuple(f"{abs(value):.6f}"[:7] for value in values if value)


SHARE_TRACES = (*traces_of_number(int(SHARE.value)), *traces_of_bytes(SHARE_BYTES))
SECRETS = {
    "signing key": Secret(SigningKey(SEED), traces_of_bytes(SEED)),
    "sealing key": Secret(SealingKey(SEED), traces_of_bytes(SEED)),
    "device keys": Secret(DeviceKeys("pi-01", SigningKey(SEED), SealingKey(SEED)), traces_of_bytes(SEED)),
    "owner": Secret(Owner("fleet", SigningKey(SEED)), traces_of_bytes(SEED)),
    "key share": Secret(SHARE, SHARE_TRACES),
    "dealing": Secret(Dealing(FLEET.dealing.public, FLEET.dealing.shares), SHARE_TRACES),
    "grant": Secret(KeyShareGrant("fleet", bytes(32), "pi-01", 1, SHARE_BYTES), SHARE_TRACES, picklable=True),
    "signed grant": Secret(SignedGrant(SigningKey(SEED).sign(Label.KEY_SHARE, SHARE_BYTES)), SHARE_TRACES, picklable=True),
    "granted share": Secret(GrantedShare(SHARE_BYTES), SHARE_TRACES),
    "member's keys": Secret(MemberKeys(1, SealingKey(SEED), GrantedShare(SHARE_BYTES)), (*SHARE_TRACES, *traces_of_bytes(SEED))),
    "share to keep": Secret(KeepShare(bytes(32), SHARE_BYTES), SHARE_TRACES, picklable=True),
    "member": Secret(FLEET.member(), traces_of_bytes(FLEET.parties.devices["device-01"].signing.seed())),
    "member's state": Secret(FLEET.member_state(), SHARE_TRACES),
    "device": Secret(FLEET.device(), traces_of_bytes(FLEET.parties.devices["device-05"].signing.seed())),
    "coordinator": Secret(FLEET.coordinator(), traces_of_bytes(FLEET.parties.orchestrator.sealing.seed())),
    "parties": Secret(FLEET.parties, traces_of_bytes(FLEET.parties.owner.root.seed())),
    "update": Secret(LocalUpdate(PRIVATE), traces_of_values(PRIVATE)),
    "trained": Secret(TaskDone(bytes(32), LocalUpdate(PRIVATE)), traces_of_values(PRIVATE)),
    "clipped update": Secret(clip(PRIVATE, 100.0), traces_of_values(PRIVATE)),
    "data": Secret(Data(PRIVATE.reshape(10, 1), np.zeros(10)), traces_of_values(PRIVATE), picklable=True),
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_no_text_of_it_shows_the_secret(secret):
    for text in (repr(secret.holder), str(secret.holder), f"{secret.holder}", f"{[secret.holder]}"):
        for trace in secret.traces:
            assert trace not in text


@pytest.mark.parametrize("name", [name for name, secret in SECRETS.items() if not secret.picklable])
def test_it_does_not_leave_the_process_by_accident(name):
    secret = SECRETS[name]
    with pytest.raises(TypeError, match=r"does not leave|cannot pickle|not leave"):
        pickle.dumps(secret.holder)


@pytest.mark.parametrize("holder", [SigningKey(SEED), SealingKey(SEED), SHARE], ids=lambda holder: type(holder).__name__)
def test_no_encoder_takes_it(holder):
    with pytest.raises((TypeError, NotImplementedError)):
        encode(holder)
    with pytest.raises(TypeError):
        hash(holder)


def test_the_look_out_sees_a_secret_that_is_shown():
    leaky = {"seed": SEED, "share": SHARE.value, "values": [float(value) for value in PRIVATE]}
    for traces in (traces_of_bytes(SEED), traces_of_number(int(SHARE.value)), traces_of_values(PRIVATE)):
        assert any(trace in repr(leaky) for trace in traces)


def secrets_of(parties, shares):
    keys = [parties.orchestrator, *parties.devices.values()]
    seeds = [parties.owner.root.seed(), *chain.from_iterable((one.signing.seed(), one.sealing.seed()) for one in keys)]
    return tuple(chain.from_iterable((*map(traces_of_bytes, seeds), *(traces_of_number(int(share.value)) for share in shares))))


def test_nothing_that_a_round_by_hand_says_shows_a_key():
    machines = Machines(FLEET)
    machines.run_round()
    text = repr(machines.effects) + repr(machines.kept) + repr((machines.devices, machines.members, machines.coordinator.state))

    for trace in secrets_of(FLEET.parties, FLEET.dealing.shares):
        assert trace not in text


@pytest.fixture(scope="module")
def journal(tmp_path_factory):
    """What the parties of a running fleet said while everything went wrong that can: bad data, garbage, an aborted round."""
    trainer = catalogue.trainer("softmax:4x2")
    fleet = make_fleet(max_devices=6, policy={"models": allowing(trainer.architecture)}, job={"architecture": trainer.architecture})
    rows = {name: Data(np.full((3, 4), 0.987654321), np.array([0, 1, 0])) for name in fleet.names}
    rows["device-02"] = Data(np.full((3, 4), 0.987654321), np.array([0, 1, 7]))
    with ThreadPoolExecutor(1) as executor:
        running = MemoryFleet(
            FleetSetup(fleet.parties, fleet.dealing, fleet.policy, fleet.job, fleet.model, rows),
            tmp_path_factory.mktemp("fleet"),
            trainer=trainer,
            executor=executor,
            insecure_keys=True,
        )
        with closing(running):
            assert running.run_round()
            running.orchestrator.start_round()
            assert next(iter(running.contribute()))
            running.orchestrator.abort("for once")
            for link in running.links.values():
                link.publish(f"hushfleet/v1/testers/device/{link.identity}/contribution/2/0", b"garbage")
            running.settle()
            return fleet, list(running.log.entries)


def test_the_fleet_had_something_to_say(journal):
    _, entries = journal

    assert {type(happening) for _, happening in entries} <= {Note, Alert, Refused, ZeroContributed}
    assert len(entries) > 6


def test_nothing_that_a_fleet_logs_shows_a_key(journal):
    fleet, entries = journal
    text = repr(entries) + " ".join(str(happening.error) for _, happening in entries if isinstance(happening, Refused))

    for trace in secrets_of(fleet.parties, fleet.dealing.shares):
        assert trace not in text


def test_a_share_compares_without_showing(capsys):
    assert KeyShare(1, SHARE.value) == SHARE != KeyShare(1, SHARE.value + 1)
    assert capsys.readouterr() == ("", "")
