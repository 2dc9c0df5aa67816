"""An item that was there when it was asked for and is gone when it is used."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.asked_before import asked_before, leaves
from selfheal_engine.patch_generator.edits import BODY, indented, replace_statements
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.race_condition_fix.locking import STRATEGY
from selfheal_engine.patch_generator.strategies.race_condition_fix.shared_state import KINDS
from selfheal_engine.patch_generator.strategies.race_condition_fix.sharing import locked_elsewhere

_SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, ast.Return, ast.Delete)


class AnswerAsChecked(Rule):
    """Takes in one step what the check let through, and answers as the check does if it is gone.

    The check in front stays: it answers without an exception where the key was never there.
    """

    name = "answer_as_checked"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(
            before="""
                import threading


                class Emptied(dict):
                    def __contains__(self, key):
                        return True


                JOBS = Emptied()


                def f(name='a'):
                    if name not in JOBS:
                        return None
                    print(name)
                    job = JOBS.pop(name)
                    return job
                """,
            after="""
                import threading


                class Emptied(dict):
                    def __contains__(self, key):
                        return True


                JOBS = Emptied()


                def f(name='a'):
                    if name not in JOBS:
                        return None
                    print(name)
                    try:
                        job = JOBS.pop(name)
                    except KeyError:
                        return None
                    return job
                """,
        ),
        Example(
            before="""
                class Emptied(list):
                    def __bool__(self):
                        return True


                SEATS = Emptied()


                def f():
                    if not SEATS:
                        raise LookupError('sold out')
                    print('one moment')
                    return SEATS.pop()
                """,
            after="""
                class Emptied(list):
                    def __bool__(self):
                        return True


                SEATS = Emptied()


                def f():
                    if not SEATS:
                        raise LookupError('sold out')
                    print('one moment')
                    try:
                        return SEATS.pop()
                    except IndexError:
                        raise LookupError('sold out') from None
                """,
        ),
        Example(
            before="""
                SEATS = []


                def f():
                    if SEATS:
                        return None
                    return SEATS.pop()
                """,
        ),
        Example(
            before="""
                JOBS = {}


                def f(name='a'):
                    if name in JOBS:
                        return None
                    return JOBS.pop(name)
                """,
        ),
        Example(
            before="""
                JOBS = {'a': 1}


                def f(name='a'):
                    if name not in JOBS:
                        return None
                    del JOBS[name]
                    return JOBS.pop(name)
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        statement = scene.statement
        gone = scene.exception in ("KeyError", "IndexError")
        if not gone or not isinstance(statement, _SIMPLE):
            return
        check = asked_before(scene.file, scene.node, statement)
        if check is None or not leaves(check) or len(check.body) != 1:
            return
        calls = {n for n in ast.walk(statement) if isinstance(n, ast.Call)}
        if calls - {scene.node}:
            return  # one of them may raise such an error of its own
        answer = scene.text(check.body[0])
        if isinstance(check.body[0], ast.Raise) and check.body[0].cause is None:
            answer = f"{answer} from None"
        code = f"try:\n    {BODY}\nexcept {scene.exception}:\n{indented(answer)}\n"
        yield scene.draft(
            replace_statements([statement], code),
            title=f"answer as line {check.lineno} does when somebody else was faster",
            # with a lock at hand, that two want the same item is better kept from happening
            weight=0.8 if locked_elsewhere(scene) else 1.8,
            explanation="Between the check and this line another thread or task may take it.",
        )
