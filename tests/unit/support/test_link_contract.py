"""The contract for links notices links that break it."""

from dataclasses import replace

import pytest

from hushfleet.link import Delivery, MemoryBroker, MemoryLink
from tests.support.link_contract import DEVICE, FLEET, MEMBER, LinkContract, Sessions

CONTRACT = LinkContract()


def sessions():
    broker = MemoryBroker(FLEET)
    return Sessions(broker.connect("orchestrator", orchestrator=True), broker.connect(MEMBER, member=True), broker.connect(DEVICE), 0.01)


def everything_is_allowed(monkeypatch):
    monkeypatch.setattr("hushfleet.link.memory.acl", lambda fleet, *_, **__: (("write", f"hushfleet/v1/{fleet}/plan"),))
    monkeypatch.setattr("hushfleet.link.memory.matches", lambda *_: True)


def nothing_is_delivered(monkeypatch):
    monkeypatch.setattr(MemoryLink, "offer", lambda *_: None)


def nothing_is_retained(monkeypatch):
    monkeypatch.setattr(MemoryBroker, "_retain", lambda *_: None)


def retained_messages_cannot_be_told(monkeypatch):
    offer = MemoryLink.offer
    monkeypatch.setattr(MemoryLink, "offer", lambda link, delivery: offer(link, replace(delivery, retained=False)))


def empty_data_are_retained(monkeypatch):
    def retain(broker, delivery):
        broker._retained[delivery.topic] = Delivery(delivery.topic, delivery.data, retained=True)

    monkeypatch.setattr(MemoryBroker, "_retain", retain)


def unsubscribing_does_nothing(monkeypatch):
    monkeypatch.setattr(MemoryBroker, "unsubscribe", lambda *_: None)


def a_second_subscription_is_passed_over(monkeypatch):
    subscribe = MemoryBroker.subscribe

    def once(broker, session, pattern):
        if pattern not in session.patterns:
            subscribe(broker, session, pattern)

    monkeypatch.setattr(MemoryBroker, "subscribe", once)


def nobody_is_connected(monkeypatch):
    monkeypatch.setattr(MemoryLink, "connected", False)


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        (everything_is_allowed, CONTRACT.test_what_was_refused_reaches_nobody_and_the_session_goes_on),
        (everything_is_allowed, CONTRACT.test_reading_what_the_acl_forbids_is_granted_and_gives_nothing),
        (nothing_is_delivered, CONTRACT.test_a_message_arrives_whole_at_everybody_who_asked),
        (nothing_is_retained, CONTRACT.test_what_is_retained_waits_for_whoever_subscribes_later_and_says_so),
        (retained_messages_cannot_be_told, CONTRACT.test_what_is_retained_waits_for_whoever_subscribes_later_and_says_so),
        (empty_data_are_retained, CONTRACT.test_empty_data_clear_what_is_retained_and_are_seen_by_those_who_listen),
        (a_second_subscription_is_passed_over, CONTRACT.test_whoever_subscribes_again_gets_what_is_retained_again),
        (nobody_is_connected, CONTRACT.test_sessions_know_that_they_are_connected),
        (unsubscribing_does_nothing, CONTRACT.test_after_unsubscribing_nothing_arrives),
    ],
    ids=lambda value: value.__name__,
)
def test_a_faulty_link_fails(monkeypatch, fault, test):
    test(sessions())
    fault(monkeypatch)
    with pytest.raises(AssertionError):
        test(sessions())
