"""The thread that keeps a session connected, with connections that a test scripts."""

import ssl
from contextlib import closing
from functools import partial

import pytest

from hushfleet.link.mqtt.network import pause_s
from hushfleet.link.mqtt.options import MqttOptions
from hushfleet.link.mqtt.session import Session
from hushfleet.randomness import SeededRandomness
from tests.support.waiting import eventually

FOREVER = 10**9


class Scripted:
    """A connection that calls `script`, a list of functions of its listener, one a step; then it is gone."""

    def __init__(self, script, listener) -> None:
        self.script, self.listener = script, listener

    def open(self):
        if not self.script:
            raise ConnectionRefusedError

    def step(self, _wakeup, _timeout_s):
        if not self.script:
            return False
        self.script.pop(0)(self.listener)
        return True

    def acknowledge(self, number):
        pass

    def leave(self, within_s):
        pass

    def drop(self):
        pass


def arriving(data):
    return lambda listener: listener.session.on_arrived("topic", data, retained=False, number=1)


def accepted(listener, session_present=False):
    listener.session.on_connected(session_present=session_present, most_packet_bytes=FOREVER, receive_maximum=FOREVER)


@pytest.fixture
def run():
    """A session over scripted connections, one after the other; then nobody listens."""
    sessions = []

    def run(*scripts: list, retry_s=(0.001, 0.01), ends_with="Nothing listens"):
        heard, left = [], [*scripts]
        options = MqttOptions("broker.lan", 8883, "greenhouse", "pi-01", ssl.create_default_context(), retry_s=retry_s)
        session = Session(options, lambda listener: Scripted(left.pop(0) if left else [], listener), SeededRandomness(b""), heard.append)
        sessions.append(session)
        session.open()
        eventually(lambda: not left and ends_with in session.problem)
        return session, heard

    yield run
    for session in sessions:
        session.close()


def test_the_brokers_reason_is_told(run):
    _, heard = run([accepted, lambda listener: listener.on_disconnected("Administrative action")])
    assert heard[0] == "The broker at broker.lan:8883 ended the connection: Administrative action."


def test_a_session_taken_over_says_by_whom(run):
    _, heard = run([accepted, lambda listener: listener.on_disconnected("Session taken over")])
    assert heard[0].endswith("Session taken over. Another program uses the identity pi-01.")


def test_a_refused_connection_is_told_and_does_not_count(run):
    session, heard = run([lambda listener: listener.on_disconnected("Not authorized")])
    assert heard[0].endswith("ended the connection: Not authorized.")
    assert session.connections == 0


def test_a_lost_connection_is_told(run):
    session, heard = run([accepted], [accepted])
    assert heard[0] == "The connection with broker.lan:8883 was lost."
    assert session.connections == 2


def test_a_second_connection_lost_soon_after_it_was_accepted_may_mean_that_somebody_else_has_this_identity(run):
    _, heard = run([accepted], [accepted])
    assert "another program may use the identity pi-01" in heard[1]


def test_connections_that_lasted_say_nothing_of_the_kind(monkeypatch, run):
    monkeypatch.setattr("hushfleet.link.mqtt.network._STABLE_S", 0.0)
    _, lasted = run([accepted], [accepted], [accepted])
    assert not any("another program" in text for text in lasted)


def test_whatever_a_step_raises_the_next_connection_goes_on(run):
    def faulty(listener):
        raise ZeroDivisionError(listener)

    session, heard = run([accepted, faulty], [accepted])
    assert "connects again: ZeroDivisionError" in heard[0]
    assert session.connections == 2


def test_a_broker_that_never_accepts_is_given_up(monkeypatch, run):
    monkeypatch.setattr("hushfleet.link.mqtt.network._ACCEPTED_WITHIN_S", 0.0)
    _, heard = run([lambda _: None] * 1000)
    assert heard[0].startswith("broker.lan:8883 does not answer.")


class TestOutages:
    """After an outage a fleet is back within seconds; whoever is turned away does not knock all the time."""

    def longest(self, monkeypatch, *scripts: list, error=ConnectionRefusedError):
        """The greatest bound of a pause after these connections and many attempts that end with `error`."""
        bounds, attempts = [], []

        def pause(failures, bounds_s, _):
            bounds.append(min(bounds_s[1], bounds_s[0] * 2**failures))
            return 0.0

        def connect(listener):
            attempts.append(listener)
            connection = Scripted(list(scripts[len(attempts) - 1]) if len(attempts) <= len(scripts) else [], listener)
            connection.open = lambda: None if len(attempts) <= len(scripts) else refuse()
            return connection

        def refuse():
            raise error

        monkeypatch.setattr("hushfleet.link.mqtt.network.pause_s", pause)
        options = MqttOptions("broker.lan", 8883, "greenhouse", "pi-01", ssl.create_default_context())
        with closing(Session(options, connect, SeededRandomness(b""), lambda _: None)) as session:
            session.open()
            eventually(lambda: len(bounds) > 12)
        return max(bounds[:12])

    def test_a_broker_that_is_away_is_looked_for_every_few_seconds(self, monkeypatch):
        assert self.longest(monkeypatch) == 8.0
        assert self.longest(monkeypatch, [accepted], error=TimeoutError()) == 8.0
        assert self.longest(monkeypatch, error=ssl.SSLEOFError()) == 8.0

    def test_a_broker_that_shuts_down_too(self, monkeypatch):
        assert self.longest(monkeypatch, [accepted, lambda listener: listener.on_disconnected("Server shutting down")]) == 8.0

    def test_whoever_is_turned_away_waits_longer_each_time(self, monkeypatch):
        turned_away = [[lambda listener: listener.on_disconnected("Not authorized")]] * 20
        assert self.longest(monkeypatch, *turned_away) == 120.0
        expired = ssl.SSLCertVerificationError()
        expired.verify_code, expired.verify_message = 10, "certificate has expired"
        assert self.longest(monkeypatch, error=expired) == 120.0


def test_waking_a_thread_that_does_not_listen_is_harmless():
    options = MqttOptions("broker.lan", 8883, "greenhouse", "pi-01", ssl.create_default_context())
    with closing(Session(options, lambda listener: Scripted([], listener), SeededRandomness(b""), lambda _: None)) as session:
        assert not session.alive_within_s(FOREVER)
        for _ in range(10_000):
            session._network.wake()
    session._network.wake()


class TestDeliveries:
    """Numbers are those of one connection, and the broker delivers again only what it still knows."""

    def test_what_a_forgotten_session_had_delivered_stays_and_what_a_kept_one_delivers_again_does_not(self, run):
        for kept, expected in ((False, [b"one", b"two"]), (True, [b"two"])):
            again = partial(accepted, session_present=kept)
            session, _ = run([accepted, arriving(b"one")], [again, arriving(b"two")])
            assert [session.receive().data for _ in expected] == expected
            assert session.receive() is None

    def test_an_acknowledgement_means_nothing_on_another_connection(self, run):
        taken, acknowledged = [], []

        def take(listener):
            taken.append(listener.session.receive())

        def acknowledge_both(listener):
            listener.session.acknowledge(taken[0])
            assert not listener.session._acknowledgements
            listener.session.acknowledge(taken[1])
            acknowledged.extend(listener.session._acknowledgements)

        _, heard = run([accepted, arriving(b"one"), take], [accepted, arriving(b"two"), take, acknowledge_both])
        assert [delivery.data for delivery in taken] == [b"one", b"two"]
        assert acknowledged == [1]
        assert not [text for text in heard if "connects again" in text]


class TestPauses:
    def test_the_bound_doubles_up_to_the_greatest(self):
        class Most:
            def bits(self, count):
                return 2**count - 1

        pauses = [round(pause_s(failures, (1.0, 120.0), Most())) for failures in (0, 1, 2, 6, 7, 1000)]
        assert pauses == [1, 2, 4, 64, 120, 120]

    @pytest.mark.parametrize(("stable_s", "expected"), [(FOREVER, [1, 2, 3, 4]), (-1, [1, 0, 1, 2])])
    def test_only_a_connection_that_lasts_makes_them_short_again(self, run, monkeypatch, stable_s, expected):
        monkeypatch.setattr("hushfleet.link.mqtt.network._STABLE_S", stable_s)
        counted = []

        def counting(failures, *_: object):
            counted.append(failures)
            return 0.001

        monkeypatch.setattr("hushfleet.link.mqtt.network.pause_s", counting)
        run([], [accepted])
        eventually(lambda: len(counted) >= len(expected))
        assert counted[: len(expected)] == expected

    def test_a_thread_that_pauses_is_alive(self, run):
        session, _ = run([accepted], retry_s=(1000, 1000), ends_with="was lost")
        eventually(lambda: session.alive_within_s(0))

    def test_anything_below_it_may_come(self):
        randomness = SeededRandomness(b"jitter")
        pauses = [pause_s(4, (1.0, 120.0), randomness) for _ in range(200)]
        assert min(pauses) < 2
        assert max(pauses) > 14
        assert all(0 <= pause < 16 for pause in pauses)


def test_a_diagnosis_that_finds_nothing_still_says_something(run, monkeypatch):
    monkeypatch.setattr("hushfleet.link.mqtt.network.diagnose", lambda *_: None)
    _, heard = run([lambda _: None])
    assert heard[0] == "broker.lan:8883 closed the connection at once."
