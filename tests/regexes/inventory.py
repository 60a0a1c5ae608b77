"""Every regex of the app, found in its source: a pattern that is added tomorrow is tested tomorrow."""

import ast
import functools
import importlib
import pathlib
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

ROOT = pathlib.Path(__file__).parent.parent.parent
SOURCES = sorted((ROOT / "app").rglob("*.py"))
FUNCTIONS = {"compile", "search", "match", "fullmatch", "split", "findall", "finditer", "sub", "subn"}
#: Methods that look at one place of the text only.
ANCHORED = {"match", "fullmatch"}


class Regex(NamedTuple):
    """`place`: file and name, or the line where the regex has no name. `methods`: how it is called."""

    place: str
    pattern: re.Pattern[Any]
    methods: frozenset[str]

    @property
    def is_anchored(self) -> bool:
        return self.methods <= ANCHORED


def all_regexes() -> list[Regex]:
    uses: dict[str, set[str]] = {}
    for path in SOURCES:
        for name, methods in _uses(path).items():
            uses.setdefault(name, set()).update(methods)
    found: dict[tuple[str, str | bytes, int], Regex] = {}
    for path in SOURCES:
        for regex in _regexes_of(path, uses):
            key = regex.place.split(":")[0], regex.pattern.pattern, regex.pattern.flags
            known = found[key].methods if key in found else frozenset()
            found[key] = regex._replace(methods=regex.methods | known)
    return list(found.values())


def unreadable() -> list[tuple[str, str]]:
    """Calls whose pattern is put together when they run: file and source of the pattern."""
    return [
        (name_of(path), ast.unparse(node.args[0]))
        for path in SOURCES
        for node in _nodes(path)
        if is_call_of_re(node) and _evaluated(path, node) is None
    ]


def name_of(path: pathlib.Path) -> str:
    return path.relative_to(ROOT).as_posix()


def is_call_of_re(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    return isinstance(node.func.value, ast.Name) and node.func.value.id == "re" and node.func.attr in FUNCTIONS


def _regexes_of(path: pathlib.Path, uses: dict[str, set[str]]) -> Iterator[Regex]:
    names = dict(_names_of_compiled(path))
    for node in _nodes(path):
        if is_call_of_re(node):
            pattern = _evaluated(path, node)
            if pattern is None:
                continue
            name = names.get(id(node))
            known = _uses(path) if name and name.startswith("_") else uses
            methods = known.get(name, {"search"}) if name else {node.func.attr.replace("compile", "search")}
            yield Regex(f"{name_of(path)}:{name or node.lineno}", pattern, frozenset(methods))
        elif isinstance(node, ast.keyword) and node.arg == "pattern":
            text = _value(path, node.value)
            if isinstance(text, str):
                yield Regex(f"{name_of(path)}:{node.value.lineno}", re.compile(text), frozenset({"search"}))


def _names_of_compiled(path: pathlib.Path) -> Iterator[tuple[int, str]]:
    for node in _nodes(path):
        is_assignment = isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Call)
        if is_assignment and is_call_of_re(node.value) and node.value.func.attr == "compile":
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    yield id(node.value), target.id
                elif isinstance(target, ast.Attribute):
                    yield id(node.value), target.attr


@functools.cache
def _nodes(path: pathlib.Path) -> list[ast.AST]:
    """Everything in a file, read once."""
    return list(ast.walk(ast.parse(path.read_text())))


@functools.cache
def _uses(path: pathlib.Path) -> dict[str, set[str]]:
    """The names in a file and how they are called; a name that is handed on may be called in any way."""
    found: dict[str, set[str]] = {}
    calls = {id(node.func): node for node in _nodes(path) if isinstance(node, ast.Call)}
    owners: set[int] = set()
    named = [node for node in _nodes(path) if isinstance(node, ast.Name | ast.Attribute)]
    for node in named:
        if isinstance(node, ast.Attribute) and (name := _name(node.value)):
            owners.add(id(node.value))
            is_at_a_place = id(node) in calls and len(calls[id(node)].args) > 1  # once for each place, maybe
            method = "search" if node.attr in ANCHORED and is_at_a_place else node.attr
            found.setdefault(name, set()).add(method)
    for node in named:
        if isinstance(node.ctx, ast.Load) and id(node) not in owners:
            found.setdefault(_name(node), set()).add("search")
    return found


def _name(node: ast.AST) -> str:
    """What a name or an attribute is called."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _evaluated(path: pathlib.Path, call: Any) -> re.Pattern[Any] | None:
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    flags = keywords.get("flags") or (call.args[1] if call.func.attr == "compile" and call.args[1:] else None)
    if call.func.attr in ("search", "match", "fullmatch", "findall", "finditer") and call.args[2:]:
        flags = call.args[2]
    pattern = _value(path, call.args[0])
    if not isinstance(pattern, str | bytes):
        return None
    return re.compile(pattern, 0 if flags is None else _value(path, flags))


def _value(path: pathlib.Path, node: ast.expr) -> Any:
    """What an expression is worth at the level of its module; None where it needs more than that."""
    module = importlib.import_module(name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    try:
        return eval(ast.unparse(node), dict(vars(module)))
    except NameError:
        return None
