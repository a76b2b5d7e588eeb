from typing import get_args

import numpy as np
import pytest

from hushfleet.codec import encode
from hushfleet.documents import Receipt, ReceiptStatus, sign_receipt
from hushfleet.errors import DataError, LocalError, PeerError, Refusal
from hushfleet.labels import sha256
from hushfleet.privacy import Ledger
from hushfleet.privacy.ledger import Participation
from hushfleet.rounds.device import DeviceMemory, DeviceState, Fetching, Idle, Preparing, Sent, Unenrolled, Working
from hushfleet.rounds.effects import Alert, Note, Refused
from hushfleet.training import Data
from hushfleet.wire import Inbox, KeyShareDelivery, Kind, Presence, Readiness, encode_signed
from tests.support.fleet.agent import FLEET, FLEET_NAME, GOOD, NAME, AgentOnALink
from tests.support.refusals import refused


@pytest.fixture
def bench(tmp_path):
    bench = AgentOnALink(tmp_path)
    yield bench
    bench.store.close()


MEMORY = DeviceMemory(Ledger())
SENT = DeviceMemory(Ledger(), sent=Sent(FLEET.roster.key_id, 1, b"sealed"))
TERMS = FLEET.terms(FLEET.plan())
PRESENCES = [
    (Unenrolled(MEMORY), Presence.IDLE),
    (Idle(MEMORY, FLEET.roster), Presence.IDLE),
    (Idle(SENT, FLEET.roster), Presence.SENT),
    *((phase(memory, TERMS), Presence.WORKING) for phase in (Preparing, Fetching, Working) for memory in (MEMORY, SENT)),
]


@pytest.mark.parametrize(("state", "presence"), PRESENCES, ids=lambda value: type(value).__name__)
def test_everybody_may_know_whether_a_device_works_or_waits_for_its_receipt(bench, state, presence):
    bench.agent._device.state = state

    assert bench.agent.presence is presence


def test_what_is_left_is_shown_as_it_was_until_the_contribution_leaves(bench):
    budget = FLEET.roster.policy.budget_nano_rho
    bench.agent._device.state = Working(MEMORY, TERMS)
    assert bench.agent.readiness().left_nano == budget

    charged = DeviceMemory(Ledger((Participation(FLEET.roster.key_id, 1, 5),)))
    bench.agent._device.state = Working(charged, TERMS)
    assert bench.agent.readiness().left_nano == budget

    bench.agent._device.state = Idle(charged, FLEET.roster)
    assert bench.agent.readiness().left_nano == budget - 5


def test_a_box_that_only_decrypts_says_so_before_and_after_a_plan(bench):
    bench.enabled = False
    bench.restart()
    bench.announce()

    assert bench.arrived(Kind.CONTRIBUTION) == []
    assert bench.agent.readiness(20_000, "in the cellar") == Readiness(
        Refusal.TRAINING_DISABLED, FLEET.roster.policy.budget_nano_rho, 20_000, "in the cellar"
    )
    (told,) = [one.error for one in bench.reports if isinstance(one, Refused)]
    with refused(Refusal.TRAINING_DISABLED, LocalError):
        raise told


def test_a_model_that_is_not_here_is_said_in_the_status(tmp_path):
    bench = AgentOnALink(tmp_path, configured=False)
    bench.agent._trainers._build = lambda _: None
    bench.announce()

    assert bench.agent.readiness().out is Refusal.MODEL_ABSENT
    bench.store.close()


def test_the_presence_of_every_phase_is_known():
    assert {type(state) for state, _ in PRESENCES} == set(get_args(DeviceState))


SHARE = FLEET.dealing.shares[0].to_bytes(FLEET.dealing.public)


def test_an_announced_round_is_contributed_to(bench):
    plan = bench.announce()

    (sealed,) = bench.arrived(Kind.CONTRIBUTION)
    body = FLEET.unsealed(plan, NAME, sealed).body
    assert NAME.encode() in body.content
    assert bench.store.ledger().find(FLEET.roster.key_id, 1) is not None


def test_the_model_is_subscribed_to_while_it_is_fetched_only(bench):
    bench.announce()
    bench.arrived(Kind.CONTRIBUTION)
    bench.publish(Kind.MODEL, FLEET.model.to_bytes(), digest=FLEET.model.digest.hex(), chunk=0)

    assert bench.agent.pump() == 0


def test_after_a_restart_the_very_same_bytes_are_sent(bench):
    bench.announce()
    first = bench.arrived(Kind.CONTRIBUTION)

    bench.restart()
    bench.agent.pump()

    assert bench.arrived(Kind.CONTRIBUTION) == first
    assert len(bench.store.ledger().events) == 1


def test_a_receipt_lets_the_bytes_go(bench):
    plan = bench.announce()
    (sealed,) = bench.arrived(Kind.CONTRIBUTION)
    receipt = Receipt(FLEET_NAME, NAME, plan.plan.key_id, 1, sha256(sealed), ReceiptStatus.ACCEPTED, (), "")
    bench.publish(Kind.RECEIPT, encode_signed(sign_receipt(receipt, FLEET.parties.orchestrator.signing)), device=NAME, number=1)
    bench.agent.pump()

    bench.restart()

    assert bench.arrived(Kind.CONTRIBUTION) == []


def broken(error):
    def read():
        raise error

    return read


@pytest.mark.parametrize(
    "error",
    [
        DataError(Refusal.DATA_EMPTY, "no rows"),
        FileNotFoundError("/srv/training/digits.npz"),
        ValueError("not a number in row 12"),
        MemoryError(),
        KeyError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_is_wrong_with_the_data_the_device_contributes_and_keeps_the_reason_to_itself(tmp_path, error):
    bench = AgentOnALink(tmp_path, broken(error))

    bench.announce()

    assert len(bench.arrived(Kind.CONTRIBUTION)) == 1
    assert (error.what if isinstance(error, DataError) else type(error).__name__) in bench.texts()
    bench.store.close()


@pytest.mark.parametrize(
    "data", [Data(np.ones((3, 5)), np.array([0, 1, 0])), Data(np.ones((3, 4)), np.array([0, 1, 7]))], ids=["wide", "label out of range"]
)
def test_data_that_the_model_does_not_take_give_a_zero_of_the_same_size(tmp_path, data):
    good, bad = (
        AgentOnALink(tmp_path / "good", folder_made(tmp_path, "good")),
        AgentOnALink(tmp_path / "bad", folder_made(tmp_path, "bad", data)),
    )
    sizes = []
    for bench in (good, bad):
        bench.announce()
        sizes += [len(sealed) for sealed in bench.arrived(Kind.CONTRIBUTION)]
        bench.store.close()

    assert len(sizes) == 2
    assert len(set(sizes)) == 1


def folder_made(tmp_path, name, data=GOOD):
    (tmp_path / name).mkdir()
    return lambda: data


def test_a_member_imports_its_share_and_answers(bench):
    plan = bench.announce()
    bench.publish(Kind.INBOX, encode(Inbox(KeyShareDelivery(FLEET.grants[NAME]))), device=NAME, chunk=0)
    bench.publish(Kind.REQUEST, encode(FLEET.request(plan, FLEET.bodies(plan))), number=1, chunk=0)
    bench.agent.pump()

    assert len(bench.arrived(Kind.PARTIAL)) == 1
    assert bench.store.member_state(FLEET.parties.owner.root.verify_key).share.data == SHARE


def test_a_share_delivered_twice_is_imported_once(bench):
    bench.announce()
    for _ in range(2):
        bench.publish(Kind.INBOX, encode(Inbox(KeyShareDelivery(FLEET.grants[NAME]))), device=NAME, chunk=0)
        bench.agent.pump()

    assert bench.store.member_state(FLEET.parties.owner.root.verify_key).share.data == SHARE


def test_a_member_raises_the_alarm_on_a_second_root_and_stops_contributing(bench):
    plan = bench.announce()
    bench.publish(Kind.INBOX, encode(Inbox(KeyShareDelivery(FLEET.grants[NAME]))), device=NAME, chunk=0)
    for names in (FLEET.names[:4], FLEET.names[1:5]):
        bench.publish(Kind.REQUEST, encode(FLEET.request(plan, FLEET.bodies(plan, names))), number=1, chunk=0)
    bench.agent.pump()
    (evidence,) = bench.arrived(Kind.EVIDENCE)

    assert len([report for report in bench.reports if isinstance(report, Alert)]) == 2
    assert evidence
    bench.arrived(Kind.CONTRIBUTION)
    bench.announce(FLEET.plan(2))
    assert bench.arrived(Kind.CONTRIBUTION) == []
    assert "equivocation" in bench.texts()


def test_a_device_that_is_no_member_hears_of_no_request(tmp_path):
    bench = AgentOnALink(tmp_path, member=False)
    plan = bench.announce()
    bench.arrived(Kind.CONTRIBUTION)

    bench.publish(Kind.REQUEST, encode(FLEET.request(plan, FLEET.bodies(plan))), number=1, chunk=0)

    assert bench.agent.pump() == 0
    bench.store.close()


@pytest.mark.parametrize("kind", [Kind.ROSTER, Kind.PLAN, Kind.RECEIPT, Kind.INBOX, Kind.REQUEST])
@pytest.mark.parametrize("data", [b"\xc1", b"\x92\x01", bytes(1000)], ids=len)
def test_garbage_on_any_topic_is_reported_and_survived(bench, kind, data):
    fields = {Kind.ROSTER: {"number": 9, "chunk": 0}, Kind.RECEIPT: {"device": NAME, "number": 1}, Kind.INBOX: {"device": NAME, "chunk": 0}}
    bench.publish(kind, data, **fields.get(kind, {"number": 1, "chunk": 0} if kind is Kind.REQUEST else {}))

    bench.agent.pump()

    assert bench.reports
    bench.announce()
    assert len(bench.arrived(Kind.CONTRIBUTION)) == 1


def test_a_cleared_topic_is_no_message(bench):
    bench.announce()
    bench.reports.clear()
    bench.publish(Kind.PLAN, b"")

    bench.agent.pump()

    assert bench.reports == []


def test_a_model_of_another_hash_is_reported(bench):
    bench.publish(Kind.ROSTER, encode_signed(FLEET.roster.signed), number=1, chunk=0)
    bench.publish(Kind.PLAN, encode_signed(FLEET.plan().signed))
    bench.agent.pump()
    bench.publish(Kind.MODEL, bytes(44), digest=FLEET.model.digest.hex(), chunk=0)
    bench.agent.pump()

    with refused(Refusal.MODEL_HASH, PeerError):
        raise next(report.error for report in bench.reports if isinstance(report, Refused))


def test_events_at_the_wrong_time_leave_a_note(bench):
    bench.publish(Kind.REQUEST, b"early", number=1, chunk=0)
    bench.agent.pump()

    assert [type(report) for report in bench.reports] == [Note]
