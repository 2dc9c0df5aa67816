"""What may be missing around a statement: a condition, a handler, a last round, a bound value."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from typing import TypeAlias

from selfheal_engine.diagnosis.failure import parts_of
from selfheal_engine.diagnosis.origin import defaults_of
from selfheal_engine.diagnosis.source_file import Function, SourceFile, Sources
from selfheal_engine.patch_generator.edits import (
    BODY,
    Edit,
    indented,
    insert_after,
    insert_before,
    replace_expression,
    replace_statements,
)
from selfheal_engine.patch_generator.mutations.surroundings import Surroundings
from selfheal_engine.patch_generator.sites import first_statement, in_loop, is_stable

Changes: TypeAlias = tuple[str, tuple[Edit, ...], float]

_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_MUTABLE = (ast.List, ast.Dict, ast.Set)


def questions(owner: ast.AST, around: Surroundings) -> Iterator[tuple[str, float]]:
    """What can be asked about the values that a statement or expression reads: (source, factor).

    Attribute chains (plain names are asked about elsewhere) and the length before an index.
    """
    text = around.file.segment
    seen: set[str] = set()
    for node in parts_of(owner) if isinstance(owner, ast.stmt) else ast.walk(owner):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and is_stable(node):
            parent = around.file.parent(node)
            called = isinstance(parent, ast.Call) and parent.func is node
            found = [(text(node), 1.0), (f"{text(node)} is not None", 0.7)] if not called else []
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            found = _long_enough(node, around)
        else:
            continue
        for question, factor in found:
            if question not in seen and "\n" not in question:
                seen.add(question)
                yield question, factor


def _long_enough(node: ast.Subscript, around: Surroundings) -> list[tuple[str, float]]:
    owner, key = around.file.segment(node.value), around.file.segment(node.slice)
    if isinstance(node.slice, ast.Constant):
        index = node.slice.value
        if isinstance(index, str):
            return [(f"{key} in {owner}", 0.9)]
        return [(f"len({owner}) > {index}" if index else owner, 1.0)] if type(index) is int else []
    if isinstance(node.slice, ast.UnaryOp):
        return [(owner, 0.8)]
    return [] if isinstance(node.slice, ast.Slice) else [(f"{key} in {owner}", 0.7)]


def additions(statement: ast.stmt, around: Surroundings, exception: str) -> Iterator[Changes]:
    """Code around the statement; `exception` names what it raised, "" where it raised nothing."""
    asked = list(questions(statement, around))
    if isinstance(statement, ast.Expr | ast.Assign | ast.AugAssign | ast.Delete):
        for question, factor in asked:
            code = f"if {question}:\n    {BODY}\n"
            yield "skip_unless", (replace_statements([statement], code),), factor
    if isinstance(statement, ast.If | ast.While):
        for question, factor in asked:
            whole = around.file.segment(statement.test)
            whole = f"({whole})" if isinstance(statement.test, ast.BoolOp) else whole
            changed = replace_expression(statement.test, f"{question} and {whole}")
            yield "add_term", (changed,), factor
    if isinstance(statement, ast.Return) and isinstance(statement.value, ast.BoolOp | ast.Compare):
        for question, factor in asked:
            whole = around.file.segment(statement.value)
            if isinstance(statement.value, ast.BoolOp) and isinstance(statement.value.op, ast.Or):
                whole = f"({whole})"
            changed = replace_expression(statement.value, f"{question} and {whole}")
            yield "add_term", (changed,), factor
    if exception and exception in _CATCHABLE:
        yield from _tolerated(statement, around, exception)
    if isinstance(statement, _LOOPS):
        yield from _last_round(statement, around)
    for node in parts_of(statement):
        if isinstance(node, ast.Lambda):
            yield from _bound_now(node, around)


_NEVER_CAUGHT = ("AssertionError", "MemoryError", "NameError", "RecursionError", "SyntaxError")
_CATCHABLE = frozenset(
    name for name in dir(builtins) if name.endswith("Error") and name not in _NEVER_CAUGHT
) | {"StopIteration"}


def _tolerated(statement: ast.stmt, around: Surroundings, exception: str) -> Iterator[Changes]:
    """What raised is left out: the failing test says that this is no error."""
    if isinstance(statement, ast.For | ast.While | ast.If | ast.With | ast.Try):
        return
    ways = ["pass"]
    if in_loop(around.file, statement):
        ways.append("continue")
    if around.function is not None:
        ways.append("return None")
    for rank, way in enumerate(ways):
        code = f"try:\n    {BODY}\nexcept {exception}:\n    {way}\n"
        yield "tolerate", (replace_statements([statement], code),), 1.0 - 0.15 * rank


def _last_round(
    loop: ast.For | ast.AsyncFor | ast.While, around: Surroundings
) -> Iterator[Changes]:
    """What is handed on when full is handed on once more, with what is left, after the loop."""
    text = around.file.segment
    for inner in loop.body:
        if not isinstance(inner, ast.If) or inner.orelse or len(inner.body) < 2:
            continue
        last = inner.body[-1]
        if not (isinstance(last, ast.Assign) and isinstance(last.targets[0], ast.Name)):
            continue
        kept = inner.body[:-1]
        if any("\n" in text(s) or not isinstance(s, ast.Expr | ast.AugAssign) for s in kept):
            continue
        code = "".join(f"{text(each)}\n" for each in kept)
        rest = f"if {last.targets[0].id}:\n{indented(code)}"
        yield "last_round", (insert_after(loop, rest),), 1.0


def _bound_now(node: ast.Lambda, around: Surroundings) -> Iterator[Changes]:
    """A closure made in a loop keeps the value of its own round: `lambda x, n=n: ...`."""
    changed = _with_bound(node, around, node.args, [node.body])
    if changed:
        body = around.file.segment(node.body)
        yield "bind_now", (replace_expression(node, f"lambda {changed}: {body}"),), 1.0


def _with_bound(
    node: ast.AST, around: Surroundings, arguments: ast.arguments, code: list[ast.expr]
) -> str:
    loop = next((a for a in around.file.ancestors(node) if isinstance(a, _LOOPS)), None)
    if loop is None or arguments.vararg or arguments.kwarg or arguments.kwonlyargs:
        return ""
    bound = {n.id for n in ast.walk(loop) if isinstance(n, ast.Name) and _is_store(n)}
    own = {a.arg for a in arguments.args}
    used = [
        n.id
        for part in code
        for n in ast.walk(part)
        if isinstance(n, ast.Name) and not _is_store(n)
    ]
    late = [name for name in dict.fromkeys(used) if name in bound - own]
    if not late:
        return ""
    before = [ast.unparse(arguments)] if arguments.args else []
    return ", ".join([*before, *(f"{name}={name}" for name in late)])


def _is_store(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Store)


def signature_changes(function: Function, around: Surroundings) -> Iterator[Changes]:
    """Changes of the function's beginning: shared defaults, a base class that was not started."""
    first = first_statement(function.body)
    for argument, default in defaults_of(function):
        shared = isinstance(default, _MUTABLE) or (
            isinstance(default, ast.Call) and not default.args and not default.keywords
        )
        if shared:
            made = around.file.segment(default)
            fresh = f"if {argument.arg} is None:\n    {argument.arg} = {made}"
            edits = (replace_expression(default, "None"), insert_before(first, fresh))
            yield "fresh_default", edits, 1.0
    if function.name == "__init__":
        yield from _base_start(function, first, around)


def _base_start(function: Function, first: ast.stmt, around: Surroundings) -> Iterator[Changes]:
    for rank, code in enumerate(base_starts(function, around.file)):
        yield "call_base", (insert_before(first, code),), 1.0 - 0.2 * rank


def base_starts(
    function: Function, file: SourceFile, sources: Sources | None = None
) -> Iterator[str]:
    """The calls of the base class's `__init__` that a class's own one may have forgotten."""
    owner = file.parent(function)
    if not isinstance(owner, ast.ClassDef) or not owner.bases:
        return
    calls = [n for n in ast.walk(function) if isinstance(n, ast.Call)]
    if any(file.segment(call.func).endswith("__init__") for call in calls):
        return
    own = [a.arg for a in function.args.args[1:]]
    wanted = _parameters_of_base(file, owner, sources)
    ways: list[list[str]] = [[], own]
    if wanted is not None and own:
        ways.insert(0, [name if name in own else own[0] for name in wanted])
    for rank, given in enumerate(ways):
        if given not in ways[:rank]:
            yield f"super().__init__({', '.join(given)})"


def _parameters_of_base(
    file: SourceFile, owner: ast.ClassDef, sources: Sources | None = None
) -> list[str] | None:
    """Required parameters of the inherited `__init__`, and the optional ones it shares by name."""
    names = [ast.unparse(base).rpartition(".")[2] for base in owner.bases]
    start = next((n for n in owner.body if _is_start(n)), None)
    own = [a.arg for a in start.args.args[1:]] if isinstance(start, ast.FunctionDef) else []
    for other in [file, *(sources.all() if sources is not None else ())]:
        classes = {n.name: n for n in other.tree.body if isinstance(n, ast.ClassDef)}
        base = next((classes[name] for name in names if name in classes), None)
        if base is None or base is owner:
            continue
        inherited = next((n for n in base.body if _is_start(n)), None)
        if not isinstance(inherited, ast.FunctionDef):
            return _parameters_of_base(other, base, sources)
        arguments = [a.arg for a in inherited.args.args[1:]]
        required = len(arguments) - len(inherited.args.defaults)
        return arguments[:required] + [a for a in arguments[required:] if a in own]
    return None


def _is_start(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == "__init__"
