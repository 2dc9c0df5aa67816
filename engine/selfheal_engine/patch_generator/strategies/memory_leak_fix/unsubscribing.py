"""Whoever registers itself somewhere leaves when it is closed."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name, parameters
from selfheal_engine.diagnosis.source_file import Function, SourceFile
from selfheal_engine.patch_generator.edits import Edit, insert_after, insert_before
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.memory_leak_fix.containers import (
    STRATEGY,
    containers_of,
    kind_of,
    made_at,
)

_OPPOSITES = (
    ("subscribe", "unsubscribe"),
    ("register", "unregister"),
    ("attach", "detach"),
    ("connect", "disconnect"),
    ("listen", "unlisten"),
    ("watch", "unwatch"),
    ("observe", "unobserve"),
    ("join", "leave"),
    ("add", "remove"),
)
_CLOSERS = ("close", "aclose", "stop", "shutdown", "dispose", "disconnect", "finish", "__exit__")
_ADDS = ("append", "add", "appendleft")


class LeaveOnClose(Rule):
    """Takes an object's own listener out again in its `close`, where its constructor put it in."""

    name = "leave_on_close"
    strategy = STRATEGY
    kinds = frozenset({"leak"})
    examples = (
        Example(
            before="""
                class Settings:
                    def __init__(self):
                        self.listeners = []

                    def subscribe(self, listener):
                        self.listeners.append(listener)  # <- here

                    def changed(self):
                        for listener in self.listeners:
                            listener()


                settings = Settings()


                class Session:
                    def __init__(self):
                        self.seen = []
                        settings.subscribe(self.refresh)

                    def refresh(self):
                        self.seen.clear()

                    def close(self):
                        self.seen.clear()
                """,
            after="""
                class Settings:
                    def __init__(self):
                        self.listeners = []

                    def subscribe(self, listener):
                        self.listeners.append(listener)  # <- here

                    def unsubscribe(self, listener):
                        if listener in self.listeners:
                            self.listeners.remove(listener)

                    def changed(self):
                        for listener in self.listeners:
                            listener()


                settings = Settings()


                class Session:
                    def __init__(self):
                        self.seen = []
                        settings.subscribe(self.refresh)

                    def refresh(self):
                        self.seen.clear()

                    def close(self):
                        settings.unsubscribe(self.refresh)
                        self.seen.clear()
                """,
            kind="leak",
        ),
        Example(
            before="""
                class Bus:
                    def __init__(self):
                        self.members = set()

                    def join(self, member):
                        self.members.add(member)  # <- here

                    def leave(self, member):
                        self.members.discard(member)


                class Client:
                    def __init__(self, bus):
                        self.bus = bus
                        bus.join(self)

                    def stop(self):
                        print('stopped')
                """,
            after="""
                class Bus:
                    def __init__(self):
                        self.members = set()

                    def join(self, member):
                        self.members.add(member)  # <- here

                    def leave(self, member):
                        self.members.discard(member)


                class Client:
                    def __init__(self, bus):
                        self.bus = bus
                        bus.join(self)

                    def stop(self):
                        self.bus.leave(self)
                        print('stopped')
                """,
            kind="leak",
        ),
        Example(
            before="""
                class Bus:
                    def __init__(self):
                        self.members = set()

                    def join(self, member):
                        self.members.add(member)  # <- here

                    def leave(self, member):
                        self.members.discard(member)


                class Client:
                    def __init__(self, bus):
                        self.bus = bus
                        bus.join(self)

                    def stop(self):
                        self.bus.leave(self)
                """,
            kind="leak",
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        for container in containers_of(scene):
            yield from self._left(scene, container)

    @staticmethod
    def _left(scene: Scene, container: ast.expr) -> Iterator[Draft]:
        adder, file = scene.file.function_of(container), scene.file
        call = file.parent(file.parent(container) or container)
        if adder is None or not isinstance(call, ast.Call) or called_name(call) not in _ADDS:
            return
        item = file.segment(call.args[0]) if len(call.args) == 1 else ""
        if item not in parameters(adder) or file.class_of(adder) is None:
            return
        text = file.segment(container)
        leave, makes = _leaving(file, adder, text, item, _is_set(scene, container))
        if not leave:
            return
        for other in scene.sources.all():
            for owner, registering, closer in _members(other, adder.name):
                hub = _known_in(other, registering)
                code = f"{hub}.{leave}({other.segment(registering.args[0])})"
                if not hub or leave in other.segment(closer):
                    continue
                edits = [(other.path, _first_in(closer, code))]
                edits += [(file.path, edit) for edit in makes]
                yield Draft(
                    tuple(edits),
                    f"`{owner.name}.{closer.name}` leaves `{text}` again",
                    1.9,
                    f"Its constructor registers it, and `{text}` keeps it alive for ever.",
                    line=closer.lineno,
                )


def _leaving(
    file: SourceFile, adder: Function, text: str, item: str, is_set: bool
) -> tuple[str, list[Edit]]:
    """(name of the method that takes one out, the edits that write it where there is none)."""
    owner = file.class_of(adder)
    for method in owner.body if owner is not None else ():
        if isinstance(method, Function) and len(method.args.args) == 2:
            known = file.segment(method)
            if f"{text}.remove(" in known or f"{text}.discard(" in known:
                return method.name, []
    for word, opposite in _OPPOSITES:
        if adder.name == word or adder.name.startswith(f"{word}_"):
            name = opposite + adder.name[len(word) :]
            forget = f"    if {item} in {text}:\n        {text}.remove({item})"
            if is_set:
                forget = f"    {text}.discard({item})"
            code = f"\ndef {name}(self, {item}):\n{forget}\n"
            return name, [insert_after(adder, code)]
    return "", []


def _is_set(scene: Scene, container: ast.expr) -> bool:
    made = made_at(scene, container)
    return made is not None and kind_of(made.value) == "set"


def _members(file: SourceFile, adder: str) -> Iterator[tuple[ast.ClassDef, ast.Call, Function]]:
    """(class, the call by which its constructor registers the object, the method that ends it)."""
    for owner in file.classes.values():
        methods = {m.name: m for m in owner.body if isinstance(m, Function)}
        begin = methods.get("__init__")
        closer = next((methods[name] for name in _CLOSERS if name in methods), None)
        if begin is None or closer is None:
            continue
        for node in ast.walk(begin):
            if isinstance(node, ast.Call) and called_name(node) == adder and len(node.args) == 1:
                text = file.segment(node.args[0])
                if text == "self" or (text.startswith("self.") and text.count(".") == 1):
                    yield owner, node, closer


def _known_in(file: SourceFile, registering: ast.Call) -> str:
    """How another method of the class names the object that was registered with; "" unknown."""
    hub = registering.func.value if isinstance(registering.func, ast.Attribute) else None
    begin = file.function_of(registering)
    if hub is None or begin is None:
        return ""
    text = file.segment(hub)
    if text.partition(".")[0] == "self" or text.partition(".")[0] not in parameters(begin):
        return text
    for node in ast.walk(begin):
        if isinstance(node, ast.Assign) and file.segment(node.value) == text:
            target = file.segment(node.targets[0])
            if target.startswith("self."):
                return target
    return ""


def _first_in(closer: Function, code: str) -> Edit:
    first = closer.body[0]
    docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return insert_after(first, code) if docstring else insert_before(first, code)
