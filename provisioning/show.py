"""`hushfleet provision show`: a request, bundle, roster, plan or record in plain words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec

from hushfleet.codec import Message, decode, encode
from hushfleet.documents import (
    AnswerResult,
    Bundle,
    EnrolmentRequest,
    MeasureTask,
    ModelResult,
    Plan,
    Roster,
    RoundRecord,
    Task,
    TrainTask,
    fingerprint,
    open_enrolment_request,
    task_name,
)
from hushfleet.documents.enrolment import BundleFile
from hushfleet.documents.limits import MAX_BUNDLE_BYTES
from hushfleet.errors import HushfleetError, PeerError, Refusal
from hushfleet.labels import Label, sha256
from hushfleet.signing import Signed, VerifyKey
from hushfleet.system.files import read_named
from hushfleet.wire.limits import LIMITS
from provisioning.command import OwnerCommand, owner_command
from provisioning.contents import VaultContents
from provisioning.differences import policy_lines

Told = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Known:
    """The keys that signatures are checked with, as far as a vault is at hand."""

    root: VerifyKey | None = None
    orchestrator: VerifyKey | None = None

    @classmethod
    def of(cls, registry: VaultContents | None) -> "Known":
        """The names that a vault knows."""
        if registry is None:
            return cls()
        roster = registry.verified
        return cls(registry.root, roster.orchestrator if roster else None)


@click.command(epilog="Example: hushfleet provision show pi-01.bundle")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@owner_command()
def show(*, command: OwnerCommand, file: Path | None) -> None:
    """Say in plain words what FILE is: a request, bundle, roster, plan or record. Needs neither vault nor passphrase.

    With a vault at hand it also says whether its owner or orchestrator signed it. Without FILE: the vault itself, with the root key's
    fingerprint.
    """
    if file is None:
        told = of_vault(command.registry)
        command.tell(told, [f"{name.replace('_', ' '):<22} {_text(value)}" for name, value in told.items()])
        return
    known = Known.of(command.registry if command.folder.exists() else None)
    told = explain(read_named(file, MAX_BUNDLE_BYTES), known)
    command.tell(told, [f"{name.replace('_', ' '):<22} {_text(value)}" for name, value in told.items()])


def of_vault(registry: VaultContents) -> Told:
    """The vault in words. The root key's fingerprint is what devices and orchestrator compare when they join."""
    roster = registry.verified
    return {
        "kind": "vault",
        "fleet": registry.fleet,
        "root_fingerprint": registry.root_fingerprint,
        "orchestrator": registry.orchestrator.device_id if registry.orchestrator else None,
        "devices": [one.device_id for one in registry.devices],
        "committee": list(roster.roster.committee) if roster else [],
        "roster_serial": roster.roster.serial if roster else None,
        "broker": f"{registry.broker.host}:{registry.broker.port}",
        "broker_folder": registry.broker_folder.folder if registry.broker_folder else None,
    }


def explain(data: bytes, known: Known) -> Told:
    """The file's contents, name -> value. Raises `PeerError`: `MESSAGE_MALFORMED` for another file, `SIGNATURE` for an altered one."""
    if (bundle := _attempt(BundleFile, data, MAX_BUNDLE_BYTES)) is not None:
        return _bundle(bundle, known)
    signed = _attempt(Signed, data, LIMITS.signed_document)
    for kind, tell in _KINDS.items():
        if signed is not None and (document := _attempt(kind, signed.content, LIMITS.signed_document)) is not None:
            return tell(document, signed, known)
    text = "this is no request, bundle, roster, plan or record of this version"
    raise PeerError(Refusal.MESSAGE_MALFORMED, text, next_step="Check that it is the right file.")


def _attempt(kind: type[Message], data: bytes, max_bytes: int) -> Any:  # noqa: ANN401 -- the caller asked for `kind`
    try:
        return decode(kind, data, max_bytes=max_bytes)
    except HushfleetError:
        return None


def _request(request: EnrolmentRequest, signed: Signed, known: Known) -> Told:
    from hushfleet.owner import certificates  # noqa: PLC0415 -- the cryptography, when it is needed

    del known
    open_enrolment_request(signed)
    certificates.check_request(request)
    return {
        "kind": "enrolment request",
        "id": request.device_id,
        "role": request.role.value,
        "fingerprint": fingerprint(encode(signed)),
        "signing_key": request.verify_key.hex(),
        "sealing_key": request.sealing_key.hex(),
        "signature": "its own key's; compare the fingerprint with the one shown on the device",
    }


def _bundle(file: BundleFile, known: Known) -> Told:
    from hushfleet.owner import certificates  # noqa: PLC0415 -- as above

    key = VerifyKey(file.root_key)
    bundle = decode(Bundle, key.open(Label.BUNDLE, file.signed), max_bytes=MAX_BUNDLE_BYTES)
    roster = decode(Roster, key.open(Label.ROSTER, bundle.roster), max_bytes=LIMITS.signed_document)
    member = bundle.device_id in roster.committee
    return {
        "kind": "bundle",
        "fleet": bundle.fleet,
        "id": bundle.device_id,
        "role": bundle.role.value,
        "committee_member": roster.committee.index(bundle.device_id) + 1 if member else None,
        "key_share": "yes, sealed to this device" if bundle.grant else "none",
        "roster_serial": roster.serial,
        "broker": f"{bundle.broker.host}:{bundle.broker.port}",
        "certificate_until": f"{certificates.ends(bundle.certificate):%Y-%m-%d}",
        "root_fingerprint": fingerprint(file.root_key),
        "signature": _whose(known.root is not None, key == known.root, "root key in this file"),
    }


def _roster(roster: Roster, signed: Signed, known: Known) -> Told:
    return {
        "kind": "roster",
        "fleet": roster.fleet,
        "serial": roster.serial,
        "key_epoch": roster.key_epoch,
        "devices": [entry.device_id for entry in roster.devices],
        "committee": list(roster.committee),
        "members_required": 2 * roster.f + 1,
        **policy_lines(roster.policy),
        "signature": _checked(known.root, Label.ROSTER, signed, "owner"),
    }


def _plan(plan: Plan, signed: Signed, known: Known) -> Told:
    return {
        "kind": "plan",
        "fleet": plan.fleet,
        "round": plan.round,
        "plan_hash": sha256(signed.content).hex(),
        "roster_serial": plan.roster_serial,
        "scheme": plan.scheme,
        "values": plan.dimension,
        **_task(plan.task),
        "devices_at_least": plan.privacy.min_devices,
        "devices_at_most": plan.privacy.max_devices,
        "noise": f"V = {plan.privacy.variance}, B2 = {plan.privacy.b2}" if plan.privacy.variance else "none: no privacy",
        "clip_norm": plan.clip_norm,
        "deadline_s": plan.deadline_s,
        "signature": _checked(known.orchestrator, Label.PLAN, signed, "orchestrator"),
    }


def _task(task: Task) -> Told:
    if isinstance(task, MeasureTask):
        return {"task": task_name(task), "question": task.question, "question_hash": task.question_hash.hex()}
    told = {
        "task": task_name(task),
        "model": task.model,
        "architecture": task.architecture_hash.hex(),
        "model_version": task.model_version,
        "parameters": task.parameter_hash.hex(),
    }
    return told | msgspec.structs.asdict(task.training) if isinstance(task, TrainTask) else told


def _record(record: RoundRecord, signed: Signed, known: Known) -> Told:
    return {
        "kind": "round record",
        "fleet": record.fleet,
        "round": record.round,
        "outcome": record.outcome.value,
        "reason": record.reason or None,
        "devices": list(record.device_ids),
        **_result(record.result),
        "rho_nano": record.rho_nano,
        "bytes_up": record.bytes_up,
        "duration_ms": record.duration_ms,
        "signature": _checked(known.orchestrator, Label.RECORD, signed, "orchestrator"),
    }


def _result(result: ModelResult | AnswerResult) -> Told:
    if isinstance(result, AnswerResult):
        return {"answer": list(result.values)}
    return {
        "model_before": result.model_before.hex(),
        "model_after": result.model_after.hex(),
        "version_after": result.version_after,
        "optimizer": result.optimizer.name,
    }


_KINDS: Mapping[type[Message], Callable[[Any, Signed, Known], Told]] = {
    EnrolmentRequest: _request,
    Roster: _roster,
    Plan: _plan,
    RoundRecord: _record,
}


def _checked(key: VerifyKey | None, label: Label, signed: Signed, whose: str) -> str:
    if key is None:
        return f"not checked: no vault here knows the {whose}'s key"
    try:
        key.open(label, signed)
    except PeerError:
        return f"NOT that of this vault's {whose}"
    return f"that of this vault's {whose}"


def _whose(known: bool, same: bool, what: str) -> str:
    if not known:
        return f"that of the {what}; compare its fingerprint with the owner's"
    return "that of this vault's owner" if same else "NOT that of this vault's owner"


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(one) for one in value) or "none"
    return "none" if value is None else str(value)
