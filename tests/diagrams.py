"""The diagrams of the round's machines in docs/protocol.md, drawn from their tables: `python -m tests.diagrams [--check]`."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from hushfleet.rounds import coordinator, device, member
from hushfleet.rounds.machine import Transitions

PAGE = Path(__file__).parents[1] / "docs" / "protocol.md"
MACHINES: Mapping[str, Transitions] = {
    "device": device.TRANSITIONS,
    "member": member.TRANSITIONS,
    "coordinator": coordinator.TRANSITIONS,
}


def drawn(transitions: Transitions) -> str:
    """A Mermaid state diagram: an arrow for each pair of phases, with the events that may lead from one to the other."""
    events: dict[tuple[str, str], list[str]] = {}
    for (phase, event), following in transitions.table.items():
        for after in following:
            events.setdefault((phase.__name__, after.__name__), []).append(event.__name__)
    arrows = (f"    {before} --> {after}: {', '.join(names)}" for (before, after), names in events.items())
    return "\n".join(["```mermaid", "stateDiagram-v2", *arrows, "```"])


def with_diagrams(page: str) -> str:
    """The page with each diagram between its two marks. ValueError if a machine has no marks there."""
    for name, transitions in MACHINES.items():
        marks = re.compile(rf"(<!-- diagram: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        found = marks.search(page)
        if found is None:
            raise ValueError(f"{PAGE.name} has no place for the diagram of the {name}")
        page = page[: found.start()] + f"{found[1]}{drawn(transitions)}\n{found[2]}" + page[found.end() :]
    return page


def main(arguments: list[str]) -> int:
    """Draw anew, or with `--check` say whether the page is up to date."""
    page = PAGE.read_text()
    fresh = with_diagrams(page)
    if "--check" in arguments:
        if fresh != page:
            sys.stderr.write(f"{PAGE.name} does not show the machines as they are. Next: python -m tests.diagrams\n")
        return int(fresh != page)
    PAGE.write_text(fresh)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
