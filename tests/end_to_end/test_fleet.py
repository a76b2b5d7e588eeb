"""A fleet as people run one, over a real Mosquitto: six devices, a committee of four, every party a process."""

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hushfleet.aggregation import OptimizerState
from hushfleet.documents import OptimizerSettings
from hushfleet.labels import Label
from hushfleet.randomness import SeededRandomness
from hushfleet.rounds.tasks.train import make_optimizer
from hushfleet.training import Data, GlobalModel, LocalTraining, train
from models import catalogue
from models.evaluation import Model
from tests.support.fleet.typed import MODEL, TypedFleet, copied, ending, prepare, write_data
from tests.support.waiting import eventually

pytestmark = pytest.mark.xdist_group("field")  # one fleet is enrolled and dealt for all

DEVICES = tuple(f"pi-{n:02d}" for n in range(1, 7))
ROUNDS, CLIP_NORM = 3, 0.1
UNTIL_TOLD = 100_000
"""Rounds of a job that a test ends itself: no command races with its last one."""
JOB = """
[job]
name = "meadow"
rounds = {rounds}
[model]
name = "softmax"
inputs = 4
outputs = 3
[training]
local_steps = 2
batch_size = 4
learning_rate = 0.5
[privacy]
clip_norm = 0.1
delta = 1e-6
{privacy}
[cohort]
min_devices = {min_devices}
max_devices = {max_devices}
deadline_s = 192
[aggregation]
scheme = "{scheme}"
optimizer = "fedavgm"
momentum = 0.8
"""
WITHOUT = "noise_multiplier = 0\nwithout_privacy = true"
WITH = "noise_multiplier = 2.0"
NANO = 10**9


def rows(number: int) -> tuple[np.ndarray, np.ndarray]:
    """A device's data: the same row many times, so that its update does not hang on which rows it draws."""
    x = np.linspace(-1, 1, 4) + number / 10
    return np.tile(x, (12, 1)), np.full(12, 1 + number % 2)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> TypedFleet:
    """Enrolled, dealt, joined; nothing runs yet. Its policy allows plans without noise."""
    folder = tmp_path_factory.mktemp("whole")
    found = prepare(folder, DEVICES, policy=("privacy.allow_without_privacy=true", "cohort.colluding_contributors=1"))
    write_data(found, {name: rows(number) for number, name in enumerate(DEVICES)})
    return found


@pytest.fixture
def fleet(whole: TypedFleet, tmp_path: Path) -> Iterator[TypedFleet]:
    with ending(copied(whole, tmp_path / "field")) as found:
        yield found


def write_job(fleet: TypedFleet, *, privacy: str, devices: tuple[int, int] = (4, 6), rounds: int = ROUNDS, scheme: str = "auto") -> None:
    """A job whose rounds end when enough devices have contributed, never at their deadline."""
    text = JOB.format(privacy=privacy, min_devices=devices[0], max_devices=devices[1], rounds=rounds, scheme=scheme)
    (fleet.folder / "job.toml").write_text(text)


def orchestrator(fleet: TypedFleet, *words: str) -> object:
    return fleet.json("orchestrator", *words, "--state", str(fleet.state("orchestrator")))


def verified(fleet: TypedFleet) -> dict[str, object]:
    """What an outsider with the owner's public key says of the archive."""
    archive = orchestrator(fleet, "status")["job"]["archive"]
    return fleet.json("verify", archive)


def spent(fleet: TypedFleet, name: str) -> float:
    return fleet.json("agent", "status", "--state", str(fleet.state(name)))["rho_spent"]


@pytest.mark.parametrize("scheme", ["paillier", "shared"])
def test_without_noise_the_fleet_computes_plain_federated_averaging(fleet: TypedFleet, scheme: str) -> None:
    write_job(fleet, privacy=WITHOUT, devices=(6, 6), scheme=scheme)
    fleet.start_broker()
    fleet.start_agents()
    fleet.start_orchestrator()
    fleet.finish("orchestrator")

    trainer = catalogue.trainer(MODEL)
    released, expected = exported(fleet, trainer), plain_averaging(trainer)
    assert np.linalg.norm(released - expected) < rounding_bound()
    assert np.linalg.norm(expected) > 2 * rounding_bound()  # standing still would not do
    assert verified(fleet)["released"] == ROUNDS
    assert all(fleet.json("agent", "status", "--state", str(fleet.state(name)))["without_privacy"] for name in DEVICES)


def exported(fleet: TypedFleet, trainer: Model) -> np.ndarray:
    fleet.typed("orchestrator", "model", "export", "model.npz", "--state", str(fleet.state("orchestrator")))
    with np.load(fleet.folder / "model.npz") as arrays:
        return trainer.architecture.join({name: arrays[name] for name, _ in trainer.architecture.shapes})


def plain_averaging(trainer: Model) -> np.ndarray:
    """The same three rounds in one process."""
    settings, optimizer = LocalTraining.make(2, 4, 0.5), make_optimizer(OptimizerSettings("fedavgm", (("momentum", 0.8),)))
    model = trainer.initial(SeededRandomness(b""))
    state = OptimizerState.initial(model.dimension)
    for _ in range(ROUNDS):
        updates = [train(trainer, model, settings, Data(*rows(n)), SeededRandomness(b"")).vector for n in range(len(DEVICES))]
        clipped = [update * min(1, CLIP_NORM / np.linalg.norm(update)) for update in updates]
        state, parameters = optimizer.step(state, model.parameters.astype(np.float64), np.mean(clipped, axis=0))
        model = GlobalModel(model.version + 1, parameters.astype(np.float32))
    return model.parameters.astype(np.float64)


def rounding_bound() -> float:
    """Six standard deviations of what stochastic rounding does to the mean of six, added up over three rounds by the momentum.

    A rounded coordinate has a variance of at most a quarter of a step squared; a step is clip norm / (3.5 sqrt(64)); 15 of the 64
    padded coordinates are kept. Later rounds train from a model that is off by that much, which half as much again allows for.
    """
    one_round = np.sqrt(15 / 4 / 6) * CLIP_NORM / (3.5 * np.sqrt(64))
    carried_on = np.sqrt(1 + 1.8**2 + 2.44**2)
    return float(1.5 * 6 * one_round * carried_on)


def test_with_noise_one_device_and_one_member_absent_the_account_is_right(fleet: TypedFleet) -> None:
    present = DEVICES[:3] + DEVICES[4:5]
    write_job(fleet, privacy=WITH, devices=(4, 4))
    fleet.start_broker()
    fleet.start_agents(*present)
    fleet.start_orchestrator()
    fleet.finish("orchestrator")

    rounds = orchestrator(fleet, "rounds")["rounds"]
    cost = rounds[0]["rho_nano"]
    # k_min = 4, one assumed colluder, noise multiplier 2: rho = 1 / (2 * 2^2), but for rounding V up
    assert 0.99 * NANO / 8 < cost <= NANO / 8
    assert [one["rho_nano"] for one in rounds] == [cost] * ROUNDS
    assert [tuple(one["devices"]) for one in rounds] == [present] * ROUNDS
    assert [spent(fleet, name) for name in present] == pytest.approx([ROUNDS * cost / NANO] * 4, abs=1e-12)
    assert (spent(fleet, "pi-04"), spent(fleet, "pi-06")) == (0, 0)
    report = verified(fleet)
    assert report["rho_nano"] == ROUNDS * cost
    assert [one["members"] for one in report["rounds"]] == [[1, 2, 3]] * ROUNDS


def test_killed_orchestrator_and_broker_lose_and_repeat_nothing(fleet: TypedFleet) -> None:
    write_job(fleet, privacy=WITH)
    fleet.start_broker()
    fleet.start_agents(*DEVICES[:5])
    fleet.start_orchestrator()
    eventually(lambda: (orchestrator(fleet, "status")["job"] or {}).get("contributions") == 5)  # no job before it is begun
    fleet.kill("orchestrator")

    fleet.start_orchestrator()
    fleet.start_agents(*DEVICES[5:])
    fleet.await_released(1)
    fleet.kill("broker")
    fleet.start_broker()
    fleet.finish("orchestrator")

    report = verified(fleet)
    assert report["released"] == ROUNDS
    assert [one["devices"] for one in report["rounds"]] == [6] * ROUNDS
    cost = report["rho_nano"] / ROUNDS / NANO
    assert [spent(fleet, name) for name in DEVICES] == pytest.approx([ROUNDS * cost] * 6, abs=1e-12)
    assert headers_signed(fleet) == ROUNDS


def headers_signed(fleet: TypedFleet) -> int:
    """How many different decryption requests the members ever answered or refused: one a round, else somebody equivocated."""
    assert not [name for name in DEVICES if "ALERT" in fleet.log(name)]
    return len(list((fleet.state("orchestrator") / "archive").rglob("request")))


def test_a_revoked_device_is_out_at_the_broker_and_in_the_next_round(fleet: TypedFleet) -> None:
    write_job(fleet, privacy=WITHOUT, devices=(5, 5), rounds=UNTIL_TOLD)  # without noise: no budget ends it
    fleet.start_broker()
    fleet.start_agents(*DEVICES[1:])
    fleet.start_orchestrator()
    fleet.await_released(1)

    secret = ("--passphrase-file", "passphrase")
    fleet.typed("provision", "device", "revoke", "pi-06", "--yes", *secret)
    fleet.typed("provision", "roster", "export", "fleet.roster")
    fleet.typed("provision", "broker", "--out", "broker", "--host", "localhost", *secret)
    fleet.typed("orchestrator", "publish-roster", "fleet.roster", "--state", str(fleet.state("orchestrator")))
    fleet.running["broker"].send_signal(signal.SIGHUP)
    fleet.start_agent("pi-01")
    eventually(lambda: contributors(fleet)[-1] == DEVICES[:5])
    fleet.kill("pi-06", signal.SIGTERM)
    fleet.start_agent("pi-06")
    eventually(lambda: "revoked" in fleet.log("pi-06"))
    fleet.await_released(len(contributors(fleet)) + 1)
    fleet.kill("orchestrator", signal.SIGTERM)

    found = contributors(fleet)
    before = found.index(DEVICES[:5])
    assert before > 0
    assert found == [DEVICES[1:]] * before + [DEVICES[:5]] * (len(found) - before)
    assert verified(fleet)["released"] == len(found)


def contributors(fleet: TypedFleet) -> list[tuple[str, ...]]:
    """Who contributed to each round that was released."""
    return [tuple(one["devices"]) for one in fleet.released()]


def test_a_device_that_trusts_another_ca_says_so_and_takes_no_part(fleet: TypedFleet) -> None:
    stranger = fleet.state("pi-06")
    other = fleet.folder / "other"
    other.mkdir()
    fleet.typed("provision", "init", "elsewhere", "--vault", str(other / "vault"), "--passphrase-file", "passphrase")
    fleet.typed("provision", "broker", "--vault", str(other / "vault"), "--out", str(other / "broker"), "--passphrase-file", "passphrase")
    (stranger / "ca.crt").write_bytes((other / "broker" / "ca.pem").read_bytes())
    write_job(fleet, privacy=WITH, devices=(5, 5), rounds=1)
    fleet.start_broker()
    fleet.start_agents()
    fleet.start_orchestrator()
    fleet.finish("orchestrator")

    assert orchestrator(fleet, "rounds")["rounds"][0]["devices"] == list(DEVICES[:5])
    eventually(lambda: "CA" in fleet.log("pi-06"))
    assert spent(fleet, "pi-06") == 0


def test_no_process_of_the_fleet_ever_writes_a_secret_into_its_log(fleet: TypedFleet) -> None:
    write_job(fleet, privacy=WITH, devices=(6, 6), rounds=1)
    fleet.start_broker()
    fleet.start_agents()
    fleet.start_orchestrator()
    fleet.finish("orchestrator")

    logs = "".join(path.read_text(errors="replace") for path in fleet.folder.glob("*.log"))
    for name in DEVICES:
        seeds = (fleet.state(name) / "device.keys").read_bytes()[:64]
        assert not [form for form in (seeds[:32].hex(), seeds[32:].hex(), str(int.from_bytes(seeds[:32], "big"))) if form in logs]
    assert "PRIVATE KEY" not in logs
    assert Label.KEY_SHARE.value not in logs
