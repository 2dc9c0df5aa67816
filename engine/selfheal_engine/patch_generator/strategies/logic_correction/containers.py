"""Containers of another kind than the code takes them for: tuple and list, list and mapping."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name, last_assignment, parameters
from selfheal_engine.diagnosis.source_file import span_of
from selfheal_engine.patch_generator.edits import (
    EXPR,
    Edit,
    insert_before,
    replace_expression,
    replace_statements,
    splice_text,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import first_statement
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY

_ITEM = "object does not support item assignment"


class MakeMutable(Rule):
    """Turns the tuple that is changed in place into a list, where it is made."""

    name = "make_mutable"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                class Board:
                    def __init__(self):
                        self.cells = tuple('.' for _ in range(3))

                    def put(self, at, mark):
                        self.cells[at] = mark


                def f():
                    Board().put(1, 'x')
                """,
            after="""
                class Board:
                    def __init__(self):
                        self.cells = list('.' for _ in range(3))

                    def put(self, at, mark):
                        self.cells[at] = mark


                def f():
                    Board().put(1, 'x')
                """,
        ),
        Example(
            before="""
                def f(rows=(('a', 1), ('b', 2))):
                    rows = list(rows)
                    for row in rows:
                        row[1] += 1
                    return rows
                """,
            after="""
                def f(rows=(('a', 1), ('b', 2))):
                    rows = [list(row) for row in rows]
                    for row in rows:
                        row[1] += 1
                    return rows
                """,
        ),
        Example(
            before="""
                def f(pair=(1, 2)):
                    pair[0] = 3
                    return pair
                """,
            after="""
                def f(pair=(1, 2)):
                    pair = list(pair)
                    pair[0] = 3
                    return pair
                """,
        ),
        Example(
            before="""
                def f(word='abc'):
                    at = 1
                    word[at] = 'x'
                    return word
                """,
            after="""
                def f(word='abc'):
                    at = 1
                    word = word[:at] + 'x' + word[at + 1:]
                    return word
                """,
        ),
        Example(
            before="""
                def f(rows=None):
                    rows[0] = 1
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if _ITEM in scene.message and "'str'" in scene.message:
            yield from _spliced(scene)
            return
        owner = _changed_tuple(scene)
        if owner is None:
            return
        text = scene.text(owner)
        for edit in _where_made(scene, owner):
            yield scene.draft(edit, title=f"make `{text}` a list, which can be changed", weight=1.7)
        yield from _rebuilt(scene, owner)


def _changed_tuple(scene: Scene) -> ast.expr | None:
    """The expression that is a tuple and is changed as if it were a list."""
    node = scene.node
    if _ITEM in scene.message and "'tuple'" in scene.message:
        targets = [n for n in ast.walk(scene.statement) if isinstance(n, ast.Subscript)]
        stored = [n for n in targets if isinstance(n.ctx, ast.Store | ast.Del)]
        return stored[0].value if stored else None
    found = re.match(r"'tuple' object has no attribute '(\w+)'", scene.message)
    if found and isinstance(node, ast.Attribute) and hasattr([], found[1]):
        return node.value
    return None


def _where_made(scene: Scene, owner: ast.expr) -> Iterator[Edit]:
    """The edit at the place where the tuple is made; without one, a copy before it is changed."""
    if isinstance(owner, ast.Attribute):
        for made in _settings(scene, owner.attr):
            yield from _as_list(made)
        return
    if not isinstance(owner, ast.Name):
        return
    found = last_assignment(scene.file, scene.function, owner.id, scene.statement.lineno)
    if found is None:
        function = scene.function
        if function is not None and owner.id in parameters(function):
            first = first_statement(function.body)
            yield insert_before(first, f"{owner.id} = list({owner.id})")
        return
    statement, value, kind = found
    if kind == "value":
        lists = list(_as_list(value))
        yield from lists or [replace_expression(value, f"list({EXPR})")]
    elif kind == "loop" and isinstance(statement, ast.For):
        yield from _items_of(scene, statement, owner.id)


def _rebuilt(scene: Scene, owner: ast.expr) -> Iterator[Draft]:
    """The loop's tuple made anew with the one place changed, and put back where it was."""
    statement = scene.statement
    if not isinstance(statement, ast.Assign | ast.AugAssign) or not isinstance(owner, ast.Name):
        return
    target = statement.target if isinstance(statement, ast.AugAssign) else statement.targets[0]
    loop = next((a for a in scene.file.ancestors(statement) if isinstance(a, ast.For)), None)
    if loop is None or not isinstance(loop.iter, ast.Name) or not isinstance(target, ast.Subscript):
        return
    named = isinstance(loop.target, ast.Name) and loop.target.id == owner.id
    place = target.slice
    if not named or not isinstance(place, ast.Constant) or not isinstance(place.value, int):
        return
    rows, row, at = loop.iter.id, owner.id, place.value
    new = scene.text(statement.value)
    if isinstance(statement, ast.AugAssign):
        sign = scene.text(statement)[len(scene.text(target)) :].lstrip().partition("=")[0]
        new = f"{row}[{at}] {sign} {new}"
    before = ", ".join(f"{row}[{i}]" for i in range(at))
    whole = f"({before + ', ' if before else ''}{new}, *{row}[{at + 1}:])"
    yield scene.draft(
        splice_text(span_of(loop.target), f"index, {row}"),
        splice_text(span_of(loop.iter), f"enumerate({rows})"),
        replace_statements([statement], f"{rows}[index] = {whole}"),
        title=f"put `{row}` back with the one place changed",
        weight=1.4,
    )


def _items_of(scene: Scene, loop: ast.For, item: str) -> Iterator[Edit]:
    """The items of what is iterated become lists, where that collection is made."""
    if not isinstance(loop.target, ast.Name) or not isinstance(loop.iter, ast.Name):
        return
    rows = loop.iter.id
    found = last_assignment(scene.file, scene.function, rows, loop.lineno)
    if found is not None and found[2] == "value" and isinstance(found[1], ast.Call):
        call = found[1]
        if called_name(call) in ("list", "tuple") and len(call.args) == 1:
            inner = scene.text(call.args[0])
            yield replace_expression(call, f"[list({item}) for {item} in {inner}]")
            return
    yield insert_before(loop, f"{rows} = [list({item}) for {item} in {rows}]")


def _as_list(value: ast.expr) -> Iterator[Edit]:
    """`tuple(x)` becomes `list(x)`, `(a, b)` becomes `[a, b]`."""
    if isinstance(value, ast.Call) and called_name(value) == "tuple":
        yield replace_expression(value.func, "list")
    elif isinstance(value, ast.Tuple):
        yield replace_expression(value, f"[{', '.join(ast.unparse(e) for e in value.elts)}]")
    elif isinstance(value, ast.Constant | ast.Name | ast.Attribute):
        yield replace_expression(value, f"list({EXPR})")


def _settings(scene: Scene, attribute: str) -> Iterator[ast.expr]:
    """What the class gives the attribute as a tuple."""
    owner = scene.file.class_of(scene.statement)
    for node in ast.walk(owner) if owner is not None else ():
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        named = any(isinstance(t, ast.Attribute) and t.attr == attribute for t in targets)
        made = isinstance(node.value, ast.Tuple | ast.Name) or (
            isinstance(node.value, ast.Call) and called_name(node.value) == "tuple"
        )
        if named and made:
            yield node.value


def _spliced(scene: Scene) -> Iterator[Draft]:
    """A text with one letter changed is a new text."""
    statement = scene.statement
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return
    target = statement.targets[0]
    if not isinstance(target, ast.Subscript) or isinstance(target.slice, ast.Slice):
        return
    owner, at = scene.text(target.value), scene.text(target.slice)
    new = scene.text(statement.value)
    after = str(int(at) + 1) if at.isdigit() else f"{at} + 1"
    code = f"{owner} = {owner}[:{at}] + {new} + {owner}[{after}:]"
    yield scene.draft(
        replace_statements([statement], code),
        title="put the changed text together anew",
        weight=1.5,
    )


_SAME = {
    ("set", "append"): "add",
    ("set", "extend"): "update",
    ("set", "insert"): "add",
    ("list", "add"): "append",
    ("list", "push"): "append",
    ("list", "put"): "append",
    ("list", "update"): "extend",
    ("list", "discard"): "remove",
    ("deque", "add"): "append",
    ("deque", "push"): "append",
    ("deque", "put"): "append",
    ("Queue", "append"): "put",
    ("Queue", "add"): "put",
    ("Queue", "push"): "put",
    ("Queue", "pop"): "get",
    ("str", "trim"): "strip",
    ("str", "toLowerCase"): "lower",
    ("str", "toUpperCase"): "upper",
    ("dict", "iteritems"): "items",
    ("dict", "itervalues"): "values",
    ("dict", "iterkeys"): "keys",
}
"""(type, method of another one or of another language): the method that does it here."""
_KINDS = re.compile(r"'(list|dict|set|tuple|deque|Queue|str|collections\.deque)' object has no")


class MethodOfKind(Rule):
    """Uses the method by which this kind of container takes, gives or loses an item."""

    name = "method_of_kind"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(numbers=(1, 2)):
                    out = ''
                    for number in numbers:
                        out.append(str(number))
                    return out
                """,
            after="""
                def f(numbers=(1, 2)):
                    out = ''
                    for number in numbers:
                        out += str(number)
                    return out
                """,
        ),
        Example(
            before="""
                def f(names=('a', 'b')):
                    seen = set()
                    for name in names:
                        seen.append(name)
                    return len(seen)
                """,
            after="""
                def f(names=('a', 'b')):
                    seen = set()
                    for name in names:
                        seen.add(name)
                    return len(seen)
                """,
        ),
        Example(
            before="""
                class Registry:
                    def __init__(self):
                        self.handlers = {}

                    def register(self, topic, handler):
                        self.handlers.append(handler)


                def f():
                    Registry().register('a', len)
                """,
            after="""
                class Registry:
                    def __init__(self):
                        self.handlers = {}

                    def register(self, topic, handler):
                        self.handlers.setdefault(topic, []).append(handler)


                def f():
                    Registry().register('a', len)
                """,
        ),
        Example(
            before="""
                def f():
                    rows = {}
                    rows.append(1)
                    return rows
                """,
            after="""
                def f():
                    rows = []
                    rows.append(1)
                    return rows
                """,
        ),
        Example(
            before="""
                def f(rows=3):
                    return rows.append(1)
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        found = _KINDS.match(scene.message)
        if scene.exception != "AttributeError" or found is None:
            return
        if not isinstance(node, ast.Attribute):
            return
        kind = found[1].rpartition(".")[2]
        same = _SAME.get((kind, node.attr), "")
        if same.isidentifier():
            yield scene.draft(
                replace_expression(node, f"{scene.text(node.value)}.{same}"),
                title=f"`{same}`, as a {kind} calls it",
                weight=1.9,
            )
        call = scene.file.parent(node)
        if kind == "dict" and node.attr in ("append", "add") and isinstance(call, ast.Call):
            yield from _into_entry(scene, node, call)
        if kind == "str" and node.attr in ("append", "extend") and isinstance(call, ast.Call):
            yield from _added_to_text(scene, node, call)
        if kind in ("dict", "set", "list"):
            yield from _other_kind(scene, node, kind)


def _added_to_text(scene: Scene, node: ast.Attribute, call: ast.Call) -> Iterator[Draft]:
    """`text += part`: a text is not changed in place."""
    alone = isinstance(scene.statement, ast.Expr) and scene.statement.value is call
    if alone and len(call.args) == 1 and not call.keywords:
        code = f"{scene.text(node.value)} += {scene.text(call.args[0])}"
        yield scene.draft(
            replace_statements([scene.statement], code),
            title=f"`{code}`: a text grows by a new one",
            weight=1.9,
        )


def _into_entry(scene: Scene, node: ast.Attribute, call: ast.Call) -> Iterator[Draft]:
    """What belongs under a key that the function was given and so far leaves unused."""
    function = scene.function
    if function is None or len(call.args) != 1:
        return
    used = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
    unused = [name for name in parameters(function) if name not in used | {"self", "cls"}]
    start = "[]" if node.attr == "append" else "set()"
    for key in unused[:1]:
        yield scene.draft(
            replace_expression(node.value, f"{EXPR}.setdefault({key}, {start})"),
            title=f"collect it under its `{key}`",
            weight=1.9,
        )


_EMPTY_OF = {
    "append": "[]",
    "extend": "[]",
    "insert": "[]",
    "add": "set()",
    "appendleft": "deque()",
}
_MAPPING = frozenset({"items", "get", "setdefault", "keys", "values"})


def _other_kind(scene: Scene, node: ast.Attribute, kind: str) -> Iterator[Draft]:
    """The empty container is made as the kind that all its uses want."""
    wanted = _EMPTY_OF.get(node.attr, "{}" if node.attr in _MAPPING else "")
    if not wanted:
        return
    owner = node.value
    if isinstance(owner, ast.Name):
        found = last_assignment(scene.file, scene.function, owner.id, scene.statement.lineno)
        made = [found[1]] if found is not None and found[2] == "value" else []
    elif isinstance(owner, ast.Attribute):
        made = list(_empties(scene, owner.attr))
    else:
        return
    for value in made:
        if _is_empty(value, kind):
            yield scene.draft(
                replace_expression(value, wanted),
                title=f"`{scene.text(owner)}` starts as {wanted}",
                weight=1.6,
            )


def _empties(scene: Scene, attribute: str) -> Iterator[ast.expr]:
    owner = scene.file.class_of(scene.statement)
    for node in ast.walk(owner) if owner is not None else ():
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Attribute) and t.attr == attribute for t in node.targets
        ):
            yield node.value


def _is_empty(value: ast.expr, kind: str) -> bool:
    if isinstance(value, ast.Call):
        return called_name(value) == kind and not value.args and not value.keywords
    if isinstance(value, ast.Dict):
        return kind == "dict" and not value.keys
    return isinstance(value, ast.List) and kind == "list" and not value.elts
