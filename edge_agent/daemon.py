"""The agent as a service: one thread that receives and answers, one that trains, one that carries bytes.

Whoever imports this has set the number of threads for numpy before (`edge_agent.cli`).
"""

import logging
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_agent.agent import Agent, Enrolment, Happening, Work
from edge_agent.config import Config
from edge_agent.data.check import builder, configured_trainers, contract_of
from edge_agent.data.keeper import DataKeeper, Told
from edge_agent.data.room import DataRoom, KnownRows
from edge_agent.data.verdict import Verdict, none_needed, write_verdict
from edge_agent.folder import DeviceKeys, StateFolder
from edge_agent.logs import LOG, RecentProblems
from edge_agent.model_follower import ModelFollower
from edge_agent.store import Store
from edge_agent.trainers import TrainingThread
from hushfleet import __version__
from hushfleet.documents import EMPTY_JOURNAL, JournalHead
from hushfleet.errors import DataError, LocalError, Refusal
from hushfleet.link import LinkError, Messenger
from hushfleet.link.mqtt.client import LastWill, MqttLink, MqttOptions
from hushfleet.link.tls import certificate_day, client_context
from hushfleet.program.certificate_age import renewal_warning, today
from hushfleet.program.folder import Membership
from hushfleet.randomness import SystemRandomness
from hushfleet.rounds.effects import Alert, Note, Refused, ZeroContributed
from hushfleet.system.signals import stopped_by_signals
from hushfleet.system.storage import TEMPORARY, storage_errors
from hushfleet.system.systemd import Notifier, Watch
from hushfleet.training import Data
from hushfleet.typed import typed
from hushfleet.wire import DeviceStatus, Kind, Presence, Readiness, Topic, build, new_boot_id, sign_status

IDLE_S = 1.0
"""The longest wait of the main loop for a message; it is less while the agent expects something of its own."""
_FIRST_LOOK_S = 60.0
"""The time that the first look at the data gets before the agent connects: before it is over, a contribution would be zero."""
_MOMENT_S = 0.2
_LINK_ALIVE_S = 30.0
_LEAVE_S = 5.0
_FORGET_S = 6 * 3600.0
_FULL_S = 5.0
"""The pause before storing is tried again on a full or read-only disk."""


@dataclass(frozen=True)
class Voice:
    """Makes and signs what this device says of itself, under the boot id of this process.

    `certificate_day` and `shown` as in `Readiness`.
    """

    keys: DeviceKeys
    fleet: str
    boot_id: bytes
    certificate_day: int = 0
    shown: str = ""

    def status(
        self, presence: Presence, round_number: int, readiness: Readiness | None = None, journal: JournalHead = EMPTY_JOURNAL
    ) -> DeviceStatus:
        """A status of this boot. Without `readiness` it says nothing of budget and rounds."""
        told = readiness or Readiness(None, None, self.certificate_day, self.shown)
        return DeviceStatus(self.fleet, self.keys.device_id, presence, round_number, __version__, self.boot_id, journal, told)

    def of(self, agent: Agent, presence: Presence | None = None) -> DeviceStatus:
        """The status of `agent`, or with its readiness another `presence`."""
        readiness = agent.readiness(self.certificate_day, self.shown)
        return self.status(presence or agent.presence, agent.round, readiness, agent.journal)

    def signed(self, status: DeviceStatus) -> bytes:
        """As it is published."""
        return sign_status(status, self.keys.signing)


class Daemon:
    """The main loop."""

    def __init__(
        self,
        agent: Agent,
        messenger: Messenger,
        fleet: Membership,
        voice: Voice,
        *,
        notifier: Notifier,
        watch: Watch,
        folder: Path,
        keeper: DataKeeper | None = None,
    ) -> None:
        """`keeper`: of the data room; None where nothing is trained."""
        self._voice, self._keeper, self._folder = voice, keeper, folder
        self._shown = ""
        self._agent, self._messenger, self._fleet, self._notifier, self._watch = agent, messenger, fleet, notifier, watch
        self._connections = 0
        self._said: DeviceStatus | None = None
        self._warned_day = 0
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Make `run` return after the step that is under way. For signal handlers and other threads."""
        self._stopping.set()

    def run(self) -> None:
        """Work until `stop`. Raises what storing raises: what could not be stored comes again after a restart."""
        self._notifier.ready()
        self._notifier.status("looking at the training data" if self._keeper else "starting")
        self._look_first()
        self._notifier.status(f"waiting for the broker {self._fleet.broker_host}")
        while not self._stopping.is_set():
            self._step_or_wait()
        self._notifier.stopping()
        self._say(self._voice.of(self._agent, Presence.OFFLINE))

    def _step_or_wait(self) -> None:
        """A step; where the disk is full or read-only, a pause instead: what could not be stored is tried again."""
        try:
            with storage_errors(self._folder, damaged="Check the disk."):
                self.step()
        except LocalError as error:
            if error.reason not in TEMPORARY:
                raise
            if self._agent.trouble is None:
                LOG.error("%s", error)
            self._agent.trouble = error.reason
            self._notifier.status(f"{error.reason}: takes part in no round")
            self._say(self._voice.of(self._agent))
            self._watch.stepped()
            self._stopping.wait(_FULL_S)
        else:
            self._agent.trouble = None

    def step(self) -> None:
        """One step of the main loop: handle a new connection, what arrived and what training gave, and publish this device's status."""
        if self._messenger.link.connections > self._connections:
            self._connections, self._said = self._messenger.link.connections, None
            self._agent.connect()
            LOG.info("Connected to the broker %s.", self._fleet.broker_host)
        self._agent.pump(min(IDLE_S, self._agent.wait_s))
        self._mind_the_data()
        if self._connections:
            self._say(self._voice.of(self._agent))
        if self._messenger.link.connected:
            self._agent.remind()
        self._messenger.forget_idle(_FORGET_S)
        self._mind_the_certificate()
        self._watch.stepped()

    def _mind_the_certificate(self) -> None:
        """Warn once a day while the certificate ends soon: without one the broker lets nobody in."""
        day = today()
        if day != self._warned_day:
            self._warned_day = day
            if warning := renewal_warning(self._fleet.device_id, self._voice.certificate_day):
                LOG.warning("%s", warning)

    def _mind_the_data(self) -> None:
        if self._keeper is None:
            return
        if self._agent.presence is Presence.WORKING:
            self._keeper.room.close()
        else:
            self._keeper.room.open()

    def _look_first(self) -> None:
        if self._keeper is None:
            return
        self._keeper.start()
        waited_s = 0.0
        while not self._stopping.is_set() and waited_s < _FIRST_LOOK_S and not self._keeper.settled(_MOMENT_S):
            waited_s += _MOMENT_S
            self._watch.stepped()

    def _show(self, status: DeviceStatus) -> None:
        """Tell systemd: the words of `systemctl status`, which stay on this machine."""
        verdict = self._keeper.room.verdict if self._keeper else None
        warning = "" if verdict is None or verdict.healthy else f"; TRAINING DATA NOT USABLE: {typed('agent', 'status')}"
        text = f"{status.presence}, round {status.round}{warning}"
        if text != self._shown:
            self._notifier.status(text)
            self._shown = text

    def _say(self, status: DeviceStatus) -> None:
        self._show(status)
        if status == self._said:
            return
        try:
            self._messenger.send(Topic(self._fleet.fleet, Kind.STATUS, device=self._fleet.device_id), self._voice.signed(status))
        except LinkError as error:
            LOG.debug("Status not sent: %s", error)
        self._said = status


def run(folder: StateFolder, config: Config) -> None:
    """Run the agent of `folder` until SIGTERM or SIGINT.

    Raises `LocalError`: `SYSTEM_UNSUPPORTED`, `NOT_ENROLLED`, `STATE_IN_USE`, `LINK_CERTIFICATE`, `LEDGER_MISSING`,
    `DECRYPTION_LOG_MISSING`.
    """
    require_64_bit()
    fleet, keys = _with(folder.joined(), config), DeviceKeys.load(folder.path)
    voice = Voice(keys, fleet.fleet, new_boot_id(SystemRandomness()), certificate_day(folder.certificate), config.status.shown)
    kept = RecentProblems(folder.path).recorded()
    with folder.locked(), closing(Store(folder.path)) as store, _link(folder, fleet, voice, config, store) as link, kept:
        notifier = Notifier()
        watch = Watch(notifier, lambda: link.alive_within_s(_LINK_ALIVE_S), on_stuck=lambda text: LOG.error("%s", text))
        messenger = Messenger(link, folder.spool, on_refused=lambda error: LOG.warning("Dropped a message: %s", error))
        enrolment = Enrolment(keys, fleet.fleet, fleet.root, config.testing.insecure_keys)
        threads = ThreadPoolExecutor(len(os.sched_getaffinity(0)), "answer")
        told = Told(lambda text: LOG.info("%s", text))
        room = DataRoom(folder.path, config.data, progress=told, tell=_tell) if config.training.enabled else None
        if room is None:
            write_verdict(folder.path, none_needed())
        agent = Agent(
            enrolment,
            store,
            messenger,
            _work(config, room),
            member=None,
            report=report,
            threads=threads,
            boot_id=voice.boot_id,
            follower=ModelFollower(folder.path, fleet.fleet, contract_of(config)),
        )
        keeper = DataKeeper(room, lambda: agent.models, warn=lambda text: LOG.error("%s", text)) if room else None
        daemon = Daemon(agent, messenger, fleet, voice, notifier=notifier, watch=watch, folder=folder.path, keeper=keeper)
        LOG.info("Agent %s of fleet %s, version %s, state in %s.", keys.device_id, fleet.fleet, __version__, folder.path)
        watch.start()
        with stopped_by_signals(daemon.stop):
            daemon.run()
        watch.end()


def report(_: str, happening: Happening) -> None:
    """Write what happened to the local log."""
    match happening:
        case Note(text):
            LOG.info("%s", text)
        case Alert(text):
            LOG.error("ALERT: %s", text)
        case Refused(error):
            LOG.warning("Refused: %s", error)
        case ZeroContributed(reason):
            LOG.warning("contributing zero plus noise: %s", reason)


def require_64_bit(max_size: int = sys.maxsize) -> None:
    """Raises `LocalError(SYSTEM_UNSUPPORTED)` on a 32-bit system."""
    if max_size < 1 << 32:
        raise LocalError(
            Refusal.SYSTEM_UNSUPPORTED,
            "this is a 32-bit system; numpy, onnxruntime and the cryptography come for 64-bit systems alone",
            next_step="Install the 64-bit system; a Raspberry Pi 3, 4, 5 or Zero 2 W runs it.",
        )


def _work(config: Config, room: DataRoom | None) -> Work:
    if room is None:
        return Work(configured_trainers(config), KnownRows(_no_rows), builder(config), enabled=False)
    return Work(configured_trainers(config), room, builder(config), executor=TrainingThread(config.training.nice))


def _no_rows() -> Data:
    raise DataError(Refusal.DATA_SOURCE, "this device does not train")


def _tell(verdict: Verdict) -> None:
    LOG.log(logging.INFO if verdict.healthy else logging.WARNING, "Training data: %s", verdict.text)


def _with(fleet: Membership, config: Config) -> Membership:
    """The membership, with the broker's address from the configuration where that names one."""
    host, port = config.broker.host or fleet.broker_host, config.broker.port or fleet.broker_port
    return Membership(fleet.fleet, fleet.device_id, fleet.root_key, host, port)


@contextmanager
def _link(folder: StateFolder, fleet: Membership, voice: Voice, config: Config, store: Store) -> Iterator[MqttLink]:
    store.require_place()
    offline = voice.signed(voice.status(Presence.OFFLINE, 0, journal=store.told_head()))
    will = LastWill(build(Topic(fleet.fleet, Kind.STATUS, device=fleet.device_id)), offline)
    options = MqttOptions(
        fleet.broker_host,
        fleet.broker_port,
        fleet.fleet,
        fleet.device_id,
        client_context(folder.ca, folder.certificate, folder.tls_key),
        will=will,
        keep_alive_s=config.broker.keepalive_s,
        max_bytes=config.broker.max_bytes,
    )
    link = MqttLink(options, SystemRandomness(), lambda text: LOG.warning("%s", text))
    link.open()
    try:
        yield link
        if link.connected:
            link.flush(_LEAVE_S)
    finally:
        link.close()
