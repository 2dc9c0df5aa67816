"""A list that is taken for one of its items, and an item that is a whole list."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.diagnosis.source_file import Function
from selfheal_engine.patch_generator.edits import EXPR, insert_before, replace_expression
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY

_BY_POSITION = re.compile(r"(list|tuple) indices must be integers or slices, not str")


class ReadTheItem(Rule):
    """Reads the key from an item of the list, where the list itself is taken for a mapping."""

    name = "read_the_item"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(answer={'users': [{'mail': 'a'}]}):
                    found = []
                    for user in answer['users']:
                        found.append(answer['users']['mail'])
                    return found
                """,
            after="""
                def f(answer={'users': [{'mail': 'a'}]}):
                    found = []
                    for user in answer['users']:
                        found.append(user['mail'])
                    return found
                """,
        ),
        Example(
            before="""
                def f(person={'address': [{'city': 'a'}]}):
                    address = person['address']
                    return address['city']
                """,
            after="""
                def f(person={'address': [{'city': 'a'}]}):
                    address = person['address']
                    if isinstance(address, list):
                        address = address[0] if address else {}
                    return address['city']
                """,
        ),
        Example(
            before="""
                def f(rows=[1, 2]):
                    return rows['a']
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        of_list = re.match(
            r"(list|tuple) indices must be integers or slices, not str", scene.message
        )
        if of_list is None or not isinstance(node, ast.Subscript):
            return
        owner, text = node.value, scene.text(node.value)
        for outer in scene.file.ancestors(node):
            pairs = [(outer.target, outer.iter)] if isinstance(outer, ast.For) else []
            pairs += [(g.target, g.iter) for g in getattr(outer, "generators", ())]
            for target, iterated in pairs:
                if scene.text(iterated) == text and isinstance(target, ast.Name):
                    yield scene.draft(
                        replace_expression(owner, target.id),
                        title=f"read it from `{target.id}`, the item of this round",
                        weight=1.9,
                    )
                    return
            if isinstance(outer, Function):
                break
        value = scene.value(owner)
        items = [item for _, item in value.children] if value is not None else []
        if not items or any(item.type_name != "dict" for item in items):
            return
        if isinstance(owner, ast.Name):
            yield scene.draft(
                insert_before(
                    scene.statement,
                    f"if isinstance({text}, list):\n    {text} = {text}[0] if {text} else {{}}",
                ),
                title=f"of a list of them, the first `{text}`",
                weight=1.4,
            )
        yield scene.draft(
            replace_expression(owner, f"{EXPR}[0]"), title=f"the first of `{text}`", weight=1.2
        )


class AddEach(Rule):
    """Adds the items of a list one by one, where the list itself was added as one item."""

    name = "add_each"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(posts=({'tags': ['b', 'a']},)):
                    tags = []
                    for post in posts:
                        tags.append(post['tags'])
                    return sorted(tag.upper() for tag in tags)
                """,
            after="""
                def f(posts=({'tags': ['b', 'a']},)):
                    tags = []
                    for post in posts:
                        tags.extend(post['tags'])
                    return sorted(tag.upper() for tag in tags)
                """,
        ),
        Example(
            before="""
                def f(rows=(['a'],)):
                    return [row.upper() for row in rows]
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if "'list'" not in scene.message and "list found" not in scene.message:
            return
        root: ast.AST = scene.function if scene.function is not None else scene.file.tree
        used = {n.id for n in ast.walk(scene.statement) if isinstance(n, ast.Name)}
        fields = {n.attr for n in ast.walk(scene.statement) if isinstance(n, ast.Attribute)}
        for outer in scene.file.ancestors(scene.node):
            if isinstance(outer, ast.For):
                used |= {n.id for n in ast.walk(outer.iter) if isinstance(n, ast.Name)}
        owner = scene.file.class_of(scene.statement)
        for node in ast.walk(owner if owner is not None else root):
            if not isinstance(node, ast.Call) or called_name(node) not in ("append", "add"):
                continue
            if not isinstance(node.func, ast.Attribute) or len(node.args) != 1:
                continue
            target = node.func.value
            named = isinstance(target, ast.Name) and target.id in used
            kept = isinstance(target, ast.Attribute) and target.attr in fields
            if not (named or kept) or not _gives_lists(scene, target, node.args[0]):
                continue
            if _in_same_loop(scene, node):
                continue  # collected and read at once: the failure is about the one item
            way = "extend" if called_name(node) == "append" else "update"
            yield scene.draft(
                replace_expression(node.func, f"{scene.text(target)}.{way}"),
                title=f"`{way}`: add each item, not the list as one",
                weight=1.9,
            )


def _gives_lists(scene: Scene, target: ast.expr, added: ast.expr) -> bool:
    """Whether the collection's captured items, or what is added, are lists."""
    held = scene.value(target)
    if held is not None and held.children:
        return any(item.type_name == "list" for _, item in held.children)
    value = scene.value(added)
    return value is not None and value.type_name == "list"


def _in_same_loop(scene: Scene, added: ast.Call) -> bool:
    loops = [a for a in scene.file.ancestors(added) if isinstance(a, ast.For | ast.While)]
    failing = scene.statement
    return any(failing is not loop and failing in set(ast.walk(loop)) for loop in loops)
