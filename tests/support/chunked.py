"""Whole messages among chunk frames: what a network sees of transfers, and how a test hands one over."""

from collections.abc import Iterable
from dataclasses import replace

from hushfleet.link import Delivery
from hushfleet.link.link import DEFAULT_MAX_BYTES
from hushfleet.wire import Topic, build, parse
from hushfleet.wire.chunks import frames, open_frame


def framed(topic: Topic, data: bytes, *, retained: bool = False) -> list[Delivery]:
    """The deliveries of one message, in chunks where its topic has them."""
    if topic.chunk is None or not data:
        return [Delivery(build(topic), data, retained)]
    cut = frames(data, DEFAULT_MAX_BYTES)
    return [Delivery(build(replace(topic, chunk=index)), frame, retained) for index, frame in cut]


def wholes(deliveries: Iterable[Delivery]) -> list[tuple[Topic, bytes]]:
    """Every whole message among `deliveries`, in the order in which each became whole."""
    parts: dict[tuple[Topic, bytes], dict[int, bytes]] = {}
    found = []
    for delivery in deliveries:
        topic = parse(delivery.topic)
        if topic.chunk is None or not delivery.data:
            found.append((topic, delivery.data))
            continue
        chunk = open_frame(delivery.data, max_bytes=len(delivery.data))
        whole = replace(topic, chunk=0)
        held = parts.setdefault((whole, chunk.whole_hash), {})
        held[chunk.index] = chunk.data
        if len(held) == chunk.total:
            found.append((whole, b"".join(held[index] for index in range(chunk.total))))
            del parts[whole, chunk.whole_hash]
    return found
