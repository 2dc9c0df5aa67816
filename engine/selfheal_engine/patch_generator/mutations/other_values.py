"""A value that should be another one of the same thing: called, negated, another attribute of it.

Each yields (kind, new source, factor on the kind's weight), as `expressions` does.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache
from typing import TypeAlias

from selfheal_engine.diagnosis.origin import parameters
from selfheal_engine.diagnosis.source_file import Function, SourceFile
from selfheal_engine.patch_generator.edits import EXPR
from selfheal_engine.patch_generator.mutations.surroundings import BUILTINS, Surroundings

Change: TypeAlias = tuple[str, str, float]

MOST_ATTRIBUTES = 12
_MANY = 3
"""More parameters than this are rarely handed on as they are."""


def other_values(node: ast.expr, around: Surroundings) -> Iterator[Change]:
    """Every change of this kind of the expression itself."""
    asked = is_condition(node, around)
    if asked and not isinstance(node, ast.UnaryOp | ast.Constant | ast.BoolOp | ast.Compare):
        yield "negation", f"not {around.file.segment(node)}", 1.0
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
        yield from _attributes(node, around, asked)
    if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
        yield from _called(node, around, asked)
    if isinstance(node, ast.Call):
        yield from _handed_on(node, around)
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        yield from _defaulted(node, around)
    yield from _nothing(node, around)


_OF_NOTHING = {"int": "0", "float": "0", "len": "[]", "sorted": "[]", "sum": "[]", "dict": "{}"}
"""What a function is given where there is nothing to give."""


def _nothing(node: ast.expr, around: Surroundings) -> Iterator[Change]:
    """`int(row["count"] or 0)`: an entry that is empty or None."""
    parent = around.file.parent(node)
    if not isinstance(node, ast.Subscript | ast.Attribute | ast.Call | ast.Name):
        return
    if isinstance(parent, ast.Call) and parent.args[:1] == [node]:
        name = parent.func.id if isinstance(parent.func, ast.Name) else ""
        if name in _OF_NOTHING:
            yield "or_default", f"{EXPR} or {_OF_NOTHING[name]}", 1.0
    elif isinstance(parent, ast.For) and parent.iter is node:
        yield "or_default", f"{EXPR} or []", 0.6


def is_condition(node: ast.expr, around: Surroundings) -> bool:
    """Whether only the truth of the expression counts."""
    parent = around.file.parent(node)
    if isinstance(parent, ast.comprehension):
        return node in parent.ifs
    if isinstance(parent, ast.IfExp):
        return parent.test is node
    if isinstance(parent, ast.UnaryOp):
        return isinstance(parent.op, ast.Not)
    return isinstance(parent, ast.BoolOp)


def _attributes(node: ast.Attribute, around: Surroundings, asked: bool) -> Iterator[Change]:
    """What the file reads elsewhere from an owner of the same name: `row.due` for `row.made`."""
    parent = around.file.parent(node)
    if isinstance(parent, ast.Call) and parent.func is node:
        return
    owner = around.file.segment(node.value)
    if not isinstance(node.value, ast.Name):
        return
    for name in _read_from(around, node.value.id):
        if name == node.attr:
            continue
        # the function's own attributes are offered elsewhere, as they are
        if name not in around.attributes:
            yield "attribute", f"{owner}.{name}", 0.45
        if asked:
            yield "attribute", f"not {owner}.{name}", 0.4


def _read_from(around: Surroundings, owner: str) -> list[str]:
    """Attributes read, not called, from a variable of this name anywhere in the file."""
    return _attributes_by_owner(around.file).get(owner, [])[:MOST_ATTRIBUTES]


@lru_cache(maxsize=16)
def _attributes_by_owner(file: SourceFile) -> dict[str, list[str]]:
    nodes = list(ast.walk(file.tree))
    called = {n.func for n in nodes if isinstance(n, ast.Call)}
    found: dict[str, dict[str, None]] = {}
    for node in nodes:
        if not isinstance(node, ast.Attribute) or node in called:
            continue
        if isinstance(node.value, ast.Name):
            found.setdefault(node.value.id, {})[node.attr] = None
    return {owner: list(names) for owner, names in found.items()}


@lru_cache(maxsize=16)
def _definitions(file: SourceFile) -> dict[str, list[ast.AST]]:
    found: dict[str, list[ast.AST]] = {}
    for node in ast.walk(file.tree):
        if isinstance(node, Function | ast.ClassDef):
            found.setdefault(node.name, []).append(node)
    return found


def _called(node: ast.Name | ast.Attribute, around: Surroundings, asked: bool) -> Iterator[Change]:
    """A function that is used as a value, where its answer is meant."""
    parent = around.file.parent(node)
    value = asked or isinstance(parent, ast.Return | ast.Lambda | ast.Compare | ast.BinOp)
    if not value or (isinstance(parent, ast.Call) and parent.func is node):
        return
    name = node.id if isinstance(node, ast.Name) else node.attr
    if name in BUILTINS or around.kinds.get(name):
        return
    text = around.file.segment(node)
    yield "call_it", f"{text}()", 0.7
    holder = next(
        (a for a in around.file.ancestors(node) if isinstance(a, ast.Lambda | Function)), None
    )
    if holder is None:
        return
    own = [a.arg for a in [*holder.args.posonlyargs, *holder.args.args] if a.arg != "self"]
    used = {n.id for n in ast.walk(holder) if isinstance(n, ast.Name)}
    # parameters that nothing reads were meant for somebody
    if (
        name not in own
        and 0 < len(own) <= _MANY
        and not (isinstance(holder, ast.Lambda) and set(own) & used)
    ):
        yield "call_it", f"{text}({', '.join(own)})", 1.0


def _handed_on(node: ast.Call, around: Surroundings) -> Iterator[Change]:
    """A parameter of the called function that a local of the same name was meant for."""
    wanted = _signature(node.func, around)
    if wanted is None or any(isinstance(a, ast.Starred) for a in node.args):
        return
    if any(k.arg is None for k in node.keywords):
        return
    text = around.file.segment
    given = {k.arg for k in node.keywords}
    local = set(around.in_reach(node.lineno))
    arguments = [text(a) for a in node.args]
    arguments += [f"{k.arg}={text(k.value)}" for k in node.keywords]
    for name in wanted[len(node.args) :]:
        if name not in given and name in local:
            changed = ", ".join([*arguments, f"{name}={name}"])
            yield "hand_on", f"{text(node.func)}({changed})", 1.0


def _signature(called: ast.expr, around: Surroundings) -> list[str] | None:
    """Parameters of a function, method or class of this file, without `self`; None: not known."""
    name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
    found = _definitions(around.file).get(name, [])
    if len(found) != 1:
        return None
    target: ast.AST | None = found[0]
    if isinstance(target, ast.ClassDef):
        starts = (n for n in target.body if isinstance(n, Function) and n.name == "__init__")
        target = next(starts, None)
    if not isinstance(target, Function):
        return None
    return [n for n in parameters(target) if n not in ("self", "cls")]


def _defaulted(node: ast.Name, around: Surroundings) -> Iterator[Change]:
    """`limit or LIMIT` for a parameter that may be left out, from what the function makes."""
    function = around.function
    parent = around.file.parent(node)
    if function is None or node.id not in optional(function):
        return
    if not isinstance(parent, ast.Assign | ast.Return | ast.keyword | ast.Call):
        return
    if isinstance(parent, ast.Call) and parent.func is node:
        return
    for value in values_made(function, around):
        yield "or_default", f"{node.id} or {value}", 1.0
    for value in ("[]", "{}", '""', "0"):
        yield "or_default", f"{node.id} or {value}", 0.5


def optional(function: Function) -> list[str]:
    """Parameters whose default is None."""
    named = [*function.args.posonlyargs, *function.args.args]
    pairs = list(zip(named[::-1], function.args.defaults[::-1], strict=False))
    keywords = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    return [
        argument.arg
        for argument, default in [*pairs, *keywords]
        if isinstance(default, ast.Constant) and default.value is None
    ]


def values_made(function: Function, around: Surroundings) -> list[str]:
    """Calls without arguments and constants of the module, as other statements assign them."""
    found: dict[str, None] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            value = node.value
            bare = isinstance(value, ast.Call) and not value.args and not value.keywords
            constant = isinstance(value, ast.Name) and value.id.isupper()
            if bare or constant:
                found[around.file.segment(value)] = None
    return list(found)[:4]
