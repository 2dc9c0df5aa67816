"""Takes out again what was added: on close, when done, after use."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name, parameters
from selfheal_engine.patch_generator.edits import (
    BODY,
    insert_after,
    insert_before,
    replace_statements,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.memory_leak_fix.containers import (
    KINDS,
    STRATEGY,
    containers_of,
    kind_of,
    made_at,
)


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
        if scene.occurrence.kind == "leak":
            for container in containers_of(scene):
                yield from self._forgotten(scene, container)

    @staticmethod
    def _forgotten(scene: Scene, container: ast.expr) -> Iterator[Draft]:
        made = made_at(scene, container)
        kind = kind_of(made.value) if made is not None else ""
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
        Example(
            before="""
                class Worker:
                    def __init__(self):
                        self.results = []
                        self.finished = 0

                    def handle(self, name):
                        result = {"name": name}
                        self.results.append(result)  # <- here
                        self.finished += 1
                """,
            kind="leak",
        ),
        Example(
            before="""
                class Worker:
                    def __init__(self):
                        self.results = []

                    def handle(self, name, tell):
                        result = {"name": name}
                        self.results.append(result)  # <- here
                        tell(result)

                    def last(self):
                        return self.results[-1]
                """,
            kind="leak",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        for container in containers_of(scene):
            if not _read_by_place(scene, container):
                yield from self._forgotten(scene, container)

    def _forgotten(self, scene: Scene, container: ast.expr) -> Iterator[Draft]:
        statement = scene.file.statement_of(container)
        adder = scene.file.function_of(container)
        item, text = _stored_item(scene, container), scene.text(container)
        if statement is None or adder is None or not item.isidentifier():
            return
        made = made_at(scene, container)
        kind = kind_of(made.value) if made is not None else ""
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
        if not _is_used_in(rest, item):
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


def _is_used_in(rest: list[ast.stmt], item: str) -> bool:
    """Whether the item is at work there: whoever is told of it meanwhile may want to find it."""
    nodes = [node for statement in rest for node in ast.walk(statement)]
    named = any(isinstance(node, ast.Name) and node.id == item for node in nodes)
    works = (ast.Call, ast.Await, ast.Yield, ast.YieldFrom, ast.With, ast.AsyncWith)
    return named and any(isinstance(node, works) for node in nodes)


def _read_by_place(scene: Scene, container: ast.expr) -> bool:
    """Whether items of a list are read by their places: it is kept for those who come later."""
    last = getattr(container, "attr", getattr(container, "id", ""))
    made = made_at(scene, container)
    if made is None or kind_of(made.value) not in ("list", "deque"):
        return False
    return any(
        isinstance(node, ast.Subscript)
        and isinstance(node.ctx, ast.Load)
        and getattr(node.value, "attr", getattr(node.value, "id", "")) == last
        for node in ast.walk(scene.file.tree)
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
        for container in containers_of(scene):
            yield from self._forgotten(scene, container)

    @staticmethod
    def _forgotten(scene: Scene, container: ast.expr) -> Iterator[Draft]:
        statement = scene.file.statement_of(container)
        function = scene.file.function_of(container)
        if statement is None or function is None:
            return
        item, text = _stored_item(scene, container), scene.text(container)
        makes = ("create_task", "ensure_future", "submit", "run_coroutine_threadsafe")
        made = any(
            isinstance(n, ast.Assign)
            and isinstance(n.value, ast.Call)
            and called_name(n.value) in makes
            and scene.text(n.targets[0]) == item
            for n in ast.walk(function)
        )
        if not made:
            return
        source = made_at(scene, container)
        forget = "discard" if source is not None and kind_of(source.value) == "set" else "remove"
        yield scene.draft(
            insert_after(statement, f"{item}.add_done_callback({text}.{forget})"),
            title=f"forget a task of `{text}` when it is done",
            weight=1.7,
        )
