"""`python -m simulation.device_process SPEC`: some devices of a demo fleet in a process of their own, over the real broker.

Reads commands on standard input, one a line: `hold NAME`, `release NAME`. Ends when standard input does, so that no process
outlives its demo. Writes JSON lines: who is ready, and what the parties note, refuse and raise alarms about.
"""

import os
import sys
import threading
import time
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edge_agent.agent import Agent, Enrolment, Happening, Work
from edge_agent.data.room import KnownRows
from edge_agent.folder import DeviceKeys
from edge_agent.store import Store
from hushfleet.link import Messenger
from hushfleet.link.mqtt.client import MqttLink, MqttOptions
from hushfleet.link.tls import client_context
from hushfleet.program.terminal import print_json
from hushfleet.randomness import SystemRandomness
from hushfleet.rounds.effects import Refused, ZeroContributed
from hushfleet.signing import VerifyKey
from hushfleet.system.formats import from_json
from hushfleet.system.memory import hide_memory
from hushfleet.training import Data
from models import catalogue
from models.evaluation import Model

IDLE_S = 0.01
BROKER_FOLDER, CA_FILE = "broker", "broker/ca.pem"
KEY_FILE, CERTIFICATE_FILE, DATA_FILE = "tls.key", "tls.crt", "data.npz"


class Spec(msgspec.Struct, frozen=True):
    """The order that a process is given: where the fleet's folder is, whom it plays, and where the broker is."""

    folder: str
    names: tuple[str, ...]
    members: bool
    fleet: str
    root_key: str
    model: str
    port: int


@cache
def _trainer(name: str) -> Model:
    """One for all who play in this process."""
    return catalogue.trainer(name)


class Player:
    """One device: its agent on its own connection."""

    def __init__(self, spec: Spec, name: str) -> None:
        folder = Path(spec.folder) / "devices" / name
        context = client_context(Path(spec.folder) / CA_FILE, folder / CERTIFICATE_FILE, folder / KEY_FILE)
        options = MqttOptions("localhost", spec.port, spec.fleet, name, context)
        self.name, self.held = name, False
        self._link = MqttLink(options, SystemRandomness(), lambda text: _say(party=name, kind="problem", text=text))
        trainer = _trainer(spec.model)
        self._agent = Agent(
            Enrolment(DeviceKeys.load(folder), spec.fleet, VerifyKey(bytes.fromhex(spec.root_key))),
            Store(folder),
            Messenger(self._link, folder / "spool"),
            Work({trainer.architecture.digest: trainer}, KnownRows(lambda: _data(folder / DATA_FILE))),
            member=spec.members,
            report=_report,
        )
        self._connections = 0
        self._link.open()

    def turn(self) -> int:
        """Handle the messages that arrived, and return their number."""
        if self._link.connections > self._connections:
            self._connections = self._link.connections
            self._agent.connect()
            _say(party=self.name, kind="ready")
        return 0 if self.held else self._agent.pump()


def main(path: Path) -> None:
    """Play until standard input ends."""
    spec = from_json(path.read_bytes(), Spec)
    players = {name: Player(spec, name) for name in spec.names}
    threading.Thread(target=_obey, args=(players,), daemon=True).start()
    while True:
        if not sum(player.turn() for player in players.values()):
            time.sleep(IDLE_S)  # nothing to do for any of them


def _obey(players: dict[str, Player]) -> None:
    for line in sys.stdin:
        command, name = line.split()
        players[name].held = command == "hold"
        _say(party=name, kind=command)
    os._exit(0)  # the demo is gone: nothing here needs saving that is not saved


def _data(path: Path) -> Data:
    with np.load(path) as arrays:
        return Data(arrays["x"], arrays["y"])


def _report(party: str, happening: Happening) -> None:
    if isinstance(happening, Refused):
        _say(party=party, kind="refused", reason=happening.error.reason.value, text=happening.error.message)
    elif isinstance(happening, ZeroContributed):
        _say(party=party, kind="zero", text=happening.reason)
    else:
        _say(party=party, kind=type(happening).__name__.lower(), text=happening.text)


def _say(**fields: Any) -> None:  # noqa: ANN401 -- JSON
    print_json(fields)


if __name__ == "__main__":
    hide_memory()
    main(Path(sys.argv[1]))
