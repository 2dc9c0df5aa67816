"""Bounds what grows: caches, lists, memos."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.growing import storing
from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.diagnosis.source_file import Function
from selfheal_engine.patch_generator.edits import (
    BODY,
    Edit,
    add_argument,
    add_import,
    insert_after,
    insert_before,
    replace_expression,
    replace_statements,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.memory_leak_fix.containers import (
    KINDS,
    STRATEGY,
    containers_of,
    is_served,
    kind_of,
    made_at,
    targets_of,
)

ENTRIES = 1024


def limit_name(scene: Scene, container: str) -> tuple[str, tuple[Edit, ...]]:
    """The constant that bounds a container: the file's own, else a new one beside it."""
    stem = container.rpartition(".")[2].strip("_").upper()
    last = container.rpartition(".")[2]
    for node in ast.walk(scene.file.tree):
        # what is ever shown or kept of it: `events[-SHOWN:]`
        sliced = isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice)
        if sliced and isinstance(node, ast.Subscript):
            same = scene.text(node.value).rpartition(".")[2] == last
            used = [n.id for n in ast.walk(node.slice) if isinstance(n, ast.Name)]
            if same and len(used) == 1 and used[0] in scene.conventions.constants(scene.file):
                return used[0], ()
    for name, value in scene.conventions.constants(scene.file).items():
        sized = any(word in name for word in ("MAX", "LIMIT", "SIZE", "CAPACITY"))
        number = isinstance(value, ast.Constant) and isinstance(value.value, int)
        if sized and number and (stem.rstrip("S") in name or ("CACHE" in name and "CACHE" in stem)):
            return name, ()
    name = f"MAX_{stem}"
    first = next((n for n in scene.file.tree.body if isinstance(n, Function | ast.ClassDef)), None)
    made = [
        n for n in scene.file.tree.body if any(scene.text(t) == container for t in targets_of(n))
    ]
    if made:
        return name, (insert_after(made[0], f"{name} = {ENTRIES}"),)
    if first is None:
        return str(ENTRIES), ()
    return name, (replace_statements([first], f"{name} = {ENTRIES}\n\n\n{BODY}\n"),)


class BoundCache(Rule):
    """Drops the oldest entries of a dictionary when it grows past its limit, at every writer."""

    name = "bound_cache"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(
            before="""
                CACHE = {}


                def f(key):
                    if key not in CACHE:
                        CACHE[key] = 'x' * key  # <- here
                    return CACHE[key]
                """,
            after="""
                CACHE = {}
                MAX_CACHE = 1024


                def f(key):
                    if key not in CACHE:
                        while len(CACHE) >= MAX_CACHE:
                            CACHE.pop(next(iter(CACHE)))
                        CACHE[key] = 'x' * key  # <- here
                    return CACHE[key]
                """,
            kind="leak",
        ),
        Example(
            before="""
                def remembered(function):
                    known = {}

                    def f(key):
                        if key not in known:
                            known[key] = function(key)  # <- here
                        return known[key]

                    return f
                """,
            after="""
                MAX_KNOWN = 1024


                def remembered(function):
                    known = {}

                    def f(key):
                        if key not in known:
                            while len(known) >= MAX_KNOWN:
                                known.pop(next(iter(known)))
                            known[key] = function(key)  # <- here
                        return known[key]

                    return f
                """,
            kind="leak",
        ),
        Example(
            before="""
                def f(key):
                    found = {}
                    found[key] = 1  # <- here
                    return found
                """,
            kind="leak",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if scene.occurrence.kind == "leak":
            for container in containers_of(scene):
                yield from self._bounded(scene, container)

    @staticmethod
    def _bounded(scene: Scene, container: ast.expr) -> Iterator[Draft]:
        made = made_at(scene, container)
        kind = kind_of(made.value) if made is not None else ""
        if made is None or kind not in ("dict", "OrderedDict", "defaultdict"):
            return
        text = scene.text(container)
        writers = [
            node
            for node in ast.walk(scene.file.tree)
            if isinstance(node, ast.Assign)
            and any(scene.text(c) == text for c in storing(node))
            and scene.file.function_of(node) is not None
        ]
        if not writers:
            return
        limit, edits = limit_name(scene, text)
        guard = f"while len({text}) >= {limit}:\n    {text}.pop(next(iter({text})))"
        yield scene.draft(
            *(insert_before(writer, guard) for writer in writers),
            *edits,
            title=f"keep at most {ENTRIES if edits else limit} entries in `{text}`",
            weight=1.3,
            explanation="The oldest entries go first; what is dropped is only computed again.",
        )
        whole = f"if len({text}) >= {limit}:\n    {text}.clear()"
        yield scene.draft(
            *(insert_before(writer, whole) for writer in writers),
            *edits,
            title=f"start `{text}` anew when it is full",
            weight=0.9,
            explanation="Simple and bounded, at the price of a moment without the cache.",
        )
        if kind == "dict" and made.value is not None and len(writers) == 1:
            keep = f"{text}.move_to_end({scene.text(key_of(writers[0]))})"
            ordered = "OrderedDict()"
            if isinstance(made.value, ast.Dict) and not made.value.keys:
                evict = f"while len({text}) > {limit}:\n    {text}.popitem(last=False)"
                yield scene.draft(
                    replace_expression(made.value, ordered),
                    add_import("from collections import OrderedDict"),
                    insert_after(writers[0], f"{keep}\n{evict}"),
                    *edits,
                    title=f"keep the latest {ENTRIES if edits else limit} entries of `{text}`",
                    weight=0.8,
                )


def key_of(writer: ast.Assign) -> ast.expr:
    """The key under which a writer stores."""
    target = next(t for t in writer.targets if isinstance(t, ast.Subscript))
    return target.slice


class BoundList(Rule):
    """Keeps only the latest items of a list or deque that is appended to for ever."""

    name = "bound_list"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(
            before="""
                HISTORY = []


                def f(event):
                    HISTORY.append(event)  # <- here
                """,
            after="""
                from collections import deque

                HISTORY = deque(maxlen=1024)


                def f(event):
                    HISTORY.append(event)  # <- here
                """,
            kind="leak",
        ),
        Example(
            before="""
                from collections import deque

                HISTORY = deque()


                def f(event):
                    HISTORY.append(event)  # <- here
                """,
            after="""
                from collections import deque

                HISTORY = deque()
                MAX_HISTORY = 1024


                def f(event):
                    HISTORY.append(event)  # <- here
                    while len(HISTORY) > MAX_HISTORY:
                        HISTORY.popleft()
                """,
            kind="leak",
        ),
        Example(
            before="""
                HISTORY = []


                def f(event):
                    HISTORY.append(event)  # <- here
                    return HISTORY[-5:]
                """,
            after="""
                HISTORY = []
                MAX_HISTORY = 1024


                def f(event):
                    HISTORY.append(event)  # <- here
                    del HISTORY[:-MAX_HISTORY]
                    return HISTORY[-5:]
                """,
            kind="leak",
        ),
        Example(
            before="""
                def f(event):
                    found = []
                    found.append(event)  # <- here
                    return found
                """,
            kind="leak",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if scene.occurrence.kind == "leak":
            for container in containers_of(scene):
                yield from self._bounded(scene, container)

    @staticmethod
    def _bounded(scene: Scene, container: ast.expr) -> Iterator[Draft]:
        made = made_at(scene, container)
        if made is None or made.value is None or kind_of(made.value) not in ("list", "deque"):
            return
        text = scene.text(container)
        appends = [
            node
            for node in ast.walk(scene.file.tree)
            if isinstance(node, ast.Expr) and any(scene.text(c) == text for c in storing(node))
        ]
        limit, edits = limit_name(scene, text)
        fit = 0.5 if is_served(scene, container) else 1.0
        # a swap changes functions: the container that is there already is bound by its writers
        if kind_of(made.value) == "deque":
            value = made.value
            if isinstance(value, ast.Call) and all(k.arg != "maxlen" for k in value.keywords):
                if all(".appendleft(" not in scene.text(node) for node in appends):
                    drop = f"while len({text}) > {limit}:\n    {text}.popleft()"
                    yield scene.draft(
                        *(insert_after(node, drop) for node in appends),
                        *edits,
                        title=f"drop the oldest items of `{text}` beyond a limit",
                        weight=1.4 * fit,
                    )
                yield scene.draft(
                    add_argument(value, f"maxlen={ENTRIES}"),
                    title=f"keep only the latest {ENTRIES} items of `{text}`",
                    weight=1.2 * fit,
                )
            return
        yield scene.draft(
            *(insert_after(node, f"del {text}[:-{limit}]") for node in appends),
            *edits,
            title=f"keep only the latest items of `{text}`",
            weight=1.2 * fit,
        )
        empty = isinstance(made.value, ast.List) and not made.value.elts
        if empty and _deque_will_do(scene, container):
            yield scene.draft(
                replace_expression(made.value, f"deque(maxlen={ENTRIES})"),
                add_import("from collections import deque"),
                title=f"keep only the latest {ENTRIES} items of `{text}`",
                weight=1.0 * fit,
            )


_TAKES_ANY = frozenset(
    {"len", "list", "iter", "sum", "sorted", "tuple", "max", "min", "any", "all", "enumerate"}
)


def _deque_will_do(scene: Scene, container: ast.expr) -> bool:
    """Only uses that a deque has too: no slices, no sorting, no JSON."""
    last = getattr(container, "attr", getattr(container, "id", ""))
    for file in scene.sources.all():
        if last not in file.text:
            continue
        for node in ast.walk(file.tree):
            if getattr(node, "attr", getattr(node, "id", None)) != last:
                continue
            parent = file.parent(node)
            if isinstance(parent, ast.Subscript) and isinstance(parent.slice, ast.Slice):
                return False
            if isinstance(parent, ast.Attribute) and parent.attr in ("sort", "insert", "copy"):
                return False
            if isinstance(parent, ast.Return | ast.BinOp | ast.Dict | ast.Compare):
                return False
            passed = isinstance(parent, ast.Call) and node in parent.args
            if passed and isinstance(parent, ast.Call) and called_name(parent) not in _TAKES_ANY:
                return False
    return True


class BoundMemo(Rule):
    """Gives a memo without end a size: `lru_cache(maxsize=…)` in place of `cache`."""

    name = "bound_memo"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(
            before="""
                from functools import lru_cache


                @lru_cache(maxsize=None)
                def f(key):
                    return 'x' * key  # <- here
                """,
            after="""
                from functools import lru_cache


                @lru_cache(maxsize=1024)
                def f(key):
                    return 'x' * key  # <- here
                """,
            kind="leak",
        ),
        Example(
            before="""
                import functools


                @functools.cache
                def f(key):
                    return 'x' * key  # <- here
                """,
            after="""
                import functools


                @functools.lru_cache(maxsize=1024)
                def f(key):
                    return 'x' * key  # <- here
                """,
            kind="leak",
        ),
        Example(
            before="""
                from functools import lru_cache


                @lru_cache(maxsize=8)
                def f(key):
                    return 'x' * key  # <- here
                """,
            kind="leak",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if scene.occurrence.kind != "leak" or scene.function is None:
            return
        functions = [scene.function]
        functions += [f for f in scene.file.functions.values() if f not in functions]
        for rank, function in enumerate(functions):
            for decorator in function.decorator_list:
                edits = _bounded(scene, decorator)
                if edits:
                    yield scene.draft(
                        *edits,
                        title=f"remember at most {ENTRIES} results of `{function.name}`",
                        weight=1.4 if rank == 0 else 0.7,
                    )


def _bounded(scene: Scene, decorator: ast.expr) -> list[Edit]:
    if isinstance(decorator, ast.Call) and called_name(decorator) == "lru_cache":
        named = [k.value for k in decorator.keywords if k.arg == "maxsize"]
        for value in [*decorator.args[:1], *named]:
            if isinstance(value, ast.Constant) and value.value is None:
                return [replace_expression(value, str(ENTRIES))]
        return []
    if isinstance(decorator, ast.Attribute) and decorator.attr == "cache":
        module = scene.text(decorator.value)
        return [replace_expression(decorator, f"{module}.lru_cache(maxsize={ENTRIES})")]
    if isinstance(decorator, ast.Name) and decorator.id == "cache":
        return [
            replace_expression(decorator, f"lru_cache(maxsize={ENTRIES})"),
            add_import("from functools import lru_cache"),
        ]
    return []
