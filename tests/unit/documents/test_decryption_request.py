import hashlib

import pytest

from hushfleet.documents import cohort_root, open_header, sign_header
from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import Label, sha256
from hushfleet.signing import Signed
from tests.support.documents import PLAN_HASH, header, orchestrator, owner
from tests.support.refusals import refused

COHORT = [("pi-01", sha256(b"first")), ("pi-10", sha256(b"second")), ("pi-2", sha256(b"third"))]


class TestRoot:
    @pytest.mark.parametrize("size", range(4))
    def test_it_is_the_hash_that_the_protocol_states(self, size):
        label = b"hushfleet/v2/hash/root"
        content = len(label).to_bytes(4, "big") + label + PLAN_HASH + size.to_bytes(4, "big")
        for device_id, body_hash in COHORT[:size]:
            content += len(device_id).to_bytes(4, "big") + device_id.encode() + body_hash
        assert cohort_root(PLAN_HASH, COHORT[:size]) == hashlib.sha256(content).digest()

    def test_any_other_cohort_or_plan_has_another_root(self):
        first, second, third = COHORT
        variants = [
            (PLAN_HASH, COHORT),
            (sha256(PLAN_HASH), COHORT),
            (PLAN_HASH, [first, second]),
            (PLAN_HASH, [first, third, second]),
            (PLAN_HASH, [first, second, third, third]),
            (PLAN_HASH, [("pi-02", first[1]), second, third]),
            (PLAN_HASH, [("pi-01", sha256(b"other")), second, third]),
        ]
        assert len({cohort_root(*variant) for variant in variants}) == len(variants)


class TestHeader:
    def test_what_was_signed_opens(self):
        assert open_header(sign_header(header(), orchestrator), orchestrator.verify_key) == header()

    def test_only_the_orchestrator_signs_headers_and_only_under_their_label(self):
        content = sign_header(header(), orchestrator).content
        for signed in (sign_header(header(), owner), orchestrator.sign(Label.PLAN, content), Signed(content, bytes(64))):
            with refused(Refusal.SIGNATURE, PeerError):
                open_header(signed, orchestrator.verify_key)

    def test_the_signature_is_checked_before_the_content_is_read(self):
        with refused(Refusal.SIGNATURE, PeerError):
            open_header(Signed(b"no header", bytes(64)), orchestrator.verify_key)
        with refused(Refusal.MESSAGE_MALFORMED, PeerError):
            open_header(orchestrator.sign(Label.HEADER, b"no header"), orchestrator.verify_key)

    def test_a_header_above_its_ceiling_is_refused(self):
        with refused(Refusal.MESSAGE_TOO_LARGE, PeerError):
            open_header(orchestrator.sign(Label.HEADER, bytes(1025)), orchestrator.verify_key)

    @pytest.mark.parametrize(
        "changes",
        [
            *({name: bytes(size)} for name in ("key_id", "plan_hash", "root") for size in (0, 31, 33)),
            *({"round": value} for value in (0, -1, 2**63)),
            *({"count": value} for value in (-1, 2**63)),
        ],
        ids=str,
    )
    def test_fields_out_of_range_are_refused(self, changes):
        with refused(Refusal.MESSAGE_MALFORMED, PeerError):
            header(**changes)

    def test_a_header_names_its_fleet_by_an_id(self):
        with refused(Refusal.ID_MALFORMED, PeerError):
            header(fleet="")
