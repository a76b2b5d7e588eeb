from fractions import Fraction
from pathlib import Path

import pytest

from hushfleet.documents import LocalTraining, OptimizerSettings
from hushfleet.errors import LocalError, Refusal
from models import catalogue
from orchestrator.job import file as job_file
from tests.support.jobs import JOB, MODEL
from tests.support.refusals import refused

SOURCE = Path("/jobs/job.toml")
ARCHITECTURE = catalogue.architecture(MODEL)
EXAMPLES = Path(__file__).parents[4] / "examples"


def changed(*pairs: str) -> str:
    text = JOB
    for old, new in zip(pairs[::2], pairs[1::2], strict=True):
        assert old in text
        text = text.replace(old, new)
    return text


def parse(*pairs: str):
    return job_file.parse(changed(*pairs), SOURCE)


def mistakes(*pairs: str) -> list[str]:
    with pytest.raises(LocalError) as caught:
        parse(*pairs)
    assert caught.value.reason is Refusal.CONFIG_INVALID
    assert caught.value.next_step.endswith(f"hushfleet orchestrator check {SOURCE}")
    return [line.strip() for line in caught.value.message.splitlines()[1:]]


def test_the_example_of_the_contracts_is_a_job():
    file = parse()

    job = file.to_job(ARCHITECTURE)

    assert (job.min_devices, job.max_devices, job.deadline_s, job.clip_norm) == (4, 5, 60, 1.0)
    assert job.task.training == LocalTraining.make(2, 4, 0.5)
    assert job.task.optimizer == OptimizerSettings("fedavgm", (("momentum", 0.8),))
    assert (job.scheme, job.noise_multiplier, job.without_privacy) == ("paillier", Fraction(4), False)
    assert file.evaluation.path == Path("/jobs/holdout.npz")


def test_noise_is_taken_exactly_as_it_was_typed():
    assert parse("noise_multiplier = 4.0", "noise_multiplier = 0.1").privacy.noise == Fraction(1, 10)


def test_tables_that_may_be_left_out():
    file = parse('[evaluation]\npath = "holdout.npz"\n', "", '[aggregation]\nscheme = "auto"\noptimizer = "fedavgm"\nmomentum = 0.8\n', "")

    assert file.evaluation is None
    assert file.to_job(ARCHITECTURE).task.optimizer == OptimizerSettings("fedavg", ())


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        ('name = "softmax"\ninputs = 4\noutputs = 2', "softmax:4x2"),
        ('name = "mlp"\ninputs = 64\nhidden = [32, 16]\noutputs = 10\nactivation = "tanh"', "mlp:64x32x16x10:tanh"),
        ('name = "mlp"\ninputs = 13\nhidden = [8]\noutputs = 1\nloss = "mse"', "mlp:13x8x1:mse"),
        ('name = "mlp:64x32x10:tanh"', "mlp:64x32x10:tanh"),
    ],
)
def test_models_are_named_in_parts_or_as_in_the_catalogue(lines, name):
    file = parse('name = "softmax"\ninputs = 4\noutputs = 2', lines)

    assert file.model.full_name == name
    assert catalogue.architecture(name)


def test_every_wrong_line_is_named_at_once():
    found = mistakes(
        "rounds = 2", "rounds = 0",
        "batch_size = 4", 'batch_size = "four"',
        "clip_norm = 1.0", "clip_norm = -1.0",
        "deadline_s = 60", "deadline = 60",
        'optimizer = "fedavgm"', 'optimizer = "adam"',
    )  # fmt: skip

    assert [line.split(":")[0] for line in found] == ["line 3", "line 10", "line 13", "line 19", "line 22"]


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ('name = "tiny"', 'name = "Tiny Job"', "is not an id"),
        ('name = "softmax"', 'onnx = "net.trainable"', "remove the other keys"),
        ('name = "softmax"\ninputs = 4\noutputs = 2', 'onnx = "net.onnx"', "a folder whose name ends in .trainable"),
        ('name = "softmax"\n', "", "name is missing"),
        ("inputs = 4\n", "", "inputs and outputs are needed"),
        ('name = "softmax"', 'name = "softmax:4x2"', "says its sizes itself"),
        ("noise_multiplier = 4.0", "noise_multiplier = 0.0", "without noise nothing is private"),
        ("noise_multiplier = 4.0", "noise_multiplier = 4.0\nwithout_privacy = true", "without noise nothing is private"),
        ("noise_multiplier = 4.0", "noise_multiplier = inf", "noise_multiplier: expected a number >= 0 and <= 1e+300, got inf"),
        ("max_devices = 5", "max_devices = 3", "max_devices must be at least min_devices"),
        ("max_devices = 5", "max_devices = 5\ntarget = 6", "target must lie between"),
        ('scheme = "auto"', 'scheme = "masked"', "this version has no scheme masked"),
        ("delta = 1e-6", "delta = 1.0", "delta: expected a number > 0 and < 1, got 1"),
        ("max_devices = 5", "max_devices = 5000", "max_devices: expected a whole number >= 1 and <= 2800, got 5000"),
        ('path = "holdout.npz"', 'path = "holdout.npz"\ngate = 2.0', "gate: expected a number >= 0 and <= 1, got 2"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(old, new, text):
    (found,) = mistakes(old, new)
    assert text in found


def test_a_file_is_read_with_its_text(tmp_path):
    (tmp_path / "job.toml").write_text(JOB)

    file, text = job_file.read(tmp_path / "job.toml")

    assert (file.job.name, text) == ("tiny", JOB)
    with pytest.raises(FileNotFoundError):
        job_file.read(tmp_path / "other.toml")
    with refused(Refusal.CONFIG_INVALID, LocalError):
        job_file.parse("", SOURCE)


@pytest.mark.parametrize("line", ['onnx = "net.trainable"', "onnx='net.trainable' # made today"])
def test_what_is_kept_of_a_job_knows_where_its_trainable_model_is(tmp_path, line):
    (tmp_path / "job.toml").write_text(JOB.replace('name = "softmax"\ninputs = 4\noutputs = 2', line))

    file, text = job_file.read(tmp_path / "job.toml")

    assert file.model.full_name == str(tmp_path / "net.trainable")
    assert job_file.parse(text, Path("tiny")).model == file.model


def test_jobs_that_go_on_with_each_others_model_are_one():
    identity = parse().identity(ARCHITECTURE)

    assert parse("rounds = 2", "rounds = 9", "clip_norm = 1.0", "clip_norm = 2.0").identity(ARCHITECTURE) == identity
    assert parse('name = "tiny"', 'name = "other"').identity(ARCHITECTURE) != identity
    assert parse('optimizer = "fedavgm"', 'optimizer = "fedavg"', "momentum = 0.8\n", "").identity(ARCHITECTURE) != identity
    assert parse().identity(catalogue.architecture("softmax:5x2")) != identity


def test_changes_between_two_versions_of_a_job_are_named():
    changes = job_file.changes(parse(), parse("rounds = 2", "rounds = 9", '[evaluation]\npath = "holdout.npz"\n', ""))

    assert changes[0] == "[job] rounds: 2 -> 9"
    assert "[evaluation] path: /jobs/holdout.npz -> unset" in changes
    assert job_file.changes(parse(), parse()) == ()


def test_the_shipped_example_is_a_job():
    file, text = job_file.read(EXAMPLES / "job.toml")

    assert (file.job.name, file.cohort.max_devices, file.model.full_name) == ("digits", 50, "softmax:64x10")
    uncommented = text.replace("# gate", "gate")
    assert job_file.parse(uncommented, EXAMPLES / "job.toml").evaluation.gate == 0.05


@pytest.mark.parametrize(
    ("lines", "training"),
    [
        ('optimizer = "momentum"', LocalTraining.make(2, 4, 0.5, optimizer="momentum", momentum=0.9)),
        ('optimizer = "momentum"\nmomentum = 0.5', LocalTraining.make(2, 4, 0.5, optimizer="momentum", momentum=0.5)),
        ('optimizer = "adam"\nbeta2 = 0.99', LocalTraining.make(2, 4, 0.5, optimizer="adam", beta2=0.99)),
        ("gradient_norm = 2.0\nproximal = 0.25", LocalTraining.make(2, 4, 0.5, gradient_norm=2.0, proximal=0.25)),
    ],
)
def test_the_devices_optimiser_and_its_numbers_reach_the_plan(lines, training):
    assert parse("learning_rate = 0.5", f"learning_rate = 0.5\n{lines}").to_job(ARCHITECTURE).task.training == training


@pytest.mark.parametrize("lines", ["momentum = 0.5", 'optimizer = "adam"\nmomentum = 0.5', "beta1 = 0.5", 'optimizer = "lion"'])
def test_numbers_of_another_optimiser_are_refused(lines):
    assert mistakes("learning_rate = 0.5", f"learning_rate = 0.5\n{lines}")


def test_a_job_chooses_how_many_coordinates_are_sent():
    assert parse().to_job(ARCHITECTURE).keep_one_in == 1
    assert parse("delta = 1e-6", "delta = 1e-6\nkeep_one_in = 4").to_job(ARCHITECTURE).keep_one_in == 4
    assert mistakes("delta = 1e-6", "delta = 1e-6\nkeep_one_in = 3")
