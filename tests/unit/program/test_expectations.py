"""A wrong value in any settings file is told by its key, what was given, and everything that is allowed; no inner name reaches anybody."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from edge_agent import config as agent
from hushfleet.codec import decode
from hushfleet.documents.enrolment import BundleFile
from hushfleet.errors import LocalError, PeerError
from hushfleet.expectations import kind_text, mismatch
from hushfleet.program.settings import parse_settings
from orchestrator import config as orchestrator
from orchestrator.job.file import JobFile
from provisioning.policy_file import PolicyFile

FILES = {"agent.toml": agent.Config, "orchestrator.toml": orchestrator.Config, "job.toml": JobFile, "policy.toml": PolicyFile}
INNER = ("Expected `", "`int`", "`str`", "`array`", "nvalid enum", "$", "object at")
WRONG = {"a text": '"quite wrong"', "a number": "-3.5", "a whole number": "-7", "a list": "[[]]", "a date": "2026-01-01", "a truth": "true"}


def struct_in(kind):
    return next(one for one in getattr(kind, "__args__", (kind,)) if isinstance(one, type) and issubclass(one, msgspec.Struct))


def fields() -> Iterator[tuple[str, str, str, Any]]:
    for name, kind in FILES.items():
        for table in msgspec.structs.fields(kind):
            for field in msgspec.structs.fields(struct_in(table.type)):
                yield name, table.encode_name, field.encode_name, field.type


def choices(info):
    match info:
        case inspect.UnionType(types):
            return [choice for one in types for choice in choices(one)]
        case inspect.LiteralType(values):
            return list(map(str, values))
    return []


def told(name, text):
    """What is said of a file with this text; nothing if it is in order."""
    try:
        parse_settings(FILES[name], text, source=Path("/etc") / name, next_step="", parse_float=Decimal)
    except LocalError as error:
        return error.message
    return ""


@pytest.mark.parametrize(("name", "table", "key", "kind"), list(fields()), ids=lambda value: value if isinstance(value, str) else "")
def test_each_wrong_value_names_key_given_and_allowed(name, table, key, kind):
    texts = [told(name, f"[{table}]\n{key} = {value}\n") for value in WRONG.values()]
    lines = [line for text in texts for line in text.splitlines() if f"[{table}] {key}: expected" in line and ", got " in line]
    assert not [text for text in texts if any(inner in text for inner in INNER)]
    assert lines or "Any" in str(kind)
    assert not [line for line in lines if not all(choice in line for choice in choices(inspect.type_info(kind)))]


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (agent.LogSettings.__annotations__["level"], "inof", "expected one of debug, error, info, warning, got 'inof'; did you mean info?"),
        (tuple[int, ...], ["x"], "expected a list, each part a whole number, got a list"),
        (int | None, True, "expected a whole number, got true or false"),
        (Path, 3, "expected a path in quotes, got 3"),
        (str, "", "expected a text in quotes, got a text in quotes with nothing in it"),
    ],
)
def test_the_words(kind, value, text):
    assert mismatch(kind, value) == text


@pytest.mark.parametrize("data", [b"", b"junk", b"\x92\x02\x93\x01\x02\x03", b"\xff" * 40])
def test_bytes_that_are_no_bundle_are_told_without_inner_names(data):
    with pytest.raises(PeerError) as caught:
        decode(BundleFile, data, max_bytes=100)
    assert caught.value.message.startswith("no bundle file that can be read: ")
    assert not any(inner in caught.value.message for inner in (*INNER, "BundleFile", "Envelope", "`"))


def test_a_class_is_told_in_words():
    assert kind_text(BundleFile) == "bundle file"
