"""Each citation of the protocol page, in code, tests and pages, leads to a heading of docs/protocol.md."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.house_names import PACKAGES, ROOT

PAGE = (ROOT / "docs" / "protocol.md").read_text()
WORD = "PROTO" + "COL"  # taken apart, so that this file cites nothing
NUMBER = r"\d+a?(?:\.\d+)?"
CITATION = re.compile(rf"\b{WORD}\b(?P<numbers> {NUMBER}(?:, {NUMBER})*)?(?:, (?P<topic>[^().;\n]+))?")
FOLDERS = (*PACKAGES, "tests", "benchmarks", "docs", "systemd", "examples")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".md", ".toml", ".service"})


def sections() -> dict[str, str]:
    """The page's numbered sections by number, sub-sections included, and the notation."""
    found = {}
    for heading in re.finditer(rf"^(##+) (?:({NUMBER})\.? .*|(Notation))$", PAGE, re.MULTILINE):
        rest = PAGE[heading.end() :]
        found[heading[2] or "notation"] = re.split(rf"^#{{2,{len(heading[1])}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]
    return found


SECTIONS = sections()


def wrong_citations(text: str) -> Iterator[str]:
    """The citations in `text` that lead nowhere: no number, no such section, or no such topic in the section cited last."""
    for citation in CITATION.finditer(text):
        numbers = re.findall(NUMBER, citation["numbers"] or "")
        topic = (citation["topic"] or "").strip().lower()
        if not numbers and topic.startswith("notation"):
            continue
        if not numbers or set(numbers) - set(SECTIONS) or (topic and not has_topic(SECTIONS[numbers[-1]], topic)):
            yield citation[0]


def has_topic(section: str, topic: str) -> bool:
    """True if a sub-heading or a paragraph's bold beginning in `section` is `topic`."""
    topics = re.findall(r"^#+ (.*)$|^(?:- )?\*\*([^*]+?)\.?\*\*", section, re.MULTILINE)
    return topic in {(heading or bold).lower() for heading, bold in topics}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_cites_headings_that_exist(path: Path) -> None:
    assert list(wrong_citations(path.read_text())) == []


def test_the_page_has_the_sections_of_the_protocol() -> None:
    assert list(SECTIONS) == ["notation", *["1", "2", "3", "4", "5", "5.1", "5.2", "5.3", "5.4", "5.5", "5.6", "6", "6a", "7", "8", "9"]]


def test_the_code_cites_every_section_that_has_code() -> None:
    cited = {number for path in FILES for one in CITATION.finditer(path.read_text()) for number in re.findall(NUMBER, one["numbers"] or "")}

    assert {"2", "3", "4", "5", "5.1", "5.2", "5.3", "5.4", "5.5", "5.6", "6", "7"} <= cited


@pytest.mark.parametrize(
    "wrong",
    [" 10", " 5.7", " 2, 5.9", ", 2", "", " section 6", " says", " 3, nothing of the kind", " 3, dealing and more", ", no notation"],
)
def test_a_wrong_citation_is_found(wrong: str) -> None:
    assert list(wrong_citations(f"One thing ({WORD}{wrong})."))


@pytest.mark.parametrize("right", [" 2", " 5.1, 5.2, 6", " 3, dealing", " 3, proof of plaintext knowledge", " 6a", ", notation"])
def test_a_right_citation_is_not(right: str) -> None:
    assert list(wrong_citations(f"One thing ({WORD}{right}). Then more, in words.")) == []
