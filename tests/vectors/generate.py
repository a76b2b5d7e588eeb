"""Make the test vectors anew, or compare them: `python -m tests.vectors.generate [--check]`.

Each `generators/<name>.py` defines `build() -> dict[str, object]`, deterministic and JSON-able; it becomes `<name>.json` beside this file.
With `--check` nothing is written: a difference, a missing file or a file without a generator is shown and the exit code is 1.
"""

import argparse
import difflib
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parent
_SHOWN_DIFF_LINES = 40


def rendered(generator: Path) -> str:
    """The text of the vectors that `generator` builds."""
    module = types.ModuleType(f"vector_generator_{generator.stem}")
    sys.modules[module.__name__] = module  # dataclasses look their module up there
    # Compiled from what stands in the file now: a cached .pyc of the same second and size would be the one before.
    exec(compile(generator.read_text(), str(generator), "exec"), module.__dict__)  # noqa: S102 -- our own generators
    return json.dumps(module.build(), indent=1, sort_keys=True) + "\n"


def generators(folder: Path) -> list[Path]:
    """The generators under `folder`, by name."""
    return sorted(path for path in (folder / "generators").glob("*.py") if not path.name.startswith("_"))


def write(folder: Path) -> None:
    """Write every vector file."""
    for generator in generators(folder):
        (folder / f"{generator.stem}.json").write_text(rendered(generator))


def differences(folder: Path) -> Iterator[str]:
    """What `write` would change, as unified diffs, and the vector files that no generator makes."""
    made = set()
    for generator in generators(folder):
        path = folder / f"{generator.stem}.json"
        made.add(path)
        stored = path.read_text() if path.exists() else ""
        fresh = rendered(generator)
        if fresh != stored:
            yield _diff(stored, fresh, path.name)
    yield from (f"{path.name} has no generator" for path in sorted(set(folder.glob("*.json")) - made))


def main(arguments: list[str], folder: Path = FOLDER) -> int:
    """Run the tool and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.vectors.generate", description="Make the test vectors anew.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 and show the difference if a file is not up to date")
    if not parser.parse_args(arguments).check:
        write(folder)
        return 0
    found = list(differences(folder))
    for difference in found:
        print(difference)  # noqa: T201 -- a program that talks
    return 1 if found else 0


def _diff(stored: str, fresh: str, name: str) -> str:
    lines = list(difflib.unified_diff(stored.splitlines(), fresh.splitlines(), f"stored/{name}", f"fresh/{name}", lineterm="", n=1))
    left_out = len(lines) - _SHOWN_DIFF_LINES
    shown = [line[:200] for line in lines[:_SHOWN_DIFF_LINES]]
    return "\n".join([*shown, f"(and {left_out} lines more)"] if left_out > 0 else shown)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
