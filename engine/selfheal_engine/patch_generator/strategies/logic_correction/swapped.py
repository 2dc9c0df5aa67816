"""Arguments that stand in each other's place."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import combinations

from selfheal_engine.diagnosis.origin import called_name, definitions
from selfheal_engine.diagnosis.source_file import Function, SourceFile
from selfheal_engine.patch_generator.edits import replace_expression
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY

_FAULTS = ("KeyError", "TypeError", "ValueError", "AttributeError", "IndexError")


class SwapArguments(Rule):
    """Hands two arguments on in the order of the parameters, one of which bears its name."""

    name = "swap_arguments"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                BALANCE = {'ann': 10}


                def withdraw(name, amount):
                    BALANCE[name] -= amount


                def f(name='ann'):
                    fee = 3
                    withdraw(fee, name)
                """,
            after="""
                BALANCE = {'ann': 10}


                def withdraw(name, amount):
                    BALANCE[name] -= amount


                def f(name='ann'):
                    fee = 3
                    withdraw(name, fee)
                """,
        ),
        Example(
            before="""
                class Room:
                    def __init__(self):
                        self.seats = {}

                    def take(self, row, guest):
                        self.seats[row + 1] = guest


                def f(row=2, guest='ann'):
                    Room().take(guest, row)
                """,
            after="""
                class Room:
                    def __init__(self):
                        self.seats = {}

                    def take(self, row, guest):
                        self.seats[row + 1] = guest


                def f(row=2, guest='ann'):
                    Room().take(row, guest)
                """,
        ),
        Example(
            before="""
                def withdraw(name, amount):
                    return {}[name] - amount


                def f(user='ann'):
                    fee = 3
                    return withdraw(user, fee)
                """,
        ),
        Example(
            before="""
                def larger(a, b):
                    return {}[a] > {}[b]


                def f(a=1, b=2):
                    return larger(a, b) or larger(b, 3)
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if scene.exception not in _FAULTS:
            return
        call = scene.node.value if isinstance(scene.node, ast.Await) else scene.node
        if not isinstance(call, ast.Call):
            return
        if any(isinstance(argument, ast.Starred) for argument in call.args):
            return
        known = definitions(scene.sources, scene.file, call)
        for file, function in known[:1] if len(known) == 1 else ():
            names = _taken(file, function, call)
            for one, two in combinations(range(min(len(names), len(call.args))), 2):
                if _crossed(call.args, names, one, two):
                    first, second = scene.text(call.args[one]), scene.text(call.args[two])
                    yield scene.draft(
                        replace_expression(call.args[one], second),
                        replace_expression(call.args[two], first),
                        title=f"give `{called_name(call)}` its `{names[one]}` before "
                        f"its `{names[two]}`",
                        weight=1.9,
                    )


def _taken(file: SourceFile, function: Function, call: ast.Call) -> list[str]:
    """The names of the parameters that the positional arguments go to."""
    taken = [*function.args.posonlyargs, *function.args.args]
    bound = file.class_of(function) is not None and isinstance(call.func, ast.Attribute)
    static = any(
        isinstance(d, ast.Name) and d.id == "staticmethod" for d in function.decorator_list
    )
    return [parameter.arg for parameter in taken[1 if bound and not static else 0 :]]


def _crossed(arguments: list[ast.expr], names: list[str], one: int, two: int) -> bool:
    """Whether one of the two is named like the other's parameter, and the other is not at home."""
    first, second = _named(arguments[one]), _named(arguments[two])
    at_home = first == names[one] or second == names[two]
    return not at_home and (
        (first == names[two] and second not in names)
        or (second == names[one] and first not in names)
        or (first == names[two] and second == names[one])
    )


def _named(argument: ast.expr) -> str:
    if isinstance(argument, ast.Attribute):
        return argument.attr
    return argument.id if isinstance(argument, ast.Name) else ""
