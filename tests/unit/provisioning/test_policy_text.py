import json
from pathlib import Path

import click
import pytest

from provisioning.policy_file import parse_policy
from provisioning.policy_text import DEFAULT, with_settings

SOURCE = Path("policy.toml")
BY_HAND = """\
[models]
# mine
allowed = [
  "softmax:64x10",  # the digits
  "mlp:4x3x2",
]
max_values = 7  # small # very small

[cohort]
min_devices = 12
"""


def test_a_value_changes_and_nothing_else():
    before, after = DEFAULT.splitlines(), with_settings(DEFAULT, ("privacy.min_noise_multiplier=4",)).splitlines()
    assert [(old, new) for old, new in zip(before, after, strict=True) if old != new] == [
        ("min_noise_multiplier = 1.0", "min_noise_multiplier = 4")
    ]


def test_several_values_change_at_once():
    file = parse_policy(with_settings(DEFAULT, ("cohort.min_devices=12", "privacy.budget_rho=0.5", "models.max_values=9")), SOURCE)
    assert (file.cohort.min_devices, file.privacy.budget_nano_rho, file.models.max_values) == (12, 5 * 10**8, 9)


@pytest.mark.parametrize("value", ["softmax:4x2,mlp:4x3x2", "softmax:4x2, mlp:4x3x2", '["softmax:4x2", "mlp:4x3x2"]'])
def test_a_list_may_be_words_with_commas(value):
    assert parse_policy(with_settings(DEFAULT, (f"models.allowed={value}",)), SOURCE).models.allowed == ("softmax:4x2", "mlp:4x3x2")


def test_a_path_in_a_list_of_words_counts_from_where_it_is_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = with_settings(DEFAULT, ("models.allowed=softmax:4x2,mlp@wine.contract:5,nets/a.trainable",))
    assert json.dumps(["softmax:4x2", f"mlp@{tmp_path}/wine.contract:5", f"{tmp_path}/nets/a.trainable"]) in text


def test_a_list_may_become_empty():
    assert parse_policy(with_settings(BY_HAND, ("models.allowed=",)), SOURCE).models.allowed == ()


def test_a_list_over_several_lines_is_replaced_whole():
    text = with_settings(BY_HAND, ("models.allowed=softmax:4x2",))
    assert text == BY_HAND.replace(BY_HAND[BY_HAND.index("allowed") : BY_HAND.index("max_values")], 'allowed = ["softmax:4x2"]\n')


def test_the_comment_behind_a_value_stays():
    assert "max_values = 8  # small # very small\n" in with_settings(BY_HAND, ("models.max_values=8",))


def test_a_missing_key_is_added_to_its_table():
    text = with_settings(BY_HAND, ("models.max_abs_parameter=5.0",))
    assert "max_values = 7  # small # very small\nmax_abs_parameter = 5.0\n\n[cohort]" in text


def test_a_missing_table_is_added_at_the_end():
    assert with_settings(BY_HAND, ("training.max_batch_size=3",)) == BY_HAND + "\n[training]\nmax_batch_size = 3\n"


def test_an_empty_file_may_begin_so():
    assert parse_policy(with_settings("", ("cohort.min_devices=12",)), SOURCE).cohort.min_devices == 12


def test_the_same_key_in_another_table_is_left_alone():
    text = "[cohort]\nmax_values = 1\n[models]\nmax_values = 2\n"
    assert with_settings(text, ("models.max_values=3",)) == "[cohort]\nmax_values = 1\n[models]\nmax_values = 3\n"


@pytest.mark.parametrize("assignment", ["min_devices=3", "cohort.min_devices", "cohort.min_devices:3", "COHORT.x=1", "a.b.c=1", "=", ""])
def test_another_form_is_a_usage_error(assignment):
    with pytest.raises(click.UsageError, match=r"TABLE\.KEY=VALUE"):
        with_settings(DEFAULT, (assignment,))


@pytest.mark.parametrize("value", ["", "yes", "1 2", "1\n[training]\nmax_batch_size = 3", "1\nmax_devices = 5"])
def test_a_value_that_is_none_is_a_usage_error(value):
    with pytest.raises(click.UsageError):
        with_settings(DEFAULT, (f"cohort.min_devices={value}",))
