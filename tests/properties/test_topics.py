import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushfleet.errors import PeerError, Refusal
from hushfleet.link.memory import matches
from hushfleet.wire import Kind, Topic, acl, build, parse
from hushfleet.wire.topics import PREFIX, subscription

ids = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)
numbers = st.integers(0, 2**63 - 1)
VALUES = {"device": ids, "number": numbers, "chunk": numbers, "digest": st.binary(min_size=32, max_size=32).map(bytes.hex)}


def named(kind):
    """The fields of a kind's pattern."""
    return [part[1:-1] for part in kind.pattern.split("/") if part.startswith("{")]


topics = st.sampled_from(Kind).flatmap(
    lambda kind: st.builds(Topic, fleet=ids, kind=st.just(kind), **{name: VALUES[name] for name in named(kind)})
)
levels = st.one_of(
    st.sampled_from([*(part for kind in Kind for part in kind.pattern.split("/")), "hushfleet", "v1", "+", "#", "", "-1", "00"]),
    ids,
    numbers.map(str),
    VALUES["digest"],
    st.text(max_size=5),
)
texts = st.one_of(
    st.text(),
    st.lists(levels, max_size=9).map("/".join),
    st.lists(levels, max_size=7).map(lambda parts: "/".join((PREFIX, "fleet", *parts))),
)


@given(topics)
def test_parsing_inverts_building(topic):
    assert parse(build(topic)) == topic


@given(texts)
def test_any_text_is_the_one_spelling_of_a_topic_or_refused(text):
    assert respelled(text) in {text, Refusal.MESSAGE_MALFORMED, Refusal.ID_MALFORMED}


def respelled(text):
    """The text of the topic that `text` is, or why it is none."""
    try:
        return build(parse(text))
    except PeerError as error:
        return error.reason


@given(st.sampled_from(Kind), st.dictionaries(st.sampled_from(sorted(VALUES)), st.one_of(*VALUES.values(), st.integers(), st.none())))
def test_building_needs_exactly_the_fields_of_the_kind(kind, fields):
    fields = {name: value for name, value in fields.items() if value is None or isinstance(value, int) == (name in ("number", "chunk"))}
    try:
        text = build(Topic("fleet", kind, **fields))
    except (PeerError, ValueError):
        return
    assert parse(text) == Topic("fleet", kind, **fields)


@given(topics, ids, st.booleans())
def test_nobody_writes_under_the_id_of_another(topic, identity, member):
    rules = acl(topic.fleet, identity, member=member)
    writes = any(verb == "write" and matches(pattern, build(topic)) for verb, pattern in rules)
    members_alone = topic.kind in (Kind.PARTIAL, Kind.EVIDENCE, Kind.COMPLAINT)
    assert writes == (topic.kind.pattern.startswith("device/") and topic.device == identity and (member or not members_alone))


@given(topics, ids, st.booleans())
def test_no_device_reads_what_is_addressed_to_another_or_sent_up_by_one(topic, identity, member):
    rules = acl(topic.fleet, identity, member=member)
    reads = any(verb == "read" and matches(pattern, build(topic)) for verb, pattern in rules)
    if topic.kind in (Kind.CONTRIBUTION, Kind.PARTIAL, Kind.COMPLAINT):
        assert not reads
    if topic.kind is Kind.STATUS:
        assert reads == (topic.device == identity), "what others keep of a device it may read back"
    if topic.kind in (Kind.RECEIPT, Kind.INBOX):
        assert reads == (topic.device == identity)
    if topic.kind is Kind.REQUEST:
        assert reads == member


@given(topics, ids)
def test_no_rule_of_one_fleet_reaches_another(topic, fleet):
    other = fleet if fleet != topic.fleet else f"{fleet[:62]}x"
    rules = acl(other, topic.device or "pi-01", member=True) + acl(other, "orchestrator", orchestrator=True)
    assert not any(matches(pattern, build(topic)) for _, pattern in rules)


@given(topics)
def test_a_subscription_to_a_kind_gets_its_topics(topic):
    assert matches(subscription(topic.fleet, topic.kind), build(topic))
    assert matches(subscription(topic.fleet, topic.kind, device=topic.device, digest=topic.digest), build(topic))


@pytest.mark.parametrize("kind", Kind)
@given(st.integers(max_value=-1) | st.integers(min_value=2**63))
def test_numbers_that_do_not_fit_make_no_topic(kind, number):
    for name in set(named(kind)) & {"number", "chunk"}:
        with pytest.raises(PeerError):
            Topic("fleet", kind, **{name: number})
