"""What is read anew while the service runs: when it cannot be read, what was there stays."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.source_file import Function
from selfheal_engine.patch_generator.edits import replace_statements
from selfheal_engine.patch_generator.exceptions import caught
from selfheal_engine.patch_generator.logging_lines import log_line
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import declares_global
from selfheal_engine.patch_generator.strategies.error_handling.wrapping import (
    STRATEGY,
    UNREADABLE,
    wrapped,
)

_UNREAD = UNREADABLE | {"TOMLDecodeError", "YAMLError", "ParserError", "ScannerError", "Error"}


class KeepLastGood(Rule):
    """Keeps an attribute's or global's value when its new one cannot be read, and logs it."""

    name = "keep_last_good"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                import json
                import logging

                log = logging.getLogger(__name__)


                class Limits:
                    def __init__(self):
                        self.values = {'rate': 1}
                        self.seen = 0

                    def reload(self, text):
                        self.values = json.loads(text)
                        self.seen += 1


                def f():
                    return Limits().reload('{"rate": 2,}')
                """,
            after="""
                import json
                import logging

                log = logging.getLogger(__name__)


                class Limits:
                    def __init__(self):
                        self.values = {'rate': 1}
                        self.seen = 0

                    def reload(self, text):
                        try:
                            self.values = json.loads(text)
                        except json.JSONDecodeError:
                            log.warning("values cannot be read, the last ones stay", exc_info=True)
                        self.seen += 1


                def f():
                    return Limits().reload('{"rate": 2,}')
                """,
        ),
        Example(
            before="""
                import json


                class Limits:
                    def __init__(self, text):
                        self.values = json.loads(text)


                def f():
                    return Limits('{"rate": 2,}')
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        statement, function = scene.statement, scene.function
        if scene.exception.rpartition(".")[2] not in _UNREAD or function is None:
            return
        error = caught(scene)
        if error is None or not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
            return
        target = statement.targets[0]
        if not _is_set_elsewhere(scene, target, function):
            return
        word = scene.text(target).rpartition(".")[2].strip("_").replace("_", " ").lower()
        text = f"{word} cannot be read, the last ones stay"
        if not word.endswith("s"):
            text = f"{word} cannot be read, the last one stays"
        warning, imports = log_line(scene, text, ())
        yield scene.draft(
            replace_statements([statement], wrapped(f"{warning[:-1]}, exc_info=True)", error.text)),
            *error.imports,
            *imports,
            title=f"keep `{scene.text(target)}` as it was when the new one cannot be read",
            weight=1.7,
            explanation="The service goes on with what it had, and the log says what is wrong.",
        )


def _is_set_elsewhere(scene: Scene, target: ast.expr, function: Function) -> bool:
    """Whether another function of the class, or the module itself, gives it a value before."""
    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
        owner = scene.file.class_of(function)
        if owner is None or target.value.id != "self" or function.name == "__init__":
            return False
        return any(
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and node.attr == target.attr
            and scene.file.function_of(node) is not function
            for node in ast.walk(owner)
        )
    return isinstance(target, ast.Name) and declares_global(function, target.id)
