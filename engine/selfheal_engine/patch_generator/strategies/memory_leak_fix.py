"""Something grows without end: bound the cache, drop the entry, forget the listener.

The report names the line that allocates and, where known, the container that keeps. Every
writer of the same container in the file gets the bound.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name, parameters
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

STRATEGY = "memory_leak_fix"
KINDS = frozenset({"leak", "exception"})
ENTRIES = 1024
ADDS = ("append", "add", "appendleft", "insert", "extend", "update", "setdefault")


def container_of(scene: Scene) -> ast.expr | None:
    """The container that the growing line stores into, else the one that the report names."""
    statement = scene.statement
    for node in _storing(statement):
        return node
    function = scene.function
    named_by_report = [g.holder for g in scene.occurrence.growth if g.holder]
    holders = {holder.rpartition(".")[2].strip("[]'\"") for holder in named_by_report}
    root: ast.AST = function or scene.file.tree
    stored = [
        container
        for node in ast.walk(root)
        if isinstance(node, ast.stmt) and not isinstance(node, Function | ast.ClassDef)
        for container in _storing(node)
    ]
    named = [c for c in stored if scene.text(c).rpartition(".")[2] in holders]
    if named:
        return named[0]
    lasting = [c for c in stored if is_lasting(scene, c)]
    return lasting[0] if lasting else None


def _storing(statement: ast.AST) -> Iterator[ast.expr]:
    """Containers that a simple statement puts something into."""
    if isinstance(statement, ast.Assign):
        for target in statement.targets:
            if isinstance(target, ast.Subscript):
                yield target.value
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        call = statement.value
        if isinstance(call.func, ast.Attribute) and call.func.attr in ADDS:
            owner = call.func.value
            # `groups.setdefault(key, []).append(x)` stores into `groups`
            if isinstance(owner, ast.Call) and called_name(owner) == "setdefault":
                assert isinstance(owner.func, ast.Attribute)
                owner = owner.func.value
            if isinstance(owner, ast.Subscript):
                owner = owner.value
            yield owner


def is_lasting(scene: Scene, container: ast.expr) -> bool:
    """Whether it outlives the call: a module's variable, an attribute, a mutable default."""
    if isinstance(container, ast.Attribute):
        return True
    if not isinstance(container, ast.Name):
        return False
    if made_at(scene, container) is not None:
        return True
    function = scene.function
    return function is not None and _mutable_default(function, container.id) is not None


def made_at(scene: Scene, container: ast.expr) -> ast.Assign | ast.AnnAssign | None:
    """The statement that makes the container: in the module, the class or its methods."""
    if isinstance(container, ast.Name):
        for statement in scene.file.tree.body:
            targets = _targets(statement)
            if any(isinstance(t, ast.Name) and t.id == container.id for t in targets):
                assert isinstance(statement, ast.Assign | ast.AnnAssign)
                return statement
        return None
    if isinstance(container, ast.Attribute):
        for node in ast.walk(scene.file.tree):
            for target in _targets(node):
                same = isinstance(target, ast.Attribute) and target.attr == container.attr
                in_class = (
                    isinstance(target, ast.Name)
                    and target.id == container.attr
                    and isinstance(scene.file.parent(node), ast.ClassDef)
                )
                if same or in_class:
                    assert isinstance(node, ast.Assign | ast.AnnAssign)
                    return node
    return None


def _targets(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign) and node.value is not None else []


def _mutable_default(function: Function, name: str) -> ast.expr | None:
    a = function.args
    positional = [*a.posonlyargs, *a.args]
    pairs = list(zip(reversed(positional), reversed(a.defaults), strict=False))
    pairs += [(k, d) for k, d in zip(a.kwonlyargs, a.kw_defaults, strict=True) if d is not None]
    for argument, default in pairs:
        if argument.arg == name and isinstance(default, ast.List | ast.Dict | ast.Set | ast.Call):
            return default
    return None


def _kind_of(value: ast.expr | None) -> str:
    """dict, list, set, deque, OrderedDict or "" for the expression that makes a container."""
    if isinstance(value, ast.Dict):
        return "dict"
    if isinstance(value, ast.List):
        return "list"
    if isinstance(value, ast.Set):
        return "set"
    name = called_name(value) if isinstance(value, ast.Call) else ""
    return name if name in ("dict", "list", "set", "deque", "OrderedDict", "defaultdict") else ""


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
    made = [n for n in scene.file.tree.body if any(scene.text(t) == container for t in _targets(n))]
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
                def f(key):
                    found = {}
                    found[key] = 1  # <- here
                    return found
                """,
            kind="leak",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if scene.occurrence.kind != "leak":
            return
        container = container_of(scene)
        if container is None or not is_lasting(scene, container):
            return
        made = made_at(scene, container)
        if made is None or _kind_of(made.value) not in ("dict", "OrderedDict", "defaultdict"):
            return
        text = scene.text(container)
        writers = [
            node
            for node in ast.walk(scene.file.tree)
            if isinstance(node, ast.Assign)
            and any(scene.text(c) == text for c in _storing(node))
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


class BoundList(Rule):
    """Keeps only the latest items of a list that is appended to for ever: `deque(maxlen=…)`."""

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
        container = container_of(scene) if scene.occurrence.kind == "leak" else None
        if container is None or not is_lasting(scene, container):
            return
        made = made_at(scene, container)
        if made is None or made.value is None or _kind_of(made.value) not in ("list", "deque"):
            return
        text = scene.text(container)
        if _kind_of(made.value) == "deque":
            value = made.value
            if isinstance(value, ast.Call) and all(k.arg != "maxlen" for k in value.keywords):
                yield scene.draft(
                    add_argument(value, f"maxlen={ENTRIES}"),
                    title=f"keep only the latest {ENTRIES} items of `{text}`",
                    weight=1.4,
                )
            return
        empty = isinstance(made.value, ast.List) and not made.value.elts
        if empty and _deque_will_do(scene, container):
            yield scene.draft(
                replace_expression(made.value, f"deque(maxlen={ENTRIES})"),
                add_import("from collections import deque"),
                title=f"keep only the latest {ENTRIES} items of `{text}`",
                weight=1.2,
            )
        appends = [
            node
            for node in ast.walk(scene.file.tree)
            if isinstance(node, ast.Expr) and any(scene.text(c) == text for c in _storing(node))
        ]
        limit, edits = limit_name(scene, text)
        yield scene.draft(
            *(insert_after(node, f"del {text}[:-{limit}]") for node in appends),
            *edits,
            title=f"keep only the latest items of `{text}`",
            weight=1.0,
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


class ForgetOnClose(Rule):
    """Removes on disconnect, close or unsubscribe what the opposite method added."""

    name = "forget_on_close"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(
            before="""
                class Hub:
                    def __init__(self):
                        self.clients = []

                    def connect(self, client):
                        self.clients.append(client)  # <- here

                    def disconnect(self, client):
                        client.close()
                """,
            after="""
                class Hub:
                    def __init__(self):
                        self.clients = []

                    def connect(self, client):
                        self.clients.append(client)  # <- here

                    def disconnect(self, client):
                        if client in self.clients:
                            self.clients.remove(client)
                        client.close()
                """,
            kind="leak",
        ),
        Example(
            before="""
                class Hub:
                    def __init__(self):
                        self.clients = []

                    def connect(self, client):
                        self.clients.append(client)  # <- here
                """,
            kind="leak",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        container = container_of(scene) if scene.occurrence.kind == "leak" else None
        if container is None:
            return
        made = made_at(scene, container)
        kind = _kind_of(made.value) if made is not None else ""
        text = scene.text(container)
        item = _stored_item(scene, container)
        for name, function in scene.file.functions.items():
            closes = any(word in name.lower() for word in _CLOSES)
            if not closes or f"{text}." in scene.text(function):
                continue
            same_class = scene.file.class_of(function) is scene.file.class_of(container)
            if "self" in text and not same_class:
                continue
            names = [a.arg for a in function.args.args if a.arg not in ("self", "cls")]
            match = item if item in names else (names[0] if names else "")
            if not match:
                continue
            if kind in ("set",):
                code = f"{text}.discard({match})"
            elif kind in ("dict", "OrderedDict", "defaultdict"):
                code = f"{text}.pop({match}, None)"
            else:
                code = f"if {match} in {text}:\n    {text}.remove({match})"
            first = function.body[0]
            docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            edit = insert_after(first, code) if docstring else insert_before(first, code)
            yield scene.draft(
                edit,
                title=f"`{function.name}` forgets its {match}",
                weight=1.6 if match == item else 1.1,
                explanation=f"`{text}` keeps every {match} that was ever added.",
            )


_CLOSES = (
    "close",
    "disconnect",
    "unsubscribe",
    "remove",
    "unregister",
    "detach",
    "leave",
    "logout",
    "finish",
    "complete",
    "stop",
    "end",
    "expire",
    "cancel",
    "shutdown",
    "release",
    "forget",
)


def _stored_item(scene: Scene, container: ast.expr) -> str:
    """The name under which the item (for a dict, the key) is stored."""
    statement = scene.file.statement_of(container)
    if isinstance(statement, ast.Assign):
        for target in statement.targets:
            if isinstance(target, ast.Subscript):
                return scene.text(target.slice)
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        arguments = statement.value.args
        return scene.text(arguments[-1]) if arguments else ""
    return ""


class ForgetAfterUse(Rule):
    """Takes an item out again, in a `finally`, when the function that wanted it is done with it."""

    name = "forget_after_use"
    strategy = STRATEGY
    kinds = frozenset({"leak"})
    examples = (
        Example(
            before="""
                class Hub:
                    def __init__(self):
                        self.waiting = []

                    def join(self):
                        seat = object()
                        self.waiting.append(seat)  # <- here
                        return seat

                    def wait(self, work):
                        seat = self.join()
                        return work(seat)
                """,
            after="""
                class Hub:
                    def __init__(self):
                        self.waiting = []

                    def join(self):
                        seat = object()
                        self.waiting.append(seat)  # <- here
                        return seat

                    def wait(self, work):
                        seat = self.join()
                        try:
                            return work(seat)
                        finally:
                            self.waiting.remove(seat)
                """,
            kind="leak",
        ),
        Example(
            before="""
                EVENTS = []


                def f(event):
                    EVENTS.append(event)  # <- here
                """,
            kind="leak",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        container = container_of(scene)
        if container is None or not is_lasting(scene, container):
            return
        statement = scene.file.statement_of(container)
        adder = scene.file.function_of(container)
        item, text = _stored_item(scene, container), scene.text(container)
        if statement is None or adder is None or not item.isidentifier():
            return
        made = made_at(scene, container)
        kind = _kind_of(made.value) if made is not None else ""
        block = scene.file.block_of(statement)
        rest = block[block.index(statement) + 1 :]
        handed_out = any(
            isinstance(n, ast.Return) and isinstance(n.value, ast.Name) and n.value.id == item
            for n in ast.walk(adder)
        )
        if not handed_out and rest and item not in parameters(adder):
            yield from self._around(scene, rest, text, kind, item, adder.name)
        for function in scene.file.functions.values() if handed_out else ():
            for node in ast.walk(function):
                call = node.value if isinstance(node, ast.Assign) else None
                call = call.value if isinstance(call, ast.Await) else call
                if not isinstance(node, ast.Assign) or not isinstance(call, ast.Call):
                    continue
                target = node.targets[0]
                if called_name(call) == adder.name and isinstance(target, ast.Name):
                    after = scene.file.block_of(node)
                    after = after[after.index(node) + 1 :]
                    yield from self._around(scene, after, text, kind, target.id, function.name)

    @staticmethod
    def _around(
        scene: Scene, rest: list[ast.stmt], text: str, kind: str, item: str, name: str
    ) -> Iterator[Draft]:
        forget = {"set": f"{text}.discard({item})"}.get(kind, f"{text}.remove({item})")
        if kind in ("dict", "OrderedDict", "defaultdict"):
            forget = f"{text}.pop({item}, None)"
        if not rest:
            return
        only = rest[0]
        if len(rest) == 1 and isinstance(only, ast.Try) and not only.finalbody:
            lines = scene.file.lines[only.lineno - 1 : only.end_lineno]
            body = "".join(x[only.col_offset :] if x.strip() else "\n" for x in lines)
            code = f"{body.rstrip()}\nfinally:\n    {forget}\n"
        else:
            code = f"try:\n    {BODY}\nfinally:\n    {forget}\n"
        yield scene.draft(
            replace_statements(rest, code),
            title=f"`{name}` takes its {item} out of `{text}` when it is done",
            weight=1.7,
        )


class FreshDefault(Rule):
    """Makes a mutable default anew at each call, so that calls do not share and grow it."""

    name = "fresh_default"
    strategy = STRATEGY
    kinds = frozenset({"leak", "exception"})
    examples = (
        Example(
            before="""
                def f(item, seen=[]):
                    seen.append(item)  # <- here
                    return seen
                """,
            after="""
                def f(item, seen=None):
                    if seen is None:
                        seen = []
                    seen.append(item)  # <- here
                    return seen
                """,
            kind="leak",
        ),
        Example(
            before="""
                def f(item, seen=()):
                    return [*seen, item]  # <- here
                """,
            kind="leak",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        function = scene.function
        if function is None:
            return
        for argument in [*function.args.args, *function.args.kwonlyargs]:
            default = _mutable_default(function, argument.arg)
            if default is None or _kind_of(default) == "":
                continue
            name, value = argument.arg, scene.text(default)
            guard = f"if {name} is None:\n    {name} = {value}"
            first = function.body[0]
            docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            yield scene.draft(
                replace_expression(default, "None"),
                insert_after(first, guard) if docstring else insert_before(first, guard),
                title=f"make `{name}` anew at each call",
                weight=1.5 if scene.occurrence.kind == "leak" else 0.6,
            )


class ForgetTask(Rule):
    """Lets a finished task leave the collection that keeps it alive."""

    name = "forget_task"
    strategy = STRATEGY
    kinds = frozenset({"leak"})
    examples = (
        Example(
            before="""
                import asyncio

                TASKS = set()


                async def f(job):
                    task = asyncio.create_task(job())
                    TASKS.add(task)  # <- here
                """,
            after="""
                import asyncio

                TASKS = set()


                async def f(job):
                    task = asyncio.create_task(job())
                    TASKS.add(task)  # <- here
                    task.add_done_callback(TASKS.discard)
                """,
            kind="leak",
        ),
        Example(
            before="""
                TASKS = set()


                def f(task):
                    TASKS.add(task)  # <- here
                """,
            kind="leak",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        container = container_of(scene)
        statement = scene.file.statement_of(container) if container is not None else None
        if container is None or statement is None or scene.function is None:
            return
        item, text = _stored_item(scene, container), scene.text(container)
        makes = ("create_task", "ensure_future", "submit", "run_coroutine_threadsafe")
        made = any(
            isinstance(n, ast.Assign)
            and isinstance(n.value, ast.Call)
            and called_name(n.value) in makes
            and scene.text(n.targets[0]) == item
            for n in ast.walk(scene.function)
        )
        if not made:
            return
        source = made_at(scene, container)
        forget = "discard" if source is not None and _kind_of(source.value) == "set" else "remove"
        yield scene.draft(
            insert_after(statement, f"{item}.add_done_callback({text}.{forget})"),
            title=f"forget a task of `{text}` when it is done",
            weight=1.7,
        )


RULES: tuple[Rule, ...] = (
    BoundCache(),
    BoundMemo(),
    BoundList(),
    ForgetOnClose(),
    ForgetTask(),
    ForgetAfterUse(),
    FreshDefault(),
)
