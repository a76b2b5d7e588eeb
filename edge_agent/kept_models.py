"""The models that a device keeps of its fleet, in `models/` of its state folder: `JOB/VERSION/` with `model.npz` and `card.json`.

A version comes into being by one rename, so the end of a process leaves all of it or nothing. Nothing waits for the disk: what a power cut
spoils is dropped at the next start and fetched again. `current.json` names the version to use and is replaced whole, for programs that
watch a file; it follows from the cards and from `pin.json`, and whoever changes one of these settles it anew.
"""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from hushfleet.errors import LocalError, Refusal
from hushfleet.labels import sha256
from hushfleet.system.durable import write_durably, write_quickly
from hushfleet.system.folders import require_private
from hushfleet.system.formats import UnreadableError, from_json
from hushfleet.typed import typed

FOLDER = "models"
VALUES, INFERENCE, CONTRACT, CARD = "model.npz", "model.onnx", "contract.toml", "card.json"
VERSIONS_KEPT = 3
"""The versions of each job that stay, the newest ones; one that is pinned stays too."""
JOBS_KEPT = 3
"""The jobs that stay, likewise."""
_CURRENT, _PIN, _COMING = "current.json", "pin.json", ".coming"


class Card(msgspec.Struct, frozen=True):
    """The account of one version. `job` is this device's own name for it, for a record names none; hashes are in hex.

    `key_epoch` and `round` order versions of all jobs: a round is released once. `model` and `architecture` are empty where the device
    cannot tell which model of the policy the values belong to. `files` are the hashes of the files beside the card. `epsilon` at `delta`
    is that of a device which took part in every release up to this one, each at the cost of this one; None without privacy.
    """

    job: str
    version: int
    fleet: str
    key_id: str
    key_epoch: int
    round: int
    model: str
    architecture: str
    loss: str
    parameters: str
    record: str
    contributors: int
    rho_nano: int
    epsilon: float | None
    delta: float
    date: str
    files: dict[str, str] = {}

    @property
    def age(self) -> tuple[int, int]:
        """The place in time: later releases have a greater one."""
        return self.key_epoch, self.round


@dataclass(frozen=True, slots=True)
class KeptModel:
    """One version on this device's disk."""

    folder: Path
    card: Card

    def content(self, name: str) -> bytes:
        """The bytes of a file beside the card. `LocalError`: `MODEL_NAME` if the version has no such file, `MODEL_DAMAGED` for others."""
        if name not in self.card.files:
            message = f"version {self.card.version} of {self.card.job} has no {name}; it has {', '.join(self.card.files)}"
            raise LocalError(Refusal.MODEL_NAME, message, next_step="For the values: " + typed("agent", "model", "export", "model.npz"))
        try:
            found = (self.folder / name).read_bytes()
        except OSError as error:
            raise self._damaged(name) from error
        if sha256(found).hex() != self.card.files.get(name):
            raise self._damaged(name)
        return found

    def _damaged(self, name: str) -> LocalError:
        message = f"{self.folder / name} is not the file that its card describes"
        step = "Restart the agent: it drops what is damaged and fetches the newest version again."
        return LocalError(Refusal.MODEL_DAMAGED, message, next_step=step)


class Pin(msgspec.Struct, frozen=True):
    """The version that the device's owner wants used, whatever is released."""

    job: str
    version: int


class KeptModels:
    """All versions on this device. One process adds; any may read, pin and unpin meanwhile."""

    def __init__(self, state: Path) -> None:
        """`state` is the agent's state folder. Nothing is read or made yet."""
        self.folder = state / FOLDER

    def versions(self) -> tuple[KeptModel, ...]:
        """Every whole version, the latest release first."""
        found = (_read(path.parent) for path in self.folder.glob(f"*/*/{CARD}"))
        return tuple(sorted((one for one in found if one is not None), key=lambda one: one.card.age, reverse=True))

    def pinned(self) -> KeptModel | None:
        """The pinned version, or None."""
        try:
            pin = from_json((self.folder / _PIN).read_bytes(), Pin)
        except (OSError, UnreadableError):
            return None
        return next((one for one in self.versions() if (one.card.job, one.card.version) == (pin.job, pin.version)), None)

    def current(self) -> KeptModel:
        """The version to use: the pinned one, or the latest release. `LocalError(MODEL_NONE)` before the first one has come."""
        found = self._chosen()
        if found is None:
            message = f"{self.folder} holds no model yet: the fleet has released none since this device listens"
            raise LocalError(Refusal.MODEL_NONE, message, next_step=f"Let the agent run and connect; see: {typed('agent', 'status')}")
        return found

    def find(self, version: int, job: str | None = None) -> KeptModel:
        """A version by its number: of `job`, or of the job whose release is the latest. `LocalError(MODEL_NONE)` if it is not here."""
        job = job or (self.versions() or (self.current(),))[0].card.job
        found = next((one for one in self.versions() if (one.card.job, one.card.version) == (job, version)), None)
        if found is None:
            message = f"there is no version {version} of {job} on this device"
            raise LocalError(Refusal.MODEL_NONE, message, next_step=f"See what there is: {typed('agent', 'model', 'list')}")
        return found

    def add(self, card: Card, files: Mapping[str, bytes]) -> KeptModel:
        """Keep one more version and make it known. OSError if the disk does not take it; then what was kept is as it was."""
        card = msgspec.structs.replace(card, files={name: sha256(content).hex() for name, content in files.items()})
        coming, place = self.folder / _COMING, self.folder / card.job / f"{card.version:08d}"
        shutil.rmtree(coming, ignore_errors=True)
        coming.mkdir(mode=0o700, parents=True)
        for name, content in files.items():
            write_quickly(coming / name, content)
        write_quickly(coming / CARD, _readable(card))
        place.parent.mkdir(mode=0o700, exist_ok=True)
        shutil.rmtree(place, ignore_errors=True)  # a version without a whole card
        coming.rename(place)
        self.settle()
        self._prune()
        return KeptModel(place, card)

    def pin(self, wanted: KeptModel) -> None:
        """Use this version until `unpin`. `LocalError`: `MODEL_NONE` if it went meanwhile, `FOLDER_UNSAFE`."""
        self._require_own()
        pin = Pin(wanted.card.job, wanted.card.version)
        write_durably(self.folder / _PIN, _readable(pin), mode=0o644)
        if self.pinned() is None:
            (self.folder / _PIN).unlink(missing_ok=True)
            self.find(pin.version, pin.job)
        self.settle()

    def unpin(self) -> None:
        """Use the latest release again. `LocalError`: `MODEL_NONE` if there is none, `FOLDER_UNSAFE`."""
        self.current()
        self._require_own()
        (self.folder / _PIN).unlink(missing_ok=True)
        self.settle()

    def settle(self) -> None:
        """Write `current.json` as cards and pin have it; what another process changed meanwhile is looked at again."""
        while (found := self._chosen()) is not None:
            text = _readable({"job": found.card.job, "version": found.card.version, "folder": str(found.folder.relative_to(self.folder))})
            file = self.folder / _CURRENT
            if file.exists() and file.read_bytes() == text:
                return
            write_quickly(file, text, mode=0o644)

    def sweep(self) -> None:
        """Drop what is not as its card says, so that it is fetched again. For the agent, when it starts."""
        for one in self.versions():
            try:
                for name in one.card.files:
                    one.content(name)
            except LocalError:
                shutil.rmtree(one.folder, ignore_errors=True)
        if self.folder.exists():
            self.settle()

    def next_job(self, model: str) -> str:
        """A name for a job that begins: the model's, and a number that no job of that model here has had since the latest one."""
        stem = re.sub(r"[^a-z0-9]+", "-", model.lower().rpartition("/")[2]).strip("-") or "model"
        taken = [path.name.rpartition("-") for path in self.folder.glob(f"{stem}-*")]
        return f"{stem}-{1 + max((int(number) for name, _, number in taken if name == stem and number.isdigit()), default=0)}"

    def _require_own(self) -> None:
        """Root pins in a folder of the service's user, who could leave a link there."""
        if self.folder.is_symlink():
            message = f"{self.folder} is a link, not the agent's own folder"
            raise LocalError(Refusal.FOLDER_UNSAFE, message, next_step="See who made it, remove it, and restart the agent.")
        require_private(self.folder)

    def _chosen(self) -> KeptModel | None:
        return self.pinned() or next(iter(self.versions()), None)

    def _prune(self) -> None:
        jobs = list(dict.fromkeys(one.card.job for one in self.versions()))
        pinned = self.pinned()
        for job in jobs:
            of_job = [one for one in self.versions() if one.card.job == job]
            for one in of_job[VERSIONS_KEPT if jobs.index(job) < JOBS_KEPT else 0 :]:
                if pinned is None or one.folder != pinned.folder:
                    shutil.rmtree(one.folder, ignore_errors=True)


def _read(folder: Path) -> KeptModel | None:
    try:
        return KeptModel(folder, from_json((folder / CARD).read_bytes(), Card))
    except (OSError, UnreadableError):
        return None


def _readable(value: object) -> bytes:
    return json.dumps(msgspec.to_builtins(value), indent=2).encode() + b"\n"
