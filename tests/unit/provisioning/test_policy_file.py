from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from hushfleet.documents import NamedHash, Policy
from hushfleet.errors import LocalError, Refusal
from models import catalogue
from provisioning.policy_file import PolicyFile, parse_policy, read_policy
from provisioning.policy_text import DEFAULT
from tests.support.hand_made_model import hand_made
from tests.support.refusals import refused

SOURCE = Path("policy.toml")


def policy(text: str) -> Policy:
    return parse_policy(text, SOURCE).as_policy()


def mistakes(text: str) -> list[str]:
    with pytest.raises(LocalError) as caught:
        parse_policy(text, SOURCE)
    assert caught.value.reason is Refusal.CONFIG_INVALID
    assert caught.value.next_step == "Correct the file, then run: hushfleet provision policy set"
    return caught.value.message.splitlines()[1:]


def test_what_is_shipped_is_what_a_policy_says_by_default():
    assert policy(DEFAULT) == policy("") == Policy.make()


def test_what_is_shipped_names_every_key_with_a_comment_in_each_table():
    file = parse_policy(DEFAULT, SOURCE)
    for table in file.__struct_fields__:
        text = DEFAULT.split(f"[{table}]")[1].split("\n[")[0]
        assert "# " in text
        for key in getattr(file, table).__struct_fields__:
            assert f"\n{key} = " in text


def test_model_names_become_architecture_hashes():
    names = ("softmax:64x10", "mlp:4x3x2")
    text = f"[models]\nallowed = {list(names)}".replace("'", '"')
    assert policy(text).models == tuple(NamedHash(name, catalogue.architecture(name).digest) for name in names)


def test_a_model_is_allowed_under_its_canonical_name():
    assert [one.name for one in policy('[models]\nallowed = ["mlp:4x3x2:relu"]').models] == ["mlp:4x3x2"]


def test_tasks_are_allowed_by_name():
    assert policy("").tasks == ("train", "evaluate")
    assert policy('[tasks]\nallowed = ["train"]').tasks == ("train",)
    with refused(Refusal.CONFIG_INVALID, LocalError):
        policy('[tasks]\nallowed = ["measure"]')


def test_a_trainable_model_beside_the_file_becomes_the_hash_of_its_graph(tmp_path):
    trainable = hand_made()
    trainable.save(tmp_path / "net.trainable")
    file = parse_policy('[models]\nallowed = ["softmax:64x10", "net.trainable"]', tmp_path / "policy.toml")
    wanted = [catalogue.architecture("softmax:64x10"), trainable.architecture]
    assert file.as_policy().models == tuple(NamedHash(one.name, one.digest) for one in wanted)
    assert str(tmp_path) not in file.as_policy().models[1].name


def test_a_trainable_model_that_is_missing_or_changed_is_a_mistake_on_its_line(tmp_path):
    hand_made().save(tmp_path / "net.trainable")
    with (tmp_path / "net.trainable" / "train.onnx").open("ab") as file:
        file.write(b"more")
    absent = f"there is no trainable model {tmp_path / 'no.trainable'}"
    for name, words in (("no.trainable", absent), ("net.trainable", "train.onnx is not the file")):
        with pytest.raises(LocalError, match=f"line 2: \\[models\\] allowed: {words}") as caught:
            parse_policy(f'[models]\nallowed = ["{name}"]', tmp_path / "policy.toml")
        with refused(Refusal.CONFIG_INVALID, LocalError):
            raise caught.value


def test_a_model_named_twice_is_one():
    assert len(policy('[models]\nallowed = ["softmax:64x10", "softmax:64x10"]').models) == 1


@pytest.mark.parametrize("typed", ["1", "4", "0.1", "1.1", "2.5e0", "1e-3", "3.000000001", "1.0000"])
def test_the_noise_multiplier_is_squared_exactly_as_typed(typed):
    assert policy(f"[privacy]\nmin_noise_multiplier = {typed}").min_noise_squared == Fraction(Decimal(typed)) ** 2


@pytest.mark.parametrize(
    ("typed", "nano"), [("0", 0), ("1", 10**9), ("0.1", 10**8), ("0.000000001", 1), ("9007199254.740993123", 9007199254740993123)]
)
def test_the_budget_is_counted_exactly_as_typed(typed, nano):
    assert policy(f"[privacy]\nbudget_rho = {typed}").budget_nano_rho == nano


def test_the_last_example_would_be_wrong_as_a_float():
    assert int(9007199254.740993123 * 10**9) != 9007199254740993123


@dataclass(frozen=True)
class Wrong:
    """A table with one wrong line (the second), and words of what is said about it."""

    table: str
    line: str
    says: str
    number: int = 2


WRONG = (
    Wrong("cohort", "min_devices = 3", "at least colluding_contributors + 2 = 4"),
    Wrong("cohort", "min_devices = 1.5", "a whole number"),
    Wrong("cohort", "max_devices = 2801", "<= 2800"),
    Wrong("cohort", "max_devices = 9", "at least min_devices = 10"),
    Wrong("cohort", "colluding_contributors = -1", ">= 0"),
    Wrong("cohort", 'min_devices = "10"', "a whole number"),
    Wrong("cohort", "least_devices = 10", "has no key least_devices"),
    Wrong("privacy", "min_noise_multiplier = 0", "must be above 0"),
    Wrong("privacy", "min_noise_multiplier = -1.0", "must be above 0"),
    Wrong("privacy", "min_noise_multiplier = nan", "must be above 0"),
    Wrong("privacy", "min_noise_multiplier = inf", "must be above 0"),
    Wrong("privacy", "min_noise_multiplier = 1e999999999", "must be above 0"),
    Wrong("privacy", "budget_rho = 1e999999999", "must not be negative"),
    Wrong("privacy", "min_noise_multiplier = 1.0000000001", "nine digits"),
    Wrong("privacy", "min_noise_multiplier = 4e9", "nine digits"),
    Wrong("privacy", "budget_rho = -0.1", "must not be negative"),
    Wrong("privacy", "budget_rho = 0.0000000001", "nine digits"),
    Wrong("privacy", "budget_rho = 1e10", "too large"),
    Wrong("privacy", "budget_rho = inf", "must not be negative"),
    Wrong("privacy", 'allow_without_privacy = "no"', "true or false"),
    Wrong("models", 'schemes = ["plain"]', "there is no scheme 'plain'"),
    Wrong("models", 'allowed = ["resnet:3"]', "no model family 'resnet'"),
    Wrong("models", 'allowed = "softmax:64x10"', "expected"),
    Wrong("models", "max_values = 0", ">= 1"),
    Wrong("models", "max_abs_parameter = 0.0", "> 0"),
    Wrong("models", "max_abs_parameter = inf", "<="),
    Wrong("training", "max_learning_rate = -1.0", "> 0"),
    Wrong("training", "max_batch_size = 0", ">= 1"),
    Wrong("secrets", "x = 1", "there is no table [secrets]", number=1),
)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.line)
def test_a_wrong_line_is_named_with_its_number(wrong):
    found = mistakes(f"[{wrong.table}]\n{wrong.line}")
    assert len(found) == 1
    assert found[0].startswith(f"  line {wrong.number}: ")
    assert wrong.says in found[0]


ALL_WRONG = """\
[cohort]
min_devices = 3
max_devices = 2
[privacy]
min_noise_multiplier = 0
budget_rho = 0.0000000001
[models]
schemes = ["plain"]
allowed = ["resnet:3"]
[training]
max_local_steps = 0
max_batch_size = "16"
max_speed = 1
[secrets]
"""


def test_all_wrong_lines_are_named_at_once():
    named = [line.split(":")[0].strip() for line in mistakes(ALL_WRONG)]
    assert named == [f"line {number}" for number in (2, 3, 5, 6, 8, 9, 11, 12, 13, 14)]


def test_text_that_is_no_toml_is_refused():
    with refused(Refusal.CONFIG_INVALID, LocalError):
        parse_policy("[cohort\n", SOURCE)


def test_a_file_is_read_from_its_place(tmp_path):
    (tmp_path / "policy.toml").write_text(DEFAULT)
    assert read_policy(tmp_path / "policy.toml") == PolicyFile()
    with pytest.raises(FileNotFoundError):
        read_policy(tmp_path / "none.toml")
