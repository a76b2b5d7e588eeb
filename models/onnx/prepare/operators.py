"""The operators that train, as docs/onnx.md lists them: `python -m models.onnx.prepare.operators [--check]`.

Writes the page's table from the registry; with `--check` nothing is written, and the exit code is 1 if the page is not up to date.
"""

import argparse
import sys
from pathlib import Path

from models.onnx.prepare.registry import load

PAGE = Path("docs/onnx.md")
_BEGIN, _END = "<!-- operators: begin -->\n", "<!-- operators: end -->\n"


def table() -> str:
    """One row per family of derivatives, and the operators in it."""
    families: dict[str, list[str]] = {}
    for operator, rule in load().items():
        families.setdefault(rule.__module__.rpartition(".")[2].replace("_", " "), []).append(f"`{operator}`")
    rows = [f"| {family} | {' '.join(families[family])} |" for family in sorted(families)]
    return "\n".join(["| family | operators |", "|---|---|", *rows, ""])


def renewed(page: str) -> str:
    """The page with the table between its two marks. ValueError without them."""
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"the page has no {_BEGIN.strip()} before an {_END.strip()}")
    return f"{before}{begin}\n{table()}\n{end}{after}"


def main(arguments: list[str], page: Path = PAGE) -> int:
    """Run the tool and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m models.onnx.prepare.operators", description="List the operators that train.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the page is not up to date")
    stored = page.read_text()
    fresh = renewed(stored)
    if not parser.parse_args(arguments).check:
        page.write_text(fresh)
    elif fresh != stored:
        sys.stdout.write(f"{page} does not list the operators of the registry; run: python -m models.onnx.prepare.operators\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
