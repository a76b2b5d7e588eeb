"""The text of `policy.toml`: what a new vault starts with, and changing one value without touching a person's comments."""

import json
import re
from importlib.resources import files
from pathlib import Path

import click

from hushfleet.system.formats import UnreadableError, from_toml

_HEADER = re.compile(r"\s*\[\s*([A-Za-z0-9_-]+)\s*\]\s*(#.*)?")
_SETTING = re.compile(r"([a-z_]+)\.([a-z_]+)=(.*)", re.DOTALL)
_LISTS = {"allowed", "schemes"}

DEFAULT = files("provisioning").joinpath("policy.toml").read_text(encoding="utf-8")
"""`examples/policy.toml`."""


def with_settings(text: str, assignments: tuple[str, ...]) -> str:
    """`text` with `table.key=value` carried out one after the other; comments stay.

    A value is TOML, or for a list its words with commas between them, where a model's path counts from the working directory.
    `click.UsageError` for another form. Whether table, key and value make sense shows when the result is parsed.
    """
    for assignment in assignments:
        found = _SETTING.fullmatch(assignment)
        if not found:
            raise click.UsageError(f"{assignment!r} is not TABLE.KEY=VALUE, for example privacy.min_noise_multiplier=4")
        text = _with_value(text, found[1], found[2], _as_toml(found[2], found[3].strip()))
    return text


def _as_toml(key: str, value: str) -> str:
    if key in _LISTS and not value.startswith("["):
        words = [word.strip() for word in value.split(",") if word.strip()]
        return json.dumps([_placed(word) for word in words] if key == "allowed" else words)
    if not _parses(f"{key} = {value}"):
        raise click.UsageError(f"{value!r} is not a value of TOML; a text stands in quotes")
    return value


def _placed(model: str) -> str:
    from models import catalogue  # noqa: PLC0415 -- numpy, when it is needed

    return catalogue.placed(model, Path.cwd())


def _with_value(text: str, table: str, key: str, value: str) -> str:
    lines = text.splitlines()
    first, end = _span(lines, table)
    for number in range(first, end):
        if re.match(rf"\s*{re.escape(key)}\s*=", lines[number]):
            last = _end_of_value(lines, number, end)
            lines[number:last] = [f"{key} = {value}{_comment(lines[number:last])}"]
            break
    else:
        lines[end:end] = [f"{key} = {value}"] if first else ["", f"[{table}]", f"{key} = {value}"]
    return "\n".join(lines) + "\n"


def _span(lines: list[str], table: str) -> tuple[int, int]:
    """First line after the table's header, and the line after its last key; (0, number of lines) if there is no such table."""
    headers = [number for number, line in enumerate(lines) if _HEADER.fullmatch(line)]
    for header in headers:
        found = _HEADER.fullmatch(lines[header])
        if found and found[1] == table:
            end = next((later for later in headers if later > header), len(lines))
            while end > header + 1 and not lines[end - 1].strip():
                end -= 1
            return header + 1, end
    return 0, len(lines)


def _end_of_value(lines: list[str], first: int, end: int) -> int:
    """A list may span lines: the value ends where it parses."""
    return next((last for last in range(first + 1, end + 1) if _parses("\n".join(lines[first:last]))), first + 1)


def _comment(lines: list[str]) -> str:
    """The comment behind a value that stands in one line, with the space before it."""
    for position, letter in enumerate(lines[0] if len(lines) == 1 else ""):
        if letter == "#" and _parses(lines[0][:position]):
            before = lines[0][:position]
            return before[len(before.rstrip()) :] + lines[0][position:]
    return ""


def _parses(text: str) -> bool:
    try:
        return len(from_toml(text)) == 1
    except UnreadableError:
        return False
