import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushfleet.link.mqtt.outbox import Outbox, Outgoing


def message(data=b"x", expires_s=math.inf):
    return Outgoing("topic", data, expires_s=expires_s)


def sending(outbox, now_s=0.0):
    """Take and send all that may go; their data, numbered from 1 on by what the outbox has ever sent."""
    gone = []
    while (taken := outbox.take(now_s)) is not None:
        sending.number += 1
        outbox.sent(sending.number, taken)
        gone.append((sending.number, taken.data))
    return gone


sending.number = 0


def filled(count, window=8, **bounds: int):
    outbox = Outbox(**bounds)
    for number in range(count):
        outbox.put(message(bytes([number])))
    outbox.window = window
    return outbox


def data(gone):
    return [data for _, data in gone]


def test_nothing_goes_without_a_window():
    assert filled(3, window=0).take(0.0) is None


def test_no_more_than_the_window_is_in_flight_and_each_acknowledgement_lets_one_go():
    outbox = filled(5, window=2)
    first = sending(outbox)
    assert data(first) == [b"\0", b"\1"]
    assert outbox.acknowledged(first[0][0]).data == b"\0"
    assert data(sending(outbox)) == [b"\2"]
    assert (len(outbox), outbox.in_flight) == (4, 2)


def test_an_unknown_acknowledgement_changes_nothing():
    outbox = filled(1)
    ((number, _),) = sending(outbox)
    assert outbox.acknowledged(number + 1) is None
    assert outbox.acknowledged(number).data == b"\0"
    assert outbox.acknowledged(number) is None
    assert not len(outbox)


def test_what_was_in_flight_goes_first_after_a_loss_in_its_order():
    outbox = filled(5, window=3)
    sent = sending(outbox)
    outbox.acknowledged(sent[1][0])
    outbox.lost()
    assert outbox.take(0.0) is None
    outbox.window = 8
    assert data(sending(outbox)) == [b"\0", b"\2", b"\3", b"\4"]


def test_the_number_of_messages_is_bounded_in_flight_or_not():
    outbox = filled(3, window=2, most_messages=3)
    sent = sending(outbox)
    assert not outbox.has_room(0)
    with pytest.raises(ValueError, match="no room"):
        outbox.put(message())
    outbox.acknowledged(sent[0][0])
    outbox.put(message())


def test_the_bytes_are_bounded_but_a_single_message_always_fits():
    outbox = Outbox(most_bytes=10)
    outbox.put(message(bytes(11)))
    assert not outbox.has_room(0)
    outbox.window = 1
    ((number, _),) = sending(outbox)
    outbox.acknowledged(number)
    outbox.put(message(bytes(6)))
    assert outbox.has_room(4)
    assert not outbox.has_room(5)


def test_what_expires_while_it_waits_is_not_sent_and_makes_room():
    outbox = Outbox(most_messages=2)
    outbox.put(message(b"old", expires_s=5))
    outbox.put(message(b"new", expires_s=6))
    outbox.window = 8
    assert data(sending(outbox, now_s=5)) == [b"new"]
    assert outbox.has_room(1)


def test_what_is_expired_makes_room_without_a_connection():
    outbox = Outbox(most_messages=2)
    outbox.put(message(b"old", expires_s=5))
    outbox.put(message(b"new", expires_s=6))
    outbox.expire(4.9)
    assert not outbox.has_room(1)
    outbox.expire(5)
    assert outbox.has_room(1)
    assert len(outbox) == 1


def test_what_is_in_flight_does_not_expire():
    outbox = Outbox()
    outbox.put(message(b"old", expires_s=5))
    outbox.window = 1
    sending(outbox)
    outbox.expire(6)
    assert len(outbox) == 1


def test_what_is_dropped_makes_room():
    outbox = filled(1, most_messages=1)
    outbox.dropped(outbox.take(0.0))
    assert outbox.has_room(1)
    assert not len(outbox)


@given(st.lists(st.sampled_from(["put", "send", "acknowledge", "lose"]), max_size=60), st.integers(1, 8))
def test_everything_goes_out_at_least_once_and_first_times_keep_their_order(steps, window):
    outbox, number, seen, pending = Outbox(), 0, [], []
    for step in [*steps, "lose", *["send", "acknowledge"] * 60]:
        if step == "put":
            outbox.put(message(bytes([number])))
            number += 1
        elif step == "send":
            outbox.window = window
            gone = sending(outbox)
            pending += gone
            seen += data(gone)
            assert outbox.in_flight <= window
        elif step == "acknowledge" and pending:
            outbox.acknowledged(pending.pop(0)[0])
        elif step == "lose":
            outbox.lost()
            pending.clear()
    assert not len(outbox)
    assert list(dict.fromkeys(seen)) == [bytes([index]) for index in range(number)]
