"""Where a guard may stand, and under which name the guarded value is known there."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from selfheal_engine.diagnosis import asked_before
from selfheal_engine.diagnosis.failure import parts_of
from selfheal_engine.diagnosis.origin import calls_on_line, definitions
from selfheal_engine.diagnosis.source_file import Function, SourceFile, Span, span_of
from selfheal_engine.patch_generator.conventions import is_nothing
from selfheal_engine.patch_generator.edits import (
    EXPR,
    Edit,
    replace_expression,
    splice_text,
)
from selfheal_engine.patch_generator.neutral_values import name_for
from selfheal_engine.patch_generator.rules import Draft, Scene

Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True)
class Site:
    """A statement before which code can be put, and the value's expression there."""

    anchor: ast.stmt
    name: str
    binding: str = ""
    """Statement that gives the value its name first, where it had none."""
    edits: tuple[Edit, ...] = ()
    """Edits that make the statement use the new name."""
    loop: bool = False
    """`continue` is possible: the anchor stands in a loop's body."""
    reached: str = ""
    """What must hold for the value to be looked at, where the statement does not always."""

    def when(self, condition: str) -> str:
        """The guard's condition: `condition` on the statement's ways that come to the value."""
        return f"{self.reached} and {condition}" if self.reached else condition

    def before(self, code: str) -> str:
        """Snippet for the anchor's place: binding, code, then the old statement."""
        binding = f"{self.binding}\n" if self.binding else ""
        return f"{binding}{code.rstrip()}\n__body__\n"


def guard_site(scene: Scene, culprit: ast.expr) -> Site | None:
    """Where to guard `culprit`; None inside comprehensions, lambdas and loop conditions."""
    file = scene.file
    anchor = anchor_of(file, scene.statement)
    if anchor is None or in_comprehension(file, culprit, scene.statement):
        return None
    if isinstance(scene.statement, ast.While) and culprit in set(parts_of(scene.statement)):
        return None
    loop = in_loop(file, anchor)
    reached = reached_when(file, culprit, scene.statement)
    if is_stable(culprit):
        return Site(anchor, file.segment(culprit), loop=loop, reached=reached)
    if anchor is not scene.statement or reached:
        return None  # ahead of the statement it would be evaluated where nobody asks for it
    if isinstance(culprit, ast.NamedExpr):
        known, value = culprit.target.id, file.segment(culprit.value)
        edits = (replace_expression(culprit, known),)
        return Site(anchor, known, f"{known} = {value}", edits, loop)
    name = name_for(culprit, names_in(file, scene.function))
    binding = f"{name} = {file.segment(culprit)}"
    return Site(anchor, name, binding, (replace_expression(culprit, name),), loop)


def read_functions(scene: Scene) -> Iterator[tuple[SourceFile, Function]]:
    """The failing function and those that its failing line calls.

    A traceback ends at who asks a generator: the generator's own frame is gone by then.
    """
    known = [] if scene.function is None else [(scene.file, scene.function)]
    for node in ast.walk(scene.statement):
        if isinstance(node, ast.Call):
            known += definitions(scene.sources, scene.file, node)
    seen: set[int] = set()
    for file, function in known:
        if id(function) not in seen:
            seen.add(id(function))
            yield file, function


def anchor_of(file: SourceFile, statement: ast.stmt) -> ast.stmt | None:
    """The statement in whose block code can be inserted: an `elif` counts as its `if`."""
    current = statement
    while isinstance(current, ast.If):
        parent = file.parent(current)
        if not isinstance(parent, ast.If) or parent.orelse != [current]:
            break
        if not _is_elif(file, current):
            break
        current = parent
    parent = file.parent(current)
    return None if isinstance(parent, ast.ClassDef) else current


def _is_elif(file: SourceFile, node: ast.If) -> bool:
    return file.lines[node.lineno - 1][node.col_offset :].startswith("elif")


def in_comprehension(file: SourceFile, node: ast.AST, statement: ast.stmt) -> bool:
    """Whether names of the expression are bound only inside the statement."""
    for outer in file.ancestors(node):
        if outer is statement:
            return False
        if isinstance(outer, ast.Lambda):
            return True
        if isinstance(outer, COMPREHENSIONS):
            bound = {
                n.id
                for g in outer.generators
                for n in ast.walk(g.target)
                if isinstance(n, ast.Name)
            }
            if bound & {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}:
                return True
    return False


def looked_up(scene: Scene) -> tuple[ast.expr, ast.expr] | None:
    """(collection, key) of the failing look-up or removal."""
    return asked_before.looked_up(scene.node, scene.statement)


def asks_again(scene: Scene, draft: Draft) -> bool:
    """Whether a draft asks for a key that was there before: what took it since is as fast again."""
    found = looked_up(scene) if scene.exception == "KeyError" else None
    if found is None:
        return False
    missing = f"{scene.text(found[1])} not in {scene.text(found[0])}"
    asks = any(missing in edit.code.partition("\n")[0] for _, edit in draft.edits)
    known = asked_before.known_before(scene.file, scene.node, scene.statement)
    return asks and known is not None


def declares_global(function: Function, name: str) -> bool:
    """Whether it says `global name`: else what it assigns is its own."""
    return any(isinstance(n, ast.Global) and name in n.names for n in ast.walk(function))


def reached_when(file: SourceFile, node: ast.expr, statement: ast.stmt) -> str:
    """The conditions under which a statement comes to evaluate a part of it; "" where always.

    `table[name](x) if name else x` looks `name` up only where there is one.
    """
    found: list[str] = []
    inner: ast.AST = node
    for outer in file.ancestors(node):
        if isinstance(outer, ast.IfExp) and inner is not outer.test:
            found.append(_asked(file, outer.test, met=inner is outer.body))
        elif isinstance(outer, ast.BoolOp):
            before = outer.values[: next(i for i, v in enumerate(outer.values) if v is inner)]
            met = isinstance(outer.op, ast.And)
            found += reversed([_asked(file, value, met=met) for value in before])
        if outer is statement:
            break
        inner = outer
    return " and ".join(dict.fromkeys(reversed(found)))


def _asked(file: SourceFile, test: ast.expr, met: bool) -> str:
    text = file.segment(test)
    if met:
        return f"({text})" if isinstance(test, _LOOSER_THAN_AND) else text
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return file.segment(test.operand)
    return f"not ({text})" if isinstance(test, ast.BoolOp | _LOOSER_THAN_AND) else f"not {text}"


_LOOSER_THAN_AND = ast.IfExp | ast.Lambda | ast.NamedExpr


def in_loop(file: SourceFile, statement: ast.stmt) -> bool:
    """Whether `continue` may stand before the statement."""
    for outer in file.ancestors(statement):
        if isinstance(outer, Function | ast.ClassDef):
            return False
        if isinstance(outer, ast.For | ast.AsyncFor | ast.While):
            return True
    return False


def fit_of_return(file: SourceFile, statement: ast.stmt) -> float:
    """How well a return fits before a statement: in a loop it gives up what is left of it."""
    for outer in file.ancestors(statement):
        if isinstance(outer, Function):
            break
        if isinstance(outer, ast.For | ast.AsyncFor):
            return 0.5
        if isinstance(outer, ast.While):
            return 1.0 if isinstance(outer.test, ast.Constant) else 0.5
    return 1.0


def called_per_item(scene: Scene) -> bool:
    """Whether the caller calls the failing function once for each item of a collection.

    Refusing one item would then refuse them all.
    """
    own = scene.findings.own_frames
    at = len(own) - 2 - scene.depth
    if at < 0:
        return False
    caller = own[at]
    if caller.function.endswith(("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")):
        return True
    file = scene.sources.get(caller.file)
    if file is None or scene.function is None:
        return False
    for call in calls_on_line(file, caller, scene.function.name):
        for outer in file.ancestors(call):
            if isinstance(outer, Function):
                break
            if isinstance(outer, (ast.For, ast.AsyncFor, *COMPREHENSIONS)):
                return True
    return False


def is_part(file: SourceFile, node: ast.AST) -> bool:
    """One of several values that are put together: of an f-string, of a list that is joined."""
    parent = file.parent(node)
    if isinstance(parent, ast.FormattedValue):
        return True
    several = isinstance(parent, ast.List | ast.Tuple) and len(parent.elts) > 1
    return several and isinstance(file.parent(parent), ast.Call) if parent is not None else False


def is_stable(node: ast.expr) -> bool:
    """Names, attributes and constant keys: reading them twice gives the same and costs nothing."""
    if isinstance(node, ast.Name):
        return True
    if isinstance(node, ast.Attribute):
        return is_stable(node.value)
    if isinstance(node, ast.Subscript):
        key = node.slice
        return is_stable(node.value) and isinstance(key, ast.Constant | ast.Name)
    return False


def names_in(file: SourceFile, function: Function | None) -> set[str]:
    """Every name that the function (or module) uses."""
    root: ast.AST = function if function is not None else file.tree
    names = {n.id for n in ast.walk(root) if isinstance(n, ast.Name)}
    return names | {n.arg for n in ast.walk(root) if isinstance(n, ast.arg)}


def statements_around(file: SourceFile, statement: ast.stmt) -> Iterator[ast.stmt]:
    """The statement, then those that hold it, up to the function's own block."""
    yield statement
    for outer in file.ancestors(statement):
        if isinstance(outer, Function | ast.ClassDef | ast.Module):
            return
        if isinstance(outer, ast.stmt):
            yield outer


def first_statement(body: Sequence[ast.stmt]) -> ast.stmt:
    """The first statement of a block behind its docstring; the docstring where nothing follows."""
    first = body[0]
    docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return body[1] if docstring and len(body) > 1 else first


def filtered(file: SourceFile, comprehension: Comprehension, condition: str) -> Edit:
    """The edit that leaves the items out for which the condition does not hold."""
    last = comprehension.generators[-1]
    if last.ifs:
        return replace_expression(last.ifs[-1], f"{EXPR} and {condition}")
    return splice_text(_end_of(file, last.iter), f" if {condition}")


def _end_of(file: SourceFile, node: ast.expr) -> Span:
    """The empty span behind an expression and the parentheses around it."""
    span = span_of(node)
    before = file.lines[span.line - 1][: span.column].rstrip()
    column = span.end_column
    rest = file.lines[span.end_line - 1][column:]
    if before.endswith("(") and before[:-1].rstrip().endswith(" in") and rest.startswith(")"):
        column += 1
    return Span(span.end_line, column, span.end_line, column)


def given_for_nothing(scene: Scene, function: Function, anchor: ast.stmt) -> list[str]:
    """What to return before `anchor`, likeliest first: what there is so far, else "nothing".

    An empty value would lose what the function has put together by then.
    """
    so_far = _result_so_far(function, anchor)
    return [so_far] if so_far else scene.conventions.nothing_value(scene.file, function)


def _result_so_far(function: Function, anchor: ast.stmt) -> str:
    """The name that the function returns in the end and that holds something already; or ""."""
    returned = {
        node.value.id if isinstance(node.value, ast.Name) else ""
        for node in ast.walk(function)
        if isinstance(node, ast.Return) and node.lineno >= anchor.lineno
    }
    if len(returned) != 1 or "" in returned:
        return ""
    [name] = returned
    before = [one for one in function.body if (one.end_lineno or one.lineno) < anchor.lineno]
    return name if any(_puts_in(one, name) for one in before) else ""


def _puts_in(statement: ast.stmt, name: str) -> bool:
    if isinstance(statement, ast.Assign):
        value = statement.value
        made_empty = isinstance(value, ast.Call) and not value.args and not value.keywords
        empty = made_empty or is_nothing(value) or isinstance(value, ast.Constant)
        return not empty and any(
            isinstance(target, ast.Name) and target.id == name for target in statement.targets
        )
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        called = statement.value.func
        return isinstance(called, ast.Attribute) and ast.unparse(called.value) == name
    return False


def with_second(scene: Scene, node: ast.Call, argument: str) -> Edit:
    """The call with its only argument, a generator, in parentheses, and one more behind it."""
    return replace_expression(
        node, f"{scene.text(node.func)}({_in_parentheses(scene, node)}, {argument})"
    )


def _in_parentheses(scene: Scene, node: ast.Call) -> str:
    text = scene.text(node.args[0])
    return text if text.startswith("(") and text.endswith(")") else f"({text})"
