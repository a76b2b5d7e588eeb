"""The sending slot: when a finished contribution leaves, and what everybody sees until then."""

import pytest

from edge_agent.daemon import Voice
from edge_agent.slot import SendingSlot
from hushfleet.wire import Kind, Presence
from tests.support.fleet.agent import FLEET, FLEET_NAME, NAME, AgentOnALink


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize(("took_s", "due_s"), [(0.0, 10.0), (0.5, 10.0), (9.75, 10.0), (10.0, 20.0), (25.0, 30.0)])
def test_it_leaves_at_the_first_multiple_after_the_work(took_s, due_s):
    clock = Clock()
    slot = SendingSlot(clock)
    slot.plan_arrived(10)
    clock.now_s += took_s
    slot.done()

    assert slot.hold("contribution")
    assert slot.wait_s == due_s - took_s
    clock.now_s = 100.0 + due_s - 0.25
    assert slot.due() is None
    clock.now_s = 100.0 + due_s
    assert slot.due() == "contribution"
    assert slot.due() is None
    assert not slot.hold("again")


def test_until_then_it_is_durable_paid_and_nobody_sees_that_it_is_done(tmp_path):
    clock = Clock()
    device = AgentOnALink(tmp_path, now_s=clock)
    voice = Voice(FLEET.parties.devices[NAME], FLEET_NAME, bytes(16))
    device.publish(Kind.ROSTER, device.signed(FLEET.roster), number=1, chunk=0)
    device.agent.pump()
    before = voice.of(device.agent)
    device.announce()
    told = voice.of(device.agent)
    assert device.store.waits_for_receipt()
    assert device.store.head().number > before.journal.number
    assert (told.journal, told.readiness) == (before.journal, before.readiness)
    assert len(device.store.ledger().events) == 1
    assert device.agent.presence is Presence.WORKING

    device.agent.connect()  # a connection that comes back does not let it go early
    assert device.arrived(Kind.CONTRIBUTION) == []

    clock.now_s += FLEET.plan().plan.sending_slot_s
    device.agent.pump()
    assert len(device.arrived(Kind.CONTRIBUTION)) == 1
    assert device.agent.presence is Presence.SENT
    assert voice.of(device.agent).journal == device.store.head()
    device.store.close()


def test_after_a_restart_it_leaves_at_once(tmp_path):
    device = AgentOnALink(tmp_path, now_s=Clock())
    device.announce()

    device.restart()
    assert len(device.arrived(Kind.CONTRIBUTION)) == 1
    device.store.close()
