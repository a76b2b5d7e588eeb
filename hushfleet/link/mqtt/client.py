"""The link over a broker: MQTT 5 with TLS. The only file that imports paho.

paho is used by the session's network thread alone, through its external event loop, and anew for every connection. Its callbacks do
nothing but note what happened, so that neither an exception nor a slow program can stop the thread.
"""

import math
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from hushfleet.link.mqtt.filters import FilterChange
from hushfleet.link.mqtt.network import Listener
from hushfleet.link.mqtt.options import LastWill, MqttOptions
from hushfleet.link.mqtt.outbox import Outgoing
from hushfleet.link.mqtt.session import Session
from hushfleet.randomness import Randomness

__all__ = ["LastWill", "MqttLink", "MqttOptions"]

_CONNECT_S = 10.0
_NO_LIMIT = 1 << 28  # what MQTT itself allows
_NO_MAXIMUM = 0xFFFF
_TICK_S = 1.0
_PUBACK, _PUBACK_BYTES, _MOST_HELD_BACK = 0x40, 4, 4096

_Event = Callable[[], None]


class MqttLink(Session):
    """The session of one identity with the fleet's broker; satisfies `Link`. Nothing happens before `open`."""

    def __init__(self, options: MqttOptions, randomness: Randomness, on_problem: Callable[[str], None]) -> None:
        """`on_problem` hears, on the network thread, of what a person should know; it must be quick and not use the link."""
        super().__init__(options, partial(Connection, options), randomness, on_problem)


class _Client(paho.Client):
    """paho's client, whose acknowledgements leave together.

    A broker takes one TLS record for each turn that it gives a connection. With an acknowledgement in each, whoever publishes many
    messages in one record fills this session's queue faster than its deliveries can be acknowledged.
    """

    _held_back = b""

    def want_write(self) -> bool:
        """True if there is something to send."""
        return bool(self._held_back) or super().want_write()

    def _sock_send(self, buf: bytes | bytearray) -> int:
        if len(buf) == _PUBACK_BYTES and buf[0] == _PUBACK and len(self._held_back) < _MOST_HELD_BACK:
            self._held_back += bytes(buf)
            return len(buf)
        self.let_go()
        if self._held_back:
            raise BlockingIOError
        return super()._sock_send(buf)

    def let_go(self) -> None:
        """Send what was held back."""
        try:
            while self._held_back:
                self._held_back = self._held_back[super()._sock_send(self._held_back) :]
        except (BlockingIOError, ConnectionError, OSError):
            return  # what is left goes with the next turn, or was lost with the connection: then it is delivered again


class Connection:
    """One connection, from its TCP handshake to its end. The network thread's alone."""

    def __init__(self, options: MqttOptions, listener: Listener) -> None:
        self._options = options
        self._listener = listener
        self._events: deque[_Event] = deque()
        self._client = self._new_client()

    def open(self) -> None:
        """TCP, TLS, and CONNECT on its way. Raises OSError."""
        o = self._options
        bounds = {"ReceiveMaximum": o.receive_maximum, "MaximumPacketSize": o.most_packet_bytes}
        properties = _properties(PacketTypes.CONNECT, SessionExpiryInterval=o.session_expiry_s, **bounds)
        self._client.connect(o.host, o.port, keepalive=o.keep_alive_s, clean_start=False, properties=properties)

    def step(self, wakeup: socket.socket, timeout_s: float) -> bool:
        """Wait for bytes or for `wakeup`, carry them both ways and tell the listener. False once the connection is gone."""
        stream = self._stream()
        if stream is not None:
            self._client.let_go()
            readable, writable = _wait(stream, wakeup, timeout_s, to_write=self._client.want_write())
            if readable:
                self._client.loop_read()
            if writable:
                self._client.loop_write()
            self._client.loop_misc()
        while self._events:
            self._events.popleft()()
        return self._stream() is not None

    def publish(self, message: Outgoing, now_s: float) -> int:
        """Send a message and return its number. ValueError: that is no topic to publish on."""
        expiry = {"MessageExpiryInterval": math.ceil(message.expires_s - now_s)} if message.expires_s < math.inf else {}
        properties = _properties(PacketTypes.PUBLISH, **expiry)
        return self._client.publish(message.topic, message.data, 1, message.retain, properties).mid

    def ask(self, change: FilterChange) -> int | None:
        """Subscribe or unsubscribe; the number of the question. None: the connection is gone."""
        if not change.wanted:
            return self._client.unsubscribe(change.pattern)[1]
        # What is retained comes for a new wish, and for an old one if the broker has forgotten the session.
        handling = SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE if change.fresh else SubscribeOptions.RETAIN_SEND_IF_NEW_SUB
        # As published: what is left behind on a topic that keeps nothing shows at once, not at the next connection.
        options = SubscribeOptions(qos=1, retainAsPublished=True, retainHandling=handling)
        return self._client.subscribe(change.pattern, options=options)[1]

    def acknowledge(self, number: int) -> None:
        """The broker may forget the delivery of this number."""
        self._client.ack(number, 1)

    def leave(self, within_s: float) -> None:
        """DISCONNECT with reason 0x00: the session stays, and no last will is published."""
        until = time.monotonic() + within_s
        self._client.let_go()
        self._client.disconnect()
        while self._client.want_write() and (stream := self._stream()) is not None and time.monotonic() < until:
            select.select([], [stream], [], _TICK_S)
            self._client.loop_write()

    def drop(self) -> None:
        """Close the socket, in whatever state."""
        stream = self._stream()
        if stream is not None:
            stream.close()

    def _stream(self) -> ssl.SSLSocket | None:
        stream = self._client.socket()
        return stream if isinstance(stream, ssl.SSLSocket) else None

    def _new_client(self) -> _Client:
        o = self._options
        version = CallbackAPIVersion.VERSION2
        client = _Client(version, o.identity, protocol=paho.MQTTv5, reconnect_on_failure=False, manual_ack=True)
        client.tls_set_context(o.context)
        client.connect_timeout = _CONNECT_S
        client.max_inflight_messages = 0  # the window is the session's: paho queues nothing
        if o.will is not None:
            properties = _properties(PacketTypes.WILLMESSAGE, WillDelayInterval=o.will.delay_s)
            client.will_set(o.will.topic, o.will.data, 1, o.will.retain, properties)
        self._listen(client)
        return client

    def _listen(self, client: paho.Client) -> None:
        client.on_socket_open = _at_once
        client.on_connect = self._noting(self._connack)
        client.on_disconnect = self._noting(self._disconnect)
        client.on_publish = self._noting(self._puback)
        client.on_subscribe = self._noting(self._answer)
        client.on_unsubscribe = self._noting(self._answer)
        client.on_message = self._noting(self._message)

    def _noting(self, event_of: Callable[..., _Event]) -> Callable[..., None]:
        """A callback that notes what `event_of` makes of its arguments, or that it could not."""

        def callback(_client: paho.Client, _userdata: object, *arguments: object) -> None:
            try:
                self._events.append(event_of(*arguments))
            except Exception as error:  # noqa: BLE001 -- an exception here would end the network thread
                self._events.append(partial(self._listener.on_failed, error))

        return callback

    def _connack(self, flags: paho.ConnectFlags, reason: ReasonCode, properties: Properties) -> _Event:
        if reason.is_failure:
            return partial(self._listener.on_disconnected, str(reason))
        return partial(
            self._listener.session.on_connected,
            session_present=flags.session_present,
            most_packet_bytes=getattr(properties, "MaximumPacketSize", _NO_LIMIT),
            receive_maximum=getattr(properties, "ReceiveMaximum", _NO_MAXIMUM),
        )

    def _disconnect(self, flags: paho.DisconnectFlags, reason: ReasonCode, _properties: Properties) -> _Event:
        # Without a packet from the broker the reason is one of paho's own, which says nothing.
        return partial(self._listener.on_disconnected, str(reason) if flags.is_disconnect_packet_from_server else "")

    def _puback(self, number: int, reason: ReasonCode, _properties: Properties) -> _Event:
        return partial(self._listener.session.on_published, number, reason.value, str(reason) if reason.is_failure else "")

    def _answer(self, number: int, reasons: list[ReasonCode], _properties: Properties) -> _Event:
        return partial(self._listener.session.on_answered, number, ", ".join(str(reason) for reason in reasons if reason.is_failure))

    def _message(self, message: paho.MQTTMessage) -> _Event:
        if message.qos == 0:  # nothing would bound how many wait in memory, and there is no number to acknowledge
            raise ValueError("a message of QoS 0, which no party of a fleet publishes")
        try:
            arrived = partial(self._listener.session.on_arrived, retained=message.retain, number=message.mid)
            return partial(arrived, message.topic, bytes(message.payload))
        except Exception:
            self._client.ack(message.mid, message.qos)  # it would come again, and again fail
            raise


def _properties(packet: int, **values: int) -> Properties:
    properties = Properties(packet)  # type: ignore[no-untyped-call]  # paho leaves it so
    for name, value in values.items():
        setattr(properties, name, value)
    return properties


def _at_once(_client: paho.Client, _userdata: object, stream: object) -> None:
    """Set TCP_NODELAY: without it every acknowledged message costs the 40 ms of a delayed TCP acknowledgement."""
    if isinstance(stream, socket.socket):
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _wait(stream: ssl.SSLSocket, wakeup: socket.socket, timeout_s: float, *, to_write: bool) -> tuple[bool, bool]:
    """Two booleans: `stream` can be read, and it can be written."""
    buffered = stream.pending() > 0
    poll = select.poll()
    poll.register(stream, select.POLLIN | (select.POLLOUT if to_write else 0))
    poll.register(wakeup, select.POLLIN)
    ready = dict(poll.poll(0 if buffered else 1000 * timeout_s))
    if wakeup.fileno() in ready:
        wakeup.recv(4096)
    events = ready.get(stream.fileno(), 0)
    return buffered or bool(events & ~select.POLLOUT), bool(events & select.POLLOUT)
