"""The demo: fifty devices train one model on real data, privately; then the parties attack each other and are refused."""

import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hushfleet.aggregation import OptimizerState
from hushfleet.audit import verify_job
from hushfleet.documents import NamedHash, OptimizerSettings, Policy, RoundRecord, open_record
from hushfleet.encryption.paillier.dealing import deal
from hushfleet.errors import LocalError, Refusal
from hushfleet.privacy import epsilon
from hushfleet.program.archive_folder import read_archive
from hushfleet.randomness import Randomness, SeededRandomness, SystemRandomness
from hushfleet.rounds.planning import Job
from hushfleet.rounds.tasks.train import TrainingTask, make_optimizer, own
from hushfleet.training import GlobalModel, train
from models import catalogue
from models.evaluation import Model, evaluate
from simulation import digits, lenet
from simulation.attacks import Attack, Attacks
from simulation.broker_fleet import BrokerFleet
from simulation.fleet import Fleet, FleetSetup
from simulation.memory_fleet import MemoryFleet
from simulation.outcome import COLLUDING, COMMITTEE, DELTA, KEY_BITS, Result, RoundFigures, Settings
from simulation.parties import Parties
from simulation.screen import DemoScreen, RoundProgress
from simulation.short_names import SHORT_NAMES

FLEET = "demo"
GLOBAL_OPTIMIZER = OptimizerSettings("fedavgm", (("momentum", 0.8),))
DEADLINE_S = 64
"""A contribution leaves at a multiple of a second after its plan: the shortest sending slot that there is."""


def run(settings: Settings, screen: DemoScreen) -> Result:
    """Play the whole demo. Raises `LocalError` if a setting cannot work or an attack was not refused."""
    started = time.monotonic()
    folder = _folder(settings)
    name = SHORT_NAMES[settings.model] or lenet.make_trainable(folder)
    model = catalogue.trainer(name)
    split = digits.split(settings.devices, SeededRandomness(b"demo"), settings.recipe.features_of)
    screen.opening(settings, model.architecture, sum(map(len, split.devices)))
    with ThreadPoolExecutor(max_workers=2) as executor:
        plain = executor.submit(_without_privacy, settings, model, split)
        fleet = _build(settings, name, model, split, folder=folder, screen=screen, executor=executor)
        with closing(fleet):
            rounds, attacks = _play(settings, fleet, model, split, screen)
            accuracy_without_privacy = plain.result()
            files = read_archive(folder / "archive")
            audit = verify_job(files, fleet.parties.owner.root.verify_key, SystemRandomness())
            model_file = _export(folder / "model.npz", model, own(fleet.orchestrator.state.memory.progress).model)
    if settings.keep is None:
        for path in folder.iterdir():
            if path.name not in ("archive", "model.npz"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    result = Result(
        settings,
        model.architecture.name,
        model.architecture.dimension,
        tuple(rounds),
        accuracy_without_privacy,
        tuple(attacks),
        audit,
        folder / "archive",
        model_file,
        time.monotonic() - started,
    )
    screen.closing(result)
    return result


def _folder(settings: Settings) -> Path:
    if settings.keep is None:
        return Path(tempfile.mkdtemp(prefix="hushfleet-demo-"))
    if settings.keep.exists() and any(settings.keep.iterdir()):
        raise LocalError(Refusal.SETTINGS_INVALID, f"{settings.keep} is not empty", next_step="Choose an empty folder for --keep.")
    settings.keep.mkdir(parents=True, exist_ok=True)
    return settings.keep


def _build(
    settings: Settings, name: str, model: Model, split: digits.Digits, *, folder: Path, screen: DemoScreen, executor: ThreadPoolExecutor
) -> Fleet:
    randomness = SystemRandomness()
    with screen.making_keys(settings.devices, KEY_BITS, COMMITTEE) as progress:
        parties = Parties.generate(FLEET, settings.devices, COMMITTEE, randomness)
        dealing = deal(KEY_BITS, (COMMITTEE - 1) // 3, randomness, executor=executor, on_progress=progress)
        make = partial(BrokerFleet, model_name=name) if settings.broker else partial(MemoryFleet, trainer=model, executor=executor)
        data = dict(zip(parties.devices, split.devices, strict=True))
        setup = FleetSetup(parties, dealing, _policy(settings, model), _job(settings, model), model.initial(randomness), data)
        return make(setup, folder)


def _policy(settings: Settings, model: Model) -> Policy:
    return Policy.make(
        min_devices=settings.floor,
        max_devices=settings.devices,
        colluding_contributors=COLLUDING,
        min_noise_numerator=(settings.noise**2).numerator,
        min_noise_denominator=(settings.noise**2).denominator,
        models=(NamedHash(model.architecture.name, model.architecture.digest),),
        max_values=model.architecture.dimension,
        budget_nano_rho=10**12,
    )


def _job(settings: Settings, model: Model) -> Job:
    return Job(
        task=TrainingTask(model.architecture, settings.recipe.training, GLOBAL_OPTIMIZER),
        clip_norm=settings.recipe.clip_norm,
        noise_multiplier=settings.noise,
        min_devices=settings.min_devices,
        max_devices=settings.devices,
        scheme=settings.recipe.scheme,
        deadline_s=DEADLINE_S,
    )


def _play(
    settings: Settings, fleet: Fleet, model: Model, split: digits.Digits, screen: DemoScreen
) -> tuple[list[RoundFigures], list[Attack]]:
    """All rounds; the attacks are played around the last one, so that they cost the devices no privacy of their own."""
    figures: list[RoundFigures] = []
    attacks = Attacks(fleet)
    rho_nano = 0
    for number in range(1, settings.rounds + 1):
        began = time.monotonic()
        with screen.round(number, settings.devices, COMMITTEE - 1) as view:
            if number == settings.rounds:
                released = _attacked_round(fleet, attacks, view)
            else:
                fleet.orchestrator.start_round()
                for accepted in fleet.contribute():
                    view.contributions(accepted)
                released = fleet.decrypt(view.answers)
                attacks.record(number)
        if not released:
            raise LocalError(Refusal.PHASE, f"round {number} released nothing")
        record = _record(fleet)
        rho_nano += record.rho_nano
        figures.append(
            RoundFigures(
                number,
                len(record.device_ids),
                fleet.orchestrator.arrived[1],
                _accuracy(model, own(fleet.orchestrator.state.memory.progress).model, split),
                epsilon(rho_nano, DELTA),
                record.bytes_up / len(record.device_ids) / model.architecture.dimension,
                time.monotonic() - began,
            )
        )
        screen.round_done(figures[-1])
    screen.attacks(attacks.done)
    return figures, attacks.done


def _attacked_round(fleet: Fleet, attacks: Attacks, view: RoundProgress) -> bool:
    """An ordinary round in which the thief contributes last, after everybody has tried to cheat."""
    attacks.before_round()
    fleet.hold(attacks.thief)
    fleet.orchestrator.start_round()
    for accepted in fleet.contribute():
        view.contributions(accepted)
    attacks.during_round()
    fleet.release(attacks.thief)
    for accepted in fleet.contribute():
        view.contributions(accepted)
        attacks.remember_cohort()
    released = fleet.decrypt(view.answers)
    attacks.after_round()
    return released


def _record(fleet: Fleet) -> RoundRecord:
    signed = fleet.orchestrator.state.memory.record
    if signed is None:
        raise LocalError(Refusal.PHASE, "no round has ended")
    return open_record(signed, fleet.roster.orchestrator)


def _accuracy(model: Model, current: GlobalModel, split: digits.Digits) -> float:
    return evaluate(model, current, split.holdout).accuracy or 0.0


def _without_privacy(settings: Settings, model: Model, split: digits.Digits) -> float:
    """Held-out accuracy of the same rounds without clipping, noise or encryption, for comparison."""
    randomness: Randomness = SeededRandomness(b"without privacy")
    optimizer = make_optimizer(GLOBAL_OPTIMIZER)
    current = model.initial(randomness)
    state = OptimizerState.initial(current.dimension)
    for _ in range(settings.rounds):
        updates = [train(model, current, settings.recipe.training, data, randomness).vector for data in split.devices]
        state, parameters = optimizer.step(state, current.parameters.astype(np.float64), np.mean(updates, axis=0))
        current = GlobalModel(current.version + 1, parameters.astype(np.float32))
    return _accuracy(model, current, split)


def _export(path: Path, model: Model, current: GlobalModel) -> Path:
    arrays: dict[str, Any] = dict(model.architecture.split(current.parameters))
    np.savez(path, **arrays)
    return path
