"""The link over a real Mosquitto with TLS, client certificates and the ACL of the topic table."""

import socket
import threading
import time
from contextlib import closing
from signal import SIGCONT, SIGSTOP

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from hushfleet.errors import Refusal
from hushfleet.link import LinkError
from hushfleet.link.mqtt import client as mqtt
from hushfleet.link.mqtt.options import LastWill
from hushfleet.link.mqtt.outbox import Outbox
from hushfleet.wire import Kind
from tests.support.broker import ORCHESTRATOR, STATUS, Links, arrivals, running, subscribed
from tests.support.link_contract import DEVICE, FLEET, FORBIDDEN, MEMBER, PLAN, LinkContract, Sessions, topic
from tests.support.mosquitto import HOST
from tests.support.refusals import refused
from tests.support.waiting import LIMIT_S, eventually

CHUNK = 120_000


class Settled:
    """A link whose publications are at the broker when `publish` returns, so that what one session does comes before the next."""

    def __init__(self, link) -> None:
        self._link = link

    def __getattr__(self, name) -> object:
        return getattr(self._link, name)

    def publish(self, *arguments: object, **options: object):
        self._link.publish(*arguments, **options)
        assert self._link.flush(LIMIT_S)


@pytest.fixture
def sessions(links):
    return Sessions(*(Settled(links.connect(identity)) for identity in (ORCHESTRATOR, MEMBER, DEVICE)), patience_s=LIMIT_S)


class TestMqttLink(LinkContract):
    pass


class TestFlow:
    def test_16_mb_in_the_greatest_messages_arrive_whole_and_in_order(self, links):
        device = subscribed(links.connect(DEVICE), Kind.MODEL)
        orchestrator = links.connect(ORCHESTRATOR)
        chunks = [bytes([index]) * CHUNK for index in range((16 << 20) // CHUNK)]

        def send():
            for index, chunk in enumerate(chunks):
                orchestrator.publish(topic(Kind.MODEL, digest="ab" * 32, chunk=index), chunk)

        sender = threading.Thread(target=send)
        sender.start()
        try:
            assert arrivals(device, len(chunks)) == chunks
        finally:
            sender.join()

    def test_several_threads_may_publish(self, links):
        orchestrator, device = subscribed(links.connect(ORCHESTRATOR), Kind.CONTRIBUTION), links.connect(DEVICE)

        def send(number):
            for chunk in range(50):
                device.publish(topic(Kind.CONTRIBUTION, device=DEVICE, number=number, chunk=chunk), f"{number}/{chunk}".encode())

        threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        taken = arrivals(orchestrator, 200)
        for thread in threads:
            thread.join()
        for number in range(4):
            of_one = [data for data in taken if data.startswith(f"{number}/".encode())]
            assert of_one == [f"{number}/{chunk}".encode() for chunk in range(50)]

    def test_at_most_eight_deliveries_are_outstanding(self, broker, links):
        broker.stop()
        broker.extra = "max_inflight_messages 20\n"
        broker.again()
        device, orchestrator = subscribed(links.connect(DEVICE), Kind.PLAN), links.connect(ORCHESTRATOR)
        for number in range(9):
            orchestrator.publish(PLAN, bytes([number]))
        first = [device.receive(LIMIT_S) for _ in range(8)]
        assert [delivery.data for delivery in first] == [bytes([number]) for number in range(8)]
        assert orchestrator.flush(LIMIT_S)
        device.publish(STATUS, b"whatever the broker sends before it acknowledges this is here then")
        assert device.flush(LIMIT_S)
        assert device.receive() is None
        device.acknowledge(first[0])
        assert arrivals(device, 1) == [bytes([8])]

    def test_acknowledging_twice_is_harmless(self, links):
        device, orchestrator = subscribed(links.connect(DEVICE), Kind.PLAN), links.connect(ORCHESTRATOR)
        orchestrator.publish(PLAN, b"a plan")
        delivery = device.receive(LIMIT_S)
        for _ in range(2):
            device.acknowledge(delivery)
        orchestrator.publish(PLAN, b"another")
        assert arrivals(device, 1) == [b"another"]

    @pytest.mark.parametrize(("announced", "window"), [("", 8), ("max_inflight_messages 3\n", 3)])
    def test_no_more_are_in_flight_than_the_window(self, tmp_path, monkeypatch, announced, window):
        most = []
        sent = Outbox.sent

        def counted(outbox, number, message):
            sent(outbox, number, message)
            most.append(outbox.in_flight)

        monkeypatch.setattr(Outbox, "sent", counted)
        with running(tmp_path / "broker", announced) as broker, closing(Links(broker)) as links:
            orchestrator = links.connect(ORCHESTRATOR)
            broker.signal(SIGSTOP)
            for number in range(30):
                orchestrator.publish(PLAN, bytes([number]))
            eventually(lambda: len(most) == window)
            broker.signal(SIGCONT)
            assert orchestrator.flush(LIMIT_S)
        assert max(most) == window
        assert len(most) == 30

    def test_segments_are_sent_at_once(self, links, monkeypatch):
        made = []
        new = mqtt.Connection.__init__

        def remembered(connection, *arguments: object):
            new(connection, *arguments)
            made.append(connection)

        monkeypatch.setattr(mqtt.Connection, "__init__", remembered)
        links.connect(DEVICE)
        (connection,) = made
        assert connection._stream().getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


class TestRefusals:
    def test_what_is_above_the_brokers_limit_is_refused_here_and_the_link_goes_on(self, tmp_path):
        with running(tmp_path / "broker", "max_packet_size 20000\n") as broker, closing(Links(broker)) as links:
            device, orchestrator = subscribed(links.connect(DEVICE), Kind.PLAN), links.connect(ORCHESTRATOR)
            assert orchestrator.max_bytes == 20_000 - 1024
            with refused(Refusal.MESSAGE_TOO_LARGE, LinkError):
                orchestrator.publish(PLAN, bytes(orchestrator.max_bytes + 1))
            orchestrator.publish(PLAN, bytes(orchestrator.max_bytes))
            assert arrivals(device, 1) == [bytes(orchestrator.max_bytes)]
            assert orchestrator.connections == 1

    def test_what_a_changed_broker_no_longer_takes_is_given_up_and_told(self, broker, links):
        orchestrator = links.connect(ORCHESTRATOR)
        broker.stop()
        eventually(lambda: not orchestrator.connected)
        orchestrator.publish(PLAN, bytes(50_000))
        broker.extra = "max_packet_size 20000\n"
        broker.again()
        eventually(lambda: [text for text in links.problems[ORCHESTRATOR] if "the broker now takes" in text])
        with refused(Refusal.MESSAGE_TOO_LARGE, LinkError):
            orchestrator.publish(PLAN, b"small")
        orchestrator.publish(PLAN, b"small", retain=True)
        assert arrivals(subscribed(links.connect(DEVICE), Kind.PLAN), 1) == [b"small"]

    def test_what_the_broker_does_not_authorize_is_told_and_refused_once(self, broker, links):
        """The broker's list knows who is on the committee; a link lets every device say what a member may."""
        device, orchestrator = links.connect(DEVICE), subscribed(links.connect(ORCHESTRATOR), Kind.EVIDENCE)
        evidence = topic(Kind.EVIDENCE, device=DEVICE, number=1)
        device.publish(evidence, b"not authorized")
        eventually(lambda: any(evidence in text and "Not authorized" in text for text in links.problems[DEVICE]))
        with refused(Refusal.LINK_FORBIDDEN, LinkError):
            device.publish(evidence, b"refused here")
        broker.parties[DEVICE] = {"member": True}
        broker.write()
        broker.reload()
        device.publish(evidence, b"authorized now")
        assert arrivals(orchestrator, 1) == [b"authorized now"]
        assert device.connections == 1

    def test_the_broker_forbids_what_the_link_forbids(self, links):
        """The links here do not look at the table themselves."""
        for who, where in FORBIDDEN:
            if who == "orchestrator" and FLEET in where:
                continue  # a broker does not tell clearing from saying: the link alone does
            identity = {"device": DEVICE, "member": MEMBER, "orchestrator": ORCHESTRATOR}[who]
            link = links.connect(identity, leave_to_broker=True)
            link.publish(where, b"not mine")
            assert link.flush(LIMIT_S)
            assert any(where in text and "Not authorized" in text for text in links.problems[identity])
            link.close()

    def test_a_closed_link_publishes_nothing_more(self, links):
        device = links.connect(DEVICE)
        device.close()
        device.close()
        with refused(Refusal.LINK_AWAY, LinkError):
            device.publish(STATUS, b"too late")
        assert device.receive(None) is None

    @pytest.mark.parametrize("bounds", [{"max_bytes": 1023}, {"max_bytes": 1 << 20}, {"window": 0}, {"window": 9}])
    def test_options_out_of_range(self, broker, bounds):
        with pytest.raises(ValueError, match="out of range"):
            broker.options(DEVICE, **bounds)


class TestExpiryAndWill:
    def test_the_broker_forgets_what_is_expired(self, links):
        device, orchestrator = subscribed(links.connect(DEVICE), Kind.PLAN), links.connect(ORCHESTRATOR)
        device.close()
        orchestrator.publish(PLAN, b"soon gone", expiry_s=1)
        orchestrator.publish(PLAN, b"stays", expiry_s=60)
        assert orchestrator.flush(LIMIT_S)
        gone_s = time.monotonic() + 2
        eventually(lambda: time.monotonic() > gone_s)
        assert arrivals(links.connect(DEVICE), 1) == [b"stays"]

    def test_closing_lets_the_last_messages_go_and_no_will_and_keeps_the_session(self, links):
        orchestrator = subscribed(links.connect(ORCHESTRATOR), Kind.STATUS)
        device = subscribed(links.connect(DEVICE, will=LastWill(STATUS, b"lost", delay_s=0)), Kind.PLAN)
        goodbyes = [f"goodbye {number}".encode() for number in range(30)]
        for goodbye in goodbyes:
            device.publish(STATUS, goodbye)
        device.close()
        orchestrator.publish(PLAN, b"for later")
        again = links.connect(DEVICE)
        again.publish(STATUS, b"back")
        assert arrivals(orchestrator, 31) == [*goodbyes, b"back"]
        assert arrivals(again, 1) == [b"for later"]


class TestCallbacks:
    def test_what_a_callback_cannot_understand_is_told_and_the_link_goes_on(self, links, monkeypatch):
        topic_of = paho.MQTTMessage.topic.fget

        def broken(message):
            if message.payload == b"broken":
                raise UnicodeDecodeError("utf-8", b"", 0, 1, "a topic that is none")
            return topic_of(message)

        device, orchestrator = subscribed(links.connect(DEVICE), Kind.PLAN), links.connect(ORCHESTRATOR)
        monkeypatch.setattr(paho.MQTTMessage, "topic", property(broken, paho.MQTTMessage.topic.fset))
        for number in range(10):
            orchestrator.publish(PLAN, b"broken" if number < 9 else b"whole")
        assert arrivals(device, 1) == [b"whole"]
        assert [text for text in links.problems[DEVICE] if "could not be understood" in text]
        assert device.connections == 1

    def test_a_fault_of_ours_is_told_and_the_message_comes_again(self, links, monkeypatch):
        device, orchestrator = subscribed(links.connect(DEVICE), Kind.PLAN), links.connect(ORCHESTRATOR)
        on_arrived, faults = device.on_arrived, [RuntimeError("a fault of ours")]

        def faulty(*arguments: object, **options: object):
            if faults:
                raise faults.pop()
            on_arrived(*arguments, **options)

        monkeypatch.setattr(device, "on_arrived", faulty)
        orchestrator.publish(PLAN, b"a plan")
        assert arrivals(device, 1) == [b"a plan"]
        assert [text for text in links.problems[DEVICE] if "a fault of ours" in text]
        assert device.connections == 2

    def test_a_listener_that_fails_stops_nothing(self, broker, links, monkeypatch):
        device = links.connect(DEVICE)

        def failing(text):
            raise RuntimeError(text)

        monkeypatch.setattr(device._problems, "_tell", failing)
        broker.stop()
        eventually(lambda: device.problem)
        broker.again()
        eventually(lambda: device.connections == 2)


class TestOthers:
    """What somebody with a valid certificate and another program may try."""

    def test_messages_that_nobody_acknowledges_are_dropped_and_told(self, broker, links):
        orchestrator = subscribed(links.connect(ORCHESTRATOR), Kind.STATUS)
        sent = threading.Event()
        other = paho.Client(CallbackAPIVersion.VERSION2, DEVICE, protocol=paho.MQTTv5)
        other.tls_set_context(broker.certificates.context(DEVICE))
        other.on_connect = lambda *_: [other.publish(STATUS, bytes([number]), qos=0) for number in range(20)]
        other.on_publish = lambda _client, _userdata, number, *_: sent.set() if number == 20 else None
        other.connect(HOST, broker.port)
        other.loop_start()
        try:
            assert sent.wait(LIMIT_S)
        finally:
            other.disconnect()
            other.loop_stop()
        links.connect(DEVICE).publish(STATUS, b"here")
        assert arrivals(orchestrator, 1) == [b"here"]
        assert orchestrator.connections == 1
        assert ["QoS 0" in text for text in links.problems[ORCHESTRATOR]] == [True]


class TestLiveness:
    def test_the_thread_shows_life_whether_connected_or_not(self, broker, links):
        device = links.connect(DEVICE)
        eventually(lambda: device.alive_within_s(1))
        broker.stop()
        eventually(lambda: device.problem)
        eventually(lambda: device.alive_within_s(1))

    def test_a_thread_that_hangs_or_has_ended_shows_none(self, links, monkeypatch):
        device, orchestrator = subscribed(links.connect(DEVICE), Kind.PLAN), links.connect(ORCHESTRATOR)
        hangs, released = threading.Event(), threading.Event()

        def hanging(*_arguments: object, **_options: object):
            hangs.set()
            released.wait()

        monkeypatch.setattr(device, "on_arrived", hanging)
        orchestrator.publish(PLAN, b"a plan")
        assert hangs.wait(LIMIT_S)
        eventually(lambda: not device.alive_within_s(0.5))
        released.set()
        eventually(lambda: device.alive_within_s(5))
        device.close()
        assert not device.alive_within_s(5)
