"""Containers that only ever grow: something is put in, nothing is taken out anywhere.

A memory report names the line that allocates; what keeps the memory is often another function's
container. Lasting ones (a module's variables, attributes) that have adders and no removers are
where a leak can be.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.diagnosis.source_file import Function, SourceFile

ADDS = ("append", "add", "appendleft", "insert", "extend", "update", "setdefault")
REMOVES = ("pop", "popitem", "popleft", "remove", "discard", "clear", "difference_update")


def growing(file: SourceFile) -> list[ast.expr]:
    """One storing expression for each lasting container of the file that only grows."""
    found: dict[str, ast.expr] = {}
    lasting = _module_names(file)
    for node in ast.walk(file.tree):
        if not isinstance(node, ast.stmt) or file.function_of(node) is None:
            continue
        for container in storing(node):
            text = file.segment(container)
            attribute = isinstance(container, ast.Attribute) and text.startswith("self.")
            held = isinstance(container, ast.Name) and closure_made(file, container) is not None
            if (attribute or held or text in lasting) and text not in found:
                found[text] = container
    return [node for text, node in found.items() if not shrinks(file, text)]


def closure_made(file: SourceFile, name: ast.Name) -> ast.Assign | ast.AnnAssign | None:
    """The statement of a function further out that makes what an inner one stores into.

    A decorator's memo and a factory's state live as long as the inner function does.
    """
    inner = file.function_of(name)
    if inner is None or _made_in(inner, name.id) is not None:
        return None
    outer = file.function_of(inner)
    while outer is not None:
        made = _made_in(outer, name.id)
        if made is not None:
            return made
        outer = file.function_of(outer)
    return None


def _made_in(function: Function, name: str) -> ast.Assign | ast.AnnAssign | None:
    for statement in function.body:
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets = [statement.target]
        else:
            continue
        if any(isinstance(t, ast.Name) and t.id == name for t in targets):
            return statement
    return None


def storing(statement: ast.AST) -> Iterator[ast.expr]:
    """Containers that a simple statement puts something into."""
    if isinstance(statement, ast.Assign):
        for target in statement.targets:
            if isinstance(target, ast.Subscript):
                yield target.value
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        call = statement.value
        if isinstance(call.func, ast.Attribute) and call.func.attr in ADDS:
            owner = call.func.value
            # `groups.setdefault(key, []).append(x)` stores into `groups`
            if isinstance(owner, ast.Call) and called_name(owner) == "setdefault":
                assert isinstance(owner.func, ast.Attribute)
                owner = owner.func.value
            if isinstance(owner, ast.Subscript):
                owner = owner.value
            yield owner


def changing(function: Function) -> Iterator[ast.expr]:
    """Containers that a function puts something into or takes something out of."""
    for node in ast.walk(function):
        yield from storing(node)
        if isinstance(node, ast.Delete):
            yield from (t.value for t in node.targets if isinstance(t, ast.Subscript))
        elif isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Attribute) and called.attr in REMOVES:
                yield called.value


def shrinks(file: SourceFile, text: str) -> bool:
    """Whether anything takes out of the container: a call, a `del`, a new one in its place."""
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in REMOVES and file.segment(node.func.value) == text:
                return True
        elif isinstance(node, ast.Delete):
            for target in node.targets:
                if isinstance(target, ast.Subscript) and file.segment(target.value) == text:
                    return True
        elif isinstance(node, ast.Assign) and any(file.segment(t) == text for t in node.targets):
            function = file.function_of(node)
            if function is not None and function.name != "__init__":
                return True
    return False


def _module_names(file: SourceFile) -> set[str]:
    return {
        target.id
        for node in file.tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
