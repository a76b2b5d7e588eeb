"""Ten agent processes, a committee of four, one Mosquitto: memory, bytes and wall time of rounds at about 10,000 values.

`python -m benchmarks.fleet`. Prints one line per figure. Everything runs on this machine, over TLS on the loopback.
"""

import platform
import sys
import tempfile
import time
from pathlib import Path

from hushfleet.randomness import SystemRandomness
from simulation import digits
from tests.support.fleet import typed
from tests.support.waiting import eventually

DEVICES = tuple(f"pi-{n:02d}" for n in range(1, 11))
MODEL = "mlp:64x128x10"
ROUNDS, IDLE_S = 5, 120.0
JOB = """
[job]
name = "bench"
rounds = {rounds}
[model]
name = "mlp"
inputs = 64
hidden = [128]
outputs = 10
[training]
local_steps = 200
batch_size = 32
learning_rate = 0.1
[privacy]
clip_norm = 1.0
noise_multiplier = 4.0
delta = 1e-6
[cohort]
min_devices = 10
max_devices = 10
deadline_s = 120
"""


def main() -> None:
    """Set up, run, measure, print."""
    with tempfile.TemporaryDirectory() as folder, typed.ending(_prepared(Path(folder))) as fleet:
        fleet.start_broker()
        fleet.start_agents()
        eventually(lambda: all("Connected" in fleet.log(name) for name in DEVICES), 120)
        print(f"machine: {platform.machine()}, {platform.python_implementation()} {platform.python_version()}, 3072-bit key, {MODEL}")
        idle = {name: _memory_mb(fleet.running[name].pid) for name in DEVICES}
        before = _broker_bytes(fleet)
        time.sleep(IDLE_S)  # this is what is measured
        per_day = (_broker_bytes(fleet) - before) / len(DEVICES) * 86400 / IDLE_S
        print(f"agent, idle: {max(idle.values()):.0f} MB resident; {per_day / 1000:.0f} kB a day on the wire, both ways, TLS left out")
        fleet.start_orchestrator()
        peak = dict.fromkeys(DEVICES, 0.0)
        while fleet.running["orchestrator"].poll() is None:
            for name in DEVICES:
                peak[name] = max(peak[name], _memory_mb(fleet.running[name].pid))
            time.sleep(0.05)
        fleet.finish("orchestrator", 300)
        rounds = fleet.json("orchestrator", "rounds", "--state", str(fleet.state("orchestrator")))["rounds"]
        durations = sorted(one["duration_s"] for one in rounds)
        up = rounds[-1]["bytes_up"] / len(DEVICES)
        members, others = (max(peak[name] for name in names) for names in (DEVICES[:4], DEVICES[4:]))
        print(f"agent, training: {others:.0f} MB resident; a member: {members:.0f} MB")
        print(f"round of 10 devices: {durations[len(durations) // 2]:.1f} s (median of {len(durations)})")
        down, request = _down_bytes(fleet), _request_bytes(fleet)
        print(f"up: {up / 1000:.1f} kB a device and round; down: {down / 1000:.1f} kB, a member {request / 1000:.1f} kB more")


def _prepared(folder: Path) -> typed.TypedFleet:
    typed.MODEL = MODEL
    fleet = typed.prepare(folder, DEVICES, bits=3072, policy=("cohort.min_devices=10", "training.max_local_steps=1000"))
    shares = digits.split(len(DEVICES), SystemRandomness()).devices
    typed.write_data(fleet, {name: (data.features, data.targets) for name, data in zip(DEVICES, shares, strict=True)})
    (folder / "job.toml").write_text(JOB.format(rounds=ROUNDS))
    return fleet


def _memory_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1000


def _broker_bytes(fleet: typed.TypedFleet) -> int:
    """Bytes that the broker process has read and written on sockets and files; idle, that is its sockets."""
    counters = dict(line.split(": ") for line in Path(f"/proc/{fleet.running['broker'].pid}/io").read_text().splitlines())
    return int(counters["rchar"]) + int(counters["wchar"])


def _archived(fleet: typed.TypedFleet, name: str) -> int:
    return next((fleet.state("orchestrator") / "archive").rglob(name)).stat().st_size


def _down_bytes(fleet: typed.TypedFleet) -> int:
    return _archived(fleet, "model-before") + _archived(fleet, "plan")


def _request_bytes(fleet: typed.TypedFleet) -> int:
    return _archived(fleet, "request")


if __name__ == "__main__":
    sys.exit(main())
