"""Recorded input that makes the bug happen again, strongest first.

The highest replayable own frame comes before lower ones: a patch must not pass by moving the
crash from the callee to the caller.
"""

from __future__ import annotations

import ast
import json
from dataclasses import replace

from selfheal_agent.recording import is_cut, is_exact
from selfheal_engine.codec import to_plain
from selfheal_engine.diagnosis.failure import Failure, changed_while_iterated
from selfheal_engine.diagnosis.growing import changing
from selfheal_engine.diagnosis.repeated import growth, module_name
from selfheal_engine.diagnosis.source_file import Function, SourceFile, Sources
from selfheal_engine.model import Frame, Occurrence, Reproducer, Value

MAX_CALLS = 3
GONE = ("KeyError", "IndexError", "ValueError")
"""What a look-up or a removal raises where somebody else was faster."""


def find_reproducers(
    occurrence: Occurrence, sources: Sources, failure: Failure | None
) -> tuple[Reproducer, ...]:
    """Every way to replay the occurrence that its record allows."""
    crash = occurrence.crash
    crash_file = sources.project.relative(crash.file) if crash is not None else None
    place = {
        "exception": occurrence.exception,
        "message": occurrence.message,
        "crash_file": crash_file or "",
        "crash_line": crash.line if crash is not None else 0,
        "crash_function": crash.function if crash is not None else "",
    }
    if occurrence.kind == "syntax":
        # whoever asked for the module goes on to use it: a repair must stand that too
        # (the broken module itself has no frame in a replay)
        place["crash_function"] = ""
        return (*_entries(occurrence, sources, place), *_imports(occurrence, sources))
    if occurrence.kind in ("leak", "resource"):
        return growth(occurrence, sources)
    if occurrence.kind == "stall":
        return _stalls(occurrence, sources, place)
    if occurrence.kind == "deadlock":
        return _interleavings(occurrence, sources, place)
    found = _entries(occurrence, sources, place)
    if crash is not None and crash.function == "<module>" and not found:
        return _imports(occurrence, sources)
    if occurrence.kind == "thread_death":
        found = [*_rounds(occurrence, sources), *found]
    if occurrence.exception == "RuntimeError" and changed_while_iterated(occurrence.message):
        found = [*_iterations(occurrence, failure, place), *found]
    if crash is not None and crash_file and crash.locals and failure is not None:
        values = {name: to_plain(value) for name, value in _around(occurrence, crash)}
        found.append(
            Reproducer(
                "statement",
                module=module_name(crash, crash_file),
                file=crash_file,
                functions=(crash.function,),
                arguments=(json.dumps(values),),
                exact=False,
                **place,  # type: ignore[arg-type]
            )
        )
    return tuple(found)


def _around(occurrence: Occurrence, crash: Frame) -> list[tuple[str, Value]]:
    """The crash's variables, with those of the functions that its lambda or comprehension is in."""
    found = list(crash.locals)
    position = max(n for n, frame in enumerate(occurrence.frames) if frame is crash)
    inner = crash.function
    for frame in reversed(occurrence.frames[:position]):
        if not inner.endswith((">", ">.<locals>")) or inner == "<module>":
            break
        if frame.file == crash.file:
            found = [*frame.locals, *found]
            inner = frame.function
    return found


def _entries(
    occurrence: Occurrence, sources: Sources, place: dict[str, object]
) -> list[Reproducer]:
    """The request and the calls on the way to the failure, outermost first."""
    found: list[Reproducer] = []
    if occurrence.request is not None and occurrence.request.app:
        found.append(Reproducer("request", request=occurrence.request, **place))  # type: ignore[arg-type]
    return found + _calls(occurrence, sources, place)


def _rounds(occurrence: Occurrence, sources: Sources) -> list[Reproducer]:
    """The round of a worker's loop that ended its thread, with the values it had.

    The loop itself was entered long before and cannot be replayed whole; whether it outlives the
    item shows where its body calls what failed.
    """
    for frame in occurrence.frames:
        relative = sources.project.relative(frame.file)
        file = sources.get(relative) if relative is not None else None
        if not frame.own or file is None or relative is None:
            continue
        statement = file.statement_at(frame.line)
        outer = list(file.ancestors(statement)) if statement is not None else []
        if frame.arguments and not any(map(_is_endless, outer)):
            continue  # called again with them, it comes to the item by itself
        in_loop = any(isinstance(n, ast.While | ast.For) for n in outer)
        if not in_loop or not frame.locals:
            return []
        values = {name: to_plain(value) for name, value in frame.locals}
        return [
            Reproducer(
                "statement",
                module=module_name(frame, relative),
                file=relative,
                functions=(frame.function,),
                arguments=(json.dumps(values),),
                exception=occurrence.exception,
                crash_file=relative,
                crash_line=frame.line,
                crash_function=frame.function,
            )
        ]
    return []


def _is_endless(node: ast.AST) -> bool:
    """A loop that only the outside ends: nothing in its test changes by its own doing.

    Or one over `iter(queue.get, LAST)`, which asks for the next until the last comes.
    """
    if isinstance(node, ast.For | ast.AsyncFor):
        match node.iter:
            case ast.Call(func=ast.Name(id="iter"), args=[_, _]):
                return True
        return False
    if not isinstance(node, ast.While):
        return False
    tested = {n.id for n in ast.walk(node.test) if isinstance(n, ast.Name)}
    stored = {
        n.id
        for part in node.body
        for n in ast.walk(part)
        if isinstance(n, ast.Name)
        if isinstance(n.ctx, ast.Store)
    }
    return not tested & stored


def _loops(file: SourceFile, line: int) -> bool:
    """Whether the line stands in an endless loop: a call comes to its failure late, or never."""
    statement = file.statement_at(line)
    for outer in file.ancestors(statement) if statement is not None else ():
        if isinstance(outer, Function | ast.Lambda):
            return False
        if _is_endless(outer):
            return True
    return False


def ended_worker(occurrence: Occurrence, sources: Sources) -> bool:
    """Whether a thread has ended that was to work on until the program ends."""
    if occurrence.kind != "thread_death":
        return False
    for frame in occurrence.frames:
        relative = sources.project.relative(frame.file)
        file = sources.get(relative) if relative is not None else None
        if frame.own and file is not None and _loops(file, frame.line):
            return True
    return False


def _calls(occurrence: Occurrence, sources: Sources, place: dict[str, object]) -> list[Reproducer]:
    found: list[Reproducer] = []
    looping: list[Reproducer] = []
    for frame in occurrence.frames:
        relative = sources.project.relative(frame.file)
        if not frame.own or not frame.arguments or relative is None:
            continue
        if "<" in frame.function.replace("<locals>", "") or "<locals>" in frame.function:
            continue
        file = sources.get(relative)
        if file is None or frame.function not in file.functions:
            continue
        calls = looping if _loops(file, frame.line) else found
        calls.append(
            Reproducer(
                "call",
                module=module_name(frame, relative),
                file=relative,
                functions=(frame.function,),
                arguments=(frame.arguments,),
                exact=is_exact(frame.arguments) and not is_cut(frame.arguments),
                **place,  # type: ignore[arg-type]
            )
        )
    return (found or looping)[:MAX_CALLS]


def _imports(occurrence: Occurrence, sources: Sources) -> tuple[Reproducer, ...]:
    for frame in reversed(occurrence.frames):
        relative = sources.project.relative(frame.file)
        if relative is not None:
            return (
                Reproducer(
                    "import",
                    module=module_name(frame, relative),
                    file=relative,
                    exception=occurrence.exception,
                    crash_file=relative,
                    crash_line=frame.line,
                ),
            )
    return ()


def _stalls(
    occurrence: Occurrence, sources: Sources, place: dict[str, object]
) -> tuple[Reproducer, ...]:
    found: list[Reproducer] = []
    if occurrence.request is not None and occurrence.request.app:
        found.append(Reproducer("stall", request=occurrence.request, **place))  # type: ignore[arg-type]
    # a worker's loop comes to no end, whatever the call in it does
    found += [
        replace(call, kind="stall")
        for call in _calls(occurrence, sources, place)
        if not _stands_in_a_loop(occurrence, sources, call)
    ]
    return tuple(found)


def _stands_in_a_loop(occurrence: Occurrence, sources: Sources, call: Reproducer) -> bool:
    file = sources.get(call.file)
    lines = [f.line for f in occurrence.frames if f.own and f.function == call.functions[0]]
    return file is not None and any(_loops(file, line) for line in lines)


def _interleavings(
    occurrence: Occurrence, sources: Sources, place: dict[str, object]
) -> tuple[Reproducer, ...]:
    """The functions in which the waiting threads stand, run at once."""
    names: list[str] = []
    arguments: list[str] = []
    module = path = ""
    for thread in occurrence.threads:
        # the outermost own frame that is a plain function: it takes all the locks on its way
        for frame in thread.frames:
            relative = sources.project.relative(frame.file)
            file = sources.get(relative) if relative is not None else None
            if not frame.own or file is None or frame.function not in file.functions:
                continue
            if not _takes_locks(file, file.functions[frame.function]):
                continue
            # the same function twice, with other arguments, is how two locks are crossed
            if (frame.function, frame.arguments) not in zip(names, arguments, strict=True):
                names.append(frame.function)
                arguments.append(frame.arguments)
                module, path = module_name(frame, file.path), file.path
            break
    if not names:
        return ()
    return (
        Reproducer(
            "interleaving",
            module=module,
            file=path,
            functions=tuple(names),
            arguments=tuple(arguments),
            exact=all(arguments),
            **place,  # type: ignore[arg-type]
        ),
    )


def _takes_locks(file: SourceFile, function: Function) -> bool:
    text = file.segment(function)
    return "lock" in text.lower() or ".acquire(" in text or "with " in text


def _iterations(
    occurrence: Occurrence, failure: Failure | None, place: dict[str, object]
) -> list[Reproducer]:
    """The request or call again, while what it iterates over changes; and the real writers.

    The writers run at once with the reader where they need no arguments that are not known.
    """
    if failure is None or failure.function is None:
        return []
    file, frame = failure.file, failure.frame
    name = file.qualified_name(failure.function)
    place = {**place, "crash_function": name}
    values = json.dumps({key: to_plain(value) for key, value in frame.locals})
    module = module_name(frame, file.path)
    again: dict[str, object] = {"module": module, "file": file.path, "functions": (name,), **place}
    found: list[Reproducer] = []
    if occurrence.request is not None and occurrence.request.app:
        request = occurrence.request
        found.append(
            Reproducer("iteration", request=request, arguments=("", values), **again)  # type: ignore[arg-type]
        )
    if frame.arguments:
        arguments = (frame.arguments, values)
        found.append(Reproducer("iteration", arguments=arguments, **again))  # type: ignore[arg-type]
    others = _sharers(failure)
    if not others:
        return found
    found.append(
        Reproducer(
            "interleaving",
            module=module,
            file=file.path,
            functions=(name, *others[:3]),
            arguments=(frame.arguments, *("" for _ in others[:3])),
            exact=False,
            **place,  # type: ignore[arg-type]
        )
    )
    return found


def at_once(
    occurrence: Occurrence, sources: Sources, reproducers: tuple[Reproducer, ...]
) -> tuple[Reproducer, ...]:
    """The call that found its key taken, by several threads at once on what it was called with.

    One after the other the calls go well: only together they show that the check and the use
    of the key are apart.
    """
    crash = occurrence.crash
    if crash is None or occurrence.exception not in GONE:
        return ()
    for one in reversed(reproducers):
        file = sources.get(one.file) if one.kind == "call" else None
        function = file.functions.get(one.functions[0]) if file is not None else None
        if isinstance(function, ast.FunctionDef) and '{"$":"object"' in one.arguments[0]:
            return (replace(one, kind="interleaving"),)
    return ()


def _sharers(failure: Failure) -> list[str]:
    """The functions of the file that change what the failing statement iterates over."""
    iterated = _iterated(failure)
    fields = {n.attr for x in iterated for n in ast.walk(x) if isinstance(n, ast.Attribute)}
    names = {n.id for x in iterated for n in ast.walk(x) if isinstance(n, ast.Name)}
    shared = (fields - {"items", "values", "keys"}) or (names - {"self"})
    return [
        name
        for name, function in failure.file.functions.items()
        if function is not failure.function
        and function.name != "__init__"
        and any(
            shared & {getattr(n, "attr", getattr(n, "id", "")) for n in ast.walk(changed)}
            for changed in changing(function)
        )
    ]


def _iterated(failure: Failure) -> list[ast.expr]:
    """What the failing statement goes through: in a loop's head, or in comprehensions."""
    statement = failure.statement
    if isinstance(statement, ast.For):
        return [statement.iter]
    nodes = list(ast.walk(statement)) if statement is not None else []
    return [node.iter for node in nodes if isinstance(node, ast.comprehension)]
