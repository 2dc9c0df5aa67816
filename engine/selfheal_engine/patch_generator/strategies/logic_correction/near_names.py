"""Keys, attributes and variables under another name than the one that is there."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.source_file import Function
from selfheal_engine.patch_generator.edits import (
    insert_before,
    replace_expression,
)
from selfheal_engine.patch_generator.neutral_values import by_others, by_use
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import first_statement
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY


class NearestKey(Rule):
    """Reads the key that the mapping really has, where the names are nearly the same."""

    name = "nearest_key"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f():
                    order = {'amount': 3, 'name': 'x'}
                    return order['ammount']
                """,
            after="""
                def f():
                    order = {'amount': 3, 'name': 'x'}
                    return order['amount']
                """,
        ),
        Example(
            before="""
                def f():
                    order = {'amount': 3}
                    return order['city']
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if scene.exception != "KeyError" or not isinstance(node, ast.Subscript):
            return
        key = node.slice
        container = scene.value(node.value)
        if not isinstance(key, ast.Constant) or not isinstance(key.value, str) or container is None:
            return
        known = [name for name, _ in container.children]
        if key.value.lower() in [name.lower() for name in known if name != key.value]:
            lowered = f"{{k.lower(): v for k, v in {scene.text(node.value)}.items()}}"
            yield scene.draft(
                replace_expression(node, f"{lowered}[{key.value.lower()!r}]"),
                title=f"read {key.value!r} in whatever case it is written",
                weight=1.7,
            )
        for rank, near in enumerate(_near(key.value, known)):
            quote = scene.text(key)[:1]
            yield scene.draft(
                replace_expression(key, f"{quote}{near}{quote}"),
                title=f"read {near!r}, the key that is there",
                weight=1.6 - 0.3 * rank,
            )


def _near(name: str, known: list[str]) -> list[str]:
    """Names that a slip of the pen or another word order would turn into this one."""
    parts = set(re.split(r"[_\W]+", name.lower()))
    found = difflib.get_close_matches(name, known, 3, 0.72)
    for other in known:
        words = set(re.split(r"[_\W]+", other.lower()))
        same = other.replace("_", "").lower() == name.replace("_", "").lower()
        if other not in found and other != name and (same or (len(parts) > 1 and words == parts)):
            found.append(other)
    # a longer name that says more, or a shorter one that says less: `discount`, `member_discount`
    fuller = [o for o in known if set(_words(o)) > set(_words(name)) and not o.startswith("__")]
    shorter = [o for o in known if len(_words(o)) > 1 and set(_words(o)) < set(_words(name))]
    for other in [*fuller, *shorter] if len(name) > 3 else ():
        if other not in found:
            found.append(other)
    return [f for f in found if f != name][:4]


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[_\W]+|(?<=[a-z])(?=[A-Z])", name.lower()) if word]


class NearestAttribute(Rule):
    """Uses the attribute that the object really has, where the names are nearly the same."""

    name = "nearest_attribute"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                class User:
                    def __init__(self):
                        self.email = 'a@b'


                def f():
                    user = User()
                    return user.emial
                """,
            after="""
                class User:
                    def __init__(self):
                        self.email = 'a@b'


                def f():
                    user = User()
                    return user.email
                """,
        ),
        Example(
            before="""
                class Prices:
                    def __init__(self):
                        self.member_discount = 2
                        self.floor = 1

                    def reduced(self):
                        return 9 - self.discount


                def f():
                    return Prices().reduced()
                """,
            after="""
                class Prices:
                    def __init__(self):
                        self.member_discount = 2
                        self.floor = 1

                    def reduced(self):
                        return 9 - self.member_discount


                def f():
                    return Prices().reduced()
                """,
        ),
        Example(
            before="""
                class Counter:
                    def __init__(self):
                        self.rejected = 0

                    def reject(self):
                        self.rejcted += 1
                        return self.rejcted


                def f():
                    return Counter().reject()
                """,
            after="""
                class Counter:
                    def __init__(self):
                        self.rejected = 0

                    def reject(self):
                        self.rejected += 1
                        return self.rejected


                def f():
                    return Counter().reject()
                """,
        ),
        Example(
            before="""
                class Inbox:
                    def __init__(self):
                        self.recieved = []

                    def add(self, mail):
                        self.received.append(mail)

                    def size(self):
                        return len(self.received)


                def f():
                    return Inbox().size()
                """,
            after="""
                class Inbox:
                    def __init__(self):
                        self.received = []

                    def add(self, mail):
                        self.received.append(mail)

                    def size(self):
                        return len(self.received)


                def f():
                    return Inbox().size()
                """,
        ),
        Example(
            before="""
                def f(user=None):
                    return user.email
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if scene.exception != "AttributeError" or not isinstance(node, ast.Attribute):
            return
        if scene.failure.is_none or node.attr in ("encode", "decode"):
            return  # of text and bytes each has one of the two: the other is no slip of the pen
        value = scene.value(node.value)
        known = [name for name, _ in value.children] if value is not None else []
        kind = value.type_name if value is not None else _kind_in(scene.message)
        builtin = {"str": str, "dict": dict, "list": list, "set": set, "int": int, "bytes": bytes}
        if kind in builtin:
            known = [n for n in dir(builtin[kind]) if not n.startswith("__")]
        for _, cls in scene.sources.classes_named(kind):
            known += [f.name for f in cls.body if isinstance(f, Function)]
            known += [
                n.attr
                for n in ast.walk(cls)
                if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)
            ]
            known += [
                n.target.id
                for n in cls.body
                if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)
            ]
        uses = _uses(scene, node)
        for rank, near in enumerate(_near(node.attr, list(dict.fromkeys(known)))):
            given = _only_stored(scene, node, near) if len(uses) > 1 else []
            if given:  # everybody asks for the other name: the slip is where it is set
                yield scene.draft(
                    *(replace_expression(g, f"{scene.text(g.value)}.{node.attr}") for g in given),
                    title=f"set `{node.attr}`, which is what is read",
                    weight=1.8,
                )
            yield scene.draft(
                *(replace_expression(use, f"{scene.text(use.value)}.{near}") for use in uses),
                title=f"use `{near}`, which `{kind}` has",
                weight=1.6 - 0.3 * rank,
            )
        # a dictionary that is used like an object
        if kind == "dict" and value is not None and any(n == node.attr for n, _ in value.children):
            yield scene.draft(
                replace_expression(node, f'{scene.text(node.value)}["{node.attr}"]'),
                title=f"read the key {node.attr!r} of the dictionary",
                weight=1.7,
            )


def _uses(scene: Scene, node: ast.Attribute) -> list[ast.Attribute]:
    """The failing place, and where the same object of its class is asked for the same name."""
    owner = scene.file.class_of(node)
    if owner is None or not isinstance(node.value, ast.Name):
        return [node]
    return [node, *(use for use in _named(owner, node.value.id, node.attr) if use is not node)]


def _only_stored(scene: Scene, node: ast.Attribute, near: str) -> list[ast.Attribute]:
    """Where the near name is set on the same object, if nobody ever reads it; else []."""
    owner = scene.file.class_of(node)
    if owner is None or not isinstance(node.value, ast.Name):
        return []
    everywhere = [
        n
        for file in scene.sources.all()
        for n in ast.walk(file.tree)
        if isinstance(n, ast.Attribute) and n.attr == near
    ]
    here = _named(owner, node.value.id, near)
    plain = all(isinstance(scene.file.parent(n), ast.Assign | ast.AnnAssign) for n in here)
    return here if here and plain and len(here) == len(everywhere) else []


def _named(owner: ast.ClassDef, name: str, attribute: str) -> list[ast.Attribute]:
    return [
        n
        for n in ast.walk(owner)
        if isinstance(n, ast.Attribute)
        and n.attr == attribute
        and isinstance(n.value, ast.Name)
        and n.value.id == name
    ]


def _kind_in(message: str) -> str:
    found = re.search(r"'(\w+)' object has no attribute", message)
    return found[1] if found else ""


class AttributeNotKey(Rule):
    """Reads the attribute of an object that is taken for a dictionary."""

    name = "attribute_not_key"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                class Line:
                    def __init__(self):
                        self.amount = 3


                def f():
                    line = Line()
                    return line['amount']
                """,
            after="""
                class Line:
                    def __init__(self):
                        self.amount = 3


                def f():
                    line = Line()
                    return line.amount
                """,
        ),
        Example(
            before="""
                def f(line=3):
                    return line['amount']
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if "object is not subscriptable" not in scene.message or scene.failure.is_none:
            return
        if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Constant):
            return
        key, value = node.slice.value, scene.value(node.value)
        if not isinstance(key, str) or not key.isidentifier():
            return
        held = value is not None and any(name == key for name, _ in value.children)
        if held or re.search(rf"(?:self\.|^    ){key}\b\s*[:=]", scene.file.text, re.MULTILINE):
            yield scene.draft(
                replace_expression(node, f"{scene.text(node.value)}.{key}"),
                title=f"`{key}` is an attribute, not a key",
                weight=1.9,
            )


class InitialiseVariable(Rule):
    """Gives a variable a value on the path that so far set none."""

    name = "initialise_variable"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(rows=()):
                    for row in rows:
                        total = row
                    return total + 1
                """,
            after="""
                def f(rows=()):
                    total = 0
                    for row in rows:
                        total = row
                    return total + 1
                """,
        ),
        Example(
            before="""
                def f(kind='basic'):
                    if kind == 'gold':
                        rate = 0.2
                    elif kind == 'silver':
                        rate = 0.1
                    return rate
                """,
            after="""
                def f(kind='basic'):
                    rate = 0.0
                    if kind == 'gold':
                        rate = 0.2
                    elif kind == 'silver':
                        rate = 0.1
                    return rate
                """,
        ),
        Example(
            before="""
                COUNT = 0


                def f():
                    COUNT += 1
                    return COUNT
                """,
            after="""
                COUNT = 0


                def f():
                    global COUNT
                    COUNT += 1
                    return COUNT
                """,
        ),
        Example(
            before="""
                def f():
                    return unknown
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        function = scene.function
        found = re.search(r"variable '(\w+)'", scene.message)
        if scene.exception != "UnboundLocalError" or found is None or function is None:
            return
        name = found[1]
        at = first_statement(function.body)
        module_level = any(
            isinstance(t, ast.Name) and t.id == name
            for n in scene.file.tree.body
            if isinstance(n, ast.Assign)
            for t in n.targets
        )
        if module_level:
            yield scene.draft(
                insert_before(at, f"global {name}"), title=f"`{name}` is the module's", weight=1.6
            )
        use = scene.node if isinstance(scene.node, ast.Name) else None
        neutral = by_others(_values_of(name, function)) or (
            by_use(scene.file, use) if use is not None else ""
        )
        setters = [s for s in function.body if _sets(s, name)]
        place = setters[0] if setters else at
        for rank, value in enumerate(dict.fromkeys([neutral or "None", "None"])):
            yield scene.draft(
                insert_before(place, f"{name} = {value}"),
                title=f"`{name}` is {value} where nothing sets it",
                weight=1.2 - 0.3 * rank,
            )


def _values_of(name: str, function: Function) -> list[ast.expr]:
    """What the function writes into the variable in plain assignments."""
    return [
        node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id == name
    ]


def _sets(statement: ast.stmt, name: str) -> bool:
    names = [n for n in ast.walk(statement) if isinstance(n, ast.Name)]
    return any(n.id == name and isinstance(n.ctx, ast.Store) for n in names)
