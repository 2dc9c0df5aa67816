"""Lists, sets and mappings where a key has to stand: what cannot be hashed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.diagnosis.source_file import SourceFile
from selfheal_engine.model import Value
from selfheal_engine.patch_generator.answers import module_names
from selfheal_engine.patch_generator.edits import EXPR, Edit, replace_expression
from selfheal_engine.patch_generator.kinds import kind_of
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY

_BY_KEY = frozenset({"get", "setdefault", "pop", "add", "discard", "remove"})
_OF_ITEMS = frozenset({"set", "frozenset", "fromkeys", "Counter"})
_HASHED = {
    "list": "tuple({})",
    "set": "frozenset({})",
    "dict": "tuple(sorted({}.items()))",
    "bytearray": "bytes({})",
}
"""How a value of a type is written as one that can be a key."""


class HashableKey(Rule):
    """Makes the key hashable wherever the function puts it into, or looks it up in, a mapping."""

    name = "hashable_key"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(paths=(['a'], ['b'], ['a'])):
                    counts = {}
                    for path in paths:
                        counts[path] = counts.get(path, 0) + 1
                    return len(counts)
                """,
            after="""
                def f(paths=(['a'], ['b'], ['a'])):
                    counts = {}
                    for path in paths:
                        counts[tuple(path)] = counts.get(tuple(path), 0) + 1
                    return len(counts)
                """,
        ),
        Example(
            before="""
                def f(rows=([1], [2])):
                    return len(set(rows))
                """,
            after="""
                def f(rows=([1], [2])):
                    return len(set(map(tuple, rows)))
                """,
        ),
        Example(
            before="""
                COUNTS = {}


                def clean(tags):
                    return [tag.strip() for tag in tags]


                def seen(tags):
                    return COUNTS.get(clean(tags), 0)


                def f(tags=('a ', 'b')):
                    COUNTS[clean(tags)] = 1
                """,
            after="""
                COUNTS = {}


                def clean(tags):
                    return [tag.strip() for tag in tags]


                def seen(tags):
                    return COUNTS.get(tuple(clean(tags)), 0)


                def f(tags=('a ', 'b')):
                    COUNTS[tuple(clean(tags))] = 1
                """,
        ),
        Example(
            before="""
                def f(counts={}, row=('b', 'a')):
                    counts[sorted(row)] = 1
                    counts[[r for r in row]] = 2
                """,
            after="""
                def f(counts={}, row=('b', 'a')):
                    counts[tuple(sorted(row))] = 1
                    counts[[r for r in row]] = 2
                """,
        ),
        Example(
            before="""
                def f(counts={}, row=('b', 'a')):
                    counts[[part.upper() for part in row]] = 1
                """,
            after="""
                def f(counts={}, row=('b', 'a')):
                    counts[tuple(part.upper() for part in row)] = 1
                """,
        ),
        Example(
            before="""
                def f(rows=([1], [2])):
                    return rows['a']
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        found = re.search(r"unhashable type: '(\w+)'", scene.message)
        form = _HASHED.get(found[1]) if found is not None else None
        if form is None or found is None:
            return
        kind = found[1]
        for key in _keys(scene, kind):
            value = scene.value(key)
            if kind_of(scene, key) not in (kind, ""):
                continue
            made = _nested(form, value)
            edits = _everywhere(scene, key, made, kind)
            yield scene.draft(
                *edits,
                title=f"`{made.format(scene.text(key))}`, which can be a key",
                weight=1.6,
            )
        for items, edit in _items(scene, kind):
            yield scene.draft(edit, title=f"make the items of `{items}` hashable", weight=1.6)


_MAY_BE_KEYS = (ast.Name, ast.Attribute, ast.Subscript, ast.Call, ast.ListComp, ast.BinOp)


def _nested(form: str, value: Value | None) -> str:
    """A list of lists needs its items to be hashable as well."""
    if form == "tuple({})" and value is not None:
        kinds = {inner.type_name for _, inner in value.children}
        if kinds == {"list"}:
            return "tuple(map(tuple, {}))"
    return form


def _keys(scene: Scene, kind: str) -> Iterator[ast.expr]:
    """Expressions of the failing one that have to be hashable."""
    parts = scene.node if isinstance(scene.node, ast.expr) else scene.statement
    seen: set[str] = set()
    for node in ast.walk(parts):
        for key in _hashed_by(node):
            text = scene.text(key)
            if text not in seen and isinstance(key, _MAY_BE_KEYS):
                seen.add(text)
                yield key
    node = scene.node
    if isinstance(node, ast.Call) and not seen and "cache" in _decorators(scene, node):
        for argument in node.args:
            value = scene.value(argument)
            if value is not None and value.type_name == kind:
                yield argument


def _hashed_by(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Slice):
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return list(parts)
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
        return [node.left]
    if isinstance(node, ast.Call) and called_name(node) in _BY_KEY and node.args:
        return [node.args[0]] if isinstance(node.func, ast.Attribute) else []
    if isinstance(node, ast.Set):
        return node.elts
    if isinstance(node, ast.SetComp):
        return [node.elt]
    if isinstance(node, ast.Dict):
        return [key for key in node.keys if key is not None]
    return [node.key] if isinstance(node, ast.DictComp) else []


def _decorators(scene: Scene, call: ast.Call) -> str:
    name = called_name(call)
    return " ".join(
        scene.file.segment(decorator)
        for qualified, function in scene.file.functions.items()
        if qualified.rpartition(".")[2] == name
        for decorator in function.decorator_list
    )


def _everywhere(scene: Scene, key: ast.expr, form: str, kind: str) -> list[Edit]:
    """The key made hashable at each place of the function where the same one is a key.

    Where a call makes it, those of other functions that make one so for the same mapping too.
    """
    text, file = scene.text(key), scene.file
    root: ast.AST = scene.function if scene.function is not None else scene.statement
    owner = _owner(file, key)
    edits: dict[tuple[int, int], Edit] = {}
    for node in ast.walk(file.tree if owner and isinstance(key, ast.Call) else root):
        inside = file.function_of(node) is scene.function
        for other in (*_hashed_by(node), *([key] if node is root else ())):
            same = scene.text(other) == text
            if not inside and isinstance(key, ast.Call):
                called = isinstance(other, ast.Call) and called_name(other) == called_name(key)
                same = called and owner == _owner(file, other) and kind_of(scene, other) == kind
            if same:
                place = (other.lineno, other.col_offset)
                edits[place] = replace_expression(other, _as_key(scene, other, form))
    return [edits[place] for place in sorted(edits)]


def _as_key(scene: Scene, key: ast.expr, form: str) -> str:
    if isinstance(key, ast.ListComp) and form.startswith("tuple("):
        return form.format(scene.text(key)[1:-1])
    return form.format(EXPR)


def _owner(file: SourceFile, key: ast.expr) -> str:
    """The mapping that the key belongs to, where it outlives the function; else ""."""
    holder = file.parent(key)
    if isinstance(holder, ast.Call) and isinstance(holder.func, ast.Attribute):
        node: ast.expr = holder.func.value
    elif isinstance(holder, ast.Subscript):
        node = holder.value
    else:
        return ""
    text = file.segment(node)
    kept = isinstance(node, ast.Attribute) or text in module_names(file)
    return text if kept else ""


def _items(scene: Scene, kind: str) -> Iterator[tuple[str, Edit]]:
    """A collection whose items are hashed one by one: `set(rows)`, `seen.update(rows)`."""
    form = {"list": "tuple", "set": "frozenset"}.get(kind)
    node = scene.node
    if form is None or not isinstance(node, ast.Call) or not node.args:
        return
    takes = called_name(node) in _OF_ITEMS or (
        called_name(node) in ("update", "union") and "set" in scene.file.text
    )
    items = node.args[0]
    value = scene.value(items)
    if not takes or (value is not None and value.type_name not in ("list", "tuple", "deque")):
        return
    if isinstance(items, ast.GeneratorExp | ast.ListComp):
        yield scene.text(items), replace_expression(items.elt, f"{form}({EXPR})")
    else:
        yield scene.text(items), replace_expression(items, f"map({form}, {EXPR})")
