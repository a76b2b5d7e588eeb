"""The devices that a party hears: all of them by one filter for each kind of message, or, while some flood, all but those.

A broker queues for a slow reader and drops in silence once its queue is full, whoever filled it. So a flood must end at the
broker: without a filter that matches them, the messages of a device that floods are not queued for this party at all. What it
sends in earnest it sends again until it has a receipt.
"""

from collections.abc import Callable, Iterable

from hushfleet.link.messenger import Messenger
from hushfleet.wire.topics import Kind, subscription

UNHEARD_S = 60.0
"""The time for which a device that floods is not heard."""

_SENT_ONCE = (Kind.EVIDENCE, Kind.COMPLAINT)

Senders = Callable[[], Iterable[tuple[Kind, str]]]
"""The kinds of message that this party takes, each with a device that may send it, as the roster in force has them."""


class Hearing:
    """The subscriptions of one party to what devices publish. `senders` is asked whenever single devices have to be named."""

    def __init__(self, messenger: Messenger, fleet: str, kinds: Iterable[Kind], senders: Senders, now_s: Callable[[], float]) -> None:
        self._messenger, self._fleet, self._kinds, self._senders, self._now_s = messenger, fleet, tuple(kinds), senders, now_s
        self._unheard: dict[str, float] = {}
        self._named: set[tuple[Kind, str]] = set()

    @property
    def unheard(self) -> frozenset[str]:
        """The devices that are not heard at present."""
        return frozenset(self._unheard)

    def open(self) -> None:
        """Listen, at a connection: what is retained comes again."""
        if self._unheard:
            self._name_the_others()
        else:
            self._hear_everybody()

    def follow(self) -> tuple[str, ...]:
        """Stop hearing those that have begun to flood, and return their ids; hear those again whose time is over. Often."""
        found, now_s = self._messenger.flooding(), self._now_s()
        over = [device for device, until_s in self._unheard.items() if until_s <= now_s]
        for device in over:
            del self._unheard[device]
        begun = tuple(device for device in found if device not in self._unheard)
        self._unheard.update(dict.fromkeys(found, now_s + UNHEARD_S))
        if self._unheard and (begun or over):
            self._name_the_others()
        elif over:
            self._hear_everybody()
        return begun

    def roster_changed(self) -> None:
        """Name the devices of a new roster, if devices are named at present."""
        if self._unheard:
            self._name_the_others()

    def _hear_everybody(self) -> None:
        everybody = [(self._filter(kind), True) for kind in self._kinds]
        self._messenger.link.change([*everybody, *((self._filter(*name), False) for name in self._named)])
        self._named.clear()

    def _name_the_others(self) -> None:
        """First nobody, for the flood goes on meanwhile, then those that are heard: what is missed is sent again, or retained.

        Evidence is sent once, by few: there the order is the other way round. Nothing waits for an answer in between: with one
        wait for each device the flood would fill the queue meanwhile.
        """
        wanted = {(kind, device) for kind, device in self._senders() if device not in self._unheard}
        fresh = wanted - self._named
        wishes = [(self._filter(kind), False) for kind in self._kinds if kind not in _SENT_ONCE]
        wishes += [(self._filter(*name), False) for name in self._named - wanted]
        wishes += [(self._filter(*name), True) for name in fresh if name[0] in _SENT_ONCE]
        wishes += [(self._filter(kind), False) for kind in self._kinds if kind in _SENT_ONCE]
        wishes += [(self._filter(*name), True) for name in fresh if name[0] not in _SENT_ONCE]
        self._messenger.link.change(wishes)
        self._named = wanted

    def _filter(self, kind: Kind, device: str | None = None) -> str:
        return subscription(self._fleet, kind, device=device)
