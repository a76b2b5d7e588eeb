"""`hushfleet orchestrator` as it is typed, over the memory link with others that contribute at once."""

import json
import os
import signal

import numpy as np
import pytest
from rich.console import Console

from hushfleet.audit import verify_job
from hushfleet.cli import ExitCode, run
from hushfleet.documents import open_record
from hushfleet.errors import LocalError, Refusal
from hushfleet.link import MemoryBroker
from hushfleet.program.archive_folder import read_archive
from hushfleet.randomness import SystemRandomness
from hushfleet.wire import Kind, decode_signed, encode_signed, parse
from orchestrator import run as run_module
from orchestrator.config import load
from orchestrator.job.holdout import Holdout, Score
from orchestrator.store.reports import reading
from tests.support.chunked import wholes
from tests.support.fleet.links import Clock, LivelyLink, Others
from tests.support.hand_made_model import hand_made
from tests.support.jobs import bundle_for, job_fleet, joined, write_job
from tests.support.refusals import refused

FLEET = job_fleet(budget_nano_rho=10**10)
FLEET_NAME = FLEET.parties.owner.fleet
ROOT = FLEET.parties.owner.root.verify_key


class Desk:
    """A person at a terminal, and the fleet that answers."""

    def __init__(self, folder, monkeypatch, capsys) -> None:
        self.folder, self.state, self._capsys = folder, folder / "state", capsys
        self.joined = joined(FLEET, self.state)
        self.tape, self.deliveries = [], []
        self.broker = MemoryBroker(FLEET_NAME, tap=self._record)
        self.others = Others(FLEET, self.broker, folder)
        self.before_receiving = lambda: None
        monkeypatch.setattr(run_module, "connect_to_broker", self._connect)
        monkeypatch.setenv("HUSHFLEET_ORCHESTRATOR_TESTING_INSECURE_KEYS", "true")
        monkeypatch.setattr(os, "fsync", lambda _: None)

    def _connect(self, *_: object):
        link = self.broker.connect("orchestrator", orchestrator=True)
        lively = LivelyLink(link, self.others, Clock())
        lively.before_receiving = self._before_receiving
        return lively

    def _before_receiving(self) -> None:
        self.before_receiving()

    def _record(self, identity, delivery):
        self.tape.append((identity, parse(delivery.topic), delivery.data))
        self.deliveries.append(delivery)
        return delivery

    def type(self, *arguments: object):
        """Exit code, standard output, standard error."""
        code = run(["orchestrator", *map(str, arguments), "--state", str(self.state)])
        out, err = self._capsys.readouterr()
        return code, out, err

    def json(self, *arguments: object):
        code, out, err = self.type(*arguments, "--json")
        assert code == ExitCode.DONE, err
        return json.loads(out.splitlines()[-1])

    def records(self):
        sent = {data for topic, data in wholes(self.deliveries) if topic.kind is Kind.RECORD and data}
        return sorted((open_record(decode_signed(data), FLEET.roster.orchestrator) for data in sent), key=lambda one: one.round)


@pytest.fixture
def desk(tmp_path, monkeypatch, capsys):
    return Desk(tmp_path, monkeypatch, capsys)


@pytest.fixture
def job(tmp_path):
    return write_job(tmp_path)


def test_a_job_from_its_file_to_its_model(desk, job, tmp_path):
    assert desk.json("check", job)["epsilon"][-1]["rounds"] == 2

    done = desk.json("run", job)

    assert (done["finished"], done["rounds_released"], done["version"]) == (True, 2, 2)
    assert 0 <= done["accuracy"] <= 1
    report = verify_job(read_archive(desk.state / "archive" / "001-tiny"), ROOT, SystemRandomness(), insecure_keys=True)
    assert report.released == 2

    assert desk.json("status")["job"]["state"] == "done"
    assert [one["state"] for one in desk.json("rounds")["rounds"]] == ["released", "released"]
    assert desk.json("round", 2)["devices"] == list(FLEET.names[:5])
    counts = {one["device_id"]: one["contributions"] for one in desk.json("devices")["devices"]}
    assert counts == {name: 2 if name in FLEET.names[:5] else 0 for name in FLEET.names}

    desk.json("model", "export", tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz") as file:
        assert {name: file[name].shape for name in file} == {"weights": (4, 2), "bias": (2,), "metadata": ()}
        metadata = json.loads(str(file["metadata"]))
    assert metadata["parameters"] == report.result_digest.hex()
    assert metadata["epsilon"] == pytest.approx(done["epsilon"], abs=1e-3)
    assert "softmax:4x2 is a numpy model" in desk.type("model", "export", "--onnx", tmp_path / "model.onnx")[2]
    assert not (tmp_path / "model.onnx").exists()


def test_plain_lines_off_a_terminal(desk, job):
    code, out, _ = desk.type("run", job)

    assert code == ExitCode.DONE
    assert "round 1: released version 1 from 5 devices, accuracy" in out
    assert out.splitlines()[-1].startswith("done: 2 rounds released")
    assert "\x1b" not in out


@pytest.mark.parametrize("command", [("status",), ("rounds",), ("devices",), ("round", "1")])
def test_every_report_also_has_words(desk, job, command):
    desk.type("run", job)

    code, out, _ = desk.type(*command)

    assert code == ExitCode.DONE
    assert out.strip()


def test_a_variable_that_means_nothing_is_named(desk, monkeypatch):
    assert "Warning" not in desk.type("status")[2]

    monkeypatch.setenv("HUSHFLEET_ORCHESTRATOR_STORE_URI", "sqlite://")
    assert "did you mean HUSHFLEET_ORCHESTRATOR_STORE_URL?" in desk.type("status")[2]


def test_before_the_first_job(desk, tmp_path):
    assert desk.json("status")["job"] is None
    assert desk.json("rounds") == {"rounds": []}
    assert desk.type("status")[1].splitlines()[-1] == f"no job yet. Next: hushfleet orchestrator run job.toml --state {desk.state}"
    assert desk.type("model", "export", tmp_path / "model.npz")[0] == ExitCode.NOT_FOUND
    assert desk.type("round", "1")[0] == ExitCode.NOT_FOUND
    with reading(desk.state, ROOT) as reports:
        with refused(Refusal.JOB_UNKNOWN, LocalError):
            reports.current()
        with refused(Refusal.ROUND_UNKNOWN, LocalError):
            reports.round(1)


def test_reports_of_a_folder_without_store(tmp_path):
    with refused(Refusal.STORE_UNUSABLE, LocalError), reading(tmp_path, ROOT):
        pass


def test_a_wrong_job_is_a_usage_error_and_sends_nothing(desk, tmp_path):
    code, _, err = desk.type("run", write_job(tmp_path, rounds="rounds = 100000"))

    assert code == ExitCode.USAGE
    assert "line 3: [job] rounds" in err
    assert not desk.tape
    assert desk.json("status")["job"] is None


class TestSignals:
    def strike(self, desk, job, number):
        def when_the_round_is_open() -> None:
            desk.before_receiving = lambda: None
            signal.raise_signal(number)

        desk.before_receiving = when_the_round_is_open
        return desk.type("run", job)

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, ExitCode.TRY_LATER), (signal.SIGTERM, ExitCode.DONE)])
    def test_a_signal_ends_after_the_step_and_the_next_run_goes_on(self, desk, job, number, code):
        ended, out, _ = self.strike(desk, job, number)

        assert ended == code
        assert f"nothing is lost. To go on: hushfleet orchestrator run {job} --state {desk.state}" in out
        assert desk.json("status")["job"]["state"] == "unfinished"
        assert desk.json("run", job)["finished"]

    def test_signals_mean_what_they_meant_before_afterwards(self, desk, job):
        before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

        self.strike(desk, job, signal.SIGTERM)

        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


class TestResuming:
    def interrupt(self, desk, job, when):
        """Ctrl-C while the loop waits, once `when` holds of the report."""

        def strike():
            with reading(desk.state, ROOT) as reports:
                if (view := reports.job()) is not None and when(view):
                    desk.before_receiving = lambda: None
                    raise KeyboardInterrupt

        desk.before_receiving = strike
        return desk.type("run", job)

    def test_an_interrupted_job_goes_on_with_the_round_that_was_open(self, desk, job):
        self.interrupt(desk, job, lambda view: view.open_round == 2 and view.contributions)
        assert desk.json("status")["job"]["open_round"] == 2

        done = desk.json("run", job)

        assert (done["finished"], done["rounds_released"], done["rounds_aborted"]) == (True, 2, 0)
        assert [record.round for record in desk.records()] == [1, 2]

    def test_a_finished_job_is_finished(self, desk, job):
        desk.type("run", job)
        before = len(desk.tape)

        assert desk.json("run", job)["finished"]
        assert len(desk.tape) == before
        assert desk.json("status")["job"]["state"] == "done"

    def test_more_rounds_go_on_with_the_same_model(self, desk, tmp_path):
        desk.type("run", write_job(tmp_path))

        code, out, _ = desk.type("run", write_job(tmp_path, rounds="rounds = 3"))

        assert code == ExitCode.DONE
        assert "changed since it began: [job] rounds: 2 -> 3" in out
        assert [record.result.version_after for record in desk.records()] == [1, 2, 3]

    def test_another_job_waits_for_an_unfinished_one(self, desk, tmp_path, job):
        self.interrupt(desk, job, lambda view: view.open_round == 1)
        other = write_job(tmp_path, name='name = "other"')

        code, _, err = desk.type("run", other)

        assert code == ExitCode.USAGE
        assert "the job tiny is unfinished: 0 of 2 rounds" in err
        assert "--new" in err
        with refused(Refusal.JOB_UNFINISHED, LocalError):
            run_module.run(desk.joined, load(None), other, Console(quiet=True), run_module.Options(signals=False))

    def test_an_unfinished_job_can_be_left(self, desk, tmp_path, job):
        self.interrupt(desk, job, lambda view: view.open_round == 1)
        other = write_job(tmp_path, name='name = "other"')

        done = desk.json("run", other, "--new")

        assert (done["job"], done["rounds_released"], done["version"]) == ("other", 2, 2)
        left = verify_job(read_archive(desk.state / "archive" / "001-tiny"), ROOT, SystemRandomness(), insecure_keys=True)
        assert [(one.number, one.reason) for one in left.rounds] == [(1, "tiny was left for another job")]
        assert [record.round for record in desk.records()] == [1, 2, 3]

    def test_a_finished_job_can_be_begun_again_from_its_first_model(self, desk, job):
        desk.type("run", job)

        done = desk.json("run", job, "--new")

        assert (done["rounds_released"], done["version"]) == (2, 2)
        assert (desk.state / "archive" / "002-tiny").exists()
        assert [record.round for record in desk.records()] == [1, 2, 3, 4]

    def test_one_orchestrator_at_a_time(self, desk, job):
        with desk.joined.locked():
            assert desk.type("run", job)[0] == ExitCode.TRY_LATER


class TestGate:
    def test_a_worse_model_is_not_published_and_the_job_stops_after_some_tries(self, desk, tmp_path, monkeypatch):
        scores = {0: Score(1.0, 0.9)}
        monkeypatch.setattr(Holdout, "score", lambda _, model: scores.get(model.version, Score(9.0, 0.1)))
        job = write_job(tmp_path, path='path = "holdout.npz"\ngate = 0.05')

        code, out, _ = desk.type("run", job, "--give-up-after", "1")

        assert code == ExitCode.TRY_LATER
        assert "holdout-gate" in out
        assert [(record.outcome.value, record.reason) for record in desk.records()] == [("aborted", "holdout-gate")]
        models = {topic.digest for who, topic, data in desk.tape if topic.kind is Kind.MODEL and data}
        assert len(models) == 1


class TestRosters:
    def test_a_new_roster_is_handed_over_and_the_next_run_takes_it(self, desk, job, tmp_path):
        newer = FLEET.without(FLEET.names[5])
        (tmp_path / "roster").write_bytes(encode_signed(newer.roster.signed))

        assert desk.json("publish-roster", tmp_path / "roster")["changes"] == ["serial 1 -> 2", f"revoked: {FLEET.names[5]}"]
        assert desk.json("publish-roster", tmp_path / "roster")["changes"] == []
        desk.others.fleet = newer
        desk.others.present.discard(FLEET.names[5])
        desk.type("run", job)

        assert desk.json("status")["roster"] == 2
        assert not list(desk.joined.pending_rosters.iterdir())

    def test_a_new_roster_ends_a_round_that_was_open(self, desk, job, tmp_path):
        TestResuming().interrupt(desk, job, lambda view: view.open_round == 1)
        newer = FLEET.without(FLEET.names[5])
        (tmp_path / "roster").write_bytes(encode_signed(newer.roster.signed))
        desk.type("publish-roster", tmp_path / "roster")
        desk.others.fleet = newer
        desk.others.present.discard(FLEET.names[5])

        done = desk.json("run", job)

        assert (done["rounds_released"], done["rounds_aborted"]) == (2, 1)

    def test_a_roster_of_another_owner_is_refused(self, desk, tmp_path):
        (tmp_path / "roster").write_bytes(b"garbage")

        assert desk.type("publish-roster", tmp_path / "roster")[0] == ExitCode.REFUSED


class TestJoining:
    def test_enrol_and_join(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        assert run(["orchestrator", "enrol", "--name", "hub", "--state", "fresh"]) == ExitCode.DONE
        assert (tmp_path / "hub.request").exists()
        assert "Fingerprint: " in capsys.readouterr().out

    def test_a_bundle_asks_before_it_pins_a_root_key(self, tmp_path, desk):
        (tmp_path / "b").write_bytes(bundle_for(FLEET))
        (desk.state / "fleet.json").unlink()

        code, _, err = desk.type("join", tmp_path / "b")
        assert code == ExitCode.USAGE
        assert "--yes" in err

        assert desk.json("join", tmp_path / "b", "--yes")["roster"] == 1

    def test_a_trainable_model_is_no_bundle(self, tmp_path, desk):
        hand_made().save(tmp_path / "net.trainable")

        code, _, err = desk.type("join", tmp_path / "net.trainable", "--yes")

        assert code == ExitCode.USAGE
        assert "net.trainable is a trainable model" in err
        assert "hushfleet orchestrator join orchestrator.bundle" in err

    def test_outside_a_fleet_every_command_says_so(self, tmp_path, capsys, job):
        for command in (["status"], ["run", str(job)], ["check", str(job)]):
            assert run(["orchestrator", *command, "--state", str(tmp_path / "nowhere")]) == ExitCode.NOT_FOUND
            assert "hushfleet orchestrator join" in capsys.readouterr().err


def test_statuses_of_devices_are_shown(desk, job):
    desk.others.say(FLEET.names[:1])
    desk.type("run", job)

    found = {one["device_id"]: one["presence"] for one in desk.json("devices")["devices"]}

    assert found[FLEET.names[0]] == "idle"
    assert found[FLEET.names[1]] == "never heard of"
