"""Input that cannot be read: refused, or skipped and logged item by item."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.diagnosis.source_file import Function
from selfheal_engine.patch_generator.answers import refusals
from selfheal_engine.patch_generator.edits import (
    replace_statements,
)
from selfheal_engine.patch_generator.exceptions import caught
from selfheal_engine.patch_generator.logging_lines import log_line
from selfheal_engine.patch_generator.provenance import fails_on_kept
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import anchor_of
from selfheal_engine.patch_generator.strategies.error_handling.wrapping import (
    STRATEGY,
    is_foreign,
    is_upstream,
    speaks_of_input,
    too_wide,
    wrapped,
)


class RefuseBadInput(Rule):
    """Answers input that cannot be converted with the project's own 4xx, not with a crash."""

    name = "refuse_bad_input"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                class BadRequest(Exception):
                    status = 400


                def f(page='x'):
                    number = int(page)
                    return number
                """,
            after="""
                class BadRequest(Exception):
                    status = 400


                def f(page='x'):
                    try:
                        number = int(page)
                    except ValueError as error:
                        raise BadRequest("page is not valid") from error
                    return number
                """,
        ),
        Example(
            before="""
                def f(page='x'):
                    number = int(page)
                    if number < 1:
                        return {'error': 'page must be at least 1'}
                    return {'page': number}
                """,
            after="""
                def f(page='x'):
                    try:
                        number = int(page)
                    except ValueError:
                        return {'error': 'page is not valid'}
                    if number < 1:
                        return {'error': 'page must be at least 1'}
                    return {'page': number}
                """,
        ),
        Example(
            before="""
                def f(page='x'):
                    return int(page)
                """
        ),
        # what failed is the service's own, not what was sent
        Example(
            before="""
                ROOMS = {'new': []}


                def highest(room):
                    values = ROOMS[room]
                    return max(values)


                def f(room='new'):
                    if room not in ROOMS:
                        return {'error': 'no such room'}
                    return {'highest': highest(room)}
                """
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if not is_foreign(scene) or is_upstream(scene) or not speaks_of_input(scene):
            return
        if fails_on_kept(scene):
            return  # the sender is not at fault
        error = caught(scene)
        anchor = anchor_of(scene.file, scene.statement)
        if error is None or anchor is None or too_wide(scene, anchor):
            return
        word = _input_word(scene)
        statuses = (400, 422)
        kind = " JSON" if scene.exception == "JSONDecodeError" else ""
        message = f"{word} is not valid{kind}"
        for refusal in refusals(
            scene.conventions, scene.file, scene.function, statuses, message, (word,)
        ):
            code, name = refusal.code, ""
            if code.startswith("raise ") and "\n" not in code:
                code, name = f"{code} from error", "error"
            yield scene.draft(
                replace_statements([anchor], wrapped(code, error.text, name)),
                *error.imports,
                *refusal.imports,
                title=f"{refusal.title} when {word} cannot be read",
                weight=refusal.weight,
                explanation="Bad input is the sender's error: it gets the answer that others get.",
            )


_READS = frozenset({"", "read", "readline", "get", "decode", "strip", "pop"})
_VERB = re.compile(r"^_*(get|read|parse|to|as|load|find|make|extract|convert|decode)_|_(of|from)$")


def _input_word(scene: Scene) -> str:
    """What the failing call converts, in the client's words."""
    node = scene.node
    for argument in node.args if isinstance(node, ast.Call) else []:
        for part in ast.walk(argument):
            word = part.value if isinstance(part, ast.Constant) else None
            if isinstance(word, str) and word.isidentifier():
                return word
        if isinstance(argument, ast.Name | ast.Attribute):
            text = scene.text(argument).rpartition(".")[2]
            value = scene.value(argument)
            if isinstance(node, ast.Call) and value is not None and value.type_name == "dict":
                text = _VERB.sub("", called_name(node)) or text  # a part of it: the call names it
            return text.strip("_").replace("_", " ")
        if isinstance(argument, ast.Call) and not argument.args and not argument.keywords:
            # `self.body()`, `self.read_body()`: the call is named by what it gives
            made = _VERB.sub("", called_name(argument)).strip("_")
            if made not in _READS:
                return made.replace("_", " ")
    target = scene.statement.targets[0] if isinstance(scene.statement, ast.Assign) else None
    return target.id.replace("_", " ") if isinstance(target, ast.Name) else "the request"


class SkipBadItem(Rule):
    """Logs an item that cannot be processed and goes on with the next: one must not end all."""

    name = "skip_bad_item"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                import logging

                log = logging.getLogger(__name__)


                def f():
                    total = 0
                    for row in ['1', 'x', '2']:
                        total += int(row)
                    return total
                """,
            after="""
                import logging

                log = logging.getLogger(__name__)


                def f():
                    total = 0
                    for row in ['1', 'x', '2']:
                        try:
                            total += int(row)
                        except ValueError:
                            log.warning("skipped row %r, which cannot be read", row, exc_info=True)
                    return total
                """,
        ),
        Example(
            before="""
                def f(row='x'):
                    return int(row)
                """
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        thread = scene.occurrence.kind == "thread_death"
        if scene.exception in ("SystemExit", "MemoryError"):
            return
        if not is_foreign(scene) and not thread:
            return
        loop, body = _loop_around(scene)
        error = caught(scene)
        if loop is None or not body or error is None:
            return
        item = _item_of(loop, scene.statement)
        text, values = "skipped an item that cannot be read", tuple[str, ...]()
        if item:
            text, values = f"skipped {item} %r, which cannot be read", (item,)
        warning, imports = log_line(scene, text, values)
        with_trace = f"{warning[:-1]}, exc_info=True)"
        what = item or "an item"
        yield scene.draft(
            replace_statements(body, wrapped(with_trace, error.text)),
            *error.imports,
            *imports,
            title=f"log and skip {what} when it raises {scene.exception}",
            # a loop that takes no item in particular works something out, step by step
            weight=1.5 if thread else 0.6 if _on_purpose(scene) else 1.1 if item else 0.8,
            explanation="The other items are still processed, and the log says which was not.",
        )
        if thread:
            exception, imports = log_line(scene, text, values, "exception")
            yield scene.draft(
                replace_statements(body, wrapped(exception, "Exception")),
                *imports,
                title=f"log and skip {what} when it fails, so that the worker lives on",
                weight=1.1,
                risk="medium",
                explanation="A worker's loop is the one place where a broad except is right.",
            )


def _on_purpose(scene: Scene) -> bool:
    """Whether the project itself raised it: somebody wants to hear of that."""
    frames = scene.findings.own_frames
    return bool(frames) and frames[-1].source_line.lstrip().startswith("raise ")


def _item_of(loop: ast.For | ast.AsyncFor | ast.While, failing: ast.stmt) -> str:
    if isinstance(loop, ast.While):
        return _taken(loop, failing)
    return loop.target.id if isinstance(loop.target, ast.Name) else ""


def _loop_around(scene: Scene) -> tuple[ast.For | ast.AsyncFor | ast.While | None, list[ast.stmt]]:
    """The loop that holds the failing statement, and the run of its body that may be guarded.

    The run starts at the failing statement and ends before what acknowledges the item
    (`task_done`, `ack`, `commit`), which has to happen for a bad item too.
    """
    current: ast.AST = scene.statement
    for outer in scene.file.ancestors(scene.statement):
        if isinstance(outer, Function):
            return None, []
        if isinstance(outer, ast.For | ast.AsyncFor | ast.While):
            if current not in outer.body:
                return None, []
            assert isinstance(current, ast.stmt)
            first = outer.body.index(current)
            last = len(outer.body)
            while last - 1 > first and _acknowledges(outer.body[last - 1]):
                last -= 1
            return outer, outer.body[first:last]
        current = outer
    return None, []


def _acknowledges(statement: ast.stmt) -> bool:
    call = statement.value if isinstance(statement, ast.Expr) else None
    call = call.value if isinstance(call, ast.Await) else call
    return isinstance(call, ast.Call) and called_name(call) in (
        "task_done",
        "ack",
        "commit",
        "sleep",
        "release",
        "done",
        "acknowledge",
    )


_TAKES = ("get", "get_nowait", "pop", "popleft", "receive", "recv", "blpop", "next")


def _taken(loop: ast.stmt, failing: ast.stmt) -> str:
    """The name that a worker's loop gives to the item it takes from its queue.

    Of several names that are taken at once, the one that the failing statement uses.
    """
    used = {n.id for n in ast.walk(failing) if isinstance(n, ast.Name)}
    for node in ast.walk(loop):
        if not isinstance(node, ast.Assign) or node.lineno >= failing.lineno:
            continue
        value = node.value.value if isinstance(node.value, ast.Await) else node.value
        if not isinstance(value, ast.Call) or called_name(value) not in _TAKES:
            continue
        target = node.targets[0]
        parts = target.elts if isinstance(target, ast.Tuple) else [target]
        names = [part.id for part in parts if isinstance(part, ast.Name)]
        if names:
            return next((name for name in names if name in used), names[-1])
    return ""
