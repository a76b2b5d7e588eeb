"""The table of docs/operations.md that tells an owner what to type: each row's commands are typed, in order, in one fleet."""

import re
import shlex
from pathlib import Path

import pytest

from hushfleet.cli import ExitCode, run
from hushfleet.codec import encode
from hushfleet.encryption.paillier import dealing as dealer
from orchestrator.folder import StateFolder
from provisioning import strongbox, vault
from provisioning.folder import VaultFolder
from tests.support.enrolling import CHEAP, applicant, dealing

ROOT = Path(__file__).parents[3]
DEVICES = [f"pi-{number:02d}" for number in range(1, 6)]
SECRET = "correct horse battery"  # noqa: S105 -- the test's own


def rows() -> list[tuple[str, list[str], str]]:
    """(purpose, commands, what follows) of each row."""
    text = (ROOT / "docs" / "operations.md").read_text()
    lines = text[text.index("| to | type | then |") :].split("\n\n", 1)[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [(to, re.findall(r"`(provision [^`]+)`", command), then) for to, command, then in cells]


class Office:
    """The owner's desk and the orchestrator's machine, in one folder."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys, self.hub = folder, capsys, "hub"

    def types(self, *words: str, code: int = ExitCode.DONE) -> str:
        assert run(list(words)) == code, self._capsys.readouterr()
        out, err = self._capsys.readouterr()
        return out + err

    def owner_types(self, command: str) -> str:
        """As it stands in the table, with what the text above it says: where the passphrase is, and no question."""
        return self.types(*shlex.split(command), "--passphrase-file", "passphrase", "--yes")

    def request(self, name: str, generation: int = 1) -> None:
        Path(f"{name}.request").write_bytes(encode(applicant(name, generation).request()))

    def enrol_orchestrator(self, state: str) -> None:
        self.types("orchestrator", "enrol", "--state", state, "--yes")
        self.hub = state

    @property
    def serial(self) -> int:
        return VaultFolder(self.folder / "vault").registry().verified.roster.serial


@pytest.fixture
def office(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(vault, "lock", lambda secrets, passphrase, randomness, _: strongbox.lock(secrets, passphrase, randomness, CHEAP))
    keys = iter([dealing(), dealing()])
    monkeypatch.setattr(dealer, "deal", lambda *_, **__: next(keys))
    monkeypatch.delenv("HUSHFLEET_VAULT", raising=False)
    monkeypatch.setenv("HUSHFLEET_ORCHESTRATOR_TESTING_INSECURE_KEYS", "true")
    monkeypatch.chdir(tmp_path)
    Path("passphrase").touch(mode=0o600)
    Path("passphrase").write_text(SECRET + "\n")
    office = Office(tmp_path, capsys)
    office.types("provision", "init", "greenhouse", "--broker-host", "broker.lan", "--passphrase-file", "passphrase")
    office.owner_types("provision policy set cohort.min_devices=4 models.allowed=softmax:64x10")
    for name in DEVICES:
        office.request(name)
    office.enrol_orchestrator("hub")
    office.owner_types("provision approve orchestrator.request " + " ".join(f"{name}.request" for name in DEVICES))
    office.owner_types("provision committee deal pi-01 .. pi-04")
    office.types("provision", "broker", "--out", "broker", "--passphrase-file", "passphrase")
    office.types("orchestrator", "join", "vault/bundles/orchestrator.bundle", "--yes", "--state", "hub")
    return office


BEFORE = {
    "add a device, or several": lambda office: [office.request(name) for name in ("pi-07", "pi-08")],
    "take new keys for a device": lambda office: office.request("pi-07", 2),
    "replace the orchestrator": lambda office: office.enrol_orchestrator("another"),
}


def test_every_row_can_be_typed_and_what_follows_is_true(office):
    typed = 0
    for purpose, commands, then in rows():
        BEFORE.get(purpose, lambda _: None)(office)
        before, acl = office.serial, Path("broker/acl").read_bytes()
        crl = Path("broker/crl.pem").read_bytes()
        for command in commands:
            office.owner_types(command)
            typed += 1
        if "publish the roster" in then:
            assert office.serial > before, purpose
            told = office.types("orchestrator", "publish-roster", "vault/fleet.roster", "--state", office.hub)
            assert "is here already" not in told, purpose
        if "no new roster" in then:
            assert office.serial == before
        if "restart the broker" in then:
            assert (Path("broker/acl").read_bytes(), Path("broker/crl.pem").read_bytes()) != (acl, crl), purpose
        else:
            assert Path("broker/acl").read_bytes() == acl, purpose
        if "carry its bundle" in then:
            office.types("orchestrator", "join", "vault/bundles/orchestrator.bundle", "--yes", "--state", office.hub)
            assert StateFolder(office.folder / office.hub).joined().fleet == "greenhouse"
    assert typed >= 8


def test_a_row_without_a_command_would_be_noticed():
    assert all(commands for _, commands, _ in rows())
    assert len(rows()) >= 7
