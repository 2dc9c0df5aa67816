"""Connections of a stream server that are played again when something has run out.

The probe keeps what was sent to the handlers that it knows of. Where it kept nothing, as of a
plain loop around `accept`, the handlers are read from the source, and the words that the
project's own tests use are what a client may say; one that says nothing is always among them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePath

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.diagnosis.source_file import Function, SourceFile, Sources
from selfheal_engine.model import ConnectionRecord, Occurrence, Reproducer

MAX_SENT = 2048
MAX_WORDS = 8
"""Different things that a client says where none was heard."""
MAX_HANDLERS = 4
_STARTERS = ("start_server", "start_unix_server")
_HANDLERS = ("BaseRequestHandler", "StreamRequestHandler")
_SOCKET = '{"$":"standin","v":"socket.socket"}'
_ADDRESS = '{"$":"standin","v":"address"}'


def repeated(occurrence: Occurrence, sources: Sources) -> Reproducer | None:
    """The connections one after the other, again and again; None where there is no handler."""
    found = recorded(occurrence, sources) or imagined(sources)
    if not found:
        return None
    first = found[0]
    return Reproducer(
        "growth",
        module=sources.project.module_of(first.file),
        file=first.file,
        functions=(first.function,),
        exception=occurrence.exception,
        connections=found,
        exact=bool(occurrence.connections),
    )


def recorded(occurrence: Occurrence, sources: Sources) -> tuple[ConnectionRecord, ...]:
    """What the probe heard, with the handlers' files relative to the project."""
    found = []
    for one in occurrence.connections:
        relative = sources.project.relative(one.file)
        file = sources.get(relative) if relative is not None else None
        if file is None:
            continue
        name = one.function
        if name in file.functions or name in file.classes:
            found.append(replace(one, file=file.path))
    return tuple(found)


def imagined(sources: Sources) -> tuple[ConnectionRecord, ...]:
    """The handlers that the source shows, each with what a client may say."""
    handlers: list[ConnectionRecord] = []
    for file in sources.all():
        if not _is_test(file.path):
            handlers += _started(file)
            handlers += _classes(file)
            handlers += _accepting(file)
    said = _words(sources) if handlers else []
    return tuple(
        replace(handler, sent=words)
        for handler in list(dict.fromkeys(handlers))[:MAX_HANDLERS]
        for words in said
    )


def _is_test(path: str) -> bool:
    return any(part.startswith(("test", "conftest")) for part in PurePath(path).parts)


def _started(file: SourceFile) -> Iterator[ConnectionRecord]:
    """Handlers of `asyncio.start_server(handler, ...)`."""
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Call) and called_name(node) in _STARTERS and node.args:
            name = _function_named(file, node.args[0])
            if name:
                yield ConnectionRecord("streams", file.path, name)


def _classes(file: SourceFile) -> Iterator[ConnectionRecord]:
    for name, node in file.classes.items():
        bases = [file.segment(base).rpartition(".")[2] for base in node.bases]
        if any(base in _HANDLERS for base in bases):
            yield ConnectionRecord("socketserver", file.path, name)


def _accepting(file: SourceFile) -> Iterator[ConnectionRecord]:
    """Functions that are given what `accept` returned, called or run in a thread."""
    for function in file.functions.values():
        taken = {
            name: address
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and _is_accept(node.value)
            for name, address in _pair(node.targets[0])
        }
        for call in (n for n in ast.walk(function) if isinstance(n, ast.Call) and taken):
            target, arguments = _run_by(call)
            name = _function_named(file, target) if target is not None else ""
            given = _given(arguments, taken)
            if name and _SOCKET in given and "" not in given:
                owned = [""] if isinstance(target, ast.Attribute) else []
                lasting = tuple(range(len(owned)))
                yield ConnectionRecord(
                    "socket", file.path, name, arguments=(*owned, *given), lasting=lasting
                )


def _is_accept(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and called_name(node) == "accept" and not node.args


def _pair(target: ast.expr) -> list[tuple[str, str]]:
    names = target.elts if isinstance(target, ast.Tuple) and len(target.elts) == 2 else []
    found = [name.id for name in names if isinstance(name, ast.Name)]
    return [(found[0], found[1])] if len(found) == 2 else []


def _run_by(call: ast.Call) -> tuple[ast.expr | None, list[ast.expr]]:
    """(function, arguments) that a call runs: itself, a thread's target, what a pool is given."""
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    if "target" in named:
        given = named.get("args")
        return named["target"], given.elts if isinstance(given, ast.Tuple | ast.List) else []
    if called_name(call) in ("submit", "apply_async", "call_soon", "spawn") and call.args:
        return call.args[0], call.args[1:]
    return (None, []) if call.keywords else (call.func, call.args)


def _given(arguments: list[ast.expr], taken: dict[str, str]) -> list[str]:
    """The recording of each argument as far as it comes from `accept`; "" for all others."""
    found = []
    for argument in arguments:
        name = argument.id if isinstance(argument, ast.Name) else ""
        known = _SOCKET if name in taken else _ADDRESS if name in taken.values() else ""
        found.append(known)
    return found


def _function_named(file: SourceFile, node: ast.expr) -> str:
    """Qualified name of the function of the file that an expression stands for; "" for others."""
    if isinstance(node, ast.Name):
        return node.id if node.id in file.functions else ""
    if not isinstance(node, ast.Attribute):
        return ""
    owner = node.value
    if isinstance(owner, ast.Name) and owner.id == "self":
        cls = file.class_of(node)
        names = [file.qualified_name(cls)] if cls is not None else []
    elif isinstance(owner, ast.Call):
        names = [called_name(owner)]
    else:
        names = [
            called_name(made.value)
            for made in ast.walk(file.tree)
            if isinstance(made, ast.Assign)
            and isinstance(made.value, ast.Call)
            and any(file.segment(t) == file.segment(owner) for t in made.targets)
        ]
    return next((f"{n}.{node.attr}" for n in names if f"{n}.{node.attr}" in file.functions), "")


def _words(sources: Sources) -> list[bytes]:
    """What a client may say: nothing, an empty line, the texts of the tests that send any."""
    found = {b"": None, b"\n": None}
    for file in sources.all():
        if not _is_test(file.path):
            continue
        for node in ast.walk(file.tree):
            value = node.value if isinstance(node, ast.Constant) else None
            text = value.encode() if isinstance(value, str) else value
            docstring = isinstance(file.parent(node), ast.Expr)
            if not isinstance(text, bytes) or docstring or not 0 < len(text) <= MAX_SENT:
                continue
            found[text if text.endswith(b"\n") else text + b"\n"] = None
            if len(found) >= MAX_WORDS:
                return list(found)
    return list(found)


def handler_of(one: ConnectionRecord, sources: Sources) -> Function | ast.ClassDef | None:
    """Where the source defines what serves a connection."""
    file = sources.get(one.file)
    if file is None:
        return None
    return file.functions.get(one.function) or file.classes.get(one.function)
