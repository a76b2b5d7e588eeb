"""`hushfleet orchestrator` as it is typed, over the memory link with others that contribute at once."""

import errno
import json
import signal

import numpy as np
import pytest
from rich.console import Console

from hushfleet.audit import verify_job
from hushfleet.cli import ExitCode, run
from hushfleet.errors import LocalError, Refusal
from hushfleet.program.archive_folder import read_archive
from hushfleet.randomness import SystemRandomness
from hushfleet.wire import Kind, encode_signed
from models import catalogue
from orchestrator import run as run_module
from orchestrator.config import load
from orchestrator.job import check as check_module
from orchestrator.job.holdout import Holdout, Score
from orchestrator.store.reports import reading
from orchestrator.store.store import Store
from tests.support.fleet.orchestrator import TypedOrchestrator
from tests.support.hand_made_model import hand_made
from tests.support.jobs import bundle_for, job_fleet, write_holdout, write_job
from tests.support.refusals import refused

FLEET = job_fleet(budget_nano_rho=10**10)
FLEET_NAME = FLEET.parties.owner.fleet
ROOT = FLEET.parties.owner.root.verify_key


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys):
    return TypedOrchestrator(tmp_path, FLEET, monkeypatch, capsys)


@pytest.fixture
def job(tmp_path):
    return write_job(tmp_path)


def test_a_job_from_its_file_to_its_model(typed, job, tmp_path):
    assert typed.json("check", job)["epsilon"][-1]["rounds"] == 2

    done = typed.json("run", job)

    assert (done["finished"], done["rounds_released"], done["version"]) == (True, 2, 2)
    assert 0 <= done["accuracy"] <= 1
    report = verify_job(read_archive(typed.state / "archive" / "001-tiny"), ROOT, SystemRandomness(), insecure_keys=True)
    assert report.released == 2

    assert typed.json("status")["job"]["state"] == "done"
    assert [one["state"] for one in typed.json("rounds")["rounds"]] == ["released", "released"]
    assert typed.json("round", 2)["devices"] == list(FLEET.names[:5])
    counts = {one["device_id"]: one["contributions"] for one in typed.json("devices")["devices"]}
    assert counts == {name: 2 if name in FLEET.names[:5] else 0 for name in FLEET.names}

    typed.json("model", "export", tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz") as file:
        assert {name: file[name].shape for name in file} == {"weights": (4, 2), "bias": (2,), "metadata": ()}
        metadata = json.loads(str(file["metadata"]))
    assert metadata["parameters"] == report.result_digest.hex()
    assert metadata["epsilon"] == metadata["epsilon_life"] == pytest.approx(done["epsilon"], abs=1e-3)
    assert metadata["epsilon_life_device"] in FLEET.names[:5]
    assert "softmax:4x2 is a numpy model" in typed.type("model", "export", "--onnx", tmp_path / "model.onnx")[2]
    assert not (tmp_path / "model.onnx").exists()


def test_plain_lines_off_a_terminal(typed, job):
    code, out, _ = typed.type("run", job)

    assert code == ExitCode.DONE
    assert "round 1: released version 1 from 5 devices, accuracy" in out
    assert out.splitlines()[-1].startswith("done: 2 rounds released")
    assert "\x1b" not in out


@pytest.mark.parametrize("command", [("status",), ("rounds",), ("devices",), ("round", "1")])
def test_every_report_also_has_words(typed, job, command):
    typed.type("run", job)

    code, out, _ = typed.type(*command)

    assert code == ExitCode.DONE
    assert out.strip()


def test_a_variable_that_means_nothing_is_named(typed, monkeypatch):
    assert "Warning" not in typed.type("status")[2]

    monkeypatch.setenv("HUSHFLEET_ORCHESTRATOR_STORE_URI", "sqlite://")
    assert "did you mean HUSHFLEET_ORCHESTRATOR_STORE_URL?" in typed.type("status")[2]


def test_before_the_first_job(typed, tmp_path):
    assert typed.json("status")["job"] is None
    assert typed.json("rounds") == {"rounds": []}
    assert typed.type("status")[1].splitlines()[-1] == f"no job yet. Next: hushfleet orchestrator run job.toml --state {typed.state}"
    assert typed.type("model", "export", tmp_path / "model.npz")[0] == ExitCode.NOT_FOUND
    assert typed.type("round", "1")[0] == ExitCode.NOT_FOUND
    with reading(typed.state, ROOT) as reports:
        with refused(Refusal.JOB_UNKNOWN, LocalError):
            reports.current()
        with refused(Refusal.ROUND_UNKNOWN, LocalError):
            reports.round(1)


def test_reports_of_a_folder_without_store(tmp_path):
    with refused(Refusal.STORE_UNUSABLE, LocalError), reading(tmp_path, ROOT):
        pass


def test_a_wrong_job_is_a_usage_error_and_sends_nothing(typed, tmp_path):
    code, _, err = typed.type("run", write_job(tmp_path, rounds="rounds = 100000"))

    assert code == ExitCode.USAGE
    assert "line 3: [job] rounds" in err
    assert not typed.others.tape
    assert typed.json("status")["job"] is None


class TestSignals:
    def strike(self, typed, job, number):
        def when_the_round_is_open() -> None:
            typed.before_receiving = lambda: None
            signal.raise_signal(number)

        typed.before_receiving = when_the_round_is_open
        return typed.type("run", job)

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, ExitCode.TRY_LATER), (signal.SIGTERM, ExitCode.DONE)])
    def test_a_signal_ends_after_the_step_and_the_next_run_goes_on(self, typed, job, number, code):
        ended, out, _ = self.strike(typed, job, number)

        assert ended == code
        assert f"nothing is lost. To go on: hushfleet orchestrator run {job} --state {typed.state}" in out
        assert typed.json("status")["job"]["state"] == "unfinished"
        assert typed.json("run", job)["finished"]

    def test_signals_mean_what_they_meant_before_afterwards(self, typed, job):
        before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

        self.strike(typed, job, signal.SIGTERM)

        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


class TestResuming:
    def interrupt(self, typed, job, when):
        """Ctrl-C while the loop waits, once `when` holds of the report."""

        def strike():
            with reading(typed.state, ROOT) as reports:
                if (view := reports.job()) is not None and when(view):
                    typed.before_receiving = lambda: None
                    raise KeyboardInterrupt

        typed.before_receiving = strike
        return typed.type("run", job)

    def test_an_interrupted_job_goes_on_with_the_round_that_was_open(self, typed, job):
        self.interrupt(typed, job, lambda view: view.open_round == 2 and view.contributions)
        job_now = typed.json("status")["job"]
        assert job_now["open_round"] == 2
        assert " of 4: " in job_now["absence"]

        done = typed.json("run", job)

        assert (done["finished"], done["rounds_released"], done["rounds_aborted"]) == (True, 2, 0)
        assert [record.round for record in typed.records()] == [1, 2]

    def test_a_finished_job_is_finished(self, typed, job):
        typed.type("run", job)
        before = len(typed.others.tape)

        assert typed.json("run", job)["finished"]
        assert len(typed.others.tape) == before
        assert typed.json("status")["job"]["state"] == "done"

    def test_a_job_that_is_done_says_so_and_what_another_training_costs(self, typed, job):
        typed.type("run", job)
        typed.asked = True

        code, out, _ = typed.type("run", job)

        assert code == ExitCode.DONE
        assert "done: tiny, version 2, after 2 rounds" in out
        assert "hushfleet orchestrator model export tiny.npz" in out
        left = FLEET.roster.policy.budget_nano_rho - 2 * typed.records()[0].rho_nano
        assert f"--new trains it anew from its first model and costs rho {2 * typed.records()[0].rho_nano / 1e9:.4g}" in out
        assert f"{2 * typed.records()[0].rho_nano / left:.3g} of what each device has left" in out

    def test_before_a_job_spends_it_is_asked(self, typed, job):
        typed.asked = True

        code, _, err = typed.type("run", job)

        assert code == ExitCode.USAGE
        assert "Job tiny: 2 rounds cost up to rho " in err
        assert f"{FLEET.names[0]} .. {FLEET.names[-1]} have 10 of 10 left" in err
        assert "add --yes" in err
        assert not typed.others.tape
        assert typed.json("status")["job"] is None

    def test_going_on_is_not_asked_again_and_a_raised_job_is(self, typed, tmp_path, job):
        self.interrupt(typed, job, lambda view: view.open_round == 2)
        typed.asked = True
        assert typed.json("run", job)["finished"]

        code, _, err = typed.type("run", write_job(tmp_path, rounds="rounds = 3"))
        assert code == ExitCode.USAGE
        assert "Job tiny: 1 rounds cost up to" in err

    def test_an_earlier_job_is_named_before_it_is_begun_again_and_its_model_can_be_had(self, typed, tmp_path, job):
        typed.type("run", job)
        other = write_job(tmp_path, name='name = "other"', rounds="rounds = 1")
        typed.type("run", other)
        before = len(typed.records())
        job = write_job(tmp_path)

        code, out, _ = typed.type("run", job)

        assert code == ExitCode.DONE
        assert "model export --job tiny tiny.npz" in out
        assert len(typed.records()) == before
        assert typed.json("run", job)["job"] == "tiny"
        assert typed.json("model", "export", tmp_path / "a.npz", "--job", "tiny")["version"] == 2
        assert typed.json("model", "export", tmp_path / "b.npz")["job"] == "other"
        exported = typed.type("model", "export", tmp_path / "d.npz", "--job", "tiny")[1]
        metadata = typed.json("model", "export", tmp_path / "e.npz", "--job", "tiny")
        jobs, life = metadata["epsilon"], metadata["epsilon_life"]
        assert jobs < life
        assert f"epsilon of this job {jobs:.2f}" in exported
        assert f"has spent {life:.2f}, in all jobs together" in exported
        code, _, err = typed.type("model", "export", tmp_path / "c.npz", "--job", "nobody")
        assert code == ExitCode.NOT_FOUND
        assert "There are: tiny, other." in err

    def test_another_model_under_the_same_name_is_refused_with_what_changed(self, typed, tmp_path, job):
        typed.type("run", job)
        other = write_job(tmp_path, optimizer='optimizer = "fedavg"', momentum="")

        code, _, err = typed.type("run", other)

        assert code == ExitCode.USAGE
        assert "[aggregation] optimizer: fedavgm -> fedavg" in err
        assert "--new" in err
        with refused(Refusal.JOB_CHANGED, LocalError):
            run_module.run(typed.joined, load(None), other, Console(quiet=True), run_module.Options(signals=False))

    def test_a_job_of_another_shape_leaves_an_unfinished_one_for_good(self, typed, tmp_path, job, monkeypatch):
        self.interrupt(typed, job, lambda view: view.open_round == 1)
        other = write_job(tmp_path, name='name = "other"', inputs="inputs = 3")
        write_holdout(tmp_path / "holdout.npz", width=3)
        monkeypatch.setattr(check_module, "plan_problems", lambda *_: ())

        assert "[plan-architecture]" in typed.type("run", other, "--new")[2]  # of its own first round, for this owner allows one model
        assert typed.json("status")["job"]["name"] == "other"
        assert [(one.round, one.reason) for one in typed.records()] == [(1, "tiny was left for another job")]

    def test_a_job_whose_trainable_model_is_gone_can_be_left(self, typed, tmp_path, job, monkeypatch):
        self.interrupt(typed, job, lambda view: view.open_round == 1)
        other = write_job(tmp_path, name='name = "other"')
        names = iter([True])  # the first one that is asked for afterwards: the earlier job's
        known = catalogue.architecture

        def gone(name):
            if next(names, False):
                raise LocalError(Refusal.MODEL_NAME, "it is gone")
            return known(name)

        monkeypatch.setattr(catalogue, "architecture", gone)
        assert typed.json("run", other, "--new")["finished"]

    def test_more_rounds_go_on_with_the_same_model(self, typed, tmp_path):
        typed.type("run", write_job(tmp_path))

        code, out, _ = typed.type("run", write_job(tmp_path, rounds="rounds = 3"))

        assert code == ExitCode.DONE
        assert "changed since it began: [job] rounds: 2 -> 3" in out
        assert [record.result.version_after for record in typed.records()] == [1, 2, 3]

    def test_another_job_waits_for_an_unfinished_one(self, typed, tmp_path, job):
        self.interrupt(typed, job, lambda view: view.open_round == 1)
        other = write_job(tmp_path, name='name = "other"')

        code, _, err = typed.type("run", other)

        assert code == ExitCode.USAGE
        assert "the job tiny is unfinished: 0 of 2 rounds" in err
        assert "--new" in err
        with refused(Refusal.JOB_UNFINISHED, LocalError):
            run_module.run(typed.joined, load(None), other, Console(quiet=True), run_module.Options(signals=False))

    def test_an_unfinished_job_can_be_left(self, typed, tmp_path, job):
        self.interrupt(typed, job, lambda view: view.open_round == 1)
        other = write_job(tmp_path, name='name = "other"')

        done = typed.json("run", other, "--new")

        assert (done["job"], done["rounds_released"], done["version"]) == ("other", 2, 2)
        left = verify_job(read_archive(typed.state / "archive" / "001-tiny"), ROOT, SystemRandomness(), insecure_keys=True)
        assert [(one.number, one.reason) for one in left.rounds] == [(1, "tiny was left for another job")]
        assert [record.round for record in typed.records()] == [1, 2, 3]

    def test_a_finished_job_can_be_begun_again_from_its_first_model(self, typed, job):
        typed.type("run", job)

        done = typed.json("run", job, "--new")

        assert (done["rounds_released"], done["version"]) == (2, 2)
        assert (typed.state / "archive" / "002-tiny").exists()
        assert [record.round for record in typed.records()] == [1, 2, 3, 4]

    def test_one_orchestrator_at_a_time(self, typed, job):
        with typed.joined.locked():
            assert typed.type("run", job)[0] == ExitCode.TRY_LATER


class TestGate:
    def test_a_worse_model_is_not_published_and_the_job_stops_after_some_tries(self, typed, tmp_path, monkeypatch):
        scores = {0: Score(1.0, 0.9)}
        monkeypatch.setattr(Holdout, "score", lambda _, model: scores.get(model.version, Score(9.0, 0.1)))
        job = write_job(tmp_path, path='path = "holdout.npz"\ngate = 0.05')

        code, out, _ = typed.type("run", job, "--give-up-after", "1")

        assert code == ExitCode.TRY_LATER
        assert "holdout-gate" in out
        assert [(record.outcome.value, record.reason) for record in typed.records()] == [("aborted", "holdout-gate")]
        models = {topic.digest for topic, data in typed.others.sent(Kind.MODEL)}
        assert len(models) == 1


class TestRosters:
    def test_a_new_roster_is_handed_over_and_the_next_run_takes_it(self, typed, job, tmp_path):
        newer = FLEET.without(FLEET.names[5])
        (tmp_path / "roster").write_bytes(encode_signed(newer.roster.signed))

        assert typed.json("publish-roster", tmp_path / "roster")["changes"] == ["serial 1 -> 2", f"revoked: {FLEET.names[5]}"]
        assert typed.json("publish-roster", tmp_path / "roster")["changes"] == []
        typed.others.fleet = newer
        typed.others.present.discard(FLEET.names[5])
        typed.type("run", job)

        assert typed.json("status")["roster"] == 2
        assert not list(typed.joined.pending_rosters.iterdir())

    def test_a_new_roster_ends_a_round_that_was_open(self, typed, job, tmp_path):
        TestResuming().interrupt(typed, job, lambda view: view.open_round == 1)
        newer = FLEET.without(FLEET.names[5])
        (tmp_path / "roster").write_bytes(encode_signed(newer.roster.signed))
        typed.type("publish-roster", tmp_path / "roster")
        typed.others.fleet = newer
        typed.others.present.discard(FLEET.names[5])

        done = typed.json("run", job)

        assert (done["rounds_released"], done["rounds_aborted"]) == (2, 1)

    def test_a_roster_of_another_owner_is_refused(self, typed, tmp_path):
        (tmp_path / "roster").write_bytes(b"garbage")

        assert typed.type("publish-roster", tmp_path / "roster")[0] == ExitCode.REFUSED


class TestJoining:
    def test_enrol_and_join(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        assert run(["orchestrator", "enrol", "--name", "hub", "--state", "fresh"]) == ExitCode.DONE
        assert (tmp_path / "hub.request").exists()
        assert "Fingerprint: " in capsys.readouterr().out

    def test_a_bundle_asks_before_it_pins_a_root_key(self, tmp_path, typed):
        (tmp_path / "b").write_bytes(bundle_for(FLEET))
        (typed.state / "fleet.json").unlink()

        code, _, err = typed.type("join", tmp_path / "b")
        assert code == ExitCode.USAGE
        assert "--yes" in err

        assert typed.json("join", tmp_path / "b", "--yes")["roster"] == 1

    def test_a_trainable_model_is_no_bundle(self, tmp_path, typed):
        hand_made().save(tmp_path / "net.trainable")

        code, _, err = typed.type("join", tmp_path / "net.trainable", "--yes")

        assert code == ExitCode.USAGE
        assert "net.trainable is a trainable model" in err
        assert "hushfleet orchestrator join orchestrator.bundle" in err

    def test_outside_a_fleet_every_command_says_so(self, tmp_path, capsys, job):
        for command in (["status"], ["run", str(job)], ["check", str(job)]):
            assert run(["orchestrator", *command, "--state", str(tmp_path / "nowhere")]) == ExitCode.NOT_FOUND
            assert "hushfleet orchestrator join" in capsys.readouterr().err


@pytest.mark.parametrize("trouble", [errno.ENOSPC, errno.EROFS], ids=["full", "read-only"])
def test_a_disk_that_takes_nothing_for_a_while_stops_no_job(typed, job, monkeypatch, trouble):
    """Whatever the store was about to keep comes again once there is room."""
    keep, attempts = Store._persist, []

    def persist(store, changes):
        attempts.append(changes)
        if len(attempts) % 3 == 0:
            raise OSError(trouble, "the disk takes nothing")
        keep(store, changes)

    monkeypatch.setattr(Store, "_persist", persist)
    monkeypatch.setattr(run_module, "DISK_PAUSE_S", 0.0)

    done = typed.json("run", job)

    assert (done["finished"], done["rounds_released"]) == (True, 2)
    assert len(attempts) > 6


def test_statuses_of_devices_are_shown(typed, job):
    typed.others.there = set(FLEET.names[:-1])
    typed.type("run", job)

    found = {one["device_id"]: one["presence"] for one in typed.json("devices")["devices"]}

    assert found[FLEET.names[0]] == "idle"
    assert found[FLEET.names[-1]] == "never heard of"
