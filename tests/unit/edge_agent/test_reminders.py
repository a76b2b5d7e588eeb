"""What does not come is asked for again, and what nobody confirms is sent again."""

import pytest

from edge_agent import reminders as reminders_module
from edge_agent.reminders import ASK_S, CONFIRM_S, Pauses, Reminders
from hushfleet.documents import Receipt, ReceiptStatus, sign_receipt
from hushfleet.labels import sha256
from hushfleet.link.transfers import Incomplete
from hushfleet.privacy import Ledger
from hushfleet.randomness import SeededRandomness
from hushfleet.rounds.device import DeviceMemory, Fetching, Idle, Sent, Unenrolled
from hushfleet.wire import Kind, Presence, Topic, encode_signed
from hushfleet.wire.topics import subscription
from tests.support.fleet.agent import FLEET, FLEET_NAME, NAME, AgentOnALink

LATER = 2.01
"""As a multiple of a pause: by then it is over, whatever its random part."""
DIGEST = FLEET.model.digest.hex()


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def bench(tmp_path, clock):
    reminders = Reminders(clock, SeededRandomness(b"reminders"))
    bench = AgentOnALink(tmp_path, member=False, reminders=reminders)
    yield bench
    bench.store.close()


class TestPauses:
    def test_a_pause_is_random_within_its_bounds_and_doubles(self, clock):
        pauses, waited = Pauses(clock, SeededRandomness(b"pauses")), []
        for _ in range(4):
            start_s = clock.now_s
            while not pauses.due("cause", first_s=10):
                clock.now_s += 0.125
            waited.append(clock.now_s - start_s)

        for number, seconds in enumerate(waited):
            assert 10 * 2**number <= seconds <= 20 * 2**number + 0.125
        assert len({seconds / 2**number for number, seconds in enumerate(waited)}) == 4

    def test_another_cause_begins_anew_and_none_ends_it(self, clock):
        pauses = Pauses(clock, SeededRandomness(b"pauses"))
        assert not pauses.due("one", first_s=10)
        clock.now_s += 20
        assert not pauses.due("other", first_s=10)
        assert not pauses.due(None, first_s=10)
        clock.now_s += 20
        assert not pauses.due(None, first_s=10)
        assert not pauses.due("other", first_s=10)

    def test_nothing_is_due_for_ever(self, clock):
        pauses = Pauses(clock, SeededRandomness(b"pauses"))
        pauses.due("cause", first_s=10, lasts_s=100)
        clock.now_s += 100
        assert pauses.due("cause", first_s=10, lasts_s=100)
        clock.now_s += 1000
        assert not pauses.due("cause", first_s=10, lasts_s=100)

    def test_pauses_have_an_end(self, clock):
        pauses = Pauses(clock, SeededRandomness(b"pauses"))
        pauses.due("cause", first_s=10)
        for _ in range(40):
            clock.now_s += LATER * reminders_module._MOST_PAUSE_S
            assert pauses.due("cause", first_s=10)


def missed(bench: AgentOnALink, kind: Kind, data: bytes, digest: str | None = None, **fields: object) -> None:
    """Published and retained, but lost on its way to the device."""
    pattern = subscription(FLEET_NAME, kind, digest=digest)
    bench.link.patterns.discard(pattern)
    bench.publish(kind, data, digest=digest, **fields)
    bench.link.patterns.add(pattern)


def later(bench, clock, seconds):
    clock.now_s += seconds
    bench.agent.remind()
    bench.agent.pump()


def test_a_model_that_does_not_come_is_asked_for_again(bench, clock):
    bench.publish(Kind.ROSTER, encode_signed(FLEET.roster.signed), number=1, chunk=0)
    bench.publish(Kind.PLAN, encode_signed(FLEET.plan().signed))
    bench.agent.pump()
    missed(bench, Kind.MODEL, FLEET.model.to_bytes(), digest=DIGEST, chunk=0)
    for wait_s in (0, ASK_S / 2):
        later(bench, clock, wait_s)
        assert isinstance(bench.agent.state, Fetching)

    later(bench, clock, LATER * ASK_S)

    assert bench.agent.presence is Presence.SENT


def test_a_roster_that_a_plan_waits_for_is_asked_for_again(bench, clock):
    bench.publish(Kind.ROSTER, encode_signed(FLEET.roster.signed), number=1, chunk=0)
    newer = FLEET.without("device-06")
    bench.publish(Kind.PLAN, encode_signed(newer.plan().signed))
    bench.agent.pump()
    missed(bench, Kind.ROSTER, encode_signed(newer.roster.signed), number=2, chunk=0)
    later(bench, clock, 0)
    assert bench.agent.roster == FLEET.roster

    later(bench, clock, LATER * ASK_S)

    assert bench.agent.roster == newer.roster
    assert isinstance(bench.agent.state, Fetching)


def receipt(sealed, status, missing=()):
    plan = FLEET.plan().plan
    told = Receipt(FLEET_NAME, NAME, plan.key_id, plan.round, sha256(sealed), status, missing, "")
    return encode_signed(sign_receipt(told, FLEET.parties.orchestrator.signing))


def test_a_contribution_without_a_receipt_is_sent_again_byte_for_byte(bench, clock):
    bench.announce()
    (sealed,) = bench.arrived(Kind.CONTRIBUTION)
    later(bench, clock, 0)
    assert bench.arrived(Kind.CONTRIBUTION) == []

    later(bench, clock, LATER * CONFIRM_S[1])
    assert bench.arrived(Kind.CONTRIBUTION) == [sealed]

    bench.publish(Kind.RECEIPT, receipt(sealed, ReceiptStatus.ACCEPTED), device=NAME, number=1)
    bench.agent.pump()
    for _ in range(3):
        later(bench, clock, 4 * LATER * CONFIRM_S[1])
    assert bench.arrived(Kind.CONTRIBUTION) == []


def test_a_contribution_is_not_sent_again_after_its_deadline(bench, clock):
    plan = bench.announce().plan
    bench.arrived(Kind.CONTRIBUTION)
    later(bench, clock, 0)

    later(bench, clock, plan.deadline_s + 1)

    assert bench.arrived(Kind.CONTRIBUTION) == []


def test_a_receipt_for_a_part_gives_time_for_the_rest(bench, clock):
    bench.announce()
    (sealed,) = bench.arrived(Kind.CONTRIBUTION)
    later(bench, clock, 0)
    clock.now_s += LATER * CONFIRM_S[1]
    bench.publish(Kind.RECEIPT, receipt(sealed, ReceiptStatus.HELD, ((0, 1),)), device=NAME, number=1)
    bench.agent.pump()
    assert bench.arrived(Kind.CONTRIBUTION) == [sealed]

    later(bench, clock, 0)
    assert bench.arrived(Kind.CONTRIBUTION) == []


@pytest.mark.parametrize(
    "state", [Unenrolled(DeviceMemory(Ledger())), Idle(DeviceMemory(Ledger()), FLEET.roster)], ids=["first roster", "newer roster"]
)
class TestTransfersInParts:
    @staticmethod
    def roster(*missing: tuple[int, int]) -> Incomplete:
        return Incomplete(Topic(FLEET_NAME, Kind.ROSTER, number=1, chunk=0), bytes(32), missing, 0.0)

    def test_one_that_moves_is_left_alone(self, clock, state):
        reminders = Reminders(clock, SeededRandomness(b"parts"))
        for missing in range(9, 0, -1):
            assert list(reminders.due(state, [self.roster((0, missing))])) == []
            clock.now_s += 0.9 * ASK_S

    def test_one_that_stands_still_is_asked_for_again(self, clock, state):
        reminders = Reminders(clock, SeededRandomness(b"parts"))
        assert list(reminders.due(state, [self.roster((0, 2))])) == []
        clock.now_s += LATER * ASK_S
        assert list(reminders.due(state, [self.roster((0, 2))])) == [Kind.ROSTER]

    def test_without_any_nothing_is_due(self, clock, state):
        reminders = Reminders(clock, SeededRandomness(b"parts"))
        for _ in range(3):
            assert list(reminders.due(state, [])) == []
            clock.now_s += LATER * ASK_S


@pytest.mark.parametrize(("deadline_s", "first_s"), [(1, CONFIRM_S[0]), (100, 25), (86_400, CONFIRM_S[1])])
def test_the_first_pause_follows_the_deadline(clock, deadline_s, first_s):
    state = Idle(DeviceMemory(Ledger(), sent=Sent(bytes(32), 1, b"sealed")), FLEET.roster)
    reminders = Reminders(clock, SeededRandomness(b"first"), deadline_s=deadline_s)
    assert list(reminders.due(state, [])) == []

    assert first_s <= reminders._receipt._next_s - clock.now_s <= 2 * first_s
