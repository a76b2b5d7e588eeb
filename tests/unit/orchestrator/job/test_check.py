import numpy as np
import pytest

from hushfleet.cli import failure_of
from hushfleet.documents.plan import SELECT_ALL
from hushfleet.errors import LocalError, Refusal
from hushfleet.privacy import epsilon
from hushfleet.program.settings import SettingsError
from hushfleet.rounds.plan_check import nano_rho
from orchestrator.job import file as job_file
from orchestrator.job.check import check, read_for_fleet, selection
from tests.support.fleet import Fleet, allowing, make_fleet
from tests.support.hand_made_model import hand_made
from tests.support.jobs import job_fleet, with_policy, write_holdout, write_job
from tests.support.refusals import refused

FLEET = job_fleet(budget_nano_rho=10**10)


def checked(folder, fleet: Fleet = FLEET, **changes: str):
    path = write_job(folder, **changes)
    return held_against(path, fleet)


def held_against(path, fleet: Fleet = FLEET):
    file, text = job_file.read(path)
    return check(file, text, path, fleet.roster)


def mistakes(folder, fleet: Fleet = FLEET, **changes: str) -> list[str]:
    with pytest.raises(LocalError) as caught:
        checked(folder, fleet, **changes)
    assert caught.value.reason is Refusal.CONFIG_INVALID
    return [line.strip() for line in caught.value.message.splitlines()[1:]]


def test_a_job_that_fits_is_ready_to_run(tmp_path):
    job = checked(tmp_path)

    assert (job.first.version, job.first.model.dimension, len(job.holdout)) == (0, 10, 20)
    assert (job.enrolled, job.target, job.job.selection) == (6, 5, SELECT_ALL)


def test_what_it_costs(tmp_path):
    job = checked(tmp_path, rounds="rounds = 20")
    rho = nano_rho(FLEET.plan().plan, FLEET.roster)

    assert (job.cost.rho_nano, job.cost.values, job.cost.model_bytes) == (rho, 10, 40)
    assert [rounds for rounds, _ in job.cost.epsilons] == [2, 4, 6, 8, 10, 12, 14, 16, 18, 20]
    assert job.cost.epsilons[-1][1] == epsilon(20 * rho, 1e-6)


def test_few_rounds_have_fewer_than_ten_lines(tmp_path):
    assert [rounds for rounds, _ in checked(tmp_path, rounds="rounds = 3").cost.epsilons] == [1, 2, 3]


def test_a_contributions_size_is_not_understated(tmp_path):
    plan = FLEET.plan()
    for name in FLEET.names[:3]:
        sealed = FLEET.sealed(plan, name, FLEET.body(plan, name))
        assert len(sealed) <= checked(tmp_path).cost.contribution_bytes <= len(sealed) + 2048


def test_everything_that_is_wrong_is_named_at_once(tmp_path):
    limits = {"max_local_steps": 1, "max_batch_size": 3, "max_learning_rate": 0.1}
    fleet = job_fleet(models=(), schemes=("masked",), min_noise_numerator=100, **limits)

    found = mistakes(tmp_path, fleet)

    assert [line.split(":")[0] for line in found] == ["line 5", "line 9", "line 10", "line 11", "line 14", "line 21"]


def test_a_noise_that_no_plan_can_hold_hides_nothing_else(tmp_path):
    fleet = job_fleet(max_local_steps=1)

    found = mistakes(tmp_path, fleet, noise_multiplier="noise_multiplier = 1e6", max_devices="max_devices = 11")

    assert [line.split(":")[0] for line in found] == ["line 9", "line 14", "line 18"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"inputs": "inputs = 4\nhidden = [3]"}, "are not sizes from inputs to outputs"),
        ({"min_devices": "min_devices = 3"}, "is below the owner's 4"),
        ({"max_devices": "max_devices = 11"}, "is above the owner's"),
        ({"noise_multiplier": "noise_multiplier = 0.5"}, "below the owner's z^2"),
        ({"noise_multiplier": "noise_multiplier = 0\nwithout_privacy = true"}, "which the owner did not allow"),
        ({"momentum": "momentum = 1.5"}, "momentum"),
        ({"rounds": "rounds = 100000"}, "lifetime budget"),
        ({"deadline_s": "deadline_s = 99999999"}, "deadline"),
        ({"path": 'path = "nowhere.npz"'}, "there is no file"),
        ({"path": 'path = "job.toml"'}, "no npz file"),
        ({"path": 'path = "holdout.npz"\nlabels = "z"'}, "holds no array 'z'; it holds x, y"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, changes, text):
    assert any(text in line for line in mistakes(tmp_path, **changes))


def test_too_few_enrolled_devices(tmp_path):
    small = FLEET.without(*FLEET.names[4:])

    assert "4 devices are enrolled, 5 are needed" in mistakes(tmp_path, small, min_devices="min_devices = 5")[0]


def test_a_holdout_that_the_model_cannot_score(tmp_path):
    path = write_job(tmp_path)
    write_holdout(tmp_path / "holdout.npz", width=3)

    with pytest.raises(LocalError, match="a row of features has shape"):
        held_against(path)


def write_onnx_job(folder):
    path = write_job(folder)
    path.write_text(path.read_text().replace('name = "softmax"\ninputs = 4\noutputs = 2', 'onnx = "net.trainable"'))
    return path


def test_a_trainable_model_is_a_model_if_the_owner_allows_its_graph(tmp_path):
    trainable, path = hand_made(), write_onnx_job(tmp_path)
    np.savez(tmp_path / "holdout.npz", x=np.ones((3, 4)), y=np.arange(3))
    with pytest.raises(LocalError, match=r"line 5: \[model\] there is no trainable model .*net\.trainable"):
        held_against(path)
    trainable.save(tmp_path / "net.trainable")
    with pytest.raises(LocalError, match=r"line 5: \[model\] onnx: the owner did not allow the model"):
        held_against(path)
    architecture = trainable.architecture
    fleet = make_fleet(devices=6, policy={"models": allowing(architecture)}, job={"architecture": architecture})
    found = held_against(path, fleet)
    assert found.job.task.architecture == trainable.architecture
    assert found.first.model.parameters.tobytes() == trainable.initial.tobytes()
    assert found.holdout.score_progress(found.first).accuracy is not None


def test_every_mistake_is_one_refusal_with_the_command_that_comes_next(tmp_path):
    with refused(Refusal.CONFIG_INVALID, LocalError):
        checked(tmp_path, rounds="rounds = 100000")


def test_what_a_person_should_know_is_noted(tmp_path):
    fleet = job_fleet(devices=5)
    drowned = "the noise drowns what is learned"
    assert [note.split(":")[0] for note in checked(tmp_path, fleet).notes] == [drowned]

    small = FLEET.without(*FLEET.names[4:])
    path = write_job(tmp_path)
    path.write_text(path.read_text().split("[evaluation]")[0])
    notes = held_against(path, small).notes
    assert [note.split(":")[0] for note in notes] == [drowned, "4 devices are enrolled", "no [evaluation]"]


def test_without_privacy_is_said(tmp_path):
    fleet = job_fleet()
    allowed = fleet.newer(policy=with_policy(fleet.policy, allow_without_privacy=True))

    job = checked(tmp_path, allowed, noise_multiplier="noise_multiplier = 0\nwithout_privacy = true")

    assert job.cost.rho_nano == 0
    assert job.notes[0].startswith("no DP")


def test_a_target_closes_a_round_early(tmp_path):
    assert checked(tmp_path, max_devices="max_devices = 5\ntarget = 4").target == 4


@pytest.mark.parametrize(("enrolled", "most", "expected"), [(6, 5, SELECT_ALL), (100, 50, 49_152), (1_000_000, 10, 1), (0, 10, SELECT_ALL)])
def test_of_a_large_fleet_somewhat_more_than_a_cohort_is_asked(enrolled, most, expected):
    assert selection(enrolled, most) == expected


class TestAllStages:
    def told(self, folder, **changes: str) -> list[str]:
        path = write_job(folder, **changes)
        with pytest.raises(SettingsError) as raised:
            read_for_fleet(path, FLEET.roster)
        return [text for _, text in raised.value.mistakes]

    def test_a_file_without_mistakes_is_read_as_ever(self, tmp_path):
        path = write_job(tmp_path)
        assert read_for_fleet(path, FLEET.roster) == job_file.read(path)

    def test_a_slip_in_the_file_hides_nothing_that_only_the_fleet_shows(self, tmp_path):
        found = self.told(
            tmp_path,
            local_steps="local_stepps = 2",
            optimizer='optimizer = "adam"',
            max_devices="max_devices = 11",
            path='path = "nowhere.npz"',
            noise_multiplier="noise_multiplier = 0.5",
        )
        for part in ("has no key local_stepps", "local_steps is missing", "[aggregation]", "above the owner's", "nowhere.npz", "z^2"):
            assert any(part in one for one in found), part

    def test_what_rests_on_a_table_that_is_wrong_is_not_blamed_on_another(self, tmp_path):
        found = self.told(tmp_path, min_devices='min_devices = "many"', batch_size="batch_size = 100000")
        assert [one.split(":")[0] for one in found] == ["[training] batch_size", "[cohort] min_devices"]

    def test_programs_get_each_mistake_with_its_line(self, tmp_path):
        path = write_job(tmp_path, local_steps="local_stepps = 2", min_devices="min_devices = 3")
        try:
            read_for_fleet(path, FLEET.roster)
        except LocalError as error:
            body = failure_of(error).as_json()
        lines = {one["text"].split()[0]: one["line"] for one in body["error"]["mistakes"]}
        assert lines["[cohort]"] == path.read_text().splitlines().index("min_devices = 3") + 1
