"""What the link does when the broker, the connection, the certificate or the process goes away, or somebody else takes its name."""

import os
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM

import pytest

from hushfleet.errors import Refusal
from hushfleet.link import LinkError
from hushfleet.link.mqtt.client import MqttLink
from hushfleet.link.mqtt.outbox import MOST_BYTES
from hushfleet.link.tls import diagnose
from hushfleet.owner.certificates import now, serial_number
from hushfleet.wire import Kind
from tests.support.broker import ORCHESTRATOR, STATUS, Links, arrivals, running, subscribed, until
from tests.support.link_contract import DEVICE, FLEET, MEMBER, PLAN, filter_of, topic
from tests.support.mosquitto import HOST, Certificates
from tests.support.refusals import refused
from tests.support.waiting import LIMIT_S, eventually

ROOT = Path(__file__).parents[2]


def again(broker, how, *links: MqttLink):
    """End the broker, start it again, and wait until every link is back."""
    before = [link.connections for link in links]
    broker.stop(how)
    broker.again()
    for link, connections in zip(links, before, strict=True):
        eventually(lambda link=link, connections=connections: link.connections > connections)


class TestRestarts:
    @pytest.mark.parametrize("how", [SIGTERM, SIGKILL])
    def test_what_was_not_acknowledged_is_delivered_again(self, broker, links, how):
        device, orchestrator = subscribed(links.connect(DEVICE), Kind.PLAN), links.connect(ORCHESTRATOR)
        plans = [f"the plan of round {number}".encode() for number in range(4)]
        for plan in plans:
            orchestrator.publish(PLAN, plan)
        assert arrivals(device, 1) == plans[:1]
        taken = [device.receive(LIMIT_S), device.receive(LIMIT_S)]  # and not acknowledged
        assert [delivery.data for delivery in taken] == plans[1:3]
        device.publish(STATUS, b"so the broker has the acknowledgement before this")
        assert device.flush(LIMIT_S)
        broker.save(*plans[1:])
        again(broker, how, device, orchestrator)
        device.acknowledge(taken[0])  # of a connection that is gone: means nothing
        assert arrivals(device, 3) == plans[1:]

    @pytest.mark.parametrize("how", [SIGTERM, SIGKILL])
    def test_what_the_broker_had_not_acknowledged_is_sent_again_in_order(self, broker, links, how):
        device, orchestrator = subscribed(links.connect(DEVICE), Kind.PLAN), links.connect(ORCHESTRATOR)
        broker.save(PLAN.encode())
        broker.signal(SIGSTOP)
        plans = [f"plan {number}".encode() for number in range(20)]
        for plan in plans:
            orchestrator.publish(PLAN, plan)
        eventually(lambda: orchestrator._outbox.in_flight == 8)
        again(broker, how, device, orchestrator)
        assert until(device, plans[-1]) == plans
        assert orchestrator.flush(LIMIT_S)

    def test_what_is_published_meanwhile_waits_in_bounds(self, broker, links):
        device, orchestrator = subscribed(links.connect(DEVICE), Kind.PLAN), links.connect(ORCHESTRATOR, patience_s=0.05)
        broker.stop()
        eventually(lambda: not orchestrator.connected)
        plans = [bytes([number]) * orchestrator.max_bytes for number in range(MOST_BYTES // orchestrator.max_bytes)]
        for plan in plans:
            orchestrator.publish(PLAN, plan)
        with refused(Refusal.LINK_AWAY, LinkError):
            orchestrator.publish(PLAN, plans[0])
        broker.again()
        eventually(lambda: device.connections == 2)
        assert until(device, plans[-1]) == plans

    def test_a_filter_asked_for_or_dropped_meanwhile_holds_afterwards(self, broker, links):
        device, orchestrator = subscribed(links.connect(DEVICE), Kind.PLAN), links.connect(ORCHESTRATOR)
        orchestrator.publish(topic(Kind.RECORD, number=1, chunk=0), b"a record", retain=True)
        assert orchestrator.flush(LIMIT_S)
        broker.stop()
        eventually(lambda: not device.connected)
        device.unsubscribe(filter_of(Kind.PLAN))
        subscribed(device, Kind.RECORD)
        broker.again()
        eventually(lambda: device.connections == 2 and orchestrator.connections == 2)
        assert arrivals(device, 1) == [b"a record"]
        orchestrator.publish(PLAN, b"not wanted any more")
        assert orchestrator.flush(LIMIT_S)
        orchestrator.publish(topic(Kind.RECORD, number=2, chunk=0), b"next record")
        assert arrivals(device, 1) == [b"next record"]

    @pytest.mark.parametrize(("session_expiry_s", "comes"), [(3600, []), (0, [b"a plan"])])
    def test_what_is_retained_comes_again_only_if_the_broker_forgot_the_session(self, broker, links, session_expiry_s, comes):
        orchestrator = links.connect(ORCHESTRATOR)
        orchestrator.publish(PLAN, b"a plan", retain=True)
        assert orchestrator.flush(LIMIT_S)
        device = subscribed(links.connect(DEVICE, session_expiry_s=session_expiry_s), Kind.PLAN)
        assert arrivals(device, 1) == [b"a plan"]
        device.publish(STATUS, b"so the broker has the acknowledgement before this")
        assert device.flush(LIMIT_S)
        again(broker, SIGTERM, device, orchestrator)
        device.subscribe(topic(Kind.RECORD, number=1, chunk=0))  # answered after the filters of the connection
        orchestrator.publish(PLAN, b"next plan")
        assert until(device, b"next plan") == [*comes, b"next plan"]

    def test_a_broker_that_lost_everything_gets_the_filters_again(self, broker, links):
        device, orchestrator = subscribed(links.connect(DEVICE), Kind.PLAN), links.connect(ORCHESTRATOR)
        broker.stop()
        (broker.folder / "data" / "mosquitto.db").unlink()
        broker.again()
        eventually(lambda: device.connections == 2)
        device.subscribe(topic(Kind.RECORD, number=1, chunk=0))  # answered after the filters of the connection
        orchestrator.publish(PLAN, b"a plan")
        assert arrivals(device, 1) == [b"a plan"]

    def test_the_loss_and_the_wait_are_told_once_each(self, broker, links):
        device = links.connect(DEVICE)
        broker.stop()
        eventually(lambda: "Nothing listens" in device.problem)
        broker.again()
        eventually(lambda: device.connections == 2)
        assert not device.problem
        told = links.problems[DEVICE]
        assert len(told) == len(set(told))
        assert "was lost" in told[0]


class TestSilence:
    def test_a_peer_that_falls_silent_is_given_up_and_found_again(self, broker, links):
        device, orchestrator = subscribed(links.connect(DEVICE, keep_alive_s=1), Kind.PLAN), links.connect(ORCHESTRATOR)
        broker.signal(SIGSTOP)
        orchestrator.publish(PLAN, b"a plan")
        eventually(lambda: not device.connected)
        assert "was lost" in links.problems[DEVICE][0]
        broker.signal(SIGCONT)
        eventually(lambda: device.connected)
        assert until(device, b"a plan") == [b"a plan"]

    def test_nothing_is_lost_while_all_is_idle(self, broker, links):
        device = links.connect(DEVICE, keep_alive_s=4)  # the broker gives up half as much later, which a busy machine may need
        eventually(lambda: broker.log.count(f"Received PINGREQ from {DEVICE}") >= 2)
        assert (device.connected, device.connections) == (True, 1)


class TestTwoWithOneIdentity:
    def test_each_hears_that_another_may_have_its_identity(self, broker, links):
        """Mosquitto 2.0.11 gives no reason to the one whose session is taken over; later ones do."""
        first = links.connect(DEVICE, retry_s=(0.1, 0.5))
        twin = Links(broker)
        with closing(twin):
            twin.connect(DEVICE, retry_s=(0.1, 0.5))
            heard = lambda one: any("the identity " + DEVICE in text for text in one.problems[DEVICE])  # noqa: E731 -- the same of both
            eventually(lambda: heard(links) and heard(twin))
            assert first.identity == DEVICE


class TestNames:
    """Two directives of the broker bind the session's name to the certificate."""

    def test_a_certificate_of_somebody_else_does_not_take_over(self, broker, links):
        device, orchestrator = links.connect(DEVICE), subscribed(links.connect(ORCHESTRATOR), Kind.STATUS)
        thief = Links(broker)
        with closing(thief):
            intruder = thief.connect(DEVICE, context=broker.certificates.context(MEMBER))
            intruder.publish(STATUS, b"I am the other one")
            eventually(lambda: any("Not authorized" in text for text in thief.problems[DEVICE]))
            device.publish(STATUS, b"still here")
            assert arrivals(orchestrator, 1) == [b"still here"]
            assert device.connections == 1

    def test_without_the_second_directive_it_would(self, tmp_path):
        with running(tmp_path / "broker", "use_username_as_clientid false\n") as broker, closing(Links(broker)) as links:
            device = links.connect(DEVICE, retry_s=(30, 60))
            thief = Links(broker)
            with closing(thief):
                thief.connect(DEVICE, context=broker.certificates.context(MEMBER))
                eventually(lambda: not device.connected)


class TestDiagnoses:
    """Each with the words a person reads, once from a link and once from `diagnose`."""

    def test_nothing_is_wrong(self, broker):
        assert diagnose(HOST, broker.port, broker.certificates.context(DEVICE)) is None

    def test_a_broker_of_another_fleet(self, broker, links, tmp_path):
        other = Certificates(_folder(tmp_path / "other"), FLEET)
        context = broker.certificates.context(DEVICE, trusting=other)
        self.told(broker, links, context, "not of this fleet's CA")

    def test_a_certificate_of_another_fleet(self, broker, links, tmp_path):
        other = Certificates(_folder(tmp_path / "other"), FLEET)
        context = other.context(DEVICE, trusting=broker.certificates)
        self.told(broker, links, context, "this certificate is not of the broker's CA")

    def test_an_expired_certificate(self, broker, links):
        context = broker.certificates.context(DEVICE, issued_ago=timedelta(days=400))
        self.told(broker, links, context, "this certificate is expired")

    def test_a_revoked_certificate(self, tmp_path):
        folder = tmp_path / "broker"
        with running(folder) as broker, closing(Links(broker)) as links:
            context = broker.certificates.context(DEVICE)
            revoked = serial_number((folder / f"{DEVICE}.pem").read_bytes())
            broker.write(revoked=[revoked])
            broker.reload()
            self.told(broker, links, context, "this certificate is revoked")

    @pytest.mark.parametrize(("days", "words"), [(-800, "is expired by this clock"), (10, "is not yet valid by this clock")])
    def test_a_brokers_certificate_out_of_its_time(self, broker, links, days, words):
        broker.certificates.broker(at=now() + timedelta(days=days))
        broker.stop()
        broker.again()
        self.told(broker, links, broker.certificates.context(DEVICE), words)

    def test_a_brokers_certificate_for_another_name(self, broker, links):
        broker.certificates.broker(hosts=["broker.example"])
        broker.stop()
        broker.again()
        self.told(broker, links, broker.certificates.context(DEVICE), "is for another name")

    def test_a_port_without_tls(self, tmp_path):
        plain = "listener {port} 127.0.0.1\n"
        with running(tmp_path / "broker") as broker, running(tmp_path / "spare") as spare, closing(Links(broker)) as links:
            spare.stop()
            broker.stop()
            broker.extra = plain.format(port=spare.port)
            broker.again()
            self.told(broker, links, broker.certificates.context(DEVICE), "TLS port (8883)", port=spare.port)

    def test_nobody_there(self, broker, links):
        context = broker.certificates.context(DEVICE)
        broker.stop()
        self.told(broker, links, context, "Nothing listens at")

    def test_a_name_that_nobody_has(self, broker):
        diagnosis = diagnose("broker.invalid", broker.port, broker.certificates.context(DEVICE))
        assert "is not known here" in str(diagnosis)

    def told(self, broker, links, context, words, port=None):
        port = port or broker.port
        broker.port = port
        assert words in str(diagnose(HOST, port, context))
        link = links.make(DEVICE, context=context)
        eventually(lambda: link.problem)
        assert words in link.problem
        assert words in links.problems[DEVICE][0]
        assert link.connections == 0


class TestWill:
    def test_a_killed_process_is_announced_as_lost(self, broker, links):
        orchestrator = subscribed(links.connect(ORCHESTRATOR), Kind.STATUS)
        certificate, key = broker.certificates.issue(DEVICE)
        arguments = (HOST, str(broker.port), FLEET, DEVICE, STATUS, str(broker.folder / "ca.pem"), str(certificate), str(key))
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen([sys.executable, "-c", LIVE, *arguments], env=environment) as process:
            assert arrivals(orchestrator, 1) == [b"online"]
            process.kill()
        assert arrivals(orchestrator, 1) == [b"lost"]
        assert arrivals(subscribed(links.connect(ORCHESTRATOR), Kind.STATUS), 1) == [b"lost"]


LIVE = """
import sys, time
from pathlib import Path
from hushfleet.link.mqtt.client import LastWill, MqttLink, MqttOptions
from hushfleet.link.tls import client_context
from hushfleet.randomness import SystemRandomness

host, port, fleet, identity, status, *files = sys.argv[1:]
will = LastWill(status, b"lost", delay_s=1)
options = MqttOptions(host, int(port), fleet, identity, client_context(*map(Path, files)), will=will)
link = MqttLink(options, SystemRandomness(), print)
link.open()
link.publish(status, b"online", retain=True)
time.sleep(600)
"""


def _folder(path):
    path.mkdir()
    return path
