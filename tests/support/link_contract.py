"""What every `Link` does, over whatever broker. A test module inherits `LinkContract` and defines the fixture `sessions`.

Nothing waits for silence: where nothing may arrive, a message that must arrive is sent after it.
"""

from dataclasses import dataclass

import pytest

from hushfleet.errors import Refusal
from hushfleet.labels import sha256
from hushfleet.link import Link, LinkError
from hushfleet.wire import Kind, Topic, build
from hushfleet.wire.topics import subscription
from tests.support.refusals import refused

FLEET = "greenhouse"
MEMBER, DEVICE = "pi-01", "pi-02"
DIGEST = sha256(b"model").hex()


def topic(kind, **fields: object):
    return build(Topic(FLEET, kind, **fields))


def filter_of(kind, **fields: object):
    return subscription(FLEET, kind, **fields)


PLAN, RECORD = topic(Kind.PLAN), topic(Kind.RECORD, number=1, chunk=0)
FORBIDDEN = (
    ("device", PLAN),
    ("device", topic(Kind.CONTRIBUTION, device=MEMBER, number=1, chunk=0)),
    ("device", topic(Kind.STATUS, device=MEMBER)),
    ("member", topic(Kind.PARTIAL, device=DEVICE, number=1, chunk=0)),
    ("member", topic(Kind.REQUEST, number=1, chunk=0)),
    ("member", topic(Kind.RECEIPT, device=DEVICE, number=1)),
    ("device", topic(Kind.INBOX, device=DEVICE, chunk=0)),
    ("orchestrator", topic(Kind.CONTRIBUTION, device=DEVICE, number=1, chunk=0)),
    ("orchestrator", topic(Kind.EVIDENCE, device=MEMBER, number=1)),
    ("orchestrator", PLAN.replace(FLEET, "orchard")),
    ("device", topic(Kind.STATUS, device=DEVICE).replace(FLEET, "orchard")),
)
"""Who may not publish where."""


@dataclass(frozen=True)
class Sessions:
    """Three fresh sessions with one fresh broker. `patience_s` bounds how long a message that must arrive may take."""

    orchestrator: Link
    member: Link
    device: Link
    patience_s: float

    def arrives(self, link):
        delivery = link.receive(self.patience_s)
        assert delivery is not None, "nothing arrived"
        link.acknowledge(delivery)
        return delivery

    def arrivals(self, link, count):
        return [self.arrives(link).data for _ in range(count)]

    def nothing_more_arrives(self, link):
        """The next thing that `link` gets is a record published only now."""
        link.subscribe(filter_of(Kind.RECORD))
        self.orchestrator.publish(RECORD, b"nothing before this")
        assert self.arrives(link).data == b"nothing before this"


class LinkContract:
    """Each test gets `sessions`, a fixture of the inheriting class or module."""

    def test_sessions_know_that_they_are_connected(self, sessions):
        for link in (sessions.orchestrator, sessions.member, sessions.device):
            assert (link.connected, link.connections) == (True, 1)

    def test_sessions_know_who_they_are(self, sessions):
        assert [sessions.orchestrator.identity, sessions.member.identity, sessions.device.identity] == ["orchestrator", MEMBER, DEVICE]

    def test_a_message_arrives_whole_at_everybody_who_asked(self, sessions):
        for link in (sessions.member, sessions.device):
            link.subscribe(filter_of(Kind.PLAN))
        data = bytes(range(256)) * 400
        sessions.orchestrator.publish(PLAN, data)
        for link in (sessions.member, sessions.device):
            delivery = sessions.arrives(link)
            assert (delivery.topic, delivery.data, delivery.retained) == (PLAN, data, False)

    def test_nobody_gets_what_they_did_not_ask_for(self, sessions):
        sessions.orchestrator.publish(PLAN, b"a plan", retain=True)
        sessions.nothing_more_arrives(sessions.device)

    def test_a_message_goes_up_as_well(self, sessions):
        sessions.orchestrator.subscribe(filter_of(Kind.CONTRIBUTION))
        for link in (sessions.member, sessions.device):
            link.publish(topic(Kind.CONTRIBUTION, device=link.identity, number=1, chunk=0), link.identity.encode())
        assert set(sessions.arrivals(sessions.orchestrator, 2)) == {MEMBER.encode(), DEVICE.encode()}

    def test_a_narrowed_filter_gets_its_own_only(self, sessions):
        sessions.device.subscribe(filter_of(Kind.MODEL, digest=DIGEST))
        sessions.orchestrator.publish(topic(Kind.MODEL, digest=sha256(b"other").hex(), chunk=0), b"another model")
        sessions.orchestrator.publish(topic(Kind.MODEL, digest=DIGEST, chunk=1), b"this model")
        assert sessions.arrivals(sessions.device, 1) == [b"this model"]

    def test_two_filters_for_one_topic_bring_everything_at_least_once(self, sessions):
        sessions.device.subscribe(filter_of(Kind.MODEL))
        sessions.device.subscribe(filter_of(Kind.MODEL, digest=DIGEST))
        sessions.orchestrator.publish(topic(Kind.MODEL, digest=DIGEST, chunk=1), b"this model")
        assert sessions.arrives(sessions.device).data == b"this model"

    def test_messages_on_one_topic_keep_their_order(self, sessions):
        sessions.device.subscribe(filter_of(Kind.PLAN))
        sent = [f"plan {number}".encode() for number in range(50)]
        for data in sent:
            sessions.orchestrator.publish(PLAN, data)
        assert sessions.arrivals(sessions.device, len(sent)) == sent

    def test_what_arrives_while_nobody_receives_is_kept(self, sessions):
        sessions.device.subscribe(filter_of(Kind.PLAN))
        sessions.orchestrator.subscribe(filter_of(Kind.STATUS))
        for number in range(5):
            sessions.orchestrator.publish(PLAN, bytes([number]))
        sessions.device.publish(topic(Kind.STATUS, device=DEVICE), b"here")
        assert sessions.arrivals(sessions.orchestrator, 1) == [b"here"]
        assert sessions.arrivals(sessions.device, 5) == [bytes([number]) for number in range(5)]

    def test_what_is_retained_waits_for_whoever_subscribes_later_and_says_so(self, sessions):
        for data in (b"old plan", b"new plan"):
            sessions.orchestrator.publish(PLAN, data, retain=True)
        sessions.device.subscribe(filter_of(Kind.PLAN))
        delivery = sessions.arrives(sessions.device)
        assert (delivery.topic, delivery.data, delivery.retained) == (PLAN, b"new plan", True)
        sessions.nothing_more_arrives(sessions.device)

    def test_what_is_not_retained_does_not_wait(self, sessions):
        sessions.orchestrator.publish(topic(Kind.INBOX, device=DEVICE, chunk=0), b"gone")
        sessions.device.subscribe(filter_of(Kind.INBOX, device=DEVICE))
        sessions.nothing_more_arrives(sessions.device)

    def test_whoever_subscribes_again_gets_what_is_retained_again(self, sessions):
        sessions.orchestrator.publish(PLAN, b"a plan", retain=True)
        for _ in range(2):
            sessions.device.subscribe(filter_of(Kind.PLAN))
            assert sessions.arrivals(sessions.device, 1) == [b"a plan"]
        sessions.nothing_more_arrives(sessions.device)

    def test_what_is_retained_arrives_before_what_is_published_afterwards(self, sessions):
        sessions.orchestrator.publish(PLAN, b"first", retain=True)
        sessions.device.subscribe(filter_of(Kind.PLAN))
        sessions.orchestrator.publish(PLAN, b"second", retain=True)
        assert sessions.arrivals(sessions.device, 2) == [b"first", b"second"]

    def test_empty_data_clear_what_is_retained_and_are_seen_by_those_who_listen(self, sessions):
        sessions.member.subscribe(filter_of(Kind.PLAN))
        sessions.orchestrator.publish(PLAN, b"a plan", retain=True)
        sessions.orchestrator.publish(PLAN, b"", retain=True)
        sessions.device.subscribe(filter_of(Kind.PLAN))
        assert sessions.arrivals(sessions.member, 2) == [b"a plan", b""]
        sessions.nothing_more_arrives(sessions.device)

    def test_clearing_what_was_never_retained_is_harmless(self, sessions):
        sessions.orchestrator.publish(PLAN, b"", retain=True)
        sessions.device.subscribe(filter_of(Kind.PLAN))
        sessions.nothing_more_arrives(sessions.device)

    def test_after_unsubscribing_nothing_arrives(self, sessions):
        sessions.device.subscribe(filter_of(Kind.PLAN))
        sessions.orchestrator.publish(PLAN, b"before")
        assert sessions.arrivals(sessions.device, 1) == [b"before"]
        sessions.device.unsubscribe(filter_of(Kind.PLAN))
        sessions.orchestrator.publish(PLAN, b"after")
        sessions.nothing_more_arrives(sessions.device)

    def test_filters_change_together_and_in_order(self, sessions):
        sessions.device.subscribe(filter_of(Kind.PLAN))
        sessions.device.change([(filter_of(Kind.PLAN), False), (filter_of(Kind.ROSTER), True), (filter_of(Kind.ROSTER), False)])
        sessions.orchestrator.publish(PLAN, b"a plan")
        sessions.nothing_more_arrives(sessions.device)

    def test_unsubscribing_from_what_was_never_subscribed_to_is_harmless(self, sessions):
        sessions.device.unsubscribe(filter_of(Kind.PLAN))
        sessions.nothing_more_arrives(sessions.device)

    def test_receiving_gives_nothing_when_there_is_nothing(self, sessions):
        assert sessions.device.receive() is None
        assert sessions.device.receive(0) is None
        assert sessions.device.receive(0.01) is None

    def test_receiving_without_a_bound_gives_what_is_there(self, sessions):
        sessions.device.subscribe(filter_of(Kind.PLAN))
        sessions.orchestrator.publish(PLAN, b"a plan")
        assert sessions.device.receive(None).data == b"a plan"

    @pytest.mark.parametrize(("who", "where"), FORBIDDEN)
    def test_publishing_what_the_acl_forbids_is_refused(self, sessions, who, where):
        with refused(Refusal.LINK_FORBIDDEN, LinkError):
            getattr(sessions, who).publish(where, b"not mine")

    def test_what_was_refused_reaches_nobody_and_the_session_goes_on(self, sessions):
        sessions.member.subscribe(filter_of(Kind.PLAN))
        with refused(Refusal.LINK_FORBIDDEN, LinkError):
            sessions.device.publish(PLAN, b"my own plan", retain=True)
        sessions.nothing_more_arrives(sessions.member)
        sessions.orchestrator.subscribe(filter_of(Kind.STATUS))
        sessions.device.publish(topic(Kind.STATUS, device=DEVICE), b"here")
        assert sessions.arrivals(sessions.orchestrator, 1) == [b"here"]

    def test_reading_what_the_acl_forbids_is_granted_and_gives_nothing(self, sessions):
        inbox = topic(Kind.INBOX, device=MEMBER, chunk=0)
        for pattern in (filter_of(Kind.INBOX), inbox, filter_of(Kind.REQUEST), filter_of(Kind.CONTRIBUTION), filter_of(Kind.PARTIAL)):
            sessions.device.subscribe(pattern)
        sessions.orchestrator.publish(inbox, b"a key share")
        sessions.orchestrator.publish(topic(Kind.REQUEST, number=1, chunk=0), b"a request")
        sessions.member.publish(topic(Kind.CONTRIBUTION, device=MEMBER, number=1, chunk=0), b"a contribution")
        sessions.member.publish(topic(Kind.PARTIAL, device=MEMBER, number=1, chunk=0), b"an answer")
        sessions.nothing_more_arrives(sessions.device)

    def test_a_wide_filter_gives_what_may_be_read_and_no_more(self, sessions):
        sessions.device.subscribe(filter_of(Kind.INBOX))
        for name in (MEMBER, DEVICE):
            sessions.orchestrator.publish(topic(Kind.INBOX, device=name, chunk=0), name.encode())
        assert sessions.arrivals(sessions.device, 1) == [DEVICE.encode()]
        sessions.nothing_more_arrives(sessions.device)

    def test_members_read_requests(self, sessions):
        sessions.member.subscribe(filter_of(Kind.REQUEST))
        sessions.orchestrator.publish(topic(Kind.REQUEST, number=1, chunk=0), b"a request")
        assert sessions.arrivals(sessions.member, 1) == [b"a request"]

    def test_evidence_reaches_everybody(self, sessions):
        everybody = (sessions.orchestrator, sessions.member, sessions.device)
        for link in everybody:
            link.subscribe(filter_of(Kind.EVIDENCE))
        sessions.member.publish(topic(Kind.EVIDENCE, device=MEMBER, number=1), b"two headers")
        assert [sessions.arrives(link).data for link in everybody] == [b"two headers"] * 3

    def test_a_delivery_does_not_show_its_data(self, sessions):
        sessions.device.subscribe(filter_of(Kind.PLAN))
        sessions.orchestrator.publish(PLAN, b"visible words")
        assert "visible words" not in repr(sessions.arrives(sessions.device))
