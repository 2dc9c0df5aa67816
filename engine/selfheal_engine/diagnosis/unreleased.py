"""Functions that take something and do not give it back on every way out.

When a limited resource runs out, the line that fails is only the last one to ask. The bug is
where something taken is not released, so these functions are the suspects.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.diagnosis.source_file import Function, SourceFile, Sources

TAKES: dict[str, tuple[str, ...]] = {
    "getconn": ("putconn",),
    "acquire": ("release",),
    "checkout": ("checkin", "release"),
    "borrow": ("give_back", "release", "restore"),
    "get_connection": ("release", "return_connection", "put_connection", "close"),
    "lease": ("release", "give_back"),
    "mkdtemp": ("rmtree",),
    "mkstemp": ("unlink", "remove"),
    "open": ("close",),
    "fdopen": ("close",),
    "socket": ("close",),
    "create_connection": ("close",),
    "connect": ("close",),
    "Popen": ("wait", "communicate", "terminate"),
    "urlopen": ("close",),
}
"""What is taken with the one goes back with one of the others."""
_ENDS = frozenset({"close", "aclose", "commit", "rollback", "flush", "shutdown", "cancel"})
"""What is still done to a thing that is about to be closed."""
_OUT = ("get", "get_nowait", "pop", "popleft", "acquire")
_BACK = ("put", "put_nowait", "append", "appendleft", "add", "release")


@dataclass(frozen=True)
class Unreleased:
    """A call whose result is not released on every way out of its function."""

    file: SourceFile
    function: Function
    call: ast.Call
    name: str
    releases: tuple[str, ...]
    partly: bool
    """It is released on some ways out: then it was meant to be."""


def pairs(sources: Sources) -> dict[str, tuple[str, ...]]:
    """TAKES with the project's own pairs: two methods that take from and put to one container.

    A function of the project that hands out what it has taken is a taker like the call in it,
    and one that closes what it is handed gives back.
    """
    closers = tuple(dict.fromkeys(f.name for file in sources.all() for f in closing(file)))
    found = {
        name: (*releases, *(c for c in closers if c not in releases))
        if "close" in releases
        else releases
        for name, releases in TAKES.items()
    }
    for file in sources.all():
        for function in file.functions.values():
            made = _made_here(function)
            for node in ast.walk(function):
                value = node.value if isinstance(node, ast.Return) else None
                value = made.get(value.id) if isinstance(value, ast.Name) else value
                if isinstance(value, ast.Call) and called_name(value) in TAKES:
                    found.setdefault(function.name, found[called_name(value)])
        for owner in file.classes.values():
            taking: dict[str, list[str]] = {}
            giving: dict[str, list[str]] = {}
            for method in owner.body:
                if not isinstance(method, Function):
                    continue
                for call in (n for n in ast.walk(method) if isinstance(n, ast.Call)):
                    if not isinstance(call.func, ast.Attribute):
                        continue
                    place = file.segment(call.func.value)
                    if not place.startswith("self."):
                        continue
                    if call.func.attr in _OUT and _returns(method, call):
                        taking.setdefault(place, []).append(method.name)
                    elif call.func.attr in _BACK and len(method.args.args) == 2:
                        giving.setdefault(place, []).append(method.name)
            for place, names in taking.items():
                for name in names:
                    if giving.get(place):
                        found[name] = tuple(dict.fromkeys([*giving[place], *found.get(name, ())]))
    return found


def closing(file: SourceFile) -> Iterator[Function]:
    """The functions that close what they are handed: `def release(conn): ...; conn.close()`.

    One that does more with it than ending it uses it, and closes it when it is done.
    """
    for function in file.functions.values():
        handed = {a.arg for a in function.args.args} - {"self", "cls"}
        done = {
            (node.func.value.id, node.func.attr)
            for node in ast.walk(function)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
        }
        for name in handed:
            calls = {method for owner, method in done if owner == name}
            if calls & {"close", "aclose"} and calls <= _ENDS:
                yield function
                break


def _made_here(function: Function) -> dict[str, ast.expr]:
    """What the function's own names are made from."""
    return {
        node.targets[0].id: node.value.value if isinstance(node.value, ast.Await) else node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }


def _returns(method: Function, call: ast.Call) -> bool:
    return any(
        isinstance(n, ast.Return) and n.value is not None and call in set(ast.walk(n.value))
        for n in ast.walk(method)
    )


def unreleased(sources: Sources) -> Iterator[Unreleased]:
    """Every such call of the project, those that are released on some ways out first."""
    known = pairs(sources)
    later: list[Unreleased] = []
    for file in sources.all():
        if "test" in file.path:
            continue
        for function in file.functions.values():
            for found in _in_function(file, function, known):
                if found.partly:
                    yield found
                else:
                    later.append(found)
    yield from later


def _in_function(
    file: SourceFile, function: Function, known: dict[str, tuple[str, ...]]
) -> Iterator[Unreleased]:
    for node in ast.walk(function):
        value = node.value if isinstance(node, ast.Assign) else None
        value = value.value if isinstance(value, ast.Await) else value
        if not isinstance(node, ast.Assign) or not isinstance(value, ast.Call):
            continue
        target = node.targets[0]
        releases = known.get(called_name(value))
        if releases is None or not isinstance(target, ast.Name):
            continue
        if file.function_of(node) is not function or _handed_on(function, target.id):
            continue
        given = [n for n in ast.walk(function) if _gives_back(n, target.id, releases)]
        finals = [s for t in ast.walk(function) if isinstance(t, ast.Try) for s in t.finalbody]
        if any(g in set(ast.walk(s)) for s in finals for g in given):
            continue
        yield Unreleased(file, function, value, target.id, releases, bool(given))


def _handed_on(function: Function, name: str) -> bool:
    for node in ast.walk(function):
        value = getattr(node, "value", None)
        if isinstance(node, ast.Return | ast.Yield) and _is(value, name):
            return True
        stored = isinstance(node, ast.Assign) and not isinstance(node.targets[0], ast.Name)
        if stored and _is(value, name):
            return True
        if isinstance(node, ast.With) and any(_is(i.context_expr, name) for i in node.items):
            return True
    return False


def _gives_back(node: ast.AST, name: str, releases: tuple[str, ...]) -> bool:
    if not isinstance(node, ast.Call) or called_name(node) not in releases:
        return False
    return any(_is(n, name) for n in ast.walk(node))


def _is(node: object, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
