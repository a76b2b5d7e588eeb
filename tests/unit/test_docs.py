"""What the documentation says is what the code does: identifiers, checks in order, topics, figures, files, exit codes."""

import math
import re
from fractions import Fraction
from pathlib import Path

import pytest

from benchmarks import steps
from hushfleet.cli import ExitCode
from hushfleet.errors import Refusal
from hushfleet.privacy import PlanIntegers, block_size, derive, epsilon, padded_dimension, rho_nano
from hushfleet.privacy.integer_rules import slot_limit
from hushfleet.rounds import plan_check
from hushfleet.schemes.devices import DEVICE_SCHEMES
from hushfleet.wire import Kind
from simulation import outcome
from tests.support.fleet import make_fleet

HOUSE = Path(__file__).parents[2]
PAGES = sorted((HOUSE / "docs").rglob("*.md"))
K_MIN = outcome.Settings().min_devices  # the worked example is the demo
COLLUDING, DELTA = outcome.COLLUDING, outcome.DELTA


def section(page: str, heading: str) -> str:
    """The text from a heading to the next one of its level or above, sub-headings included."""
    text = (HOUSE / "docs" / page).read_text()
    level = re.search(rf"^(##+) {re.escape(heading)}$", text, re.MULTILINE)
    assert level, f"{page} has no heading {heading!r}"
    return re.split(rf"^#{{2,{len(level[1])}}} ", text[level.end() :], maxsplit=1, flags=re.MULTILINE)[0]


def table(text: str) -> list[list[str]]:
    """All table rows without their heads and rules."""
    rows = [[cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in text.splitlines() if line.startswith("|")]
    rules = [number for number, row in enumerate(rows) if set("".join(row)) <= set("-| ")]
    return [row for number, row in enumerate(rows) if number not in rules and number + 1 not in rules]


def identifiers(text: str) -> list[str]:
    """What stands in backticks in the first column."""
    return [name for row in table(text) for name in re.findall(r"`([a-z0-9-]+)`", row[0])]


def missing_or_unknown(text: str) -> set[str]:
    return set(identifiers(text)) ^ {reason.value for reason in Refusal}


def example(z: int) -> PlanIntegers:
    devices = outcome.Settings().devices
    return derive(dimension=650, clip_norm=1.0, noise_multiplier=z, k_min=K_MIN, k_max=devices, colluding=COLLUDING)


def cost(plan: PlanIntegers) -> int:
    return rho_nano(plan.b2, K_MIN - COLLUDING, plan.variance)


def test_every_refusal_is_explained_once_and_no_other():
    found = identifiers(section("protocol.md", "Every refusal"))
    assert len(set(found)) == len(found)
    assert missing_or_unknown(section("protocol.md", "Every refusal")) == set()


@pytest.mark.parametrize(("before", "after"), [("| `receipt` |", "| receipt |"), ("| `receipt` |", "| `receipts` |")])
def test_a_missing_or_misspelt_refusal_would_be_noticed(before, after):
    text = section("protocol.md", "Every refusal")
    assert before in text
    assert missing_or_unknown(text.replace(before, after))


def test_identifiers_elsewhere_exist():
    known = {reason.value for reason in Refusal}
    families = {reason.value.partition("-")[0] for reason in Refusal if "-" in reason.value}
    for page in PAGES:
        for name in re.findall(r"`([a-z]+(?:-[a-z0-9]+)+)`", page.read_text()):
            assert name in known or name.partition("-")[0] not in families or name in {"model-before", "model-after"}, (page.name, name)


def test_the_plan_is_checked_in_the_order_of_the_page():
    fleet = make_fleet()
    in_code = [reason.value for reason, _, _ in plan_check._checks(fleet.plan().plan, fleet.roster, DEVICE_SCHEMES)]
    on_page = [row[2].strip("`") for row in table(section("protocol.md", "What is checked of a plan"))]
    assert on_page == list(dict.fromkeys(in_code))


def test_the_topics_of_the_page_are_the_table_of_the_code():
    on_page = [pattern for row in table(section("protocol.md", "Topics")) for pattern in re.findall("`([^`]+)`", row[0])]
    assert sorted(re.sub("<[^>]+>", "*", pattern) for pattern in on_page) == sorted(re.sub("{[^}]+}", "*", kind.pattern) for kind in Kind)


def test_the_worked_example_is_what_the_code_computes():
    plan, rho = example(4), cost(example(4))
    stated = {row[0]: row[1] for row in table(section("privacy.md", "A worked example"))}
    assert padded_dimension(650) == plan.padded
    assert stated == {
        "d'": f"{plan.padded}",
        "scale": f"{plan.scale:.3f}",
        "B2": f"{plan.b2}",
        "B": f"{plan.bound}",
        "h": f"{K_MIN - COLLUDING}",
        "V": f"{plan.variance}",
        "rho": f"{rho} nano-rho",
        "one round": f"epsilon {epsilon(rho, DELTA):.2f}",
        "eight rounds": f"epsilon {epsilon(8 * rho, DELTA):.2f}",
        "a budget of 1 rho": f"{10**9 // rho} rounds",
    }


def test_the_sentences_around_the_worked_example_hold():
    plan, text = example(4), section("privacy.md", "A worked example")
    assert f"k_min = {K_MIN}, k_max = {plan.k_max}, c = {COLLUDING}" in text
    deviation = (50 * plan.variance) ** 0.5
    local = Fraction(plan.b2, 2 * plan.variance)
    assert f"{8 * cost(plan)} nano-rho" in text
    assert f"epsilon {epsilon(10**9, DELTA):.2f} if spent" in text
    g2 = math.ceil(2 * (41 * math.log(2) + math.log(plan.padded)))
    needed = math.sqrt(g2 * (50 * (plan.variance + 1) + 50**2 * (plan.scale * plan.clip_norm) ** 2 / block_size(650)))
    assert f"needs {needed:,.0f} of the {slot_limit(plan.slot_bits):,} steps of a slot of {plan.slot_bits} bits" in text
    assert f"= {deviation / (plan.scale * 50):.3f} in each value" in text
    alone = f"epsilon {epsilon(int(local * 10**9), DELTA):.1f} for one round"
    assert f"here {float(local):.2f} a round: {alone}" in text
    assert f"{alone} instead of {epsilon(cost(plan), DELTA):.2f}" in (HOUSE / "docs" / "threat_model.md").read_text()


def test_the_epsilon_table_is_what_the_code_computes():
    text = section("privacy.md", "Epsilon, rounds and noise")
    rows = table(text)
    rounds = [int(number) for number in re.findall(r"(\d+) rounds?(?= \|)", text)]
    assert len(rounds) == len(rows[0]) - 1
    for z, *cells in rows:
        rho = cost(example(int(z)))
        assert cells == [f"{epsilon(number * rho, DELTA):.2f}" for number in rounds]


def test_the_code_on_the_privacy_page_runs(capsys):
    code = section("privacy.md", "Epsilon, rounds and noise").split("```python\n")[1].split("```")[0]
    exec(code, {})  # noqa: S102 -- our own page
    assert f"{float(capsys.readouterr().out):.2f}" == "3.54"


def test_the_measured_steps_are_those_of_the_benchmark():
    before_the_fleet = (HOUSE / "docs" / "measurements.md").read_text().split("\n## ")[0]
    rows = [row[:2] for row in table(before_the_fleet)]
    with_a_small_key = steps.rows(1024, repeats=1, insecure=True)
    assert rows == [[row.party, row.step] for row in with_a_small_key]


def test_the_exit_codes_of_the_page_are_those_of_the_command():
    assert [int(row[0]) for row in table(section("operations.md", "Exit codes"))] == list(ExitCode)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page):
    folders = "hushfleet|models|edge_agent|orchestrator|provisioning|simulation|tests|benchmarks|docs|systemd"
    named = re.findall(rf"`((?:{folders})/[\w./-]+\.[a-z]+)`", page.read_text())
    assert [name for name in named if not (HOUSE / name).exists()] == []


def test_the_index_links_every_page():
    text = (HOUSE / "docs" / "index.md").read_text()
    for page in PAGES:
        assert page.name == "index.md" or f"]({page.relative_to(HOUSE / 'docs')})" in text
