"""The names that exist in this repository, and the judgement of a back-ticked name: for the test that prose names real things only."""

import ast
import builtins
import importlib
import importlib.util
import keyword
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

import click

from hushfleet.cli import hushfleet as umbrella
from hushfleet.errors import Refusal
from hushfleet.labels import PROTOCOL_VERSION

ROOT = Path(__file__).parents[2]
PACKAGES = ("hushfleet", "models", "edge_agent", "orchestrator", "provisioning", "simulation")
_FOLDERS = (*PACKAGES, "tests", "benchmarks", "docs", "systemd", "examples", ".ci")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.\w+)+")
_CALL = re.compile(r"[A-Za-z_][\w.]*\([^()]*\)")
_OPTION = re.compile(r"--[\w-]+.*")
_TYPED = re.compile(r"hushfleet .+")
_SCRIPT = re.compile(r"python -m .+")
_PATH = re.compile(rf"(?:{'|'.join(_FOLDERS)})(?:/[\w.-]+)+/?")
_REFUSALS = {*Refusal.__members__, *(one.value for one in Refusal)}
_NOTATION = {"LP", "H"}
"""Functions of the protocol page's notation."""
_LABELS = f"hushfleet/v{PROTOCOL_VERSION}/"
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_TICKED = re.compile(r"`([^`\n]+)`")


@dataclass
class Module:
    """One module's names: `defined` here, `used` in its code, `literals` in its strings, `classes` with their members."""

    name: str
    defined: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    literals: set[str] = field(default_factory=set)
    classes: dict[str, set[str]] = field(default_factory=dict)
    docstrings: list[tuple[int, str]] = field(default_factory=list)


def read_module(name: str, source: str) -> Module:
    """Index the source of the module `name`."""
    module = Module(name)
    tree = ast.parse(source)
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)}
    for node in ast.walk(tree):
        _index(node, module, is_prose=id(node) in prose)
    return module


def _index(node: ast.AST, module: Module, *, is_prose: bool) -> None:  # noqa: C901 -- a line for each kind of node
    match node:
        case ast.Constant(value=str(text)) if is_prose:
            module.docstrings.append((node.lineno, text))
        case ast.Constant(value=str(text)):
            module.literals.add(text)
        case ast.ClassDef(name=name):
            module.defined.add(name)
            members = {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
            members |= {one.name for one in ast.walk(node) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
            members |= {one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute) and isinstance(one.ctx, ast.Store)}
            module.classes[name] = members | {base for one in node.bases for base in _bases(one)}
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            module.defined.add(name)
        case ast.arg(arg=name):
            module.defined.add(name)
        case ast.Name(id=name, ctx=ast.Store()):
            module.defined.add(name)
        case ast.Attribute(attr=name, ctx=ast.Store()):
            module.defined.add(name)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            module.used.add(name)
        case ast.alias(name=name, asname=other):
            module.used |= {*name.split("."), other or name}
        case ast.keyword(arg=str(name)):
            module.used.add(name)


def _bases(node: ast.expr) -> Iterator[str]:
    yield from (f"<{one.id}" for one in ast.walk(node) if isinstance(one, ast.Name))


class House:
    """Every name of the repository, by kind."""

    @cached_property
    def modules(self) -> dict[str, Module]:
        """The packages' modules by dotted name, the tests' left out."""
        found = {}
        for package in PACKAGES:
            for path in sorted((ROOT / package).rglob("*.py")):
                parts = path.relative_to(ROOT).with_suffix("").parts
                name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
                found[name] = read_module(name, path.read_text())
        return found

    @cached_property
    def defined(self) -> set[str]:
        """Names that any module defines, and the modules' own."""
        return {name for one in self.modules.values() for name in one.defined} | {part for name in self.modules for part in name.split(".")}

    @cached_property
    def written(self) -> set[str]:
        """Names and string literals of all code, and words of the shipped settings and units: what a page may name."""
        words = {name for one in self.modules.values() for name in one.used | one.literals}
        for path in (*ROOT.glob("examples/*.toml"), *ROOT.glob("systemd/*.service"), ROOT / "pyproject.toml", ROOT / "Makefile"):
            words |= set(re.findall(r"[\w.-]+", path.read_text()))
        return words

    @cached_property
    def files(self) -> set[str]:
        """Paths of the repository, folders too, and every tail of them."""
        found = set()
        for path in (*ROOT.glob("*"), *(one for folder in _FOLDERS for one in (ROOT / folder).rglob("*"))):
            parts = path.relative_to(ROOT).parts
            if "__pycache__" not in parts:
                found |= {"/".join(parts[start:]) for start in range(len(parts))}
        return found

    @cached_property
    def commands(self) -> dict[str, click.Command]:
        """Commands by what is typed after `hushfleet`."""
        found: dict[str, click.Command] = {}

        def walk(command: click.Command, words: tuple[str, ...]) -> None:
            found[" ".join(words)] = command
            if isinstance(command, click.Group):
                context = click.Context(command)
                for name in command.list_commands(context):
                    if (inner := command.get_command(context, name)) is not None:
                        walk(inner, (*words, name))

        walk(umbrella, ())
        return found

    @cached_property
    def options(self) -> set[str]:
        """Every `--option` of every command."""
        options = [option for one in self.commands.values() for option in one.params]
        return {"--help", *(name for option in options for name in (*option.opts, *option.secondary_opts))}

    def exists(self, ticked: str, module: Module | None) -> bool:
        """True unless `ticked` looks like a name and names nothing. `module` is where a docstring stands, None for a page."""
        judges = (
            (_IDENTIFIER, self._identifier),
            (_OPTION, self._option),
            (_TYPED, self._command),
            (_SCRIPT, self._script),
            (_CALL, self._call),
            (_DOTTED, self._dotted),
            (_PATH, self._file),
        )
        return next((judge(ticked, module) for pattern, judge in judges if pattern.fullmatch(ticked)), True)

    def _option(self, text: str, _: Module | None) -> bool:
        return text.split(maxsplit=1)[0].partition("=")[0] in self.options

    def _script(self, text: str, _: Module | None) -> bool:
        name = text.split()[2]
        return name == "pytest" or (ROOT / (name.replace(".", "/") + ".py")).exists()

    def _call(self, text: str, module: Module | None) -> bool:
        name, _, arguments = text.partition("(")
        return name in _NOTATION or (self.exists(name, module) and set(re.findall(r"\b[A-Z][A-Z_]{3,}\b", arguments)) <= _REFUSALS)

    def _identifier(self, name: str, module: Module | None) -> bool:
        if name in self.defined or keyword.iskeyword(name) or hasattr(builtins, name) or name in sys.stdlib_module_names:
            return True
        if importlib.util.find_spec(name) is not None:
            return True
        near = module.used | module.literals if module else self.written
        return name in near or name in _REFUSALS or name in self.commands

    def _command(self, text: str, _: Module | None) -> bool:
        typed: list[str] = []
        words = text.split()[1:]
        for word in words:
            group = self.commands[" ".join(typed)]
            if not isinstance(group, click.Group) or word.startswith("-") or word == "COMMAND":
                break
            typed.append(word)
            if " ".join(typed) not in self.commands:
                return False
        return all(word.partition("=")[0] in self.options for word in words if word.startswith("--"))

    def _file(self, path: str, module: Module | None) -> bool:
        name = path.rstrip("/")
        tail = re.sub(r"^(NAME|net|orchestrator|pi-\d+)\.", ".", name)
        texts = module.literals | self.written if module else self.written
        known = name in self.files or name in texts or f"{name}/" in texts or name.startswith(_LABELS)
        return known or (tail != name and tail in {*texts, ".bundle", ".request"})

    def _dotted(self, name: str, module: Module | None) -> bool:
        if self._file(name, module):
            return True
        parts = name.split(".")
        for length in range(len(parts), 0, -1):
            head = ".".join(parts[:length])
            owners = [one for full, one in self.modules.items() if full == head or full.endswith(f".{head}")]
            if owners:
                return length == len(parts) or any(self._member(one, parts[length:]) for one in owners)
        if parts[0] in {"click", "numpy", "msgspec", "onnx", "pytest"}:
            return hasattr(importlib.import_module(parts[0]), parts[1])
        classes = [members for one in self.modules.values() for kind, members in one.classes.items() if kind == parts[0]]
        if classes:
            return any(self._has(members, parts[1]) for members in classes)
        return self._identifier(parts[0], module) and all(self._identifier(part, module) for part in parts[1:])

    def _member(self, module: Module, rest: list[str]) -> bool:
        if rest[0] in module.classes and len(rest) > 1:
            return self._has(module.classes[rest[0]], rest[1])
        return rest[0] in module.defined or rest[0] in module.literals or rest[0] in module.used

    def _has(self, members: set[str], name: str) -> bool:
        bases = {base[1:] for base in members if base.startswith("<")}
        above = [inner for one in self.modules.values() for kind, inner in one.classes.items() if kind in bases]
        return name in members or any(self._has(inner, name) for inner in above if inner is not members)


@lru_cache(maxsize=1)
def house() -> House:
    """The repository's names, indexed once."""
    return House()


def names_in(text: str) -> list[str]:
    """The back-ticked names of a docstring or page, code blocks left out."""
    return _TICKED.findall(_FENCED.sub("", text))
