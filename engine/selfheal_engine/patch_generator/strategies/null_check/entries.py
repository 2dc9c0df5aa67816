"""Keys that are not there yet when something is counted, collected or looked up."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.patch_generator.contracts import promised
from selfheal_engine.patch_generator.edits import (
    insert_before,
    replace_expression,
    replace_statements,
)
from selfheal_engine.patch_generator.neutral_values import of_type
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import (
    fit_of_return,
    given_for_nothing,
    guard_site,
    looked_up,
)
from selfheal_engine.patch_generator.strategies.null_check.guarded_value import STRATEGY

_BY_METHOD = {
    "append": "[]",
    "extend": "[]",
    "insert": "[]",
    "appendleft": "[]",
    "add": "set()",
    "setdefault": "{}",
    "update": "{}",
}


class CreateEntry(Rule):
    """Begins the entry of a key with what is counted or collected in it."""

    name = "create_entry"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(words=('a', 'b')):
                    counts = {}
                    for word in words:
                        counts[word] += 1
                    return counts
                """,
            after="""
                def f(words=('a', 'b')):
                    counts = {}
                    for word in words:
                        counts[word] = counts.get(word, 0) + 1
                    return counts
                """,
        ),
        Example(
            before="""
                def f(room='den', who='ann'):
                    members = {}
                    members[room].append(who)
                    return members
                """,
            after="""
                def f(room='den', who='ann'):
                    members = {}
                    members.setdefault(room, []).append(who)
                    return members
                """,
        ),
        Example(
            before="""
                def f(a='x', b='y'):
                    table = {}
                    table[a][b] = 1
                    return table
                """,
            after="""
                def f(a='x', b='y'):
                    table = {}
                    table.setdefault(a, {})[b] = 1
                    return table
                """,
        ),
        Example(
            before="""
                def f(room='den'):
                    members = {}
                    return members[room].name
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node, statement = scene.node, scene.statement
        if scene.exception != "KeyError" or not isinstance(node, ast.Subscript):
            return
        container, key = scene.text(node.value), scene.text(node.slice)
        if isinstance(statement, ast.AugAssign) and statement.target is node:
            sign = scene.text(statement)[len(scene.text(node)) :].lstrip().partition("=")[0]
            start = _start_of(scene, statement.value)
            if start:
                value = scene.text(statement.value)
                if isinstance(statement.value, ast.BinOp | ast.IfExp | ast.BoolOp):
                    value = f"({value})"
                code = f"{container}[{key}] = {container}.get({key}, {start}) {sign} {value}"
                yield scene.draft(
                    replace_statements([statement], code),
                    title=f"begin with {start} where `{container}` has no {key} yet",
                    weight=1.9,
                )
            return
        start = self._collected_in(scene, node)
        if start:
            yield scene.draft(
                replace_expression(node, f"{container}.setdefault({key}, {start})"),
                title=f"begin with {start} where `{container}` has no {key} yet",
                weight=1.9,
            )

    @staticmethod
    def _collected_in(scene: Scene, node: ast.Subscript) -> str:
        """The empty collection that what is done with the entry needs."""
        parent = scene.file.parent(node)
        if isinstance(parent, ast.Subscript) and parent.value is node:
            return "{}" if isinstance(parent.ctx, ast.Store) else ""
        if isinstance(parent, ast.Attribute) and isinstance(scene.file.parent(parent), ast.Call):
            known = _siblings_of(scene, node)
            return known or _BY_METHOD.get(parent.attr, "")
        return ""


def _siblings_of(scene: Scene, node: ast.Subscript) -> str:
    """The empty value of what the mapping's other entries hold."""
    container = scene.value(node.value)
    kinds = {value.type_name for _, value in container.children} if container is not None else set()
    return of_type(kinds.pop()) if len(kinds) == 1 else ""


def _start_of(scene: Scene, value: ast.expr) -> str:
    """What a sum of such values begins with."""
    seen = scene.value(value)
    if seen is not None:
        return of_type(seen.type_name)
    if isinstance(value, ast.List | ast.ListComp):
        return "[]"
    if isinstance(value, ast.JoinedStr):
        return '""'
    return "0"


class ReturnWithoutKey(Rule):
    """Returns what the function returns elsewhere for "nothing" when a key is missing."""

    name = "return_without_key"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(reply={'name': 'x'}):
                    if not reply:
                        return None
                    return reply['place']['city']
                """,
            after="""
                def f(reply={'name': 'x'}):
                    if not reply:
                        return None
                    if 'place' not in reply:
                        return None
                    return reply['place']['city']
                """,
        ),
        Example(
            before="""
                def f(rows=({'a': 1}, {})):
                    total = 0
                    for row in rows:
                        total += row['a']
                    return total
                """,
            after="""
                def f(rows=({'a': 1}, {})):
                    total = 0
                    for row in rows:
                        if 'a' not in row:
                            continue
                        total += row['a']
                    return total
                """,
        ),
        Example(
            before="""
                def f(rows=()):
                    return rows[0]
                """,
        ),
        Example(
            before="""
                def f(held={}, free={}, order=3):
                    item, count = held.pop(order)
                    free[item] += count
                """,
            after="""
                def f(held={}, free={}, order=3):
                    if order not in held:
                        return
                    item, count = held.pop(order)
                    free[item] += count
                """,
        ),
        Example(
            before="""
                def f(node={'title': 'a'}):
                    items = [node['title']]
                    for child in node['children']:
                        items += f(child)
                    return items
                """,
            after="""
                def f(node={'title': 'a'}):
                    items = [node['title']]
                    if 'children' not in node:
                        return items
                    for child in node['children']:
                        items += f(child)
                    return items
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        failing, function = looked_up(scene), scene.function
        if scene.exception != "KeyError" or failing is None or function is None:
            return
        site = guard_site(scene, failing[0])
        if site is None or site.binding:
            return
        key = scene.text(failing[1])
        missing = site.when(f"{key} not in {site.name}")
        if site.loop:
            yield scene.draft(
                insert_before(site.anchor, f"if {missing}:\n    continue"),
                title=f"skip items that have no {key}",
                weight=1.0,
            )
        if scene.conventions.is_handler(scene.file, function):
            return
        values = given_for_nothing(scene, function, site.anchor)
        said = promised(function, next((v for v in values if v), ""))
        unknown = not values and function.returns is None
        for rank, value in enumerate(values[:2] or (["None"] if unknown else [])):
            weight = 1.5 if value in said else 0.4 if unknown else 0.9 - 0.2 * rank
            weight *= fit_of_return(scene.file, site.anchor)
            code = f"if {missing}:\n    return {value}".rstrip()
            yield scene.draft(
                insert_before(site.anchor, code),
                title=f"return {value or 'early'} when `{site.name}` has no {key}",
                weight=weight,
            )
