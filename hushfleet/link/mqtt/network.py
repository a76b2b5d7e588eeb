"""The thread that keeps a session connected: one connection after the other, with random pauses, and word of what is wrong."""

import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from hushfleet.link.mqtt.filters import FilterChange
from hushfleet.link.mqtt.options import MqttOptions
from hushfleet.link.mqtt.outbox import Outgoing
from hushfleet.link.tls import diagnose, explain
from hushfleet.randomness import Randomness
from hushfleet.system.repeats import Problems

_ACCEPTED_WITHIN_S = 20.0
_LEAVE_S = 5.0
_STOP_S = 15.0
_TICK_S = 1.0
_STABLE_S = 10.0
_ATTEMPT_S = 120.0  # name look-up, every address, handshake, diagnosis: none of them can be interrupted
_JITTER_BITS = 32
_TAKEN_OVER = "Session taken over"
_LOSSES_OF_TWO = 2
"""So many connections in a row, each lost within seconds of being accepted: two programs with one identity end each other's. Mosquitto
before 2.0.15 gives no reason for that."""
_PERHAPS_TWICE = (
    "This happens soon after each connection: another program may use the identity {identity}. "
    "If its folder was copied, stop one of the two."
)
_UNREACHABLE_S = 8.0
"""The greatest bound of a pause while the broker cannot be reached: an attempt costs nobody anything, and is how its return is noticed."""


class Connection(Protocol):
    """One connection as a session uses it. Only the network thread touches it."""

    def open(self) -> None:
        """Connect: TCP, TLS, and the first packet. Raises OSError."""

    def step(self, wakeup: socket.socket, timeout_s: float) -> bool:
        """Wait for bytes or for `wakeup`, carry them both ways and tell the listener. False once the connection is gone."""

    def publish(self, message: Outgoing, now_s: float) -> int:
        """Send a message and return its number."""

    def ask(self, change: FilterChange) -> int | None:
        """Carry a change of filters to the broker; its number, or None if the connection is gone."""

    def acknowledge(self, number: int) -> None:
        """The broker may forget the delivery of this number."""

    def leave(self, within_s: float) -> None:
        """End the connection in order: the session stays, and no last will is published."""

    def drop(self) -> None:
        """Close the socket, in whatever state."""


class BrokerSession(Protocol):
    """The session, as its network sees it."""

    @property
    def connections(self) -> int:
        """The number of connections that the broker has accepted so far."""

    def carry(self, connection: Connection) -> None:
        """Hand over to `connection` what is due."""

    def lost(self) -> None:
        """Note that the connection is gone."""

    def on_connected(self, *, session_present: bool, most_packet_bytes: int, receive_maximum: int) -> None:
        """The broker accepted the connection."""

    def on_published(self, number: int, code: int, refusal: str) -> None:
        """The broker took a message, or refused it."""

    def on_answered(self, number: int, refusal: str) -> None:
        """The broker answered a change of filters."""

    def on_arrived(self, topic: str, data: bytes, *, retained: bool, number: int) -> None:
        """Take a delivery, which is to be acknowledged under its number."""


class Listener(Protocol):
    """The listener of a connection. It is called on the network thread."""

    session: BrokerSession

    def on_disconnected(self, reason: str) -> None:
        """Note that the broker ended the connection. `reason` is the broker's, or empty if it gave none."""

    def on_failed(self, error: Exception) -> None:
        """Report an error in handling something that came from the broker."""


Connect = Callable[[Listener], Connection]


def pause_s(failures: int, bounds_s: tuple[float, float], randomness: Randomness) -> float:
    """A pause in seconds ("full jitter"): uniform below a bound that doubles with each failure, from `bounds_s[0]` to `bounds_s[1]`.

    A fleet whose broker comes back must not come back in step.
    """
    first_s, most_s = bounds_s
    bound_s = min(most_s, first_s * (1 << min(failures, _JITTER_BITS)))
    return bound_s * randomness.bits(_JITTER_BITS) / (1 << _JITTER_BITS)


class Network:
    """The thread that runs one connection after the other until `stop`. Nothing that happens on one of them ends it."""

    def __init__(self, options: MqttOptions, session: BrokerSession, connect: Connect, randomness: Randomness, problems: Problems) -> None:
        self.session = session
        self._options = options
        self._connect = connect
        self._randomness = randomness
        self._problems = problems
        self._reason = ""
        self._turned_away = False
        self._soon_lost = 0
        self._stopping = threading.Event()
        self._alive_until_s = time.monotonic()
        self._wakeup, self._waker = socket.socketpair()
        self._wakeup.setblocking(False)
        self._waker.setblocking(False)
        self._thread = threading.Thread(target=self._run, name=f"link of {options.identity}", daemon=True)

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def wake(self) -> None:
        """Make the thread look for something to carry."""
        with suppress(OSError):  # it has been woken often enough, or for the last time
            self._waker.send(b"\0")

    def stop(self) -> None:
        """End the connection in order, and the thread. Again is harmless."""
        self._stopping.set()
        if self._thread.is_alive():
            self.wake()
            self._thread.join(_STOP_S)
        if not self._thread.is_alive():  # else it hangs in an attempt to connect, and ends by itself
            self._wakeup.close()
            self._waker.close()

    def alive_within_s(self, seconds: float) -> bool:
        """True if the thread has shown life in the last `seconds`. An attempt to connect may take two minutes."""
        return self._thread.is_alive() and time.monotonic() - self._alive_until_s <= seconds

    def on_disconnected(self, reason: str) -> None:
        """Keep the broker's reason for the report."""
        self._reason = reason

    def on_failed(self, error: Exception) -> None:
        """Report the error; the connection goes on."""
        self._problems.report(f"Something from the broker could not be understood: {error!r}.")

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            began_s, before = time.monotonic(), self.session.connections
            self._tick(_ATTEMPT_S)
            self._attempt()
            accepted, lasted_s = self.session.connections > before, time.monotonic() - began_s
            failures = 0 if accepted and lasted_s > _STABLE_S else failures + 1
            self._pause(failures)

    def _pause(self, failures: int) -> None:
        """Wait before the next attempt: long only if the broker was there and turned this party away, so that a fleet is back at once."""
        first_s, most_s = self._options.retry_s
        bounds_s = (first_s, most_s if self._turned_away else min(most_s, _UNREACHABLE_S))
        seconds = pause_s(failures, bounds_s, self._randomness)
        self._tick(seconds)
        self._stopping.wait(seconds)

    def _attempt(self) -> None:
        connection, self._turned_away = self._connect(self), False
        try:
            connection.open()
            self._serve(connection)
        except OSError as error:
            self._turned_away = isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError)
            self._problems.report(str(explain(error, self._options.host, self._options.port)))
        except Exception as error:  # noqa: BLE001 -- whatever it is, the next connection goes on
            self._problems.report(f"The link failed and connects again: {error!r}.")
        finally:
            connection.drop()
            self.session.lost()

    def _serve(self, connection: Connection) -> None:
        self._reason, before, began_s = "", self.session.connections, time.monotonic()
        until_s = time.monotonic() + _ACCEPTED_WITHIN_S
        while not self._stopping.is_set():
            if not connection.step(self._wakeup, _TICK_S):
                connected = self.session.connections > before
                self._soon_lost = self._soon_lost + 1 if connected and time.monotonic() - began_s < _STABLE_S else 0
                self._say_why(connected=connected)
                return
            if self.session.connections == before and time.monotonic() > until_s:
                raise TimeoutError
            self._tick()
            self.session.carry(connection)
        self.session.carry(connection)
        connection.leave(_LEAVE_S)

    def _say_why(self, *, connected: bool) -> None:
        o = self._options
        if self._reason:
            self._turned_away = not connected or self._reason == _TAKEN_OVER
            hint = f" Another program uses the identity {o.identity}." if self._reason == _TAKEN_OVER else ""
            self._problems.report(f"The broker at {o.host}:{o.port} ended the connection: {self._reason}.{hint}")
        elif connected:
            hint = f" {_PERHAPS_TWICE.format(identity=o.identity)}" if self._soon_lost >= _LOSSES_OF_TWO else ""
            self._problems.report(f"The connection with {o.host}:{o.port} was lost.{hint}")
        else:
            self._tick(_ATTEMPT_S)
            self._problems.report(str(diagnose(o.host, o.port, o.context) or f"{o.host}:{o.port} closed the connection at once."))

    def _tick(self, grace_s: float = 0.0) -> None:
        self._alive_until_s = time.monotonic() + grace_s
