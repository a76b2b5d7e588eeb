import hashlib
from collections import Counter

import pytest

from hushfleet.documents import PrivacyPlan, is_selected, open_plan, sign_plan
from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import Label
from hushfleet.signing import Signed
from tests.support.documents import DEVICES, orchestrator, owner, plan
from tests.support.refusals import refused

FIGURES = {"b2": 8900, "variance": 9000, "bound": 200, "min_devices": 40, "max_devices": 50, "slot_bits": 20, "keep_one_in": 1}


def test_the_plan_hash_is_sha256_of_the_signed_bytes():
    verified = sign_plan(plan(), orchestrator)
    assert verified.digest == hashlib.sha256(verified.signed.content).digest()
    assert verified.plan == plan()


def test_what_was_signed_opens_to_what_the_signer_held():
    verified = sign_plan(plan(), orchestrator)
    assert open_plan(verified.signed, orchestrator.verify_key) == verified


@pytest.mark.parametrize("impostor", [owner, DEVICES["pi-01"][0]])
def test_only_the_orchestrator_signs_plans(impostor):
    with refused(Refusal.SIGNATURE, PeerError):
        open_plan(sign_plan(plan(), impostor).signed, orchestrator.verify_key)


def test_the_signature_is_checked_before_the_content_is_read():
    with refused(Refusal.SIGNATURE, PeerError):
        open_plan(Signed(b"no plan", bytes(64)), orchestrator.verify_key)
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        open_plan(orchestrator.sign(Label.PLAN, b"no plan"), orchestrator.verify_key)


def test_a_plan_above_its_ceiling_is_refused():
    with refused(Refusal.MESSAGE_TOO_LARGE, PeerError):
        open_plan(sign_plan(plan(scheme="x" * 4096), orchestrator).signed, orchestrator.verify_key)


def test_any_change_makes_another_plan_hash():
    changes = [{}, {"round": 4}, {"scale": 93.6}, {"selection": 0}, {"privacy": PrivacyPlan(**{**FIGURES, "variance": 9001})}]
    assert len({sign_plan(plan(**change), orchestrator).digest for change in changes}) == len(changes)


@pytest.mark.parametrize("counter", ["round", "roster_serial"])
@pytest.mark.parametrize("value", [0, -1, 2**63, 2**64])
def test_rounds_and_serials_out_of_range_are_refused(counter, value):
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        plan(**{counter: value})


@pytest.mark.parametrize("value", [-1, 2**63])
def test_a_model_version_out_of_range_is_refused(value):
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        plan(model_version=value)


@pytest.mark.parametrize("name", ["key_id", "roster_hash", "parameter_hash", "architecture_hash"])
@pytest.mark.parametrize("size", [0, 31, 33])
def test_hashes_of_another_size_are_refused(name, size):
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        plan(**{name: bytes(size)})


def test_a_plan_names_its_fleet_by_an_id():
    with refused(Refusal.ID_MALFORMED, PeerError):
        plan(fleet="no id")


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("value", [-1, 2**63])
def test_figures_that_are_negative_or_too_wide_are_refused(name, value):
    with refused(Refusal.MESSAGE_MALFORMED, PeerError):
        PrivacyPlan(**{**FIGURES, name: value})


class TestSelection:
    @pytest.mark.parametrize("device_id", ["pi-01", "pi-02", "a", "z" * 63])
    def test_the_rule_is_that_of_the_protocol(self, device_id):
        label = b"hushfleet/v2/hash/selection"
        for selection in range(0, 65_537, 4096):
            verified = sign_plan(plan(selection=selection), orchestrator)
            content = len(label).to_bytes(4, "big") + label + verified.digest + len(device_id).to_bytes(4, "big") + device_id.encode()
            draw = int.from_bytes(hashlib.sha256(content).digest()[:2], "big")
            assert is_selected(verified, device_id) == (draw < selection)

    def test_zero_asks_nobody_and_65536_everybody(self):
        nobody, everybody = (sign_plan(plan(selection=selection), orchestrator) for selection in (0, 65_536))
        names = [f"pi-{number}" for number in range(500)]
        assert not any(is_selected(nobody, name) for name in names)
        assert all(is_selected(everybody, name) for name in names)

    def test_half_asks_about_half_of_the_devices_in_every_round(self):
        counts = Counter()
        for number in range(1, 21):
            verified = sign_plan(plan(round=number, selection=32_768), orchestrator)
            counts.update(name for name in (f"pi-{number}" for number in range(100)) if is_selected(verified, name))
        assert 900 < counts.total() < 1100
        assert len(counts) == 100
