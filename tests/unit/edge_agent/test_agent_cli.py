"""What a person types, through the umbrella command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent import enrolment
from edge_agent.config import DataSettings
from edge_agent.data.room import DataRoom
from edge_agent.folder import DeviceKeys, StateFolder
from hushfleet.cli import ExitCode, run
from tests.support.bundles import DEVICE, MEMBER, approved, bundle
from tests.support.fleet import make_fleet
from tests.support.hand_made_model import hand_made

ROOT = Path(__file__).parents[3]
INSECURE = "[testing]\ninsecure_keys = true\n[training]\nenabled = false\n"


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys):
    """Type `hushfleet agent ...` on the state folder `state`; exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("HUSHFLEET_AGENT_"):
            monkeypatch.delenv(name)

    def type_it(*words: str):
        code = run(["agent", *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return type_it


def test_from_nothing_to_a_member_of_a_fleet(typed, tmp_path):
    code, out, _ = typed("enrol", "--name", MEMBER, "--state", "state", "--json")
    told = json.loads(out)
    assert (code, told["device_id"], told["request"]) == (ExitCode.DONE, MEMBER, f"{MEMBER}.request")
    fleet = approved(make_fleet(), DeviceKeys.load(tmp_path / "state"))
    Path("pi.bundle").write_bytes(bundle(fleet))
    Path("agent.toml").write_text(INSECURE)

    code, out, err = typed("join", "pi.bundle", "--state", "state", "--config", "agent.toml", "--yes", "--json")
    assert (code, json.loads(out)["member"]) == (ExitCode.DONE, True)
    assert json.loads(out)["root_fingerprint"] in err
    assert not Path("pi.bundle").exists()  # it held a key share (PROTOCOL 2)

    code, out, _ = typed("status", "--state", "state", "--json")
    assert (code, json.loads(out)["key_share"]) == (ExitCode.DONE, True)
    code, out, _ = typed("status", "--state", "state")
    assert "a member" in out


def test_a_bundle_without_a_share_stays(typed, tmp_path):
    typed("enrol", "--name", DEVICE, "--state", "state")
    Path("pi.bundle").write_bytes(bundle(approved(make_fleet(), DeviceKeys.load(tmp_path / "state")), DEVICE))

    code, out, _ = typed("join", "pi.bundle", "--state", "state", "--yes")

    assert code == ExitCode.DONE
    assert out.endswith("Next: hushfleet agent run --state state\n")
    assert Path("pi.bundle").exists()


def test_the_fingerprint_and_the_next_command_are_shown(typed):
    code, out, _ = typed("enrol", "--name", "pi-01", "--state", "state")

    assert code == ExitCode.DONE
    assert "hushfleet provision approve pi-01.request" in out
    assert "hushfleet agent join pi-01.bundle --state state" in out
    assert "Fingerprint: " in out


def test_where_nobody_can_answer_nothing_is_pinned_or_forgotten(typed, tmp_path):
    typed("enrol", "--name", DEVICE, "--state", "state")
    before = DeviceKeys.load(tmp_path / "state").signing.seed()
    Path("pi.bundle").write_bytes(bundle(approved(make_fleet(), DeviceKeys.load(tmp_path / "state")), DEVICE))

    code, _, err = typed("join", "pi.bundle", "--state", "state")
    assert (code, "--yes" in err) == (ExitCode.USAGE, True)
    assert StateFolder(tmp_path / "state").fleet() is None

    code, _, _ = typed("enrol", "--name", DEVICE, "--state", "state", "--anew")
    assert code == ExitCode.USAGE
    assert DeviceKeys.load(tmp_path / "state").signing.seed() == before


def test_enrolling_anew_makes_other_keys(typed, tmp_path):
    typed("enrol", "--name", "pi-01", "--state", "state")
    before = DeviceKeys.load(tmp_path / "state").signing.seed()

    assert typed("enrol", "--name", "pi-01", "--state", "state", "--anew", "--yes")[0] == ExitCode.DONE

    assert DeviceKeys.load(tmp_path / "state").signing.seed() != before


@pytest.mark.parametrize(
    ("words", "code", "kind"),
    [
        (("status", "--state", "nowhere"), ExitCode.NOT_FOUND, "not-enrolled"),
        (("run", "--state", "nowhere", "--config", "empty.toml"), ExitCode.NOT_FOUND, "not-enrolled"),
        (("run", "--config", "wrong.toml"), ExitCode.USAGE, "config-invalid"),
        (("join", "nowhere.bundle", "--state", "state"), ExitCode.NOT_FOUND, "not-found"),
        (("join", "net.trainable", "--state", "state"), ExitCode.USAGE, "file-kind"),
        (("join", "folder", "--state", "state"), ExitCode.USAGE, "file-kind"),
        (("config", "check", "--config", "bundle.toml"), ExitCode.USAGE, "file-kind"),
        (("enrol", "--name", "Pi 1", "--state", "state"), ExitCode.USAGE, "usage"),
        (("enrol", "--service", "--state", "state"), ExitCode.USAGE, "usage"),
        (("config", "check", "--config", "model.toml"), ExitCode.FAILED, "model-name"),
        (("config", "check", "--config", "nowhere.toml"), ExitCode.NOT_FOUND, "not-found"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_goes_wrong_says_so_with_its_code(typed, words, code, kind):
    Path("wrong.toml").write_text("[data\n")
    Path("empty.toml").write_text("[training]\nenabled = false\n")
    Path("model.toml").write_text('[training]\nmodels = ["cnn"]\n[data]\nsource = "npz"\npath = "x.npz"\n')
    Path("bundle.toml").write_text('[training]\nmodels = ["pi-01.bundle"]\n[data]\nsource = "npz"\npath = "x.npz"\n')
    Path("pi-01.bundle").write_bytes(b"signed")
    Path("folder").mkdir()
    hand_made().save(Path("net.trainable"))
    Path("data.toml").write_text('[data]\nsource = "npz"\npath = "x.npz"\n')
    if words[0] == "join":
        typed("enrol", "--name", "pi-01", "--state", "state")

    found, _, err = typed(*words)

    assert found == code
    assert f"[{kind}]" in err
    assert "Next: " in err


def test_a_configuration_in_order(typed):
    Path("agent.toml").write_text('[training]\nmodels = ["softmax:2x2"]\n[data]\nsource = "csv"\npath = "d.csv"\nfeatures = "*"\n')
    Path("d.csv").write_text("a,b,y\n1,2,0\n3,4,1\n")

    code, out, _ = typed("config", "check", "--config", "agent.toml", "--data", "--json")

    assert code == ExitCode.DONE
    expected = {"models": ["softmax:2x2"], "source": "csv", "usable": True, "rows": 2, "features": [2], "labels": [0, 1]}
    expected |= {"order": "on trust: no data contract says what each column means", "fits": ["softmax:2x2"], "problems": [], "warnings": []}
    assert json.loads(out) == {"configuration": "in order", "training": True} | expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "there is no file"),
        ("a,b,y\n1,2,0\n3,marker,1\n", "line 3, column 'b': not a number"),
        ("a,b,y\n1,2,1\n3,4,2\n", "does not fit softmax:2x2: line 3: a label is not a whole number from 0 to 1"),
        ("a;b;y\n1;2;0\n", 'delimiter = ";"'),
    ],
    ids=["no file", "no number", "labels from 1", "semicolons"],
)
def test_data_that_cannot_be_trained_on_end_with_1_and_say_where(typed, text, told):
    Path("agent.toml").write_text('[training]\nmodels = ["softmax:2x2"]\n[data]\nsource = "csv"\npath = "d.csv"\nfeatures = "*"\n')
    if text is not None:
        Path("d.csv").write_text(text)

    code, out, err = typed("config", "check", "--config", "agent.toml", "--data")

    assert (code, told in out) == (ExitCode.FAILED, True)
    assert str(Path("d.csv").absolute()) in out or "softmax" in told
    assert "marker" not in out + err


@pytest.mark.parametrize("text", [None, "a,b,y\n1,2,0\n3,4,1\n", "a;b;y\n1,5;2;0\n"], ids=["example", "csv", "semicolons"])
def test_a_new_configuration_fits_the_file(typed, text):
    if text is not None:
        Path("d.csv").write_text(text)
    code, out, _ = typed("config", "new", *(("--data", "d.csv") if text else ()))
    assert (code, "Next: hushfleet agent config check --config agent.toml --data" in out) == (ExitCode.DONE, True)

    code, out, _ = typed("config", "check", "--config", "agent.toml", *(("--data",) if text else ()), "--state", "nowhere")
    assert code == ExitCode.DONE
    assert "features = [" in Path("agent.toml").read_text() or text is None
    written = Path("agent.toml").read_text()
    assert typed("config", "new")[0] == (ExitCode.USAGE if text else ExitCode.DONE)  # what is there is not replaced unasked
    assert Path("agent.toml").read_text() == written


def test_a_status_that_somebody_must_act_on_ends_with_1(typed, tmp_path):
    typed("enrol", "--name", "pi-01", "--state", "state")
    assert typed("status", "--state", "state", "--check")[0] == ExitCode.DONE

    room = DataRoom(tmp_path / "state", DataSettings("csv", tmp_path / "nothing.csv"))
    room.refresh({})
    code, out, _ = typed("status", "--state", "state", "--check", "--json")

    assert code == ExitCode.FAILED
    assert json.loads(out)["data"]["why"][0]["reason"] == "data-source"
    assert "NOT USABLE" in typed("status", "--state", "state")[1]


def test_a_variable_that_means_nothing_is_named(typed, monkeypatch):
    monkeypatch.setenv("HUSHFLEET_AGENT_TRAINING_ENABLED", "false")
    assert typed("config", "check")[2] == ""

    monkeypatch.setenv("HUSHFLEET_AGENT_BROKER_HOSTS", "elsewhere")
    code, _, err = typed("config", "check")
    assert code == ExitCode.DONE
    assert "Warning: HUSHFLEET_AGENT_BROKER_HOSTS" in err
    assert "HUSHFLEET_AGENT_BROKER_HOST?" in err


def test_the_service_flag_means_the_services_folder(typed, monkeypatch, tmp_path):
    monkeypatch.setattr("edge_agent.folder.SERVICE_STATE", tmp_path / "service")

    code, out, _ = typed("enrol", "--service", "--name", "pi-01")

    assert (code, enrolment.enrolled(StateFolder(tmp_path / "service"))) == (ExitCode.DONE, True)
    assert "sudo hushfleet agent install pi-01.bundle" in out


def test_the_host_name_is_the_default_id(typed, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "Pi_Kitchen.lan")

    assert "pi-kitchen.request" in typed("enrol", "--state", "state")[1]


THREADS = """
import os, sys
from hushfleet.cli import run
code = run(["agent", "run", "--state", "nowhere", "--config", sys.argv[1]])
assert "numpy" in sys.modules
from edge_agent import daemon
print(code, os.environ["OPENBLAS_NUM_THREADS"], os.environ["OMP_NUM_THREADS"])
"""
LIGHT = """
import sys
import edge_agent.cli, edge_agent.config
print(sorted({"numpy", "gmpy2", "paho", "cryptography", "nacl"} & set(sys.modules)))
"""


def in_python(code, *arguments: str):
    return subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def test_the_number_of_threads_is_set_before_numpy_is_there(tmp_path):
    (tmp_path / "agent.toml").write_text("[training]\nenabled = false\nthreads = 3\n")

    assert in_python(THREADS, str(tmp_path / "agent.toml")) == "3 3 3"
    assert in_python(LIGHT) == "[]"


def test_a_trainable_model_is_no_bundle_and_the_bundle_is_asked_for(typed):
    typed("enrol", "--name", "pi-01", "--state", "state")
    hand_made().save(Path("net.trainable"))

    _, _, err = typed("join", "net.trainable", "--state", "state", "--yes")

    assert "net.trainable is a trainable model (a folder), not the owner's bundle" in err
    assert "hushfleet agent join NAME.bundle" in err
