"""Fields of a text that was split: more or fewer of them than the code takes."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name, last_assignment
from selfheal_engine.patch_generator.contracts import promised
from selfheal_engine.patch_generator.edits import EXPR, add_argument, replace_expression
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import is_stable
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY


class EmptyField(Rule):
    """Takes the empty text for a field that the split text does not have."""

    name = "empty_field"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(part='b'):
                    fields = part.split('=')
                    return {fields[0]: fields[1]}
                """,
            after="""
                def f(part='b'):
                    fields = part.split('=')
                    return {fields[0]: fields[1] if len(fields) > 1 else ""}
                """,
        ),
        Example(
            before="""
                def f(rows=(1,)):
                    return {rows[0]: rows[1]}
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if scene.exception != "IndexError" or not isinstance(node, ast.Subscript):
            return
        base, place = node.value, node.slice
        if not isinstance(base, ast.Name) or not isinstance(place, ast.Constant):
            return
        found = last_assignment(scene.file, scene.function, base.id, scene.statement.lineno)
        cut = found[1] if found is not None and found[2] == "value" else None
        if not isinstance(cut, ast.Call) or called_name(cut) not in ("split", "rsplit"):
            return
        said = scene.function is not None and '""' in promised(scene.function, '""')
        yield scene.draft(
            replace_expression(node, f'{EXPR} if len({base.id}) > {scene.text(place)} else ""'),
            title=f"an empty text where `{base.id}` has no field {scene.text(place)}",
            weight=1.7 if said else 1.0,
        )


class SplitOnce(Rule):
    """Splits only as often as there are names to unpack into."""

    name = "split_once"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(line='a: b: c'):
                    name, value = line.split(': ')
                    return name + value
                """,
            after="""
                def f(line='a: b: c'):
                    name, value = line.split(': ', 1)
                    return name + value
                """,
        ),
        Example(
            before="""
                def f(line='a'):
                    name, value = line.split(': ')
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if "too many values to unpack" not in scene.message:
            return
        statement = scene.statement
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Tuple):
            names = len(statement.targets[0].elts)
            call = statement.value
            splits = isinstance(call, ast.Call) and called_name(call) in ("split", "rsplit")
            if isinstance(call, ast.Call) and splits and len(call.args) == 1:
                yield scene.draft(
                    add_argument(call, str(names - 1)),
                    title=f"split into {names} parts at most",
                    weight=1.6,
                )
        if isinstance(statement, ast.For) and isinstance(statement.target, ast.Tuple):
            iterated = statement.iter
            if is_stable(iterated) and len(statement.target.elts) == 2:
                for way in ("{}.items()", "enumerate({})"):
                    yield scene.draft(
                        replace_expression(iterated, way.format(EXPR)),
                        title=f"iterate over `{way.format(scene.text(iterated))}`",
                        weight=1.2,
                    )
