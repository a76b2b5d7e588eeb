"""The model comes home: an agent follows its fleet's round records, fetches what they released, and keeps it.

A record counts if the roster's orchestrator signed it for this fleet, and if its release is later than all that is kept; the model's bytes
count if they have the hash that the record states. Nothing here depends on training data or costs budget, and whatever is refused leaves
what was kept as it was.
"""

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from edge_agent.kept_models import CONTRACT, INFERENCE, VALUES, Card, KeptModels
from hushfleet.documents import ModelResult, Outcome, RoundRecord, TrainTask, VerifiedRoster, open_plan, open_record
from hushfleet.errors import FaultyOrchestrator, HushfleetError, PeerError, Refusal
from hushfleet.labels import sha256
from hushfleet.privacy import epsilon
from hushfleet.program.contract import Contract
from hushfleet.rounds.effects import Note, Refused
from hushfleet.training import GlobalModel, Trainer
from hushfleet.wire import Kind, Topic, decode_signed

DELTA = 1e-6
"""The delta at which cards tell epsilon: a record carries none."""
_PLANS_REMEMBERED = 4
_VALUE_BYTES = 4
_UNKNOWN_EPOCH = -1


@runtime_checkable
class HasInferenceFile(Protocol):
    """A trainer whose model is an ONNX file."""

    def inference_file(self, parameters: npt.NDArray[np.float32]) -> bytes:
        """That file with these values."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A release that is not here yet."""

    record: RoundRecord
    result: ModelResult
    digest: bytes
    """The SHA-256 of the signed record."""
    key_epoch: int

    @property
    def age(self) -> tuple[int, int]:
        """As that of a card."""
        return self.key_epoch, self.record.round


class ModelFollower:
    """The follower of one fleet. It asks for nothing itself: `wanted` says which model's topic the agent is to listen to."""

    def __init__(
        self, state: Path, fleet: str, contract: Contract | None = None, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """`state` is the agent's state folder; `contract` that of its data, which is kept beside the models that are named after it."""
        self._kept, self._fleet, self._contract, self._now = KeptModels(state), fleet, contract, now
        self._plans: dict[bytes, TrainTask] = {}
        self._wanted: _Wanted | None = None
        self._latest = b""
        self._kept.sweep()

    @property
    def wanted(self) -> str | None:
        """The hash, in hex, of the model to fetch; None if there is none."""
        return self._wanted.result.model_after.hex() if self._wanted else None

    def offer(
        self, topic: Topic, data: bytes, roster: VerifiedRoster | None, trainers: Callable[[], Mapping[str, Trainer]]
    ) -> Iterator[Note | Refused]:
        """Take what arrived on a topic, under the roster in force, and tell what came of it."""
        if topic.kind is Kind.RECORD:
            self._latest = data
        try:
            if roster is None:
                return
            if topic.kind is Kind.PLAN:
                self._remember(data, roster)
            if topic.kind in (Kind.RECORD, Kind.ROSTER) and self._latest:  # a record may come before the roster that it belongs to
                self._wanted = self._judged(self._latest, roster)
            if topic.kind is Kind.MODEL and self._wanted is not None and topic.digest == self.wanted:
                yield self._keep(self._wanted, data, roster, trainers())
        except HushfleetError as error:
            yield Refused(error)
        except OSError as error:  # a full disk keeps no device from taking part
            yield Note(f"the released model is not kept: {error.strerror}; it is fetched again after a while")

    def _remember(self, data: bytes, roster: VerifiedRoster) -> None:
        try:
            plan = open_plan(decode_signed(data), roster.orchestrator)
        except PeerError:  # the device machine refuses it and says so
            return
        if isinstance(plan.plan.task, TrainTask):
            self._plans[plan.digest] = plan.plan.task
            while len(self._plans) > _PLANS_REMEMBERED:
                del self._plans[next(iter(self._plans))]

    def _judged(self, data: bytes, roster: VerifiedRoster) -> _Wanted | None:
        """The release to fetch, or None if the record states none or the one that is here."""
        signed = decode_signed(data)
        record = open_record(signed, roster.orchestrator)
        if record.fleet != self._fleet:
            raise FaultyOrchestrator(Refusal.RECORD_FLEET, f"a record of the fleet {record.fleet}, not of {self._fleet}")
        result = record.result
        if not isinstance(result, ModelResult) or result.version_after == 0:
            return self._wanted
        if record.outcome is Outcome.ABORTED and result.model_before != result.model_after:
            raise FaultyOrchestrator(Refusal.RECORD_OLDER, f"round {record.round} was aborted and cannot have made a model")
        found = _Wanted(record, result, sha256(signed.content), self._epoch(record, roster))
        if self._wanted is not None and found.age < self._wanted.age:
            raise _older(found, self._wanted.age)
        latest = next(iter(self._kept.versions()), None)
        if latest is None:
            return found
        if (latest.card.parameters, latest.card.version) == (result.model_after.hex(), result.version_after):
            return None
        if found.age <= latest.card.age:
            raise _older(found, latest.card.age)
        return found

    def _epoch(self, record: RoundRecord, roster: VerifiedRoster) -> int:
        """The key epoch of the record; of a key that is neither in force nor known from what is kept, the least there can be."""
        if record.key_id == roster.key_id:
            return roster.roster.key_epoch
        known = (one.card.key_epoch for one in self._kept.versions() if one.card.key_id == record.key_id.hex())
        return next(known, _UNKNOWN_EPOCH)

    def _keep(self, wanted: _Wanted, data: bytes, roster: VerifiedRoster, trainers: Mapping[str, Trainer]) -> Note:
        if sha256(data) != wanted.result.model_after:
            raise FaultyOrchestrator(Refusal.MODEL_HASH, f"these are not the parameters that round {wanted.record.round} released")
        policy, size = roster.policy, len(data) // _VALUE_BYTES
        if size > policy.max_values:
            raise FaultyOrchestrator(Refusal.MODEL_SHAPE, f"a model of {size} values, the policy allows {policy.max_values}")
        model = GlobalModel.from_bytes(data, version=wanted.result.version_after, dimension=size, max_abs=policy.max_abs_parameter)
        job, name = self._job(wanted)
        name = name or self._name(wanted, size, roster, trainers)
        trainer = trainers.get(name)
        card = self._card(wanted, job or self._kept.next_job(name), name, trainer)
        self._kept.add(card, _files(model, trainer) | self._contract_file(name))
        self._wanted = None
        return Note(f"model version {card.version} of {card.job} is here")

    def _contract_file(self, name: str) -> dict[str, bytes]:
        contract = self._contract
        if contract is None or name.partition("@")[2].partition(":")[0] != contract.name:
            return {}
        return {CONTRACT: contract.to_text().encode()}

    def _job(self, wanted: _Wanted) -> tuple[str, str]:
        """The job that the release goes on with, and the name of its model; empty where it begins another one.

        A record names no job: its version is the next one after a model that is kept, or a later one of the latest job.
        """
        latest = next(iter(self._kept.versions()), None)
        if latest is None or wanted.result.version_after <= latest.card.version:
            return "", ""
        follows = wanted.result.model_before.hex() == latest.card.parameters
        if wanted.result.version_after == latest.card.version + 1 and not follows:
            return "", ""
        task = self._plans.get(wanted.record.plan_hash)
        if task is not None and latest.card.model and task.model != latest.card.model:
            return "", ""
        return latest.card.job, latest.card.model

    def _name(self, wanted: _Wanted, size: int, roster: VerifiedRoster, trainers: Mapping[str, Trainer]) -> str:
        """The model of the policy that has these values: the plan says it, or there is but one that can be."""
        task, allowed = self._plans.get(wanted.record.plan_hash), [one.name for one in roster.policy.models]
        if task is not None and task.model in allowed:
            return task.model
        if len(allowed) == 1:
            return allowed[0]
        fitting = [name for name in allowed if name in trainers and trainers[name].architecture.dimension == size]
        return fitting[0] if len(fitting) == 1 else ""

    def _card(self, wanted: _Wanted, job: str, name: str, trainer: Trainer | None) -> Card:
        record, result = wanted.record, wanted.result
        paid = record.rho_nano * result.version_after
        return Card(
            job=job,
            version=result.version_after,
            fleet=record.fleet,
            key_id=record.key_id.hex(),
            key_epoch=wanted.key_epoch,
            round=record.round,
            model=name,
            architecture=trainer.architecture.digest.hex() if trainer else "",
            loss=trainer.architecture.loss if trainer else "",
            parameters=result.model_after.hex(),
            record=wanted.digest.hex(),
            contributors=len(record.device_ids),
            rho_nano=record.rho_nano,
            epsilon=epsilon(paid, DELTA) if paid else None,
            delta=DELTA,
            date=self._now().isoformat(timespec="seconds"),
        )


def _files(model: GlobalModel, trainer: Trainer | None) -> dict[str, bytes]:
    """The files of a version: one array per parameter, or all values in one where the shapes are not known; an ONNX file as well."""
    fits = trainer is not None and trainer.architecture.dimension == model.dimension
    arrays = trainer.architecture.split(model.parameters) if trainer is not None and fits else {"parameters": model.parameters}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for options
    files = {VALUES: buffer.getvalue()}
    if fits and isinstance(trainer, HasInferenceFile):
        files[INFERENCE] = trainer.inference_file(model.parameters)
    return files


def _older(found: _Wanted, known: tuple[int, int]) -> FaultyOrchestrator:
    text = (
        f"a record of round {found.record.round} in key epoch {found.key_epoch}; known here is that of round {known[1]} in epoch {known[0]}"
    )
    return FaultyOrchestrator(Refusal.RECORD_OLDER, text)
