"""Which expressions may have made a value: backward through names, calls, attributes and keys.

Where `origin` follows one None through the captured frames, this walk is over source alone and
keeps every branch: rules that mend a value where it is made (a time read without its zone, a
number kept as text) look at each of them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from selfheal_engine.diagnosis.origin import (
    argument_for,
    called_name,
    default_of,
    definitions,
    last_assignment,
    parameters,
)
from selfheal_engine.diagnosis.source_file import Function, SourceFile, Sources

MAX_DEPTH = 6
MAX_PRODUCERS = 40


@dataclass(frozen=True)
class Producer:
    """An expression whose value may be, or be part of, the one asked for."""

    file: SourceFile
    node: ast.expr
    anchor: ast.stmt | None
    """The assignment that gives the value its name, where it has one."""


def producers(sources: Sources, file: SourceFile, node: ast.expr) -> Iterator[Producer]:
    """Every producer of `node`, nearest first, each once, at most MAX_PRODUCERS."""
    pending: list[tuple[Producer, int]] = [(Producer(file, node, None), 0)]
    seen: set[int] = set()
    while pending and len(seen) < MAX_PRODUCERS:
        producer, depth = pending.pop(0)
        if id(producer.node) in seen:
            continue
        seen.add(id(producer.node))
        yield producer
        if depth < MAX_DEPTH:
            pending += [(found, depth + 1) for found in _behind(sources, producer)]


def kept_as(sources: Sources, file: SourceFile, node: ast.expr) -> list[Producer]:
    """What is kept under the key or attribute that an expression reads."""
    kept = isinstance(node, ast.Attribute | ast.Subscript)
    return list(islice(_behind(sources, Producer(file, node, None)), MAX_PRODUCERS)) if kept else []


def _behind(sources: Sources, producer: Producer) -> Iterator[Producer]:
    """One step back from a producer."""
    file, node = producer.file, producer.node
    if isinstance(node, ast.Name):
        yield from _bound(sources, file, node)
    elif isinstance(node, ast.Attribute):
        yield from _stored(sources, file, node.attr)
    elif isinstance(node, ast.Subscript):
        if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
            yield from _under_key(sources, file, node.slice.value)
    elif isinstance(node, ast.Call):
        for other, function in definitions(sources, file, node):
            yield from _returned(other, function)
        if isinstance(node.func, ast.Attribute):  # a method gives its object's value changed
            yield Producer(file, node.func.value, None)
    else:
        for part in _parts(node):
            yield Producer(file, part, None)


def _parts(node: ast.expr) -> list[ast.expr]:
    """The operands that a compound expression's value comes from."""
    if isinstance(node, ast.BinOp):
        return [node.left, node.right]
    if isinstance(node, ast.IfExp):
        return [node.body, node.orelse]
    if isinstance(node, ast.BoolOp):
        return list(node.values)
    if isinstance(node, ast.Await | ast.NamedExpr | ast.Starred):
        return [node.value]
    return []


def _bound(sources: Sources, file: SourceFile, node: ast.Name) -> Iterator[Producer]:
    function = file.function_of(node)
    found = last_assignment(file, function, node.id, node.lineno)
    if found is not None:
        statement, value, kind = found
        if kind == "value":
            yield Producer(file, value, statement)
    elif function is not None and node.id in parameters(function):
        default = default_of(function, node.id)
        if default is not None:
            yield Producer(file, default, None)
        for other, argument in arguments_of(sources, file, function, node.id):
            yield Producer(other, argument, None)
    else:
        module = last_assignment(file, None, node.id, len(file.lines))
        if module is not None and module[2] == "value":
            yield Producer(file, module[1], module[0])


def arguments_of(
    sources: Sources, file: SourceFile, function: Function, name: str
) -> Iterator[tuple[SourceFile, ast.expr]]:
    """What the project's callers pass for a parameter."""
    for other in sources.all():
        for call in ast.walk(other.tree):
            if not isinstance(call, ast.Call) or called_name(call) != function.name:
                continue
            if not any(known is function for _, known in definitions(sources, other, call)):
                continue
            argument = argument_for(call, function, name)
            if argument is not None:
                yield other, argument


def _returned(file: SourceFile, function: Function) -> Iterator[Producer]:
    for node in ast.walk(function):
        if not isinstance(node, ast.Return) or file.function_of(node) is not function:
            continue
        if node.value is not None:
            yield Producer(file, node.value, None)


def _stored(sources: Sources, file: SourceFile, name: str) -> Iterator[Producer]:
    """What is kept under an attribute's name: by assignment, or by a constructor's keyword."""
    for other in [file, *(f for f in sources.all() if f is not file)]:
        for node in ast.walk(other.tree):
            if isinstance(node, ast.Assign) and any(
                isinstance(target, ast.Attribute) and target.attr == name for target in node.targets
            ):
                yield Producer(other, node.value, node)
            elif isinstance(node, ast.Call) and called_name(node)[:1].isupper():
                yield from (Producer(other, k.value, None) for k in node.keywords if k.arg == name)


def _under_key(sources: Sources, file: SourceFile, key: str) -> Iterator[Producer]:
    """What is kept under a key: in a dict's display, or by assignment to the item."""
    for other in [file, *(f for f in sources.all() if f is not file)]:
        for node in ast.walk(other.tree):
            if isinstance(node, ast.Dict):
                for name, value in zip(node.keys, node.values, strict=True):
                    if isinstance(name, ast.Constant) and name.value == key:
                        yield Producer(other, value, None)
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    held = target.slice if isinstance(target, ast.Subscript) else None
                    if isinstance(held, ast.Constant) and held.value == key:
                        yield Producer(other, node.value, node)
