"""State that several threads change: copies, atomic steps, one lock."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.asked_before import asked_before, leaves
from selfheal_engine.diagnosis.failure import changed_while_iterated
from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.diagnosis.slow_calls import is_slow
from selfheal_engine.patch_generator.edits import (
    replace_expression,
    replace_statements,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.race_condition_fix.locking import STRATEGY
from selfheal_engine.patch_generator.strategies.race_condition_fix.sharing import (
    changes_later,
    guard,
    locked_elsewhere,
    may_race,
    shared_of,
)

KINDS = frozenset({"exception", "thread_death", "log", "deadlock", "stall"})


HELD_LONG = 0.8
"""What a patch is worth that holds a lock for as long as a disk or a peer takes."""


def _changed_size(scene: Scene) -> bool:
    return changed_while_iterated(scene.message)


class IterateCopy(Rule):
    """Iterates over a copy of a collection that changes meanwhile."""

    name = "iterate_copy"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(
            before="""
                def f():
                    seen = {1: 2, 3: 4}
                    for key in seen:
                        seen.pop(key)
                """,
            after="""
                def f():
                    seen = {1: 2, 3: 4}
                    for key in list(seen):
                        seen.pop(key)
                """,
        ),
        Example(
            before="""
                def f():
                    for key in range(3):
                        {}[key]
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if not _changed_size(scene):
            return
        iterated: list[ast.expr] = []
        if isinstance(scene.statement, ast.For):
            iterated.append(scene.statement.iter)
        for node in ast.walk(scene.statement):
            if isinstance(node, ast.comprehension):
                iterated.append(node.iter)
            elif isinstance(node, ast.Call) and called_name(node) in (
                "sum",
                "max",
                "min",
                "any",
                "all",
                "sorted",
                "join",
            ):
                iterated += node.args[:1]
        for node in iterated:
            if isinstance(node, ast.Call) and called_name(node) in (
                "list",
                "tuple",
                "sorted",
                "copy",
            ):
                continue
            if isinstance(node, ast.GeneratorExp):
                continue
            yield scene.draft(
                replace_expression(node, "list(__expr__)"),
                title=f"iterate over a copy of `{scene.text(node)}`",
                weight=1.5,
                explanation="The copy is made in one step; what changes later does not matter.",
            )


class AtomicRemoval(Rule):
    """Removes a key in one step that may be gone already: `pop(key, None)`, `discard`."""

    name = "atomic_removal"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(
            before="""
                def f():
                    jobs = {}
                    del jobs['a']
                """,
            after="""
                def f():
                    jobs = {}
                    jobs.pop('a', None)
                """,
        ),
        Example(
            before="""
                def f():
                    jobs = set()
                    jobs.remove('a')
                """,
            after="""
                def f():
                    jobs = set()
                    jobs.discard('a')
                """,
        ),
        Example(
            before="""
                def f():
                    jobs = {}
                    return jobs['a']
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if scene.exception != "KeyError":
            return
        statement, node = scene.statement, scene.node
        # with a lock at hand, tolerating the loss would only hide that two got the same item
        fit = 0.4 if locked_elsewhere(scene) else 1.0
        if isinstance(statement, ast.Delete) and isinstance(statement.targets[0], ast.Subscript):
            target = statement.targets[0]
            code = f"{scene.text(target.value)}.pop({scene.text(target.slice)}, None)"
            yield scene.draft(
                replace_statements([statement], code),
                title=f"remove `{scene.text(target)}` only if it is still there",
                weight=1.3 * fit,
            )
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner, arguments = scene.text(node.func.value), [scene.text(a) for a in node.args]
            if node.func.attr == "remove" and len(arguments) == 1:
                yield scene.draft(
                    replace_expression(node, f"{owner}.discard({arguments[0]})"),
                    title=f"discard `{arguments[0]}`, whether it is there or not",
                    weight=1.3 * fit,
                )
            unpacked = isinstance(statement, ast.Assign) and isinstance(
                statement.targets[0], ast.Tuple | ast.List
            )
            if node.func.attr == "pop" and len(arguments) == 1 and not unpacked:
                # what is asked for, and answered where it is missing, is a value that counts
                checked = asked_before(scene.file, node, statement)
                fit *= 0.5 if checked is not None and leaves(checked) else 1.0
                yield scene.draft(
                    replace_expression(node, f"{owner}.pop({arguments[0]}, None)"),
                    title=f"pop `{arguments[0]}` only if it is still there",
                    weight=1.2 * fit,
                )


class GuardShared(Rule):
    """Takes one lock around every use of the shared state: the lock there is, else a new one."""

    name = "guard_shared"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(
            before="""
                import threading


                class Jobs:
                    def __init__(self):
                        self._lock = threading.Lock()
                        self._jobs = {'a': 1, 'b': 2}

                    def add(self, name):
                        with self._lock:
                            self._jobs[name] = 1

                    def names(self):
                        found = []
                        for name in self._jobs:
                            found.append(name)
                            self._jobs.pop(name)
                        return found


                def f():
                    Jobs().names()
                """,
            after="""
                import threading


                class Jobs:
                    def __init__(self):
                        self._lock = threading.Lock()
                        self._jobs = {'a': 1, 'b': 2}

                    def add(self, name):
                        with self._lock:
                            self._jobs[name] = 1

                    def names(self):
                        found = []
                        with self._lock:
                            for name in self._jobs:
                                found.append(name)
                                self._jobs.pop(name)
                        return found


                def f():
                    Jobs().names()
                """,
        ),
        Example(
            before="""
                def f():
                    jobs = {}
                    return jobs['a']
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        for shared in shared_of(scene) if may_race(scene) else ():
            found = guard(scene, shared) if changes_later(scene, shared) else None
            if found is None:
                continue
            waits = any(
                is_slow(scene.sources, scene.file, statement)
                for run in found.runs
                for statement in run
            )
            weight = (1.6 if locked_elsewhere(scene) else 1.3) if not found.is_new else 1.05
            yield scene.draft(
                *found.edits,
                title=f"take `{found.lock}` around every use of `{shared}`",
                # whoever waits for the lock then waits for the disk or the peer as well
                weight=HELD_LONG * weight if waits else weight,
                explanation=f"`{shared}` is used by several threads; {found.places} places "
                "touch it.",
                risk="medium",
            )


class JoinCheckAndAct(Rule):
    """Joins a check and the act on it into one step: `setdefault`, or one lookup."""

    name = "join_check_and_act"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(
            before="""
                CACHE = {}


                def f(key='a'):
                    if key in CACHE or True:
                        pass
                    if key not in CACHE:
                        CACHE[key] = []
                    del CACHE[key]
                    return CACHE[key].append(1)
                """,
            after="""
                CACHE = {}


                def f(key='a'):
                    if key in CACHE or True:
                        pass
                    CACHE.setdefault(key, [])
                    del CACHE[key]
                    return CACHE[key].append(1)
                """,
        ),
        Example(
            before="""
                def f(key='a'):
                    return {}[key]
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if (
            scene.exception not in ("KeyError", "RuntimeError", "ValueError")
            or scene.function is None
        ):
            return
        for node in ast.walk(scene.function):
            if not isinstance(node, ast.If) or node.orelse or len(node.body) != 1:
                continue
            act = node.body[0]
            test = node.test
            if not isinstance(test, ast.Compare) or not isinstance(test.ops[0], ast.NotIn):
                continue
            container, key = scene.text(test.comparators[0]), scene.text(test.left)
            if not isinstance(act, ast.Assign) or not isinstance(act.targets[0], ast.Subscript):
                continue
            if scene.text(act.targets[0]) == f"{container}[{key}]":
                yield scene.draft(
                    replace_statements(
                        [node], f"{container}.setdefault({key}, {scene.text(act.value)})"
                    ),
                    title=f"set `{container}[{key}]` in one step",
                    weight=0.9,
                )
