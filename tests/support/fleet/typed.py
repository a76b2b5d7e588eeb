"""A fleet as people run one: every step a command typed, every party a process, one Mosquitto with TLS, certificates and the ACL."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from simulation.broker import free_port
from tests.support.mosquitto import program
from tests.support.waiting import LIMIT_S, eventually

HUSHFLEET = Path(sys.executable).parent / "hushfleet"
FLEET = "meadow"
MODEL = "softmax:4x3"


@dataclass
class TypedFleet:
    """One fleet in one folder, with what runs of it."""

    folder: Path
    devices: tuple[str, ...]
    port: int
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def typed(self, *words: str, code: int = 0, input_text: str = "") -> str:
        """What a command prints on standard output. It must end with `code`."""
        done = subprocess.run(
            [HUSHFLEET, *words], cwd=self.folder, env=self._environment(), input=input_text, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, f"hushfleet {' '.join(words)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout if code == 0 else done.stderr

    def json(self, *words: str) -> Any:  # noqa: ANN401 -- JSON
        """The object that a command prints with --json."""
        return json.loads(self.typed(*words, "--json").splitlines()[-1])

    def state(self, name: str) -> Path:
        return self.folder / "state" / name

    def start(self, name: str, *words: str) -> None:
        """A process of its own, its words in a log."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(words, cwd=self.folder, env=self._environment(), stdout=log, stderr=log)

    def start_broker(self) -> None:
        self.start("broker", program(), "-c", str(self.folder / "broker" / "mosquitto.conf"))

    def start_agent(self, name: str) -> None:
        self.start(name, str(HUSHFLEET), "agent", "run", "--state", str(self.state(name)), "--config", str(self.folder / f"{name}.toml"))

    def start_agents(self, *names: str) -> None:
        for name in names or self.devices:
            self.start_agent(name)

    def start_orchestrator(self, *more: str) -> None:
        words = ("orchestrator", "run", "job.toml", "--yes", "--state", str(self.state("orchestrator")))
        self.start("orchestrator", str(HUSHFLEET), *words, *more)

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """End a process the hard way, or by another signal."""
        process = self.running.pop(name)
        process.send_signal(number)
        process.wait(LIMIT_S)

    def finish(self, name: str) -> None:
        """Wait until a process ends by itself, without an error."""
        code = self.running.pop(name).wait(LIMIT_S)
        assert code == 0, self.log(name)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def end(self) -> None:
        """Whatever still runs, the broker last: agents take their leave of it."""
        for name in sorted(self.running, key=lambda name: name == "broker"):
            process = self.running[name]
            process.send_signal(signal.SIGTERM)
            if name == "broker":
                for other in self.running.values():
                    if other is not process:
                        other.wait(LIMIT_S)
        for process in self.running.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(LIMIT_S)
            process.kill()
            process.wait()
        self.running.clear()

    def released(self) -> list[dict[str, Any]]:
        """The rounds released so far, as a person asks."""
        rounds = self.json("orchestrator", "rounds", "--state", str(self.state("orchestrator")))["rounds"]
        return [one for one in rounds if one["state"] == "released"]

    def await_released(self, count: int) -> None:
        eventually(lambda: len(self.released()) >= count)

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "HUSHFLEET_VAULT": str(self.folder / "vault"), "OPENBLAS_NUM_THREADS": "1"}


def prepare(folder: Path, devices: Sequence[str], *, members: int = 4, policy: Sequence[str] = (), bits: int = 2048) -> TypedFleet:
    """Vault, enrolment, committee, broker files: everything up to the first start. The port is a free one of this moment."""
    found = TypedFleet(folder, tuple(devices), free_port())
    (folder / "passphrase").write_text("correct horse battery staple\n")
    (folder / "passphrase").chmod(0o600)
    secret = ("--passphrase-file", "passphrase")
    found.typed("provision", "init", FLEET, "--broker-host", "localhost", "--broker-port", str(found.port), *secret)
    for terms in ("cohort.min_devices=4", f"cohort.max_devices={len(devices)}", f"models.allowed={MODEL}", *policy):
        found.typed("provision", "policy", "set", terms)
    for name in devices:
        found.typed("agent", "enrol", "--name", name, "--state", str(found.state(name)))
        found.typed("provision", "approve", f"{name}.request", "--yes", *secret)
    found.typed("orchestrator", "enrol", "--state", str(found.state("orchestrator")))
    found.typed("provision", "approve", "orchestrator.request", "--yes", *secret)
    found.typed("provision", "committee", "deal", *devices[:members], "--bits", str(bits), "--yes", *secret)
    found.typed("provision", "broker", "--out", "broker", "--host", "localhost", *secret)
    for name in devices:
        found.typed("agent", "join", f"vault/bundles/{name}.bundle", "--yes", "--state", str(found.state(name)))
    found.typed("orchestrator", "join", "vault/bundles/orchestrator.bundle", "--yes", "--state", str(found.state("orchestrator")))
    return found


def copied(whole: TypedFleet, folder: Path) -> TypedFleet:
    """The same fleet, as it was before anything ran, in another folder."""
    shutil.copytree(whole.folder, folder)
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix in (".conf", ".toml", ".json", ".acl") and path.name != "registry.json":
            path.write_text(path.read_text().replace(str(whole.folder), str(folder)))
    found = TypedFleet(folder, whole.devices, whole.port)
    # The vault remembers the broker's folder, and an authenticator keeps it from being changed by another way.
    found.typed("provision", "broker", "--out", "broker", "--host", "localhost", "--passphrase-file", "passphrase")
    return found


def write_data(found: TypedFleet, rows: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Each device's own data, and its agent.toml."""
    for name, (x, y) in rows.items():
        np.savez(found.folder / f"{name}.npz", x=x, y=y)
        (found.folder / f"{name}.toml").write_text(
            f'[data]\nsource = "npz"\npath = "{found.folder / name}.npz"\n[training]\nmodels = ["{MODEL}"]\n'
        )


@contextmanager
def ending(found: TypedFleet) -> Iterator[TypedFleet]:
    """Nothing of it runs afterwards; on a failure the logs are shown."""
    try:
        yield found
    except BaseException:
        for path in sorted(found.folder.glob("*.log")):
            sys.stderr.write(f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}\n")
        raise
    finally:
        found.end()
