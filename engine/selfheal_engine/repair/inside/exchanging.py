"""Puts a mutant's code into the functions that run already.

Runs inside the sandbox: standard library only, Python 3.9 and later.
"""

from __future__ import annotations

import ast
import gc
import os
import types
from collections.abc import Iterator
from typing import Any

Mutant = dict[str, Any]
Running = dict[str, list[types.FunctionType]]
Defaults = tuple[list[ast.expr], dict[str, ast.expr]]


FUTURE_ANNOTATIONS = 0x1000000


def place(mutant: Mutant, root: str, running: Running) -> int:
    """Give the functions that exist already the code of the mutant's text; False: none does."""
    placed = 0
    for part in mutant["parts"]:
        file = os.path.join(root, part["file"])
        tree = ast.parse(part["source"])
        if part.get("line"):
            ast.increment_lineno(tree, part["line"] - 1)
        flags = FUTURE_ANNOTATIONS if part.get("annotations") else 0
        code = compile(tree, file, "exec", flags=flags, dont_inherit=True)
        placed += exchange(code, tree, running.get(file, []))
    return placed


def exchange(code: types.CodeType, tree: ast.AST, running: list[types.FunctionType]) -> int:
    """Exchange code and defaults of the running functions with those of the same name."""
    new: dict[str, types.CodeType] = dict(functions_in(code, ""))
    defaults = default_nodes(tree)
    placed = 0
    for function in running:
        name = written_name(function, new)
        if name not in new or new[name].co_freevars != function.__code__.co_freevars:
            continue
        function.__code__ = new[name]
        placed += 1
        if name in defaults:
            give_defaults(function, *defaults[name])
    return placed


def written_name(function: types.FunctionType, known: dict[str, types.CodeType]) -> str:
    """The qualified name under which the code was written: `functools.wraps` hides it."""
    written = getattr(function.__code__, "co_qualname", "")
    if written or not hasattr(function, "__wrapped__"):
        return written or function.__qualname__
    # before Python 3.11 code knows its own name only
    tail = function.__code__.co_name
    same = [name for name in known if name.rpartition(".")[2] == tail]
    return same[0] if len(same) == 1 else function.__qualname__


def give_defaults(
    function: types.FunctionType, positional: list[ast.expr], keyword: dict[str, ast.expr]
) -> None:
    space = function.__globals__
    try:
        values = tuple(value_of(n, space) for n in positional) or None
        named = {k: value_of(n, space) for k, n in keyword.items()} or None
    except NameError:
        return  # a default that the class's body knows: it stays as it is
    function.__defaults__, function.__kwdefaults__ = values, named


def value_of(node: ast.expr, space: dict[str, Any]) -> Any:
    return eval(compile(ast.Expression(node), "<default>", "eval"), space)


def functions_in(code: types.CodeType, prefix: str) -> Iterator[tuple[str, types.CodeType]]:
    for constant in code.co_consts:
        if not isinstance(constant, types.CodeType):
            continue
        name = prefix + constant.co_name
        yield name, constant
        # a class's body and a function's body differ in how inner names are qualified
        inside = name + "." if not constant.co_flags & 0x02 else name + ".<locals>."
        yield from functions_in(constant, inside)


def default_nodes(tree: ast.AST) -> dict[str, Defaults]:
    found: dict[str, Defaults] = {}

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                arguments = child.args
                keyword: dict[str, ast.expr] = {}
                pairs = zip(arguments.kwonlyargs, arguments.kw_defaults)  # noqa: B905 - Python 3.9
                for argument, default in pairs:
                    if default is not None:
                        keyword[argument.arg] = default
                found[prefix + child.name] = (arguments.defaults, keyword)
            elif isinstance(child, ast.ClassDef):
                visit(child, prefix + child.name + ".")
            else:
                visit(child, prefix)

    visit(tree, "")
    return found


def running_functions(root: str) -> Running:
    """{file: live function objects whose code came from it}, decorated ones included."""
    found: Running = {}
    for candidate in gc.get_objects():
        if type(candidate) is types.FunctionType:
            file = candidate.__code__.co_filename
            if file.startswith(root):
                found.setdefault(file, []).append(candidate)
    return found
