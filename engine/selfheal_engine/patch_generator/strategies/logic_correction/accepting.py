"""Arguments that the siblings of a function take and it does not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name, defaults_of, parameters
from selfheal_engine.diagnosis.source_file import Function, SourceFile, Span
from selfheal_engine.patch_generator.edits import splice_text
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY


class AcceptArgument(Rule):
    """Takes a keyword argument that the same method of other classes takes."""

    name = "accept_argument"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                class Mail:
                    def send(self, to, text, subject='News'):
                        return subject + text


                class Sms:
                    def send(self, to, text):
                        return text


                def f(channel=None):
                    channel = channel or Sms()
                    return channel.send('a', 'b', subject='c')
                """,
            after="""
                class Mail:
                    def send(self, to, text, subject='News'):
                        return subject + text


                class Sms:
                    def send(self, to, text, subject='News'):
                        return text


                def f(channel=None):
                    channel = channel or Sms()
                    return channel.send('a', 'b', subject='c')
                """,
        ),
        Example(
            before="""
                class Sms:
                    def send(self, to, text):
                        return text


                def f():
                    return Sms().send('a', 'b', subject='c')
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        found = re.search(
            r"(?:(\w+)\.)?(\w+)\(\) got an unexpected keyword argument '(\w+)'", scene.message
        )
        node = scene.node
        if scene.exception != "TypeError" or found is None or not isinstance(node, ast.Call):
            return
        owner, method, name = found.groups()
        if not isinstance(node.func, ast.Attribute) or called_name(node) != method:
            return
        default = _sibling_default(scene, method, name)
        if not default:
            return
        for file, function in _methods(scene, method):
            kept = file.parent(function)
            own = isinstance(kept, ast.ClassDef) and (not owner or kept.name == owner)
            if own and name not in parameters(function) and _is_like(scene, function, method):
                end = _end_of_parameters(function)
                if end is not None:
                    yield scene.draft(
                        splice_text(end, f", {name}={default}"),
                        title=f"take `{name}`, as the other classes' `{method}` does",
                        weight=1.5,
                        file=file,
                        explanation="Who calls one of them does not know which of them it is.",
                    )


def _methods(scene: Scene, method: str) -> Iterator[tuple[SourceFile, Function]]:
    for file in scene.sources.all():
        for function in file.functions.values():
            if function.name == method and isinstance(file.parent(function), ast.ClassDef):
                yield file, function


def _sibling_default(scene: Scene, method: str, name: str) -> str:
    """The default that another class's method of this name has for the argument; "" for none."""
    for file, function in _methods(scene, method):
        for argument, default in defaults_of(function):
            if argument.arg == name:
                return file.segment(default)
    return ""


def _is_like(scene: Scene, function: Function, method: str) -> bool:
    """Whether a sibling takes the same first arguments: the methods are one interface."""
    names = parameters(function)
    return any(
        other is not function and parameters(other)[: len(names)] == names
        for _, other in _methods(scene, method)
    )


def _end_of_parameters(function: Function) -> Span | None:
    """Behind the last positional parameter; None where others follow or there is none."""
    args = function.args
    if args.kwonlyargs or args.vararg or args.kwarg or not args.args:
        return None
    last: ast.expr | ast.arg = args.defaults[-1] if args.defaults else args.args[-1]
    line, column = last.end_lineno or last.lineno, last.end_col_offset or 0
    return Span(line, column, line, column)
