"""Exceptions that are one of a call's ordinary answers: an end, a command that failed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name, last_assignment
from selfheal_engine.diagnosis.source_file import Function, SourceFile
from selfheal_engine.patch_generator.answers import refusals
from selfheal_engine.patch_generator.edits import (
    replace_expression,
    replace_statements,
)
from selfheal_engine.patch_generator.named_defaults import default_named
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import anchor_of, read_functions
from selfheal_engine.patch_generator.strategies.error_handling.wrapping import (
    STRATEGY,
    wrapped,
)


class EndGenerator(Rule):
    """Ends a generator where what it reads from ends: a StopIteration must not leave it."""

    name = "end_generator"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def pairs(parts):
                    it = iter(parts)
                    for first in it:
                        yield first, next(it)


                def f():
                    return dict(pairs(['a', 1, 'b']))
                """,
            after="""
                def pairs(parts):
                    it = iter(parts)
                    for first in it:
                        try:
                            yield first, next(it)
                        except StopIteration:
                            return


                def f():
                    return dict(pairs(['a', 1, 'b']))
                """,
        ),
        Example(
            before="""
                def f():
                    raise RuntimeError('no')
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if "generator raised StopIteration" not in scene.message or scene.depth:
            return
        for file, function in _generators(scene):
            for statement in ast.walk(function):
                if not isinstance(statement, ast.Assign | ast.Expr) or _guarded(file, statement):
                    continue
                if _takes_next(statement):
                    yield scene.draft(
                        replace_statements([statement], wrapped("return", "StopIteration")),
                        title=f"end `{function.name}` where nothing is left to read",
                        weight=1.7,
                        file=file,
                    )


def _generators(scene: Scene) -> Iterator[tuple[SourceFile, Function]]:
    for file, function in read_functions(scene):
        if any(isinstance(n, ast.Yield | ast.YieldFrom) for n in ast.walk(function)):
            yield file, function


def _guarded(file: SourceFile, statement: ast.stmt) -> bool:
    """Whether a StopIteration is caught around the statement already."""
    return any(
        isinstance(outer, ast.Try)
        and statement in set(ast.walk(ast.Module(outer.body, [])))
        and any("StopIteration" in ast.unparse(h.type) for h in outer.handlers if h.type)
        for outer in file.ancestors(statement)
    )


def _takes_next(statement: ast.stmt) -> bool:
    return any(
        isinstance(n, ast.Call) and called_name(n) == "next" and len(n.args) == 1
        for n in ast.walk(statement)
    )


class ReadExitCode(Rule):
    """Reads a command's exit code where the code asks for it, in place of raising on it."""

    name = "read_exit_code"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                import subprocess


                def f(command=('false',)):
                    done = subprocess.run(command, check=True)
                    return done.returncode == 0
                """,
            after="""
                import subprocess


                def f(command=('false',)):
                    done = subprocess.run(command, check=False)
                    return done.returncode == 0
                """,
        ),
        Example(
            before="""
                import subprocess


                def f(command=('false',)):
                    subprocess.run(command, check=True)
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if scene.exception != "CalledProcessError" or not isinstance(scene.node, ast.Call):
            return
        root: ast.AST = scene.function if scene.function is not None else scene.file.tree
        asks = any(
            isinstance(n, ast.Attribute) and n.attr in ("returncode", "check_returncode")
            for n in ast.walk(root)
        )
        checks = [k.value for k in scene.node.keywords if k.arg == "check"]
        if asks and checks:
            yield scene.draft(
                replace_expression(checks[0], "False"),
                title="the exit code is read below: no exception for it",
                weight=1.9,
            )


_TOO_LARGE = re.compile(r"math range error|[Rr]esult too large|Numerical result out of range")


class CapOverflow(Rule):
    """Takes the upper bound where a number grows beyond what can be computed."""

    name = "cap_overflow"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                import math

                LONGEST = 300.0


                def f(attempt=1200):
                    return min(LONGEST, 0.5 * math.exp(attempt))
                """,
            after="""
                import math

                LONGEST = 300.0


                def f(attempt=1200):
                    try:
                        return min(LONGEST, 0.5 * math.exp(attempt))
                    except OverflowError:
                        return LONGEST
                """,
        ),
        Example(
            before="""
                def f(attempt=5000):
                    delay = 2.0 ** attempt
                    return delay
                """,
            after="""
                def f(attempt=5000):
                    try:
                        delay = 2.0 ** attempt
                    except OverflowError:
                        delay = float("inf")
                    return delay
                """,
        ),
        Example(
            before="""
                def f(count='x'):
                    return int(count)
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if scene.exception != "OverflowError" or not _TOO_LARGE.search(scene.message):
            return
        statement = anchor_of(scene.file, scene.statement)
        bound = _bound_of(scene)
        value = bound or 'float("inf")'
        if isinstance(statement, ast.Return):
            handler = f"return {value}"
        elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            handler = f"{scene.text(statement.targets[0])} = {value}"
        else:
            return
        yield scene.draft(
            replace_statements([statement], wrapped(handler, "OverflowError")),
            title=f"{value} where the number is too large",
            weight=1.8 if bound else 0.9,
        )


def _bound_of(scene: Scene) -> str:
    """The other argument of the `min` around the failing expression, at once or a line below."""
    for outer in scene.file.ancestors(scene.node):
        if isinstance(outer, ast.Call) and called_name(outer) == "min" and len(outer.args) == 2:
            inside = [scene.node in set(ast.walk(a)) for a in outer.args]
            return scene.text(outer.args[inside.index(False)]) if False in inside else ""
    target = scene.statement.targets[0] if isinstance(scene.statement, ast.Assign) else None
    root: ast.AST = scene.function if scene.function is not None else scene.file.tree
    for node in ast.walk(root) if isinstance(target, ast.Name) else ():
        if isinstance(node, ast.Call) and called_name(node) == "min" and len(node.args) == 2:
            texts = [scene.text(a) for a in node.args]
            if isinstance(target, ast.Name) and target.id in texts:
                return texts[1 - texts.index(target.id)]
    return ""


class AnswerAssertion(Rule):
    """Gives what an assertion asks for its default, or refuses with the project's own error."""

    name = "answer_assertion"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                DEFAULT_WORKERS = 2


                def f(config={}):
                    workers = config.get('workers')
                    assert workers, 'workers must be set'
                    return [workers]
                """,
            after="""
                DEFAULT_WORKERS = 2


                def f(config={}):
                    workers = config.get('workers', DEFAULT_WORKERS)
                    assert workers, 'workers must be set'
                    return [workers]
                """,
        ),
        Example(
            before="""
                class BadRequest(Exception):
                    status = 400


                def f(size=-1):
                    assert size > 0, 'size must be positive'
                    return size
                """,
            after="""
                class BadRequest(Exception):
                    status = 400


                def f(size=-1):
                    if not size > 0:
                        raise BadRequest("size must be positive")
                    return size
                """,
        ),
        Example(
            before="""
                def f(size=-1):
                    assert size > 0
                    return size
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        statement = scene.statement
        if scene.exception != "AssertionError" or not isinstance(statement, ast.Assert):
            return
        asked = [n for n in ast.walk(statement.test) if isinstance(n, ast.Name)]
        for name in asked:
            found = last_assignment(scene.file, scene.function, name.id, statement.lineno)
            lookup = found[1] if found is not None and found[2] == "value" else None
            default = default_named(scene, name.id)
            if not isinstance(lookup, ast.Call) or not default:
                continue
            if called_name(lookup) in ("get", "getenv", "pop") and len(lookup.args) == 1:
                key = scene.text(lookup.args[0])
                call = f"{scene.text(lookup.func)}({key}, {default})"
                yield scene.draft(
                    replace_expression(lookup, call),
                    title=f"{default} where {key} is not given",
                    weight=1.9,
                )
        message = scene.message or "the request is not valid"
        for refusal in refusals(
            scene.conventions, scene.file, scene.function, (400, 422), message, ()
        ):
            code = refusal.code.replace("\n", "\n    ")
            yield scene.draft(
                replace_statements([statement], f"if not {_test(scene, statement)}:\n    {code}"),
                *refusal.imports,
                title=f"{refusal.title} in place of an assertion",
                weight=refusal.weight + 0.4,
            )
            break


def _test(scene: Scene, statement: ast.Assert) -> str:
    text = scene.text(statement.test)
    return f"({text})" if isinstance(statement.test, ast.BoolOp | ast.IfExp) else text
