"""One word per idea (docs/glossary.md): each word is defined and used, none of the forbidden ones is, and no two classes share a name."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.house_names import PACKAGES, ROOT, house, names_in

GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in GLOSSARY.splitlines() if re.match(r"\| (?!word)[a-z]", line)]
DEFINED = {word for row in ROWS for word in row[0].split(", ")}
CODE = sorted(path for package in (*PACKAGES, "benchmarks") for path in (ROOT / package).rglob("*.py"))
PROSE = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), *(ROOT / "systemd").glob("*"), *(ROOT / "examples").glob("*.toml")])

WORDS = """device, agent, fleet, cohort, orchestrator, committee, member, threshold, round, plan, local steps, key epoch, global model,
model version, update, contribution, clip norm, sensitivity, noise multiplier, ledger, budget, key share, partial decryption, combine,
seal, sign, encode, encrypt, mask, roster, policy, vault, bundle, enrolment request, decryption request, enrol, renew, revoke, receipt,
evidence, release, abort, round record, task, question, answer, member answer, trainable model, normaliser, asset, group, sending slot,
journal, head"""
VOCABULARY = re.sub(r"\s+", " ", WORDS).split(", ")

LATER = {
    "normaliser": "questions to the fleet",
    "asset": "models fetched by hash",
    "registrar": "the role beside the orchestrator",
    "sending slot": "version 2 of the plan",
}
"""Words that are decided on, for what no code does in this version."""

FORBIDDEN = re.compile(r"(?i)client|server|(?<![a-z])node|worker|participant|trustee|payload|upload")

FIXED = {
    "what X.509 calls them": r"(?i:client|server)[ _]certificate",
    "of cryptography and ssl": r"(?:CLIENT|SERVER)_AUTH|PROTOCOL_TLS_(?:CLIENT|SERVER)|server_hostname",
    "of MQTT and Mosquitto": r"client[ _-]?id|persistent_client_expiration|server\.(?:key|pem)",
    "of concurrent.futures": r"max_workers",
    "of TCP": r"TCP_NODELAY|tcp_nodelay",
    "which side of TLS": r"client_context|client's side of a connection",
    "of ONNX": r"ONNX nodes?",
    "the file around paho's client, and the decision on it": r"`client`|mqtt[/.]client|MQTT client|a new client for every connection",
}
"""Phrases in which a forbidden word may stand, by the reason."""

FIXED_PHRASES = re.compile("|".join(FIXED.values()))

FOREIGN = {
    "hushfleet/link/mqtt/client.py": re.compile("(?i)client|server|payload"),  # paho's names
    "models/onnx/prepare": re.compile("(?i)node"),  # ONNX calls the steps of a graph nodes
    "docs/glossary.md": re.compile(r"client, server, node, worker, participant, trustee, payload, upload"),  # says which they are
}
"""Where other people's names stand, and which."""

DOUBLES = {
    "Config": "each program's own settings; programs never import each other",
    "StateFolder": "each program's own folder",
    "Store": "each program's own memory",
}
"""Class names that two packages share, and why."""


def forbidden_words(text: str, path: str) -> Iterator[str]:
    """The lines of `text` with a forbidden word that is neither a fixed phrase nor a foreign name allowed in `path`."""
    for line in text.splitlines():
        rest = FIXED_PHRASES.sub("", line)
        for place, pattern in FOREIGN.items():
            if path.startswith(place):
                rest = pattern.sub("", rest)
        if FORBIDDEN.search(rest):
            yield line.strip()


def shared_names(classes: list[tuple[str, str]]) -> set[str]:
    """The names of (package, class) pairs that stand in more than one package."""
    packages = defaultdict(set)
    for package, name in classes:
        packages[name].add(package)
    return {name for name, where in packages.items() if len(where) > 1}


def public_classes() -> list[tuple[str, str]]:
    return [
        (".".join(path.relative_to(ROOT).parts[:-1]), node.name)
        for path in CODE
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]


def words_of_code() -> str:
    """Identifiers taken apart and all prose of the packages, in lower case."""
    text = " ".join(path.read_text() for path in CODE)
    return re.sub(r"\s+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", text).lower())


@pytest.mark.parametrize("word", VOCABULARY)
def test_a_word_is_defined(word: str) -> None:
    assert word in DEFINED


def test_every_defined_word_is_used_in_the_code() -> None:
    code = words_of_code()

    unused = {word for word in DEFINED if not re.search(rf"\b{re.sub('optimi[sz]er', 'optimi[sz]er', word)}", code)}

    assert unused <= set(LATER)


def test_a_word_is_defined_once() -> None:
    words = [word for row in ROWS for word in row[0].split(", ")]

    assert sorted(words) == sorted(set(words))


def test_the_types_of_the_glossary_exist() -> None:
    named = [name for row in ROWS for name in names_in(row[2])]

    assert len(named) > 30
    assert [name for name in named if not any(name in one.defined for one in house().modules.values())] == []


@pytest.mark.parametrize("path", [*CODE, *PROSE], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_forbidden_word_is_used(path: Path) -> None:
    assert list(forbidden_words(path.read_text(), str(path.relative_to(ROOT)))) == []


@pytest.mark.parametrize(
    "line", ["class WorkerPool:", "self._client = 1", "every participant", "the payload of it", "uploads = 0", "three nodes", "a server"]
)
def test_a_forbidden_word_would_be_found(line: str) -> None:
    assert list(forbidden_words(f"x = 1\n{line}\n", "hushfleet/privacy/noise.py")) == [line]


@pytest.mark.parametrize("line", ["a client certificate", "ThreadPoolExecutor(max_workers=2)", "participation", "anode and denoted"])
def test_a_fixed_phrase_may_stand(line: str) -> None:
    assert list(forbidden_words(line, "hushfleet/privacy/noise.py")) == []


def test_no_two_packages_have_a_class_of_one_name() -> None:
    assert shared_names(public_classes()) == set(DOUBLES)


def test_a_second_class_of_a_name_would_be_found() -> None:
    assert "Policy" in shared_names([*public_classes(), ("orchestrator", "Policy")])


PAPER = re.compile(r"\bk_(?:min|max)\b(?!=)")  # an argument of a function of `hushfleet.privacy` goes by its own name
TRANSLATION = {"hushfleet/rounds/planning.py", "hushfleet/documents/plan.py"}
"""Where the paper's letters stand beside our words, outside `hushfleet/privacy/`."""


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_papers_letters_stay_in_privacy(path: Path) -> None:
    place = str(path.relative_to(ROOT))

    assert place.startswith("hushfleet/privacy/") or place in TRANSLATION or not PAPER.search(path.read_text())
