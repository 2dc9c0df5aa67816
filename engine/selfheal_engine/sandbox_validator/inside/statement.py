"""Runs only the crashing statement, with the values its variables had.

Where no arguments could be recorded, the captured pictures of the locals still say much: they
are rebuilt (plain values whole, others as objects with the captured attributes) and the
statement runs on them. In the patched file, the statements that took its place are found by
position: the same path of blocks, and as many statements behind it as before.
"""

from __future__ import annotations

import ast
import contextlib
import datetime
import decimal
import importlib
import json
import os
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfheal_engine.sandbox_validator.inside import replay as replaying
else:
    import replay as replaying

Path = list[tuple[str, int]]
_BLOCKS = ("body", "orelse", "finalbody", "handlers")


def replay(step: replaying.Step, job: replaying.Job) -> replaying.Outcome:
    """Run what the crashing statement has become on the captured locals."""
    module = importlib.import_module(step["module"])
    recorded = json.loads(step["arguments"])
    # a generator expression's hidden argument (".0") is no name
    values = {k: rebuilt(v, vars(module)) for k, v in recorded.items() if k.isidentifier()}
    with open(os.path.join(job["root"], step["crash_file"]), encoding="utf-8") as file:
        patched = ast.parse(file.read())
    original = ast.parse(step["original"])
    function = function_at(original, step["crash_line"])
    if function is None:
        raise replaying.UnusableError("the statement stands outside any function")
    path = path_to(function.body, step["crash_line"])
    target = same_function(patched, original, function)
    if target is None or path is None:
        raise replaying.UnusableError("the function is not in the patched file")
    body = replacement(function.body, target.body, path)
    if not body:
        return {"ended": "returned", "value": "null"}
    return execute(body, values, module, step, job)


def execute(
    body: list[ast.stmt],
    values: dict[str, Any],
    module: ModuleType,
    step: replaying.Step,
    job: replaying.Job,
) -> replaying.Outcome:
    waits = any(
        isinstance(n, (ast.Await, ast.AsyncWith, ast.AsyncFor)) for b in body for n in ast.walk(b)
    )
    kind = "async def" if waits else "def"
    shell = ast.parse("{} replayed({}): pass".format(kind, ", ".join(values)))
    holder = shell.body[0]
    assert isinstance(holder, (ast.FunctionDef, ast.AsyncFunctionDef))
    holder.body = body
    looped = any(isinstance(n, (ast.Continue, ast.Break)) for part in body for n in ast.walk(part))
    if looped:  # a loop of one round gives `continue` and `break` their place
        loop = ast.parse("for _ in (0,): pass").body[0]
        assert isinstance(loop, ast.For)
        loop.body = body
        holder.body = [loop]
    file = os.path.join(job["root"], step["crash_file"])
    scope: dict[str, Any] = dict(vars(module))
    exec(compile(ast.fix_missing_locations(shell), file, "exec"), scope)
    try:
        with replaying.in_application(step["module"]):
            result = replaying.settle(scope["replayed"](**values))
    except AttributeError as why:
        if is_partial(getattr(why, "obj", None), values):
            raise replaying.UnusableError(f"an attribute was not captured: {why}") from None
        raise
    return {"ended": "returned", "value": replaying.recorded(result)}


class Picture:
    """An object of which only the captured attributes are known."""

    def __init__(self, type_name: str, attributes: dict[str, Any]) -> None:
        self.__dict__.update(attributes)
        self.__dict__["_type_name"] = type_name

    def __repr__(self) -> str:
        return "<{} as captured>".format(self.__dict__["_type_name"])


def is_partial(value: Any, values: dict[str, Any]) -> bool:
    """Whether only the captured attributes of an object are there."""
    return isinstance(value, Picture) or any(value is one for one in values.values())


def rebuilt(picture: dict[str, Any], scope: dict[str, Any]) -> Any:
    """A value from its picture: plain ones whole, others with the attributes that are known.

    `scope` is the module whose classes the values may have.
    """
    kind, text = picture.get("type_name", ""), picture.get("text", "")
    children = picture.get("children") or []
    if kind == "NoneType":
        return None
    if kind in ("bool", "int", "float", "complex"):
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError):
            return {"inf": float("inf"), "-inf": float("-inf"), "nan": float("nan")}.get(text, 0)
    if kind == "str":
        length = picture.get("length") or 0
        return str(text) + "x" * max(0, length - len(text))
    if kind == "bytes":
        return ast.literal_eval(text) if text.startswith("b") else b""
    if kind in ("list", "tuple", "set", "frozenset"):
        items = [rebuilt(child, scope) for _, child in children]
        made = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind]
        return made(items)
    if text and kind in _FROM_TEXT:
        with contextlib.suppress(ValueError, ArithmeticError):
            return _FROM_TEXT[kind](text)
    known = {name: rebuilt(child, scope) for name, child in children}
    if kind in ("dict", "OrderedDict", "defaultdict"):
        return known
    return of_class(scope.get(kind), known) or pictured(kind, known)


def _interval(text: str) -> datetime.timedelta:
    """From "1 day, 2:03:04.5", as an interval says itself."""
    days, _, clock = text.rpartition(" day")
    hours, minutes, seconds = clock.rpartition(" ")[2].split(":")
    return datetime.timedelta(
        days=int(days or 0), hours=int(hours), minutes=int(minutes), seconds=float(seconds)
    )


_FROM_TEXT: dict[str, Callable[[str], Any]] = {
    "datetime": datetime.datetime.fromisoformat,
    "date": datetime.date.fromisoformat,
    "time": datetime.time.fromisoformat,
    "timedelta": _interval,
    "Decimal": decimal.Decimal,
}


def pictured(kind: str, known: dict[str, Any]) -> Any:
    """A picture whose class has the name of the real one, which errors name."""
    cls = type(kind, (Picture,), {}) if kind.isidentifier() else Picture
    return cls(kind, known)


def of_class(cls: Any, known: dict[str, Any]) -> Any:
    """An instance of the module's own class with the captured attributes; None if it has none."""
    if not isinstance(cls, type) or not known:
        return None
    try:
        made: Any = object.__new__(cls)
        for name, value in known.items():
            object.__setattr__(made, name, value)
    except (AttributeError, TypeError):
        return None
    return made


def function_at(tree: ast.AST, line: int) -> Any:
    """The innermost function around a line."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    around = [
        node
        for node in ast.walk(tree)
        if isinstance(node, kinds) and node.lineno <= line <= (node.end_lineno or node.lineno)
    ]
    return max(around, key=lambda node: node.lineno, default=None)


def same_function(patched: ast.AST, original: ast.AST, function: Any) -> Any:
    """The function of the same name; of several, the one at the same place in their order."""

    def named(tree: ast.AST) -> list[Any]:
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        found = [n for n in ast.walk(tree) if isinstance(n, kinds) and n.name == function.name]
        return sorted(found, key=lambda node: node.lineno)

    before, after = named(original), named(patched)
    if len(before) != len(after):
        return after[0] if len(after) == 1 else None
    return after[before.index(function)]


def path_to(body: list[ast.stmt], line: int) -> Path | None:
    """How to get to the innermost simple statement on a line: (block, position) steps."""
    for position, node in enumerate(body):
        if not node.lineno <= line <= (node.end_lineno or node.lineno):
            continue
        for name in _BLOCKS:
            inner = getattr(node, name, None)
            if isinstance(inner, list) and inner:
                deeper = path_to(inner, line)
                if deeper is not None:
                    return [("", position), (name, -1), *deeper]
        return [("", position)]
    return None


def replacement(before: list[Any], after: list[Any], path: Path) -> list[Any]:
    """The statements of `after` that stand where `path` leads to in `before`."""
    position = path[0][1]
    behind = len(before) - position - 1
    # a `try` may have taken in what stood behind as well
    here = after[position : max(len(after) - behind, min(position + 1, len(after)))]
    if len(path) > 2 and len(here) == 1 and type(here[0]) is type(before[position]):
        name = path[1][0]
        inner_before, inner_after = getattr(before[position], name), getattr(here[0], name, None)
        if isinstance(inner_after, list) and inner_after:
            return replacement(inner_before, inner_after, path[2:])
    return here
