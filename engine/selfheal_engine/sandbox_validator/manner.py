"""In which manner a patch deals with what went wrong: it refuses, goes on, or makes something up.

Read from the new text alone, whoever wrote the patch. That a patch of one manner is right more
often than one of another is learned with the safety score's table.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

from selfheal_engine.model import Candidate
from selfheal_engine.patch_generator.conventions import LOG_METHODS

_HUNK = re.compile(r"^@@ -\d+(?:,\d+)? \+(\d+)")
LOGS = frozenset({*LOG_METHODS, "log"})
"""Methods of a logger that tell of something."""
_REFUSALS = range(400, 500)
MANNERS = ("refuses", "goes_on", "isolates", "stands_in", "leaves_undone")
"""refuses: raises, or answers with a status of 400 to 499. goes_on: catches what was raised and
carries on. isolates: does so for one round of a worker's loop, and logs it. stands_in: a constant
or an empty container takes the place of what is missing. leaves_undone: a guard or handler passes
over one item, or ends the function without a value."""


def manner(candidate: Candidate) -> dict[str, float]:
    """Each of MANNERS, 1 or 0."""
    added = added_lines(candidate.diff)
    found: set[str] = set()
    for path, content in candidate.files:
        if not path.endswith(".py") or not added.get(path):
            continue
        try:
            tree = ast.parse(content)
        except (SyntaxError, ValueError):
            continue
        isolating = {id(handler) for handler in _isolating(tree)}
        for node in ast.walk(tree):
            if getattr(node, "lineno", 0) in added[path]:
                found.update(["isolates"] if id(node) in isolating else _manners_of(node))
    if "refuses" in found:
        found.discard("goes_on")  # the handler is there to refuse
    return {name: float(name in found) for name in MANNERS}


def _isolating(tree: ast.Module) -> Iterator[ast.ExceptHandler]:
    """Handlers of one class of error that log a round of a loop without an end of its own."""
    for loop in ast.walk(tree):
        if not isinstance(loop, ast.While):
            continue
        for handler in ast.walk(loop):
            if isinstance(handler, ast.ExceptHandler) and _is_narrow(handler) and _logs(handler):
                yield handler


def _is_narrow(handler: ast.ExceptHandler) -> bool:
    wide = ("Exception", "BaseException")
    return handler.type is not None and getattr(handler.type, "id", "") not in wide


def _logs(handler: ast.ExceptHandler) -> bool:
    return any(isinstance(n, ast.Call) and _name(n.func) in LOGS for n in ast.walk(handler))


def added_lines(diff: str) -> Mapping[str, set[int]]:
    """Path -> numbers of the lines that a unified diff adds, in the new text."""
    found: dict[str, set[int]] = {}
    path, number = "", 0
    for line in diff.splitlines():
        hunk = _HUNK.match(line)
        if line.startswith("+++ "):
            path = line[4:].partition("\t")[0].removeprefix("b/")
        elif hunk:
            number = int(hunk[1])
        elif line.startswith("+"):
            found.setdefault(path, set()).add(number)
            number += 1
        elif not line.startswith(("-", "\\")):
            number += 1
    return found


def _manners_of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Raise):
        yield "refuses"
    elif isinstance(node, ast.ExceptHandler):
        if not any(isinstance(part, ast.Raise) for part in ast.walk(node)):
            yield "goes_on"
    elif isinstance(node, ast.Return):
        if node.value is None:
            yield "leaves_undone"
        elif _answers_with_refusal(node.value):
            yield "refuses"
        elif _is_made_up(node.value):
            yield "stands_in"
    elif isinstance(node, ast.Continue):
        yield "leaves_undone"
    elif isinstance(node, ast.BoolOp):
        if isinstance(node.op, ast.Or) and _is_made_up(node.values[-1]):
            yield "stands_in"
    elif isinstance(node, ast.IfExp):
        if _is_made_up(node.body) or _is_made_up(node.orelse):
            yield "stands_in"
    elif isinstance(node, ast.Call):
        name = _name(node.func)
        asked = isinstance(node.func, ast.Attribute) and name in ("get", "pop")
        if asked and name == "get" and len(node.args) == 1:
            yield "stands_in"  # None does
        elif (asked or name in ("getattr", "next")) and len(node.args) > 1:
            if _is_made_up(node.args[-1]):
                yield "stands_in"
        elif name == "abort":
            yield "refuses"
    elif isinstance(node, ast.keyword) and node.arg == "default" and _is_made_up(node.value):
        yield "stands_in"


def _answers_with_refusal(value: ast.expr) -> bool:
    return any(
        isinstance(part, ast.Constant) and type(part.value) is int and part.value in _REFUSALS
        for part in ast.walk(value)
    )


def _is_made_up(value: ast.expr) -> bool:
    if isinstance(value, ast.Dict):
        return not value.keys
    if isinstance(value, ast.List | ast.Tuple | ast.Set):
        return not value.elts
    return isinstance(value, ast.Constant)


def _name(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
