"""Whole messages over a link: split to fit, assembled and checked, acknowledged once they are safe (PROTOCOL 7).

What a device publishes is looked at within its allowance. What a kind of topic does not keep and is retained nevertheless is
refused, and cleared where this party may: else it would reach everybody at every connection, for ever.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from hushfleet.errors import PeerError, Refusal
from hushfleet.link.allowance import Allowances
from hushfleet.link.link import Delivery, Link, LinkError
from hushfleet.link.transfers import CEILINGS, Assembly, Incomplete, Slot
from hushfleet.wire.chunks import Ranges, chunk_count, frames
from hushfleet.wire.topics import Kind, Topic, build, parse, sender, subscription

MOST_AT_ONCE = 256
"""Messages looked at before the caller gets its turn again: parts and garbage must not hold up its deadlines."""
MOST_TOLD = 64
TOLD_S = 600.0
"""A sender's refusals of which the caller hears in so long; further ones are counted only."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A whole message. Where the topic has a chunk level, `topic.chunk` is 0. Empty data: a retained topic was cleared."""

    topic: Topic
    data: bytes = field(repr=False)
    delivery: Delivery = field(repr=False)
    slot: Slot | None = field(default=None, repr=False)


class Messenger:
    """One party's link with its transfers. `folder` spools what arrives in parts. One thread receives; any may send."""

    def __init__(
        self,
        link: Link,
        folder: Path,
        *,
        now_s: Callable[[], float] = time.monotonic,
        on_refused: Callable[[PeerError], None] = lambda _: None,
    ) -> None:
        """`on_refused` hears of messages that were dropped as malformed; they are acknowledged, for they would come again."""
        self.link, self._now_s = link, now_s
        self._assembly = Assembly(folder, now_s)
        self._allowances = Allowances(now_s, lambda: self.link.max_bytes)
        self._on_refused = on_refused
        self._told: dict[str | None, int] = {}
        self._told_s = now_s()

    @property
    def dropped(self) -> Mapping[str, int]:
        """The number of messages that were dropped unread because their device had used its allowance up, by device."""
        return self._allowances.dropped

    def flooding(self) -> tuple[str, ...]:
        """The devices that were found to flood since the last call."""
        return self._allowances.flooding()

    def send(self, topic: Topic, data: bytes, *, ranges: Ranges = (), clears_bytes: int = 0, expiry_s: int | None = None) -> None:
        """Publish `data`, in as many chunks as it takes, retained where the topic table says so.

        `ranges`: only these chunks, which a receipt named missing. Empty `data` clear what is retained; `clears_bytes` is the size
        of what was there, so that all its chunks go. Raises `LinkError`, also where the broker's limit is too small for `data`.
        """
        if topic.chunk is None:
            self.link.publish(build(topic), data, retain=topic.kind.retained, expiry_s=expiry_s)
            return
        max_bytes = self.link.max_bytes
        count = _count(len(data) or clears_bytes, max_bytes)
        for index, frame in frames(data, max_bytes, ranges) if data else ((index, b"") for index in range(count)):
            self.link.publish(build(replace(topic, chunk=index)), frame, retain=topic.kind.retained, expiry_s=expiry_s)

    def subscribe(self, fleet: str, kind: Kind, *, device: str | None = None, digest: str | None = None) -> None:
        """Receive all messages of a kind, or those of one device or digest."""
        self.link.subscribe(subscription(fleet, kind, device=device, digest=digest))

    def unsubscribe(self, fleet: str, kind: Kind, *, device: str | None = None, digest: str | None = None) -> None:
        """Stop receiving what the same arguments of `subscribe` ask for."""
        self.link.unsubscribe(subscription(fleet, kind, device=device, digest=digest))

    def receive(self, timeout_s: float | None = 0) -> Arrived | None:
        """The next whole message; None once nothing came for `timeout_s`, or much came and nothing of it was whole."""
        for _ in range(MOST_AT_ONCE):
            delivery = self.link.receive(timeout_s)
            if delivery is None:
                return None
            arrived = self._take(delivery)
            if arrived is not None:
                return arrived
        return None

    def acknowledge(self, arrived: Arrived) -> None:
        """Drop the message: what it held is durable here. Until then it is found again after a restart."""
        if arrived.slot is not None:
            self._assembly.done(arrived.slot)
        self.link.acknowledge(arrived.delivery)

    def incomplete(self) -> tuple[Incomplete, ...]:
        """The transfers that wait for chunks."""
        return self._assembly.incomplete()

    def forget_idle(self, after_s: float) -> int:
        """Give up transfers that got no chunk for `after_s`, and return their number."""
        return self._assembly.forget_idle(after_s)

    def _take(self, delivery: Delivery) -> Arrived | None:
        device = sender(delivery.topic)
        if device is not None and not self._allowances.take(device, len(delivery.data)):
            self.link.acknowledge(delivery)
            return None
        try:
            topic = self._admitted(delivery)
            if topic.chunk is not None and delivery.data:
                return self._take_chunk(topic, delivery)
        except PeerError as error:
            self._refuse(device, error)
            self.link.acknowledge(delivery)
            return None
        if not topic.chunk and (delivery.data or topic.kind.retained):
            return Arrived(topic, delivery.data, delivery)
        self.link.acknowledge(delivery)
        return None

    def _admitted(self, delivery: Delivery) -> Topic:
        """The topic of a message that may be looked at. Raises `PeerError`: `RETAINED`, `MESSAGE_TOO_LARGE`, or as `parse`."""
        try:
            return _kept_rightly(delivery)
        except PeerError:
            if delivery.retained and delivery.data:
                with suppress(LinkError):  # only the orchestrator may; to it the same message comes
                    self.link.publish(delivery.topic, b"", retain=True)
            raise

    def _refuse(self, device: str | None, error: PeerError) -> None:
        now_s = self._now_s()
        if now_s - self._told_s > TOLD_S:
            self._told_s = now_s
            self._told.clear()
        self._told[device] = self._told.get(device, 0) + 1
        if self._told[device] <= MOST_TOLD:
            self._on_refused(error)

    def _take_chunk(self, topic: Topic, delivery: Delivery) -> Arrived | None:
        whole = self._assembly.take(topic, delivery.data)
        if whole is None:
            self.link.acknowledge(delivery)  # this chunk is on disk
            return None
        slot, data = whole
        return Arrived(slot.topic, data, delivery, slot)


def _kept_rightly(delivery: Delivery) -> Topic:
    topic = parse(delivery.topic)
    if topic.chunk is None and len(delivery.data) > CEILINGS[topic.kind]:
        text = f"{len(delivery.data)} bytes on {delivery.topic}, at most {CEILINGS[topic.kind]}"
        raise PeerError(Refusal.MESSAGE_TOO_LARGE, text)
    if delivery.retained and delivery.data and not topic.kind.retained:
        raise PeerError(Refusal.RETAINED, f"something was left behind on {delivery.topic}, where nothing is kept")
    return topic


def _count(whole_bytes: int, max_bytes: int) -> int:
    try:
        return chunk_count(whole_bytes, max_bytes)
    except ValueError as error:
        raise LinkError(Refusal.MESSAGE_TOO_LARGE, str(error), next_step="Let the broker take larger messages.") from error
