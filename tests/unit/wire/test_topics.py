from dataclasses import replace
from itertools import product

import pytest

from hushfleet.errors import PeerError, Refusal
from hushfleet.labels import sha256
from hushfleet.link.memory import matches
from hushfleet.wire import Kind, Role, Topic, acl, build, parse
from hushfleet.wire.topics import subscription
from tests.support.refusals import refused

DIGEST = sha256(b"model").hex()
BASE = "hushfleet/v1/greenhouse"
TABLE = [
    (Topic("greenhouse", Kind.ROSTER, number=7, chunk=0), "roster/7/0"),
    (Topic("greenhouse", Kind.PLAN), "plan"),
    (Topic("greenhouse", Kind.MODEL, digest=DIGEST, chunk=12), f"model/{DIGEST}/12"),
    (Topic("greenhouse", Kind.ASSET, digest=DIGEST, chunk=2), f"asset/{DIGEST}/2"),
    (Topic("greenhouse", Kind.RECORD, number=3, chunk=0), "record/3/0"),
    (Topic("greenhouse", Kind.REQUEST, number=3, chunk=1), "request/3/1"),
    (Topic("greenhouse", Kind.RECEIPT, device="pi-01", number=3), "receipt/pi-01/3"),
    (Topic("greenhouse", Kind.INBOX, device="pi-01", chunk=0), "inbox/pi-01/0"),
    (Topic("greenhouse", Kind.STATUS, device="pi-01"), "device/pi-01/status"),
    (Topic("greenhouse", Kind.CONTRIBUTION, device="pi-01", number=3, chunk=0), "device/pi-01/contribution/3/0"),
    (Topic("greenhouse", Kind.PARTIAL, device="pi-01", number=3, chunk=0), "device/pi-01/partial/3/0"),
    (Topic("greenhouse", Kind.EVIDENCE, device="pi-01", number=3), "device/pi-01/evidence/3"),
    (Topic("greenhouse", Kind.COMPLAINT, device="pi-01", number=2**63 - 1), f"device/pi-01/complaint/{2**63 - 1}"),
]
IDENTITIES = {"orchestrator": {"orchestrator": True}, "pi-01": {"member": True}, "pi-02": {}}
OF_PI_02 = [(replace(topic, device="pi-02"), text.replace("pi-01", "pi-02")) for topic, text in TABLE if topic.device]


def allowed(identity: str, verb: str) -> set[str]:
    """Which of the topics above an identity may use, without the fleet's prefix."""
    rules = [pattern for found, pattern in acl("greenhouse", identity, **IDENTITIES[identity]) if found == verb]
    texts = [text for _, text in TABLE + OF_PI_02]
    return {text for text in texts if any(matches(pattern, f"{BASE}/{text}") for pattern in rules)}


def under(*beginnings: str) -> set[str]:
    return {text for _, text in TABLE + OF_PI_02 if text.startswith(beginnings)}


class TestTable:
    def test_it_has_a_row_here_for_every_kind(self):
        assert [topic.kind for topic, _ in TABLE] == list(Kind)

    @pytest.mark.parametrize(("topic", "text"), TABLE, ids=[topic.kind.name for topic, _ in TABLE])
    def test_building_and_parsing_are_each_others_inverse(self, topic, text):
        assert build(topic) == f"{BASE}/{text}"
        assert parse(f"{BASE}/{text}") == topic

    def test_what_is_retained_is_what_the_protocol_says(self):
        assert [kind for kind in Kind if kind.retained] == [Kind.ROSTER, Kind.PLAN, Kind.MODEL, Kind.ASSET, Kind.RECORD, Kind.STATUS]

    @pytest.mark.parametrize("topic", [topic for topic, _ in TABLE], ids=lambda topic: topic.kind.name)
    def test_a_field_too_few_or_too_many_builds_nothing(self, topic):
        present = {name: getattr(topic, name) for name in ("device", "number", "digest", "chunk")}
        other = {"device": "pi-09", "number": 1, "digest": DIGEST, "chunk": 1}
        for name, value in present.items():
            changed = replace(topic, **{name: None if value is not None else other[name]})
            with pytest.raises(ValueError, match=topic.kind.name):
                build(changed)


class TestTopic:
    @pytest.mark.parametrize("changes", [{"fleet": ""}, {"fleet": "a/b"}, {"device": "+"}, {"device": "a/b"}, {"device": ""}])
    def test_ids_are_checked_where_a_topic_is_made(self, changes):
        with refused(Refusal.ID_MALFORMED, PeerError):
            Topic(**{"fleet": "greenhouse", "kind": Kind.STATUS, **changes})

    @pytest.mark.parametrize(
        "changes",
        [{"number": -1}, {"number": 2**63}, {"chunk": -1}, *({"digest": text} for text in ("", "+", DIGEST.upper(), DIGEST[2:]))],
    )
    def test_numbers_and_hashes_are_checked_where_a_topic_is_made(self, changes):
        with refused(Refusal.MESSAGE_MALFORMED, PeerError):
            Topic("greenhouse", Kind.MODEL, **changes)


class TestParsing:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            "/",
            "#",
            "+",
            "hushfleet",
            "hushfleet/v1",
            "hushfleet/v1/",
            BASE,
            f"{BASE}/",
            f"/{BASE}/plan",
            f"{BASE}/plan/",
            f"{BASE}//plan",
            f"{BASE}/Plan",
            f"{BASE}/plan/0",
            f"{BASE}/plans",
            "hushfleet/v2/greenhouse/plan",
            "hushfleet/v1/greenhouse/green/plan",
            "$SYS/broker/version",
            f"{BASE}/record",
            f"{BASE}/record/",
            f"{BASE}/record/3",
            f"{BASE}/device/pi-01",
            f"{BASE}/device/pi-01/status/1",
            f"{BASE}/device/pi-01/contribution/3",
            f"{BASE}/pi-01/status",
            f"{BASE}/#",
            f"{BASE}/+",
            f"{BASE}/plan\0",
            "x" * 70_000,
        ],
        ids=lambda text: text[:60],
    )
    def test_what_is_not_in_the_table_is_refused(self, text):
        with refused(Refusal.MESSAGE_MALFORMED, PeerError):
            parse(text)

    @pytest.mark.parametrize(
        "number",
        [
            *("", "-1", "+1", "01", "00", " 1", "1 ", "1\n", "1.0", "1e3", "0x1", "1_0", "+", "#", "\u0661", "\u00b2"),
            *(str(2**63), "9" * 19, "9" * 5000),
        ],
        ids=lambda text: ascii(text)[:30],
    )
    def test_a_number_has_one_way_to_be_written(self, number):
        for text in (f"{BASE}/record/{number}/0", f"{BASE}/roster/1/{number}", f"{BASE}/device/pi-01/evidence/{number}"):
            with refused(Refusal.MESSAGE_MALFORMED, PeerError):
                parse(text)

    @pytest.mark.parametrize(
        "digest",
        ["", DIGEST[:-1], DIGEST[:-2], DIGEST + "00", DIGEST.upper(), "g" * 64, "+", DIGEST[:-2] + "  ", "0x" + DIGEST[2:]],
    )
    def test_a_hash_has_one_way_to_be_written(self, digest):
        with refused(Refusal.MESSAGE_MALFORMED, PeerError):
            parse(f"{BASE}/model/{digest}/0")

    @pytest.mark.parametrize("text", ["", "A", "-a", "+", "#", "a" * 64, "\u00e4"])
    def test_ids_are_ids(self, text):
        for topic in (f"hushfleet/v1/{text}/plan", f"{BASE}/device/{text}/status", f"{BASE}/inbox/{text}/0"):
            with refused(Refusal.ID_MALFORMED, PeerError):
                parse(topic)


class TestAcl:
    def test_a_device_writes_under_its_own_id_and_nowhere_else(self):
        assert allowed("pi-01", "write") == under("device/pi-01/")
        assert allowed("pi-02", "write") == under("device/pi-02/status", "device/pi-02/contribution/")

    def test_a_device_reads_what_is_its_own_or_everybodys(self):
        everybodys = under("roster/", "plan", "model/", "asset/", "record/") | {"device/pi-01/evidence/3", "device/pi-02/evidence/3"}
        assert allowed("pi-02", "read") == everybodys | under("receipt/pi-02/", "inbox/pi-02/", "device/pi-02/status")
        assert allowed("pi-01", "read") == everybodys | under("receipt/pi-01/", "inbox/pi-01/", "request/", "device/pi-01/status")

    def test_the_orchestrator_writes_what_it_publishes_and_reads_what_devices_send(self):
        assert allowed("orchestrator", "write") == under("roster/", "plan", "model/", "asset/", "record/", "request/", "receipt/", "inbox/")
        assert allowed("orchestrator", "read") == under("roster/", "plan", "model/", "asset/", "record/", "device/")

    def test_nobody_but_the_device_itself_writes_under_its_id(self):
        own = [f"{BASE}/{text}" for topic, text in TABLE if topic.kind.publisher in (Role.DEVICE, Role.OWN_MEMBER)]
        assert len(own) == 5
        others = [("orchestrator", {"orchestrator": True}), ("pi-02", {}), ("pi-02", {"member": True}), ("pi-011", {}), ("p", {})]
        for identity, roles in others:
            rules = [pattern for verb, pattern in acl("greenhouse", identity, **roles) if verb == "write"]
            assert not [topic for topic, pattern in product(own, rules) if matches(pattern, topic)]

    def test_no_contribution_and_no_answer_is_readable_for_any_device(self):
        secret = {text for text in under("device/") if "/contribution/" in text or "/partial/" in text or "/complaint/" in text}
        assert len(secret) == 6
        assert not secret & (allowed("pi-01", "read") | allowed("pi-02", "read"))

    def test_no_rule_reaches_another_fleet_or_everything(self):
        for identity, roles in IDENTITIES.items():
            for _, pattern in acl("greenhouse", identity, **roles):
                assert pattern.startswith(f"{BASE}/")
                assert "#" not in pattern

    @pytest.mark.parametrize("identity", ["+", "#", "", "pi-01/status", "PI"])
    def test_an_identity_that_is_no_id_gets_no_rules(self, identity):
        with refused(Refusal.ID_MALFORMED, PeerError):
            acl("greenhouse", identity)
        with refused(Refusal.ID_MALFORMED, PeerError):
            acl(identity, "pi-01")


class TestSubscription:
    @pytest.mark.parametrize("topic", [topic for topic, _ in TABLE], ids=lambda topic: topic.kind.name)
    def test_the_filter_of_a_kind_matches_all_its_topics_and_no_other_kinds(self, topic):
        pattern = subscription("greenhouse", topic.kind)
        assert [other for other, found in TABLE if matches(pattern, f"{BASE}/{found}")] == [topic]

    def test_a_filter_can_be_narrowed_to_a_device_or_a_hash(self):
        assert subscription("greenhouse", Kind.INBOX, device="pi-01") == f"{BASE}/inbox/pi-01/+"
        assert subscription("greenhouse", Kind.MODEL, digest=DIGEST) == f"{BASE}/model/{DIGEST}/+"
