import pytest

from hushfleet.documents import DeviceEntry, NamedHash, Policy
from provisioning.differences import differences, policy_lines
from tests.support.documents import ARCHITECTURE, COMMITTEE, MODEL, entry, orchestrator_sealing, owner, policy, roster

BEFORE = roster()


def test_nothing_but_the_serial_is_no_difference():
    assert differences(BEFORE, roster(serial=8)) == ()


CHANGES = {
    "a device more": ({"devices": tuple(map(entry, COMMITTEE))}, {}, ["+ device pi-05"]),
    "a device less": ({}, {"devices": tuple(map(entry, COMMITTEE))}, ["- device pi-05"]),
    "the orchestrator": ({}, {"orchestrator_verify_key": owner.verify_key.raw}, ["~ the orchestrator: new keys"]),
    "its sealing key": ({}, {"orchestrator_sealing_key": bytes([9] * 32)}, ["~ the orchestrator: new keys"]),
    "the committee": ({}, {"key_epoch": 3, "committee": COMMITTEE[::-1]}, ["~ key epoch 2 -> 3", "~ committee: pi-01, pi-02"]),
    "the policy": ({}, {"policy": policy(budget_nano_rho=5)}, ["~ privacy.budget_rho: 1 -> 0.000000005"]),
    "models": ({}, {"policy": policy(models=())}, [f"~ models.allowed: {MODEL} ({ARCHITECTURE.hex()[:16]}) -> none"]),
}


@pytest.mark.parametrize(("before", "after", "lines"), CHANGES.values(), ids=CHANGES)
def test_each_change_is_one_line(before, after, lines):
    found = differences(roster(**before), roster(**after))
    assert len(found) == len(lines)
    assert all(line.startswith(start) for line, start in zip(found, lines, strict=True))


@pytest.mark.parametrize(("field", "says"), [("verify_key", "budget starts again"), ("sealing_key", "a new sealing key")])
def test_new_keys_of_a_device_are_told_apart(field, says):
    fields = {"device_id": "pi-05", "verify_key": entry("pi-05").verify_key, "sealing_key": entry("pi-05").sealing_key}
    changed = DeviceEntry.make(**{**fields, field: orchestrator_sealing.public.raw[::-1]})
    (line,) = differences(BEFORE, roster(devices=(*map(entry, COMMITTEE), changed)))
    assert line.startswith("~ device pi-05")
    assert says in line


def test_the_first_roster_tells_everything():
    lines = differences(None, BEFORE)
    assert "with 5 devices: pi-01, pi-02, pi-03, pi-04, pi-05" in lines[0]
    assert "4, 3 required" in lines[1]
    assert len(lines) == 2 + len(policy_lines(BEFORE.policy))


OTHER = {
    "min_devices": 11, "max_devices": 12, "colluding_contributors": 3, "min_noise_numerator": 2, "min_noise_denominator": 3,
    "budget_nano_rho": 1, "allow_without_privacy": True, "schemes": ("paillier",), "models": (NamedHash("net", bytes(32)),),
    "tasks": ("train",), "questions": (NamedHash("ages", bytes(32)),), "max_values": 1,
    "max_abs_parameter": 1.0, "max_local_steps": 1, "max_batch_size": 1, "max_learning_rate": 1.0, "max_proximal": 1.0,
}  # fmt: skip


def test_no_field_of_a_policy_changes_unseen():
    assert set(OTHER) == set(Policy.__struct_fields__)
    for field, value in OTHER.items():
        assert policy_lines(Policy.make(**{field: value})) != policy_lines(Policy.make()), field


@pytest.mark.parametrize(("squared", "shown"), [((16, 1), "4"), ((81, 4), "4.5"), ((1, 100), "0.1"), ((2, 1), "1.414213562")])
def test_the_noise_multiplier_is_shown_as_it_was_typed(squared, shown):
    made = Policy.make(min_noise_numerator=squared[0], min_noise_denominator=squared[1])
    assert policy_lines(made)["privacy.min_noise_multiplier"] == shown


def test_models_are_shown_by_name_and_hash():
    assert policy_lines(policy())["models.allowed"] == f"softmax:64x10 ({ARCHITECTURE.hex()[:16]})"
