"""What family of bug an occurrence belongs to, as ranked probabilities with the evidence.

Rules on the exception, the failing expression and what was captured; each rule votes with a
weight, and the votes are normalised. Weights express how sure the sign is, not how frequent.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Sequence

from selfheal_agent.recent import ran_out
from selfheal_engine.diagnosis.asked_before import filled_before, known_before, waits_between
from selfheal_engine.diagnosis.failure import Failure, changed_while_iterated
from selfheal_engine.diagnosis.held_locks import awaited_lock
from selfheal_engine.diagnosis.origin import Step, called_name
from selfheal_engine.diagnosis.source_file import Function, SourceFile
from selfheal_engine.model import Occurrence
from selfheal_engine.model.vocabulary import UPSTREAM_ERRORS

Vote = Callable[[str, float, str], None]
INPUT = (
    "ValueError",
    "JSONDecodeError",
    "UnicodeDecodeError",
    "InvalidOperation",
    "ParseError",
    "KeyError",
    "OverflowError",
    "Error",
)
"""Errors that a conversion of somebody's input raises."""
BY_KIND = {
    "syntax": "syntax_fix",
    "leak": "memory_leak_fix",
    "deadlock": "race_condition_fix",
    "stall": "timeout_guard",
    "resource": "resource_cleanup",
}
_REQUEST_WORDS = (
    "request",
    "payload",
    "body",
    "form",
    "args",
    "params",
    "query",
    "message",
    "event",
    "row",
    "data",
    "item",
    "record",
)


def rank_types(
    occurrence: Occurrence, failure: Failure | None, origin: Sequence[Step]
) -> tuple[tuple[tuple[str, float], ...], list[str]]:
    """((bug type, probability), ... likeliest first), and the evidence in words."""
    votes: dict[str, float] = defaultdict(float)
    evidence: list[str] = []

    def vote(bug_type: str, weight: float, why: str) -> None:
        votes[bug_type] += weight
        if weight >= 1:
            evidence.append(why)

    name = occurrence.exception.rpartition(".")[2]
    message = occurrence.message
    if occurrence.kind in BY_KIND:
        vote(BY_KIND[occurrence.kind], 6, f"it was reported as a {occurrence.kind}")
    if occurrence.kind == "deadlock":
        vote("race_condition_fix", 2, "threads wait for each other's locks")
    if occurrence.kind == "stall" and any(
        "lock" in t.waits_for.lower() for t in occurrence.threads
    ):
        vote("race_condition_fix", 4, "the stuck thread waits for a lock")
    if occurrence.kind == "stall" and awaited_lock(failure):
        vote("race_condition_fix", 8, f"it waits for `{awaited_lock(failure)}`, which is held")
    if occurrence.kind == "thread_death":
        vote("error_handling", 2.5, "one item ended the whole thread")
    _by_exception(name, message, occurrence, failure, vote)
    if failure is not None and failure.is_none:
        vote("null_check", 4, f"`{failure.file.segment(failure.culprit or failure.node)}` was None")
    if any(step.kind == "missing_key" for step in origin):
        vote("null_check", 0.5, "a lookup had no default")
    if not votes and name:
        vote("logic_correction", 1, f"{name} is raised where nobody expects it")
        vote("error_handling", 1, "")
    if not votes:
        vote("unknown", 1, "no rule knows this sign")
    total = sum(votes.values())
    ranked = sorted(((kind, votes[kind] / total) for kind in votes), key=lambda p: -p[1])
    return tuple(ranked), evidence


def _by_exception(
    name: str, message: str, occurrence: Occurrence, failure: Failure | None, cast: Vote
) -> None:
    if name in ("SyntaxError", "IndentationError", "TabError"):
        cast("syntax_fix", 6, "the module does not parse")
    elif name in ("ImportError", "ModuleNotFoundError"):
        cast("syntax_fix", 4, "a name cannot be imported")
    elif name == "NameError":
        cast("syntax_fix", 3, "a name is not defined")
        cast("logic_correction", 1.5, "the name may be another variable's")
    elif name == "UnboundLocalError":
        cast("logic_correction", 4, "a variable is read before it is set on some path")
    elif name == "RuntimeError" and changed_while_iterated(message):
        own = _changes_in_loop(failure)
        cast(
            "logic_correction" if own else "race_condition_fix",
            4,
            "a collection changed while iterated",
        )
        cast("race_condition_fix" if own else "logic_correction", 2, "")
    elif name == "RuntimeError" and ("release unlocked" in message or "not acquired" in message):
        cast("race_condition_fix", 4, "a lock is released that is not held")
    elif ran_out(name, message):
        cast("resource_cleanup", 5, "a limited resource ran out")
    elif name in ("ResourceWarning",) or "unclosed" in message:
        cast("resource_cleanup", 5, "something was never closed")
    elif nothing_left(occurrence):
        cast("resource_cleanup", 4, "nothing is left in a pool: something was not given back")
    elif name == "MemoryError":
        cast("memory_leak_fix", 4, "memory ran out")
    elif name == "RecursionError":
        cast("logic_correction", 4, "a recursion does not end")
    elif name in UPSTREAM_ERRORS or _is_upstream(occurrence):
        cast("error_handling", 4, "an upstream call failed")
        cast("timeout_guard", 1.5 if "time" in name.lower() else 0.3, "")
    elif name == "ProgrammingError":  # PEP 249: wrong SQL, wrong number of parameters
        cast("logic_correction", 3, "a statement and its parameters do not go together")
        cast("error_handling", 0.5, "")
    elif name == "KeyError":
        _key_error(occurrence, failure, cast)
    elif name in ("ZeroDivisionError", "IndexError"):
        if failure is not None and _taken_since(occurrence, failure):
            cast("race_condition_fix", 7, "something was there just before, and was taken since")
        cast("logic_correction", 4, "an edge case is not covered")
        cast("error_handling", 1, "")
    elif name == "AttributeError" and "NoneType" not in message:
        cast("logic_correction", 3, "an attribute of another name is meant")
        cast("null_check", 0.5, "")
    elif name == "TypeError" and "NoneType" not in message and not (failure and failure.is_none):
        cast("logic_correction", 3, "a value of the wrong type is used")
        cast("error_handling", 0.8, "")
    elif name == "ValueError" and "values to unpack" in message:
        cast("logic_correction", 3.5, "another number of values comes than is unpacked")
        cast("error_handling", 2.5, "")
    elif name == "TypeError" and "NoneType" in message:
        cast("null_check", 3, "a None is used as a value")
        cast("logic_correction", 1, "")
    elif name in INPUT or name.endswith(("DecodeError", "ValidationError")):
        cast("error_handling", 3.5, "a conversion fails on input that nobody checked")
        cast("logic_correction", 1.2, "")
    elif occurrence.kind in ("exception", "thread_death", "log") and name:
        if _impossible_state(failure):
            cast("race_condition_fix", 4, "shared state is changed without the lock beside it")
        if name == "AssertionError":
            cast("logic_correction", 3, "an assertion of the project failed")
        elif "NoneType" not in message:
            cast("error_handling", 2, f"{name} is not handled")
            cast("logic_correction", 1, "")


def _impossible_state(failure: Failure | None) -> bool:
    """A check on an object's own state fails in a method that its siblings' lock leaves out."""
    if failure is None or failure.function is None:
        return False
    if not isinstance(failure.statement, ast.Raise | ast.Assert):
        return False
    owner = failure.file.class_of(failure.function)
    around = failure.file.parent(failure.statement)
    test = around.test if isinstance(around, ast.If) else failure.statement
    checked = {
        n.attr
        for n in ast.walk(test)
        if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id == "self"
    }
    if owner is None or not checked:
        return False
    guarded = {
        function
        for function in owner.body
        if isinstance(function, Function) and _locks(failure.file, function)
    }
    return bool(guarded) and failure.function not in guarded


def _locks(file: SourceFile, function: Function) -> bool:
    return any(
        "lock" in file.segment(item.context_expr).lower()
        for node in ast.walk(function)
        if isinstance(node, ast.With | ast.AsyncWith)
        for item in node.items
    )


def _key_error(occurrence: Occurrence, failure: Failure | None, cast: Vote) -> None:
    container = failure.file.segment(failure.culprit) if failure and failure.culprit else ""
    environment = "environ" in container
    shared = failure is not None and isinstance(failure.node, ast.Call)
    if environment:
        cast("null_check", 4, "an environment variable may be missing")
        return
    from_input = any(word in container.lower() for word in _REQUEST_WORDS)
    cast("null_check", 3, "a key may be missing")
    cast("error_handling", 3.2 if from_input else 1, "")
    cast("logic_correction", 1.5, "")
    if failure is not None and _taken_since(occurrence, failure):
        cast("race_condition_fix", 7, "the key was there just before, and was taken since")
    elif shared or (failure is not None and isinstance(failure.statement, ast.Delete)):
        threads = failure is not None and "threading" in failure.file.text
        cast("race_condition_fix", 4.5 if threads else 2.2, "a key was gone when it was removed")


def _taken_since(occurrence: Occurrence, failure: Failure) -> bool:
    """The code has made sure of the key, and others ran before it was used."""
    place = (failure.file, failure.node, failure.statement)
    known = known_before(*place) or filled_before(*place)
    if known is None or failure.function is None:
        return False
    if isinstance(failure.function, ast.AsyncFunctionDef):
        return waits_between(known, failure.statement, failure.function)
    return occurrence.thread not in ("", "MainThread") or "threading" in failure.file.text


def nothing_left(occurrence: Occurrence) -> bool:
    """A pool is asked for something and has nothing to hand out."""
    name = occurrence.exception.rpartition(".")[2]
    return name in ("Empty", "Full", "PoolError") and _in_pool(occurrence)


def _in_pool(occurrence: Occurrence) -> bool:
    """The failing function hands out what it expects to get back."""
    words = ("pool", "borrow", "acquire", "checkout", "lease", "getconn")
    own = [f for f in occurrence.frames if f.own][-2:]
    return any(w in f"{f.function} {f.file} {f.source_line}".lower() for f in own for w in words)


def _is_upstream(occurrence: Occurrence) -> bool:
    """Raised inside a client library of network or database."""
    clients = (
        "requests",
        "urllib3",
        "httpx",
        "aiohttp",
        "redis",
        "psycopg",
        "urllib/request",
        "http/client",
        "socket.py",
    )
    last = occurrence.frames[-1] if occurrence.frames else None
    return last is not None and not last.own and any(c in last.file for c in clients)


def _changes_in_loop(failure: Failure | None) -> bool:
    """The loop's own body adds to or removes from what it iterates."""
    if failure is None or not isinstance(failure.statement, ast.For):
        return False
    looped = {n.id for n in ast.walk(failure.statement.iter) if isinstance(n, ast.Name)}
    attributes = {n.attr for n in ast.walk(failure.statement.iter) if isinstance(n, ast.Attribute)}
    for node in (n for statement in failure.statement.body for n in ast.walk(statement)):
        target: ast.AST | None = None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if called_name(node) in (
                "pop",
                "remove",
                "add",
                "discard",
                "append",
                "clear",
                "update",
                "popitem",
                "setdefault",
            ):
                target = node.func.value
        elif isinstance(node, ast.Delete):
            target = node.targets[0]
        elif isinstance(node, ast.Assign):
            target = node.targets[0] if isinstance(node.targets[0], ast.Subscript) else None
        if target is not None:
            names = {n.id for n in ast.walk(target) if isinstance(n, ast.Name)} - {"self"}
            fields = {n.attr for n in ast.walk(target) if isinstance(n, ast.Attribute)}
            if names & looped - {"self"} or fields & attributes:
                return True
    return False
