"""The owner's commands as typed: what they print, ask, refuse and leave behind."""

import json
import os
import pty
import subprocess
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import click
import pytest

from hushfleet.cli import ExitCode, run
from hushfleet.codec import decode, encode
from hushfleet.documents import fingerprint, open_bundle, open_roster
from hushfleet.encryption.paillier import dealing as dealer
from hushfleet.signing import Signed
from provisioning import cli_committee, strongbox, vault
from provisioning.cli import provision
from provisioning.folder import VaultFolder
from tests.support.enrolling import CHEAP, MEMBERS, applicant, dealing, orchestrator

SECRET = "correct horse battery"  # noqa: S105 -- the test's own
DEAL = dealer.deal


@dataclass
class Owner:
    """Somebody who types commands in a folder, and everything they were shown."""

    folder: Path
    capsys: pytest.CaptureFixture[str]
    shown: list[str] = field(default_factory=list)

    def types(self, *words: str, code: int = ExitCode.DONE) -> str:
        """One command with its passphrase from a file, and `--yes`; standard output."""
        out, _ = self.says(*words, code=code)
        return out

    def says(self, *words: str, code: int = ExitCode.DONE) -> tuple[str, str]:
        """Standard output and standard error."""
        command = click.Context(provision)
        target: click.Command = provision
        for word in words:
            if isinstance(target, click.Group):
                target = target.get_command(command, word) or target
        known = {option for parameter in target.params for option in parameter.opts}
        extra = [] if "--vault" in words else ["--vault", f"{self.folder}/vault"]
        extra += ["--passphrase-file", f"{self.folder}/passphrase"] if "--passphrase-file" in known else []
        extra += ["--yes"] if "--yes" in known and not {"--dry-run", "--no"} & set(words) else []
        assert run(["provision", *(word for word in words if word != "--no"), *extra]) == code
        out, err = self.capsys.readouterr()
        self.shown += [out, err]
        return out, err

    def json(self, *words: str, code: int = ExitCode.DONE) -> dict:
        return json.loads(self.types(*words, "--json", code=code).splitlines()[-1])

    def request(self, person) -> str:
        path = self.folder / f"{person.name}.request"
        path.write_bytes(encode(person.request()))
        return str(path)

    @property
    def vault(self) -> VaultFolder:
        return VaultFolder(self.folder / "vault")


@pytest.fixture
def owner(tmp_path, monkeypatch, capsys):
    """An owner without a vault, whose passphrase costs nothing and whose keys are dealt at once."""
    monkeypatch.setattr(vault, "lock", lambda secrets, passphrase, randomness, _: strongbox.lock(secrets, passphrase, randomness, CHEAP))
    monkeypatch.setattr(dealer, "deal", lambda _, f, *__, **___: dealing(f))
    monkeypatch.delenv("HUSHFLEET_VAULT", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "passphrase").touch(mode=0o600)
    (tmp_path / "passphrase").write_text(SECRET + "\n")
    return Owner(tmp_path, capsys)


@pytest.fixture
def settled(owner):
    """An owner whose fleet has an orchestrator, a committee and one device more."""
    owner.types("init", "greenhouse", "--broker-host", "broker.lan")
    owner.types("policy", "set", "cohort.min_devices=4", "models.allowed=softmax:64x10")
    owner.people = {name: applicant(name) for name in (*MEMBERS, "pi-05")} | {"hub": orchestrator()}
    for person in owner.people.values():
        owner.types("approve", owner.request(person))
    owner.types("committee", "deal", "pi-01", "..", "pi-04")
    return owner


def commands(group: click.Group = provision, path: tuple[str, ...] = ()) -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        found |= commands(command, (*path, name)) if isinstance(command, click.Group) else {" ".join((*path, name)): command}
    return found


def test_the_commands_are_those_of_the_design():
    assert set(commands()) == {
        "init", "approve", "committee deal", "committee name", "contract new", "broker", "device list", "device show", "device revoke",
        "policy show", "policy set", "show", "roster export", "vault recover",
    }  # fmt: skip


@pytest.mark.parametrize("name", commands())
def test_every_command_has_an_example_and_json(name, capsys):
    assert run(["provision", *name.split(), "--help"]) == ExitCode.DONE
    assert f"Example: hushfleet provision {name}" in " ".join(capsys.readouterr().out.split())
    assert "--json" in {option for parameter in commands()[name].params for option in parameter.opts}


@pytest.mark.parametrize("command", commands().values(), ids=commands())
def test_no_command_takes_a_passphrase_as_a_word_or_from_the_environment(command):
    for parameter in command.params:
        if "pass" in parameter.name:
            assert isinstance(parameter.type, click.Path | click.IntRange)
            assert parameter.envvar is None
    assert command.context_settings.get("auto_envvar_prefix") is None


def test_from_nothing_to_a_fleet_and_a_revocation(settled):
    bundles = settled.vault.path / "bundles"
    assert {path.stem for path in bundles.iterdir()} == set(settled.people)
    for name, person in settled.people.items():
        data = (bundles / f"{name}.bundle").read_bytes()
        open_bundle(data, root=settled.vault.registry().root, device_id=name, keys=person.public)
    told = settled.json("broker", "--out", "broker", "--host", "broker.lan", "--host", "192.168.1.5")
    assert told["hosts"] == ["broker.lan", "192.168.1.5", "localhost", "127.0.0.1"]
    assert told["identities"] == 6
    assert settled.json("device", "revoke", "pi-05") == {"id": "pi-05", "revoked": True, "serial": 2}
    assert settled.json("roster", "export", "fleet.roster") == {"file": "fleet.roster", "serial": 2, "devices": 4}
    signed = decode(Signed, Path("fleet.roster").read_bytes(), max_bytes=1 << 20)
    assert open_roster(signed, settled.vault.registry().root).roster.serial == 2
    settled.types("broker", "--out", "broker")
    assert "pi-05" not in Path("broker/acl").read_text()
    assert SECRET not in "".join(settled.shown)
    for path in settled.folder.rglob("*"):
        assert path.name == "passphrase" or not path.is_file() or SECRET.encode() not in path.read_bytes()


class TestInit:
    def test_it_shows_the_root_fingerprint_and_what_comes_next(self, owner):
        out = owner.types("init", "greenhouse")
        assert fingerprint(owner.vault.registry().root_key) in out
        assert "hushfleet provision approve" in out

    def test_a_second_time_is_refused_and_changes_nothing(self, owner):
        owner.types("init", "greenhouse")
        before = owner.vault.registry_file.read_bytes()
        assert owner.json("init", "orchard", code=ExitCode.FAILED)["error"]["kind"] == "vault-exists"
        assert owner.vault.registry_file.read_bytes() == before

    @pytest.mark.parametrize(
        "words", [("Green",), ("green", "--broker-host", "a b"), ("green", "--broker-port", "0"), ("green", "extra"), ()], ids=" ".join
    )
    def test_a_wrong_word_is_a_usage_error(self, owner, words):
        owner.types("init", *words, code=ExitCode.USAGE)
        assert not owner.vault.exists()

    def test_the_vault_may_be_named_by_the_environment(self, owner, monkeypatch):
        monkeypatch.setenv("HUSHFLEET_VAULT", str(owner.folder / "elsewhere"))
        assert run(["provision", "init", "greenhouse", "--passphrase-file", "passphrase"]) == ExitCode.DONE
        assert VaultFolder(owner.folder / "elsewhere").exists()


class TestPassphrase:
    def test_a_wrong_one_changes_nothing(self, settled):
        (settled.folder / "passphrase").write_text("incorrect horse\n")
        before = settled.vault.registry_file.read_bytes()
        for words in (("device", "revoke", "pi-05"), ("broker", "--out", "broker"), ("policy", "set", "cohort.min_devices=5")):
            assert settled.json(*words, code=ExitCode.REFUSED)["error"]["kind"] == "vault-passphrase"
        assert settled.vault.registry_file.read_bytes() == before
        assert settled.vault.policy().cohort.min_devices == 4
        assert not Path("broker").exists()

    def test_without_a_terminal_or_a_source_nothing_happens(self, settled, monkeypatch):
        monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
        assert run(["provision", "device", "revoke", "pi-05", "--yes"]) == ExitCode.USAGE
        assert "--passphrase-file" in settled.capsys.readouterr().err
        assert settled.vault.registry().find("pi-05")


class TestConsent:
    def test_a_dry_run_shows_and_changes_nothing(self, settled):
        before = {path: path.read_bytes() for path in settled.vault.path.rglob("*") if path.is_file()}
        (settled.folder / "passphrase").unlink()
        for words in (
            ("device", "revoke", "pi-05"),
            ("approve", settled.request(applicant("pi-06"))),
            ("committee", "deal", "pi-02", "..", "pi-05"),
            ("policy", "set", "cohort.min_devices=5"),
        ):
            _, err = settled.says(*words, "--dry-run")
            assert "Roster 1 -> 2:" in err
            assert err.endswith("Dry run: nothing was changed.\n")
        assert {path: path.read_bytes() for path in settled.vault.path.rglob("*") if path.is_file()} == before

    @pytest.mark.parametrize(("answer", "code", "left"), [("y", ExitCode.DONE, 4), ("n", ExitCode.FAILED, 5), ("", ExitCode.FAILED, 5)])
    def test_a_person_is_asked(self, settled, monkeypatch, answer, code, left):
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        monkeypatch.setattr(click.termui, "visible_prompt_func", lambda _: answer)
        settled.says("device", "revoke", "pi-05", "--no", code=code)
        assert len(settled.vault.registry().devices) == left

    def test_without_a_terminal_yes_has_to_be_said(self, settled, monkeypatch):
        monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
        _, err = settled.says("device", "revoke", "pi-05", "--no", code=ExitCode.USAGE)
        assert "--yes" in err
        assert settled.vault.registry().find("pi-05")

    def test_what_changed_meanwhile_is_not_signed_unseen(self, settled, monkeypatch):
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)

        def edits_and_says_yes(_: str) -> str:
            file = settled.vault.policy_file
            file.write_text(file.read_text().replace("min_devices = 4", "min_devices = 5"))
            return "y"

        monkeypatch.setattr(click.termui, "visible_prompt_func", edits_and_says_yes)
        settled.says("device", "revoke", "pi-05", "--no", code=ExitCode.FAILED)
        assert settled.vault.registry().find("pi-05")


class TestApprove:
    def test_it_shows_the_fingerprint_that_the_device_shows(self, settled):
        person = applicant("pi-06")
        path = settled.request(person)
        _, err = settled.says("approve", path)
        assert fingerprint(Path(path).read_bytes()) in err
        assert "+ device pi-06" in err

    def test_json(self, settled):
        person = applicant("pi-06")
        path = settled.request(person)
        assert settled.json("approve", path) == {
            "approved": True,
            "serial": 2,
            "identities": [
                {
                    "id": "pi-06",
                    "role": "device",
                    "fingerprint": fingerprint(Path(path).read_bytes()),
                    "bundle": f"{settled.vault.bundle_file('pi-06')}",
                }
            ],
        }

    @pytest.mark.parametrize(
        ("content", "code", "kind"),
        [
            (b"", ExitCode.REFUSED, "message-malformed"),
            (b"x" * (1 << 16), ExitCode.USAGE, "file-too-large"),
            (encode(Signed(b"nothing", bytes(64))), ExitCode.REFUSED, "message-malformed"),
            (encode(orchestrator("pi-05", 2).request()), ExitCode.REFUSED, "roster-duplicate"),
        ],
        ids=["empty", "large", "nothing", "another's id"],
    )
    def test_a_wrong_file_is_refused(self, settled, content, code, kind):
        (settled.folder / "x.request").write_bytes(content)
        assert settled.json("approve", "x.request", code=code)["error"]["kind"] == kind

    def test_a_missing_one_is_not_found(self, settled):
        assert settled.json("approve", "none.request", code=ExitCode.NOT_FOUND)["error"]["kind"] == "not-found"

    def test_without_a_vault_the_way_to_one_is_told(self, owner):
        error = owner.json("approve", owner.request(applicant("pi-01")), code=ExitCode.NOT_FOUND)["error"]
        assert error["kind"] == "vault-missing"
        assert "hushfleet provision init" in error["next"]


class TestCommittee:
    def test_json(self, settled):
        told = settled.json("committee", "deal", "pi-05", "pi-01", "pi-02", "pi-03", "--bits", "2048")
        assert told["committee"] == ["pi-05", "pi-01", "pi-02", "pi-03"]
        assert (told["threshold"], told["key_epoch"], told["serial"], told["key_bits"], told["dealt"]) == (3, 1, 2, 2048, True)
        assert len(told["bundles"]) == 6

    @pytest.mark.parametrize(
        ("ids", "kind"),
        [
            (("pi-01", "pi-02"), "committee-size"),
            (("pi-01", "..", "pi-05"), "committee-size"),
            (("pi-01", "..", "pi-03", "pi-03"), "roster-duplicate"),
            (("pi-01", "..", "pi-03", "pi-99"), "not-enrolled"),
            (("..", "pi-04"), "usage"),
            (("pi-01", "..", "pi-99"), "not-enrolled"),
        ],
        ids=" ".join,
    )
    def test_another_choice_is_refused_before_any_search_for_primes(self, settled, monkeypatch, ids, kind):
        monkeypatch.setattr(dealer, "deal", pytest.fail)
        out, _ = settled.says("committee", "deal", *ids, "--json", code={"not-enrolled": 3, "roster-duplicate": 1}.get(kind, 2))
        assert json.loads(out)["error"]["kind"] == kind

    def test_a_committee_is_named_without_a_key_and_old_shares_go(self, settled, monkeypatch):
        monkeypatch.setattr(dealer, "deal", pytest.fail)
        told = settled.json("committee", "name", "pi-02", "..", "pi-05")
        registry = settled.vault.registry()
        roster = registry.verified.roster
        assert (told["committee"], told["threshold"], told["key_epoch"], told["named"]) == (list(roster.committee), 3, 1, True)
        assert (roster.committee[0], roster.key_epoch, roster.paillier, dict(registry.grants)) == ("pi-02", 1, b"", {})
        data = settled.vault.bundle_file("pi-02").read_bytes()
        bundle = open_bundle(data, root=registry.root, device_id="pi-02", keys=settled.people["pi-02"].public)
        assert bundle[1].grant == b""

    @pytest.mark.parametrize("bits", ["1024", "2047", "9000"])
    def test_a_small_key_takes_more_than_asking(self, settled, bits):
        settled.types("committee", "deal", "pi-01", "..", "pi-04", "--bits", bits, code=ExitCode.USAGE)

    def test_a_real_key_is_dealt_and_its_progress_told(self, settled, monkeypatch):
        monkeypatch.setattr(dealer, "deal", DEAL)
        monkeypatch.setattr(cli_committee, "_REPORT_EVERY_S", 0.0)
        told = settled.json("committee", "deal", "pi-01", "..", "pi-04", "--insecure-bits", "640")
        assert told["key_bits"] == 640
        assert settled.vault.registry().verified.roster.key_epoch == 1

    def test_an_interrupted_search_stops_on_all_threads_and_changes_nothing(self, settled, monkeypatch):
        before = settled.vault.registry_file.read_bytes()
        monkeypatch.setattr(dealer, "deal", partial(interrupted, DEAL))
        settled.types("committee", "deal", "pi-01", "..", "pi-04", code=ExitCode.FAILED)
        assert settled.vault.registry_file.read_bytes() == before


def interrupted(deal, bits, f, randomness, *, insecure, executor, on_progress):
    """Ctrl-C after a while, with a search for primes of 3072 bits still running."""
    searching = executor.submit(deal, bits, f, randomness, insecure=insecure, on_progress=on_progress)
    assert not searching.done()
    raise KeyboardInterrupt


class TestPolicy:
    def test_show_tells_values_names_and_what_is_not_in_force(self, settled):
        told = settled.json("policy", "show")
        assert told["cohort"]["min_devices"] == 4
        assert told["privacy"]["min_noise_multiplier"] == "1.0"
        assert set(told["architectures"]) == {"softmax:64x10"}
        assert told["in_force"] is True
        settled.vault.policy_file.write_text(settled.vault.policy_file.read_text().replace("min_devices = 4", "min_devices = 5"))
        out = settled.types("policy", "show")
        assert "cohort.min_devices = 5  (in force: 4)" in out
        assert settled.json("policy", "show")["in_force"] is False

    def test_set_signs(self, settled):
        _, err = settled.says("policy", "set", "privacy.min_noise_multiplier=4.5", "privacy.budget_rho=0.1")
        assert "~ privacy.min_noise_multiplier: 1 -> 4.5" in err
        policy = settled.vault.registry().verified.policy
        assert (policy.min_noise_numerator, policy.min_noise_denominator, policy.budget_nano_rho) == (81, 4, 10**8)

    def test_set_without_values_signs_what_was_edited_by_hand(self, settled):
        settled.vault.policy_file.write_text(settled.vault.policy_file.read_text().replace("min_devices = 4", "min_devices = 5"))
        assert settled.json("policy", "set") == {"signed": True, "serial": 2}
        assert settled.json("policy", "set") == {"signed": False, "serial": None}

    def test_a_wrong_value_leaves_file_and_roster_as_they_were(self, settled):
        before = settled.vault.policy_file.read_text(), settled.vault.registry_file.read_bytes()
        error = settled.json("policy", "set", "cohort.min_devices=1", "privacy.budget_rho=-1", code=ExitCode.USAGE)["error"]
        assert error["kind"] == "config-invalid"
        assert "min_devices" in error["message"]
        assert "budget_rho" in error["message"]
        assert (settled.vault.policy_file.read_text(), settled.vault.registry_file.read_bytes()) == before

    def test_a_broken_file_can_be_mended_by_set(self, settled):
        settled.vault.policy_file.write_text(settled.vault.policy_file.read_text().replace("min_devices = 4", "min_devices = 1"))
        assert settled.json("policy", "show", code=ExitCode.USAGE)["error"]["kind"] == "config-invalid"
        assert settled.json("policy", "set", "cohort.min_devices=5") == {"signed": True, "serial": 2}


class TestDevices:
    def test_list(self, settled):
        settled.types("approve", settled.request(applicant("pi-01", 2)))
        rows = {row["id"]: row for row in settled.json("device", "list")["devices"]}
        assert list(rows) == [*MEMBERS, "pi-05", "hub"]
        assert (rows["pi-02"]["role"], rows["pi-05"]["role"], rows["hub"]["role"]) == ("member 2", "device", "orchestrator")
        assert (rows["pi-01"]["state"], rows["pi-02"]["state"]) == ("new keys, in force from the next committee deal", "in force")
        assert "pi-05" in settled.types("device", "list")

    def test_list_of_nobody_says_what_comes_next(self, owner):
        owner.types("init", "greenhouse")
        assert "hushfleet provision approve" in owner.types("device", "list")

    def test_list_before_the_first_roster(self, owner):
        owner.types("init", "greenhouse")
        owner.types("approve", owner.request(applicant("pi-01")))
        assert owner.json("device", "list")["devices"][0]["state"] == "waits for the first committee deal"

    def test_show(self, settled):
        told = settled.json("device", "show", "pi-05")
        assert told["signing_key"] == settled.people["pi-05"].signing.verify_key.raw.hex()
        assert told["bundle"] == f"{settled.vault.bundle_file('pi-05')}"
        assert settled.json("device", "show", "hub")["role"] == "orchestrator"

    def test_show_of_nobody_is_not_found(self, settled):
        assert settled.json("device", "show", "pi-99", code=ExitCode.NOT_FOUND)["error"]["kind"] == "not-enrolled"

    def test_a_member_is_not_revoked_and_the_way_is_told(self, settled):
        error = settled.json("device", "revoke", "pi-01", code=ExitCode.REFUSED)["error"]
        assert error["kind"] == "committee-member"
        assert "hushfleet provision committee deal" in error["next"]


class TestBroker:
    def test_another_host_goes_into_the_bundles(self, settled):
        out = settled.types("broker", "--out", "broker", "--host", "other.lan", "--port", "18883")
        assert "The bundles name other.lan:18883 now" in out
        told = settled.json("show", str(settled.vault.bundle_file("pi-05")))
        assert told["broker"] == "other.lan:18883"
        assert "listener 18883" in Path("broker/mosquitto.conf").read_text()

    def test_the_host_named_before_stays(self, settled):
        assert settled.json("broker", "--out", "broker")["host"] == "broker.lan"

    def test_for_debians_service(self, settled):
        settled.types("broker", "--out", "broker", "--service")
        text = Path("broker/mosquitto.conf").read_text()
        assert "acl_file /etc/mosquitto/hushfleet/acl" in text
        assert "persistence_location /var/lib/mosquitto/" in text

    def test_a_wrong_host_is_a_usage_error(self, settled):
        settled.types("broker", "--out", "broker", "--host", "a b", code=ExitCode.USAGE)
        assert not Path("broker").exists()


class TestShow:
    def test_it_needs_no_vault(self, settled):
        settled.types("roster", "export", "fleet.roster")
        here = settled.json("show", "fleet.roster")
        elsewhere = settled.json("show", "fleet.roster", "--vault", "nowhere")
        assert (here["kind"], here["signature"]) == ("roster", "that of this vault's owner")
        assert elsewhere["signature"].startswith("not checked")

    def test_plain_words(self, settled):
        out = settled.types("show", str(settled.vault.bundle_file("pi-01")))
        assert "key share              yes, sealed to this device" in out


def test_a_roster_before_the_first_is_not_found(owner):
    owner.types("init", "greenhouse")
    assert owner.json("roster", "export", "x", code=ExitCode.NOT_FOUND)["error"]["kind"] == "not-enrolled"
    assert not Path("x").exists()


def test_at_a_real_terminal_the_passphrase_is_asked_for_twice_and_never_shown(tmp_path):
    controller, terminal = pty.openpty()
    program = [sys.executable, "-c", "import sys; from hushfleet.cli import run; sys.exit(run(sys.argv[1:]))"]
    typed = ["provision", "init", "greenhouse", "--vault", str(tmp_path / "vault")]
    process = subprocess.Popen(
        ["setsid", "--ctty", *program, *typed], stdin=terminal, stdout=terminal, stderr=terminal, cwd=Path(__file__).parents[3]
    )
    os.close(terminal)
    seen = ""
    for prompt in ("New passphrase of the vault: ", "The same again: "):
        seen += read_until(controller, prompt)
        arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes() + Path(f"/proc/{process.pid}/environ").read_bytes()
        assert SECRET.encode() not in arguments
        os.write(controller, SECRET.encode() + b"\n")
    seen += read_until(controller, "NAME.request")
    assert process.wait(30) == 0
    os.close(controller)
    assert SECRET not in seen
    assert VaultFolder(tmp_path / "vault").exists()


def read_until(descriptor: int, text: str) -> str:
    seen = ""
    while text not in seen:
        seen += os.read(descriptor, 1024).decode()
    return seen
