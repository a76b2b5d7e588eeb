"""The one room with a network: the `Link` that the programs use, over MQTT or in memory.

May import wire and what lies below it. Nothing in the library imports this room.
"""

from hushfleet.link.link import Delivery, Link, LinkError
from hushfleet.link.memory import MemoryBroker, MemoryLink
from hushfleet.link.messenger import Arrived, Messenger

__all__ = ["Arrived", "Delivery", "Link", "LinkError", "MemoryBroker", "MemoryLink", "Messenger"]
