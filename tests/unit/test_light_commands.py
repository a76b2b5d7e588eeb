"""Commands load no more than they need: the help of each, and what a person types to look at a running job."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hushfleet.cli import SUMMARIES
from tests.support.jobs import job_fleet, joined

ROOT = Path(__file__).parents[2]
HEAVY = {
    *("alembic", "cryptography", "dp_accounting", "gmpy2", "numpy", "onnx", "onnxruntime"),
    *("paho", "phe", "rich", "scipy", "sklearn", "sqlalchemy"),
}
LOOKING = ("status", "devices", "rounds")
PRINT_LOADED = """
import contextlib, io, json, sys
import click
from hushfleet.cli import hushfleet, run

def helps(command, path, context):
    yield [*path, "--help"]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from helps(command.get_command(context, name), [*path, name], context)

typed = json.loads(sys.argv[1])
if typed[-1] == "--all-helps":
    context = click.Context(hushfleet)
    lines = list(helps(hushfleet.get_command(context, typed[0]), typed[:1], context))
else:
    lines = [typed]
with contextlib.redirect_stdout(io.StringIO()) as out:
    for line in lines:
        assert run(line) == 0, line
assert out.getvalue()
print(json.dumps({"lines": len(lines), "loaded": sorted({name.partition(".")[0] for name in sys.modules})}))
"""


@pytest.mark.parametrize("program", sorted(SUMMARIES))
def test_no_help_of_a_program_loads_anything_heavy(program):
    told = told_by(program, "--all-helps")
    assert told["lines"] >= 1
    assert set(told["loaded"]) & HEAVY == set()


@pytest.mark.parametrize("command", LOOKING)
def test_looking_at_a_job_loads_the_database_and_nothing_else_heavy(command, tmp_path):
    joined(job_fleet(), tmp_path / "state")
    loaded = set(told_by("orchestrator", command, "--state", str(tmp_path / "state"))["loaded"])
    assert loaded & HEAVY == {"sqlalchemy"}


def test_the_walk_over_the_helps_reaches_every_command():
    assert told_by("orchestrator", "--all-helps")["lines"] > 10


def told_by(*typed: str):
    result = subprocess.run([sys.executable, "-c", PRINT_LOADED, json.dumps(typed)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])
