"""Transcripts of the round's machines: events in, effects out, as text that a diff can review.

A file is a row of steps. `> PARTY VERB ARGUMENTS` is an event; the lines below it say what the machine did with it: changes to store,
messages to send, refusals, notes, and the phase it went to. `#` begins a comment. `python -m tests.transcripts.script` writes what
the machines do today into the files; `tests/transcripts/test_transcripts.py` compares.

| verb | event |
|---|---|
| `round`, `deadline`, `abort REASON` | to the orchestrator |
| `plan [FIELD=VALUE ..]` | the open plan, or one like it with other fields, signed by the orchestrator |
| `cleared` | the plan was cleared |
| `ready`, `cannot` | the program found, or lacks, what the task needs |
| `contributes` | plan, ready, model and update, one after the other |
| `model`, `garbage` | the fetched bytes, the right ones or others |
| `update`, `nothing` | the task ended, with an update or without |
| `contributions DEVICE ..` | the latest contribution of each device, in one batch |
| `receipts` | every receipt for this device since the last time |
| `request [FIELD=VALUE ..]` | the open request, or one for another cohort: `without=DEVICE` |
| `answers MEMBER ..` | the latest answer of each member, one event each |
| `roster [without=DEVICE]` | the roster in force, or the next one |
| `connected` | the link is up again |
| `restart` | the process dies; its state is read back from what was stored |
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hushfleet.codec import decode, encode
from hushfleet.documents import DecryptionRequest, Receipt
from hushfleet.errors import LocalError, PhaseError, Refusal
from hushfleet.randomness import SeededRandomness
from hushfleet.rounds import device, member
from hushfleet.rounds import effects as out
from hushfleet.rounds import events as come
from hushfleet.rounds.coordinator import Decrypting
from hushfleet.training import LocalUpdate
from hushfleet.wire import Kind, decode_signed, encode_signed
from hushfleet.wire.limits import LIMITS
from tests.support.fleet import Fleet, make_fleet, update_of

FOLDER = Path(__file__).parent
ORCHESTRATOR = "orchestrator"
_CONTRIBUTES = ("plan", "ready", "model", "update")


@dataclass
class Script:
    """Every party of a small fleet, each with its machine and state; nothing travels by itself."""

    fleet: Fleet = field(default_factory=make_fleet)
    states: dict[str, Any] = field(init=False)
    sent: dict[tuple[str, Kind], bytes] = field(default_factory=dict)
    receipts: dict[str, list[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.randomness, self.everybody = SeededRandomness(b"transcript"), self.fleet
        self.states = {ORCHESTRATOR: self.fleet.coordinator_state()}
        self.states |= {name: self.fleet.device_state() for name in self.fleet.names}
        self.states |= {f"{name}*": self.fleet.member_state(name) for name in self.fleet.parties.committee}

    def play(self, line: str) -> Iterator[str]:
        """The lines that belong under `> line`."""
        party, verb, *arguments = line.split()
        for part in _CONTRIBUTES if verb == "contributes" else (verb,):
            make: Callable[..., Any] = getattr(self, f"_{part}")
            found = make(party, *arguments)
            for event in found if isinstance(found, list) else [found]:
                if event is not None:
                    yield from self._step(party, event)

    def _step(self, party: str, event: object) -> Iterator[str]:
        before = self.states[party]
        try:
            after, effects = self._machine(party).step(before, event, self.randomness)
        except PhaseError as error:
            yield f"not now: {error}"
            return
        self.states[party] = after
        for effect in effects:
            self._remember(party, effect)
            yield from told(effect)
        if type(after) is not type(before):
            yield f"{type(before).__name__} -> {type(after).__name__}"
        elif not effects:
            yield "nothing"

    def _machine(self, party: str) -> Any:  # noqa: ANN401 -- one of three machines
        if party == ORCHESTRATOR:
            return self.fleet.coordinator()
        # A revoked device keeps its keys.
        return self.everybody.member(party[:-1]) if party.endswith("*") else self.everybody.device(party)

    def _remember(self, party: str, effect: out.Effect) -> None:
        if isinstance(effect, out.Publish) and effect.data:
            if effect.topic.kind is Kind.RECEIPT:
                self.receipts.setdefault(effect.topic.device or "", []).append(effect.data)
            self.sent[party, effect.topic.kind] = effect.data

    # the orchestrator's events

    def _round(self, _: str) -> object:
        return come.RoundWanted(1000)

    def _deadline(self, _: str) -> object:
        return come.DeadlinePassed()

    def _abort(self, _: str, *reason: str) -> object:
        return come.AbortWanted(" ".join(reason), 2000)

    def _contributions(self, _: str, *names: str) -> object:
        return come.ContributionsArrived(tuple((name, self.sent[name, Kind.CONTRIBUTION]) for name in names))

    def _answers(self, _: str, *names: str) -> list[object]:
        return [come.AnswerArrived(name, self.sent[f"{name}*", Kind.PARTIAL], 3000) for name in names]

    # a device's events

    def _plan(self, _: str, *fields: str) -> object:
        if not fields:
            return come.PlanArrived(self.sent[ORCHESTRATOR, Kind.PLAN])
        changes = {name: int(value) for name, value in (one.split("=") for one in fields)}
        number = changes.pop("round", 1)
        return come.PlanArrived(encode_signed(self.fleet.plan(number, **changes).signed))

    def _cleared(self, _: str) -> object:
        return come.PlanCleared()

    def _ready(self, party: str) -> object:
        return come.Prepared(self.states[party].terms.plan_hash)

    def _cannot(self, party: str) -> object:
        return come.Prepared(self.states[party].terms.plan_hash, LocalError(Refusal.MODEL_ABSENT, "there is no trainer here"))

    def _model(self, _: str) -> object:
        return come.Fetched(self.sent[ORCHESTRATOR, Kind.MODEL] if (ORCHESTRATOR, Kind.MODEL) in self.sent else self.fleet.model.to_bytes())

    def _garbage(self, _: str) -> object:
        return come.Fetched(b"garbage")

    def _update(self, party: str) -> object:
        return come.TaskDone(self.states[party].terms.plan_hash, LocalUpdate(update_of(party.encode())))

    def _nothing(self, party: str) -> object:
        return come.TaskDone(self.states[party].terms.plan_hash, None, "there are no data")

    def _receipts(self, party: str) -> list[object]:
        return [come.ReceiptArrived(data) for data in self.receipts.pop(party, [])]

    # a member's events

    def _request(self, _: str, *fields: str) -> object:
        data = self.sent[ORCHESTRATOR, Kind.REQUEST]
        if not fields:
            return come.RequestArrived(data)
        left_out = dict(one.split("=") for one in fields)["without"]
        request = decode(DecryptionRequest, data, max_bytes=LIMITS.request)
        state = self.states[ORCHESTRATOR]
        bodies = [one.verified.signed for name, one in sorted(state.accepted.items()) if name != left_out]
        assert len(bodies) < len(request.bodies)
        return come.RequestArrived(encode(self.fleet.request(state.terms.verified_plan, bodies)))

    # everybody's events

    def _roster(self, _: str, *fields: str) -> object:
        if fields:
            self.fleet = self.fleet.without(*(one.split("=")[1] for one in fields))
        return come.RosterArrived(encode_signed(self.fleet.roster.signed))

    def _connected(self, _: str) -> object:
        return come.Connected()

    def _restart(self, party: str) -> None:
        """What a store gives back: everything but the phase of a device or member at work, which begins anew."""
        state = self.states[party]
        if party == ORCHESTRATOR:
            self.states[party] = replace(state, answers={}) if isinstance(state, Decrypting) else state
        elif party.endswith("*"):
            self.states[party] = member.Ready(state.memory, state.roster, state.share)
        else:
            self.states[party] = device.Idle(state.memory, state.roster)


def told(effect: out.Effect) -> Iterator[str]:
    """One effect in words. Bytes are not shown: they are random, secret, or both."""
    match effect:
        case out.Persist(changes):
            yield "store " + ", ".join(_change(change) for change in changes)
        case out.Publish(topic, data, ranges, _):
            fields = [str(value) for value in (topic.device, topic.number) if value is not None]
            what = " ".join([topic.kind.name.lower(), *fields])
            yield (f"send {what}" if data else f"clear {what}") + (f" {ranges}" if ranges else "") + _receipt(topic.kind, data)
        case out.Refused(error):
            yield f"refuse {error.reason.value}: {error.message}"
        case out.ZeroContributed(reason):
            yield f"zero: {reason}"
        case out.Note(text):
            yield f"note: {text}"
        case out.Alert(text):
            yield f"ALERT: {text}"
        case _:
            yield {out.Prepare: "prepare", out.Fetch: "fetch", out.DoTask: "do the task"}[type(effect)]


def _change(change: out.Change) -> str:
    words = [type(change).__name__]
    match change:
        case out.KeepContribution(entry, _):
            words.append(f"round {entry.round_number}, {entry.rho_nano} nano-rho")
        case out.KeepAccepted(contributions=contributions):
            words.append(" ".join(one.device_id for one in contributions))
        case out.KeepOutcome(progress=progress):
            words.append(f"version {progress.version}")
        case out.KeepStop(reason=reason):
            words.append(reason.value)
        case _:
            words += [f"round {change.round}"] if hasattr(change, "round") else []
    return " ".join(words)


def _receipt(kind: Kind, data: bytes) -> str:
    if kind is not Kind.RECEIPT:
        return ""
    receipt = decode(Receipt, decode_signed(data).content, max_bytes=LIMITS.signed_document)
    return f": {receipt.status.value} {receipt.reason}".rstrip()


def replayed(text: str) -> str:
    """The transcript with what the machines do today under each step."""
    script, lines = Script(), []
    for block in text.strip().split("\n\n"):
        kept = [line for line in block.splitlines() if line.startswith(("#", ">"))]
        steps = [line for line in kept if line.startswith(">")]
        comments = [line for line in kept if line.startswith("#")]
        lines.append("\n".join([*comments, *(part for step in steps for part in (step, *script.play(step[1:].strip())))]))
    return "\n\n".join(lines) + "\n"


def main() -> None:
    """Write every transcript anew; a diff shows what changed."""
    for path in sorted(FOLDER.glob("*.txt")):
        path.write_text(replayed(path.read_text()))


if __name__ == "__main__":
    sys.exit(main())
