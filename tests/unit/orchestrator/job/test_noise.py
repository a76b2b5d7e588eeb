"""The noise that a check tells is the noise that a round has, and it warns of jobs that learn nothing."""

import math

import numpy as np
import pytest

from hushfleet.training import Data
from models import catalogue
from orchestrator.job import file as job_file
from orchestrator.job.check import check
from orchestrator.job.noise import Noise, raw_features
from tests.support.jobs import job_fleet, write_job

FLEET = job_fleet()


def checked(folder, **changes: str):
    path = write_job(folder, **changes)
    return check(*job_file.read(path), path, FLEET.roster)


def test_the_noise_is_the_multiple_of_the_clip_norm_that_the_job_asks_for(tmp_path):
    noise = checked(tmp_path).noise
    honest = 4 - FLEET.roster.policy.colluding_contributors
    expected = 4.0 * 1.0 / math.sqrt(honest * 4)  # noise_multiplier, clip_norm, min_devices; the encoding adds a little sensitivity

    assert expected <= noise.per_value <= 1.25 * expected
    assert noise.length == pytest.approx(noise.per_value * math.sqrt(10))
    assert noise.update > 0


def test_it_grows_with_the_clip_norm_and_with_values_that_are_left_out(tmp_path):
    usual = checked(tmp_path).noise.per_value
    assert checked(tmp_path, clip_norm="clip_norm = 100.0").noise.per_value == pytest.approx(100 * usual, rel=0.05)
    assert checked(tmp_path, clip_norm="clip_norm = 1.0\nkeep_one_in = 4").noise.per_value == pytest.approx(2 * usual, rel=0.3)


def test_a_clip_norm_far_above_every_update_is_warned_of_and_the_right_one_is_named(tmp_path):
    wide = [one for one in checked(tmp_path, clip_norm="clip_norm = 100.0").notes if "drowns" in one]
    assert "write clip_norm = " in wide[0]
    right = wide[0].rpartition(" = ")[2]
    after = checked(tmp_path, clip_norm=f"clip_norm = {right}").noise
    assert after.per_value < checked(tmp_path, clip_norm="clip_norm = 100.0").noise.per_value / 30


@pytest.mark.parametrize(
    ("length", "update", "rounds", "warned"), [(2.0, 3.0, 4, False), (9.0, 3.0, 4, True), (9.0, 3.0, 100, False), (9.0, None, 1, False)]
)
def test_many_rounds_make_up_for_noise(length, update, rounds, warned):
    assert bool(Noise(0.1, length, 4, 1.0, update).warning(rounds)) is warned


def test_raw_units_are_told_and_standardised_features_are_not():
    rows = np.sin(np.arange(60.0) ** 2).reshape(20, 3)
    assert raw_features(Data(rows, np.zeros(20))) == ""
    assert "look raw" in raw_features(Data(rows * np.array([0.05, 1.0, 4254.0]), np.zeros(20)))
    assert "reach" in raw_features(Data(rows + 1000, np.zeros(20)))


def test_a_model_whose_rows_are_not_known_is_not_tried(monkeypatch, tmp_path):
    monkeypatch.setattr(type(catalogue.trainer("softmax:4x2")), "made_up", lambda *_: (np.zeros((2, 4), dtype=int), np.zeros(2)))
    (tmp_path / "x").mkdir()
    path = write_job(tmp_path / "x")
    path.write_text(path.read_text().partition("[evaluation]")[0])
    assert check(*job_file.read(path), path, FLEET.roster).noise.update is None
