from dataclasses import dataclass

import pytest

from hushfleet.errors import PeerError, PhaseError, Refusal
from hushfleet.randomness import SeededRandomness
from hushfleet.rounds import coordinator, device, member
from hushfleet.rounds.effects import KeepRoster, KeepSeen, Note, Persist, Refused
from hushfleet.rounds.events import RosterArrived
from hushfleet.rounds.machine import Running, Transitions, together
from hushfleet.wire import encode_signed
from tests.diagrams import MACHINES, PAGE, drawn, with_diagrams
from tests.support.fleet import make_fleet
from tests.support.refusals import refused

RANDOM = SeededRandomness(b"machine")
TABLES = {"device": device.TRANSITIONS, "member": member.TRANSITIONS, "coordinator": coordinator.TRANSITIONS}


@dataclass(frozen=True)
class Off:
    pass


@dataclass(frozen=True)
class On:
    turns: int = 0


class Switch:
    """A machine of two phases; `lead` is where its handler goes."""

    def __init__(self, lead=On, effects=()) -> None:
        self.transitions = Transitions({(Off, str): (On,)})
        self.transitions.on(str)(lambda *_: (lead(), effects))

    def step(self, state, event, randomness):
        return self.transitions.step(self, state, event, randomness)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_entry_of_a_machines_table_has_a_handler(table):
    assert not table.missing


@pytest.mark.parametrize("name", TABLES)
def test_every_phase_of_a_table_can_be_reached_and_left(name):
    phases = {phase for phase, _ in TABLES[name].table}
    following = {after for (before, _), afters in TABLES[name].table.items() for after in afters if after is not before}
    leaving = {before for (before, _), afters in TABLES[name].table.items() for after in afters if after is not before}
    first = {phase for phase in phases if phase.__name__ == "Unenrolled"}

    assert phases - following == first
    assert leaving == phases


def test_an_event_that_the_table_does_not_have_is_a_phase_error():
    with refused(Refusal.PHASE, PhaseError):
        Switch().step(On(), "turn", RANDOM)


def test_a_handler_that_leads_elsewhere_than_its_table_says_is_a_defect():
    with pytest.raises(RuntimeError, match="which its table does not name"):
        Switch(lead=Off).step(Off(), "turn", RANDOM)


def test_a_handler_for_an_event_or_phase_that_the_table_does_not_have_is_refused_at_once():
    table = Transitions({(Off, str): (On,)})

    with pytest.raises(ValueError, match="no entry for int"):
        table.on(int)
    with pytest.raises(ValueError, match="no entry for str"):
        table.on(str, On)


def test_a_peers_fault_is_a_refused_effect_and_the_state_is_as_it_was():
    error = PeerError(Refusal.SIGNATURE, "not signed")

    def fail(*_: object):
        raise error

    table = Transitions({(Off, str): (On,)})
    table.on(str)(fail)
    state = Off()

    assert table.step(None, state, "turn", RANDOM) == (state, (Refused(error),))


def test_a_state_is_adopted_only_once_its_changes_are_stored():
    def full(_: object):
        raise OSError("the disk is full")

    running = Running(Switch(effects=(Persist((KeepSeen(b"", 1),)),)), Off(), full, RANDOM)

    with pytest.raises(OSError, match="disk is full"):
        running.step("turn")
    assert running.state == Off()


def test_an_offer_at_the_wrong_time_leaves_a_note():
    running = Running(Switch(), On(), lambda _: None, RANDOM)

    (note,) = running.offer("turn")
    assert isinstance(note, Note)
    assert running.state == On()


class TestTogether:
    FLEET = make_fleet()

    def pair(self, persist):
        fleet = self.FLEET
        as_device = Running(fleet.device("device-01"), fleet.device_state(), persist, RANDOM)
        return as_device, Running(fleet.member("device-01"), fleet.member_state("device-01"), persist, RANDOM)

    def test_device_and_member_take_a_roster_in_one_transaction_that_stores_it_once(self):
        transactions = []
        pair, newer = self.pair(transactions.append), self.FLEET.newer(key_epoch=1)

        together(pair, RosterArrived(encode_signed(newer.roster.signed)))

        (changes,) = transactions
        assert [one for one in changes if isinstance(one, KeepRoster)] == [KeepRoster(newer.roster.signed)]
        assert {one.state.roster.digest for one in pair} == {newer.roster.digest}
        assert not pair[1].state.share

    def test_neither_follows_a_roster_that_was_not_stored(self):
        def cut(_: object):
            raise OSError("power cut")

        pair = self.pair(cut)
        with pytest.raises(OSError, match="power cut"):
            together(pair, RosterArrived(encode_signed(self.FLEET.newer(key_epoch=1).roster.signed)))

        assert {one.state.roster.digest for one in pair} == {self.FLEET.roster.digest}
        assert pair[1].state.share

    def test_both_refuse_an_older_roster(self):
        transactions = []
        newer = self.FLEET.newer()
        pair = self.pair(transactions.append)
        together(pair, RosterArrived(encode_signed(newer.roster.signed)))

        effects = together(pair, RosterArrived(encode_signed(self.FLEET.roster.signed)))

        assert [one.error.reason for one in effects if isinstance(one, Refused)] == [Refusal.ROSTER_OLDER] * 2
        assert len(transactions) == 1


class TestDiagrams:
    def test_the_page_shows_the_machines_as_they_are(self):
        assert with_diagrams(PAGE.read_text()) == PAGE.read_text(), "python -m tests.diagrams draws it anew"

    def test_another_table_is_another_diagram(self):
        other = Transitions({key: value for key, value in device.TRANSITIONS.table.items() if key[0] is not device.Working})

        assert drawn(other) != drawn(MACHINES["device"])

    def test_a_page_without_a_place_is_refused(self):
        with pytest.raises(ValueError, match="no place"):
            with_diagrams("nothing here")


def test_no_phase_can_be_built_without_what_it_holds():
    for phase in (coordinator.Collecting, coordinator.Decrypting, device.Fetching, device.Working, member.Waiting):
        with pytest.raises(TypeError):
            phase()
