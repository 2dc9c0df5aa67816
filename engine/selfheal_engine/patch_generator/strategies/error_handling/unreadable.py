"""A setting or parameter that cannot be read counts as not given: its own default stands in."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name, last_assignment
from selfheal_engine.patch_generator.edits import (
    Edit,
    insert_before,
    replace_expression,
    replace_statements,
)
from selfheal_engine.patch_generator.exceptions import caught
from selfheal_engine.patch_generator.named_defaults import default_named
from selfheal_engine.patch_generator.neutral_values import name_for
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import anchor_of, in_comprehension, names_in
from selfheal_engine.patch_generator.strategies.error_handling.wrapping import STRATEGY, wrapped

_CONVERSIONS = frozenset({"int", "float", "Decimal", "UUID", "fromisoformat"})
_LOOKUPS = frozenset({"get", "getenv", "pop", "getattr"})


class DefaultForUnreadable(Rule):
    """Takes the default of what is looked up where its text cannot be converted."""

    name = "default_for_unreadable"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                DEFAULT_LIMIT = 20


                def f(query={'limit': 'x'}):
                    value = query.get('limit', DEFAULT_LIMIT)
                    return min(int(value), 100)
                """,
            after="""
                DEFAULT_LIMIT = 20


                def f(query={'limit': 'x'}):
                    value = query.get('limit', DEFAULT_LIMIT)
                    try:
                        value = int(value)
                    except ValueError:
                        value = DEFAULT_LIMIT
                    return min(value, 100)
                """,
        ),
        Example(
            before="""
                def f(environ={'WORKERS': 'many'}):
                    workers = int(environ.get('WORKERS', '4'))
                    return workers
                """,
            after="""
                def f(environ={'WORKERS': 'many'}):
                    try:
                        workers = int(environ.get('WORKERS', '4'))
                    except ValueError:
                        workers = 4
                    return workers
                """,
        ),
        Example(
            before="""
                def f(environ={'PAGE': ''}):
                    return range(int(environ.get('PAGE', 1)))
                """,
            after="""
                def f(environ={'PAGE': ''}):
                    try:
                        page = int(environ.get('PAGE', 1))
                    except ValueError:
                        page = 1
                    return range(page)
                """,
        ),
        Example(
            before="""
                def f(query={'limit': 'x'}):
                    return int(query['limit'])
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node, anchor = scene.node, anchor_of(scene.file, scene.statement)
        if not isinstance(node, ast.Call) or called_name(node) not in _CONVERSIONS:
            return
        error = caught(scene)
        if len(node.args) != 1 or anchor is None or error is None or scene.failure.is_none:
            return
        lookup = _lookup_of(scene, node.args[0])
        default = _default_of(scene, node, lookup) if lookup is not None else ""
        if lookup is None or not default or in_comprehension(scene.file, node, scene.statement):
            return
        statement = scene.statement
        whole = isinstance(statement, ast.Assign) and statement.value is node
        if isinstance(statement, ast.Assign) and whole and len(statement.targets) == 1:
            handler = f"{scene.text(statement.targets[0])} = {default}"
            edits: tuple[Edit, ...] = (
                replace_statements([statement], wrapped(handler, error.text)),
            )
        elif anchor is statement and not isinstance(statement, ast.While):
            given = node.args[0]
            taken = names_in(scene.file, scene.function)
            name = given.id if isinstance(given, ast.Name) else name_for(lookup, taken)
            code = f"try:\n    {name} = {scene.text(node)}\nexcept {error.text}:\n"
            edits = (
                insert_before(statement, f"{code}    {name} = {default}"),
                replace_expression(node, name),
            )
        else:
            return
        yield scene.draft(
            *edits,
            *error.imports,
            title=f"{default} where `{scene.text(node.args[0])}` cannot be read",
            weight=1.7,
            explanation="What cannot be read counts as not given.",
        )


def _lookup_of(scene: Scene, argument: ast.expr) -> ast.Call | None:
    """The lookup that gave the text, at once or a line before."""
    if isinstance(argument, ast.Name):
        found = last_assignment(scene.file, scene.function, argument.id, scene.statement.lineno)
        if found is None or found[2] != "value":
            return None
        argument = found[1]
    if isinstance(argument, ast.Call) and called_name(argument) in _LOOKUPS:
        return argument
    return None


def _default_of(scene: Scene, conversion: ast.Call, lookup: ast.Call) -> str:
    """What the lookup gives when nothing is there, converted as the code would; "" without one."""
    place = 2 if called_name(lookup) == "getattr" else 1
    if len(lookup.args) <= place:
        key = lookup.args[-1] if len(lookup.args) == place else None
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            return default_named(scene, key.value)
        return ""
    default = lookup.args[place]
    text = scene.text(default)
    if isinstance(default, ast.Constant) and called_name(conversion) in ("int", "float"):
        try:
            number = float if called_name(conversion) == "float" else int
            return repr(number(default.value))  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return ""
    if isinstance(default, ast.Name):
        value = scene.conventions.constants(scene.file).get(default.id)
        written = isinstance(value, ast.Constant) and not isinstance(value.value, str)
        return text if written else f"{scene.text(conversion.func)}({text})"
    return ""
