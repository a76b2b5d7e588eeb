import stat
from pathlib import Path

import pytest

from edge_agent import enrolment
from edge_agent.folder import DeviceKeys, StateFolder
from edge_agent.install import UNIT, TargetMachine, Wanted, carry_out, data_note, install, move_state, uninstall, unit_text
from hushfleet.errors import LocalError, Refusal
from tests.support.bundles import DEVICE, MEMBER, bundle, enrolled, joined
from tests.support.refusals import refused

ROOT = Path(__file__).parents[3]


class Bare:
    """A machine in a folder, under a systemd that does nothing but note what it is told."""

    def __init__(self, root: Path) -> None:
        self.commands = []
        self.root = root
        (root / "run/systemd/system").mkdir(parents=True)
        self.machine = self.as_user(0)

    def as_user(self, user_id, **changes: object) -> TargetMachine:
        settings = {"root": self.root, "run": self.commands.append, "user_id": user_id, "program": Path("/opt/hushfleet/bin/hushfleet")}
        return TargetMachine(**{**settings, "user_state": None, **changes})

    def install(self, wanted, *, dry_run=False) -> None:
        carry_out(install(self.machine, wanted), self.machine, dry_run=dry_run)

    def files(self):
        return {str(path.relative_to(self.root)): path.read_bytes() for path in self.root.rglob("*") if path.is_file()}


@pytest.fixture
def bare(tmp_path):
    return Bare(tmp_path / "machine")


@pytest.fixture
def wanted(bare, tmp_path):
    """Enrolled for the service; a bundle beside."""
    _, fleet = enrolled(bare.machine.state.path, DEVICE)
    path = tmp_path / "device-05.bundle"
    path.write_bytes(bundle(fleet, DEVICE))
    return Wanted(path, yes=True)


def test_a_bundle_makes_a_service(bare, wanted):
    bare.install(wanted)

    assert bare.machine.state.joined().device_id == DEVICE
    assert bare.machine.config.read_bytes() == (ROOT / "examples/agent.toml").read_bytes()
    assert stat.S_IMODE(bare.machine.config.stat().st_mode) == 0o600
    assert "ExecStart=/opt/hushfleet/bin/hushfleet agent run" in bare.machine.unit.read_text()
    assert bare.commands == [["systemctl", "daemon-reload"], ["systemctl", "enable", UNIT], ["systemctl", "restart", UNIT]]


def test_a_service_with_nothing_to_train_on_says_so(bare, wanted, tmp_path):
    bare.install(wanted)
    assert "there is no file /srv/training/digits.npz" in data_note(bare.machine)

    (tmp_path / "d.csv").write_text("x,y\n1,0\n2,1\n")
    bare.machine.config.write_text('[data]\nsource = "sensor"\n')
    assert "there is no data source 'sensor'" in data_note(bare.machine)

    for text in (f'[data]\nsource = "csv"\npath = "{tmp_path}/d.csv"\n', "[training]\nenabled = false\n"):
        bare.machine.config.write_text(text)
        assert data_note(bare.machine) == ""


def test_the_second_time_nothing_changes(bare, wanted):
    bare.install(wanted)
    before, bare.commands[:] = bare.files(), []

    bare.install(Wanted(yes=True))

    assert bare.files() == before
    assert bare.commands == [["systemctl", "enable", UNIT], ["systemctl", "start", UNIT]]


def test_the_same_bundle_again_stops_joins_and_restarts(bare, wanted):
    bare.install(wanted)
    bare.commands.clear()

    bare.install(wanted)

    assert bare.commands == [["systemctl", "stop", UNIT], ["systemctl", "enable", UNIT], ["systemctl", "restart", UNIT]]


def test_a_configuration_of_ones_own_stays(bare, wanted, tmp_path):
    own = tmp_path / "agent.toml"
    own.write_text("[training]\nenabled = false\n")
    bare.install(Wanted(wanted.bundle, own, yes=True))
    bare.install(wanted)

    assert bare.machine.config.read_text() == own.read_text()


def test_a_configuration_that_cannot_be_is_refused_before_anything_happens(bare, wanted, tmp_path):
    own = tmp_path / "agent.toml"
    own.write_text("[traning]\n")
    before = bare.files()

    with refused(Refusal.CONFIG_INVALID, LocalError):
        bare.install(Wanted(wanted.bundle, own, yes=True))
    assert (bare.files(), bare.commands) == (before, [])


def test_a_dry_run_prints_every_action_and_does_none(bare, wanted, capsys):
    before = bare.files()
    carry_out(install(bare.as_user(1000), wanted), bare.as_user(1000), dry_run=True)

    assert (bare.files(), bare.commands) == (before, [])
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 6
    assert all(line.startswith("would ") for line in shown)


def test_nobody_but_root_installs(bare, wanted):
    before = bare.files()
    with pytest.raises(PermissionError, match="sudo"):
        carry_out(install(bare.machine, wanted), bare.as_user(1000), dry_run=False)
    assert bare.files() == before


def test_keys_that_a_user_made_move_with_their_ledger(bare, tmp_path):
    source, fleet = enrolled(tmp_path / "home/state", MEMBER)
    keys = DeviceKeys.load(source.path)
    path = tmp_path / "device-01.bundle"
    path.write_bytes(bundle(fleet, MEMBER, grant=b""))
    machine = bare.as_user(0, user_state=source.path)

    carry_out(install(machine, Wanted(path, yes=True)), machine, dry_run=False)

    assert DeviceKeys.load(machine.state.path).signing.seed() == keys.signing.seed()
    assert not source.path.exists()
    assert machine.state.joined().device_id == MEMBER


def test_keys_that_the_service_has_win_over_a_users(bare, wanted, tmp_path):
    other, _ = enrolled(tmp_path / "home/state", MEMBER)
    machine = bare.as_user(0, user_state=other.path)

    carry_out(install(machine, wanted), machine, dry_run=False)

    assert machine.state.joined().device_id == DEVICE
    assert enrolment.enrolled(other)


def no_power(*_: object, **__: object) -> None:
    raise OSError("no power")


@pytest.mark.parametrize("step", ["write_durably", "StateFolder.hand_over", "Path.unlink", "shutil.rmtree"])
def test_a_move_that_was_interrupted_is_finished_by_the_next(bare, tmp_path, monkeypatch, step):
    source, _ = joined(tmp_path / "from", MEMBER)
    target, keys = StateFolder(tmp_path / "to"), DeviceKeys.load(source.path)

    with monkeypatch.context() as patch:
        patch.setattr(f"edge_agent.install.{step}", no_power)
        with pytest.raises(OSError, match="no power"):
            move_state(source, target)
    machine = bare.as_user(0, user_state=source.path)
    (machine.root / "var/lib").mkdir(parents=True)
    if target.path.exists():
        target.path.rename(machine.state.path)
    carry_out(install(machine, Wanted()), machine, dry_run=False)
    target = machine.state

    assert DeviceKeys.load(target.path).signing.seed() == keys.signing.seed()
    assert target.joined().device_id == MEMBER
    assert not enrolment.enrolled(source)


def test_an_agent_that_runs_keeps_its_keys(tmp_path):
    source, _ = enrolled(tmp_path / "from", MEMBER)

    with source.locked(), refused(Refusal.STATE_IN_USE, LocalError):
        move_state(source, StateFolder(tmp_path / "to"))
    assert enrolment.enrolled(source)


@pytest.mark.parametrize("wanted", [Wanted(), Wanted(Path("pi.bundle"))], ids=["no bundle", "bundle"])
def test_without_keys_it_says_what_to_do(bare, wanted):
    with refused(Refusal.NOT_ENROLLED, LocalError):
        install(bare.machine, wanted)


def test_without_a_bundle_a_device_must_have_joined(bare):
    enrolled(bare.machine.state.path, DEVICE)

    with refused(Refusal.NOT_ENROLLED, LocalError):
        install(bare.machine, Wanted())


def test_without_systemd_there_is_no_service(bare, wanted):
    (bare.root / "run/systemd/system").rmdir()

    with refused(Refusal.SYSTEM_UNSUPPORTED, LocalError):
        install(bare.machine, wanted)


@pytest.mark.parametrize("hidden", ["home/pi/.venv", "root/v", "tmp/v", "var/tmp/v", "run/user/1000/v"])
def test_a_program_that_the_service_would_not_see_is_refused(bare, wanted, hidden):
    machine = bare.as_user(0, program=bare.root / hidden / "bin/hushfleet")

    with refused(Refusal.SYSTEM_UNSUPPORTED, LocalError):
        install(machine, wanted)


def test_uninstalling_keeps_keys_and_ledger(bare, wanted):
    bare.install(wanted)
    bare.commands.clear()

    carry_out(uninstall(bare.machine, purge=False), bare.machine, dry_run=False)

    assert bare.commands == [["systemctl", "disable", "--now", UNIT], ["systemctl", "daemon-reload"]]
    assert not bare.machine.unit.exists()
    assert bare.machine.config.exists()
    assert enrolment.enrolled(bare.machine.state)
    assert uninstall(bare.machine, purge=False) == ()


def test_purging_leaves_nothing(bare, wanted):
    bare.install(wanted)
    private = bare.root / "var/lib/private/hushfleet-agent"  # where systemd puts it for a service without a user of its own
    private.parent.mkdir()
    bare.machine.state.path.rename(private)
    bare.machine.state.path.symlink_to(private)

    carry_out(uninstall(bare.machine, purge=True), bare.machine, dry_run=False)

    assert bare.files() == {}
    assert not bare.machine.state.path.is_symlink()


def test_the_shipped_unit_is_the_packaged_one():
    shipped = (ROOT / "systemd" / UNIT).read_text()

    assert unit_text(Path("/usr/bin/hushfleet")) == shipped
    assert unit_text(Path("/opt/x/hushfleet")).count("/opt/x/hushfleet agent run ") == 1
    assert "ORT_DISABLE_TELEMETRY=1" in shipped
    assert "ProcSubset" not in shipped.replace("Without ProcSubset", "")
