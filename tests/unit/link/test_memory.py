import threading
from dataclasses import replace

import pytest

from hushfleet.errors import PeerError, Refusal
from hushfleet.link import Delivery, MemoryBroker
from hushfleet.wire import Kind
from hushfleet.wire.topics import matches
from tests.support.link_contract import DEVICE, FLEET, MEMBER, PLAN, LinkContract, Sessions, filter_of, topic
from tests.support.refusals import refused
from tests.support.waiting import LIMIT_S


@pytest.fixture
def broker():
    return MemoryBroker(FLEET)


@pytest.fixture
def sessions(broker):
    orchestrator = broker.connect("orchestrator", orchestrator=True)
    return Sessions(orchestrator, broker.connect(MEMBER, member=True), broker.connect(DEVICE), patience_s=LIMIT_S)


class TestMemoryLink(LinkContract):
    pass


class TestMatching:
    @pytest.mark.parametrize(("pattern", "text"), [("a/b", "a/b"), ("a/+", "a/b"), ("+/+", "a/b"), ("a/+/c", "a/b/c"), ("a/+", "a/")])
    def test_what_matches(self, pattern, text):
        assert matches(pattern, text)

    @pytest.mark.parametrize(
        ("pattern", "text"),
        [("a/b", "a/c"), ("a", "a/b"), ("a/b", "a"), ("+", "a/b"), ("a/+", "a"), ("a/+", "a/b/c"), ("a/b", "a/+"), ("a/#", "a/b")],
    )
    def test_what_does_not(self, pattern, text):
        assert not matches(pattern, text)


class TestSessions:
    def test_a_session_survives_its_connection_with_all_that_arrived_meanwhile(self, broker, sessions):
        sessions.device.subscribe(filter_of(Kind.PLAN))
        sessions.orchestrator.publish(PLAN, b"a plan")
        again = broker.connect(DEVICE)
        assert sessions.arrivals(again, 1) == [b"a plan"]

    def test_who_comes_back_with_another_role_has_its_acl(self, broker, sessions):
        broker.connect(DEVICE, member=True).subscribe(filter_of(Kind.REQUEST))
        sessions.orchestrator.publish(topic(Kind.REQUEST, number=1, chunk=0), b"a request")
        assert sessions.arrivals(sessions.device, 1) == [b"a request"]
        broker.connect(DEVICE)
        sessions.orchestrator.publish(topic(Kind.REQUEST, number=2, chunk=0), b"not for it any more")
        sessions.nothing_more_arrives(sessions.device)

    @pytest.mark.parametrize("identity", ["+", "", "pi-01/status"])
    def test_an_identity_that_is_no_id_does_not_connect(self, broker, identity):
        with refused(Refusal.ID_MALFORMED, PeerError):
            broker.connect(identity)

    def test_bytes_are_counted_per_identity(self, broker, sessions):
        for size in (3, 4):
            sessions.orchestrator.publish(PLAN, bytes(size))
        sessions.device.publish(topic(Kind.STATUS, device=DEVICE), b"here")
        assert broker.bytes_published == {"orchestrator": 7, DEVICE: 4}

    def test_data_are_taken_as_they_were_when_published(self, sessions):
        sessions.device.subscribe(filter_of(Kind.PLAN))
        data = bytearray(b"a plan")
        sessions.orchestrator.publish(PLAN, data)
        data[0] = 0
        assert sessions.arrivals(sessions.device, 1) == [b"a plan"]


class TestTap:
    """How a test plays a malicious network."""

    def test_it_sees_drops_and_alters_what_passes(self, broker, sessions):
        seen = []

        def tap(identity, delivery):
            seen.append((identity, delivery.data))
            return None if delivery.data == b"drop" else replace(delivery, data=delivery.data.upper())

        broker.tap = tap
        sessions.device.subscribe(filter_of(Kind.PLAN))
        for data in (b"drop", b"alter"):
            sessions.orchestrator.publish(PLAN, data, retain=True)
        assert sessions.arrivals(sessions.device, 1) == [b"ALTER"]
        assert seen == [("orchestrator", b"drop"), ("orchestrator", b"alter")]
        sessions.member.subscribe(filter_of(Kind.PLAN))
        assert sessions.arrives(sessions.member) == Delivery(PLAN, b"ALTER", retained=True)


class TestThreads:
    def test_a_waiting_receiver_is_woken(self, sessions):
        sessions.device.subscribe(filter_of(Kind.PLAN))
        got = []
        waiting = threading.Thread(target=lambda: got.append(sessions.device.receive(None)))
        waiting.start()
        sessions.orchestrator.publish(PLAN, b"a plan")
        waiting.join(5)
        assert [delivery.data for delivery in got] == [b"a plan"]

    def test_publishing_and_subscribing_side_by_side_loses_nothing(self, sessions):
        """The filters change all the time; the one that matters stays."""
        sessions.device.subscribe(filter_of(Kind.PLAN))
        stop = threading.Event()

        def fidget():
            number = 0
            while not stop.is_set():
                pattern = filter_of(Kind.INBOX, device=f"d{number % 100}")
                (sessions.device.unsubscribe if number % 3 else sessions.device.subscribe)(pattern)
                number += 1

        other = threading.Thread(target=fidget)
        other.start()
        try:
            for number in range(2000):
                sessions.orchestrator.publish(PLAN, number.to_bytes(2, "big"))
        finally:
            stop.set()
            other.join()
        assert sessions.arrivals(sessions.device, 2000) == [number.to_bytes(2, "big") for number in range(2000)]
