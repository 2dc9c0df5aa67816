"""Names that a module of the standard library, or a class of one, does not have there."""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from types import ModuleType

from selfheal_engine.patch_generator.edits import add_import, replace_expression
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY

_OF_MODULE = re.compile(r"^module '([\w.]+)' has no attribute '(\w+)'")
_OF_CLASS = re.compile(r"^type object '([\w.]+)' has no attribute '(\w+)'")
_LOUD = frozenset({"antigravity", "this", "idlelib", "turtledemo", "__main__"})
"""Modules whose import does something that is seen."""
_MOVED = {
    "time.clock": "time.perf_counter",
    "inspect.getargspec": "inspect.getfullargspec",
    "string.letters": "string.ascii_letters",
    "string.lowercase": "string.ascii_lowercase",
    "string.uppercase": "string.ascii_uppercase",
    "string.maketrans": "str.maketrans",
    "cgi.escape": "html.escape",
    "fractions.gcd": "math.gcd",
    "sys.maxint": "sys.maxsize",
    "os.getcwdu": "os.getcwd",
    "os.errno": "errno",
    "itertools.izip": "zip",
    "itertools.imap": "map",
    "itertools.ifilter": "filter",
    "urllib.urlencode": "urllib.parse.urlencode",
    "urllib.quote": "urllib.parse.quote",
    "urllib.unquote": "urllib.parse.unquote",
    "urllib.urlopen": "urllib.request.urlopen",
    "base64.encodestring": "base64.encodebytes",
    "base64.decodestring": "base64.decodebytes",
    "logging.warn": "logging.warning",
}
"""What is called otherwise since a version of Python (its "What's New" pages name each)."""


class ModuleMember(Rule):
    """Reads the name where it is: in the module's class, a submodule, or nearly so spelt."""

    name = "module_member"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                import datetime


                def f():
                    return datetime.now() is not None
                """,
            after="""
                import datetime


                def f():
                    return datetime.datetime.now() is not None
                """,
        ),
        Example(
            before="""
                from datetime import datetime


                def f():
                    return datetime.now() + datetime.timedelta(days=1)
                """,
            after="""
                from datetime import datetime, timedelta


                def f():
                    return datetime.now() + timedelta(days=1)
                """,
        ),
        Example(
            before="""
                import math


                def f():
                    return math.squareroot(2) + math.flor(2.5)
                """,
        ),
        Example(
            before="""
                import math


                def f():
                    return math.flor(2.5)
                """,
            after="""
                import math


                def f():
                    return math.floor(2.5)
                """,
        ),
        Example(
            before="""
                class Shop:
                    pass


                def f():
                    return Shop.now()
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if scene.exception != "AttributeError" or not isinstance(node, ast.Attribute):
            return
        of_module, of_class = _OF_MODULE.match(scene.message), _OF_CLASS.match(scene.message)
        if of_module and of_module[2] == node.attr:
            yield from _in_module(scene, node, of_module[1])
        elif of_class and of_class[2] == node.attr:
            yield from _beside_class(scene, node, of_class[1])


def _in_module(scene: Scene, node: ast.Attribute, name: str) -> Iterator[Draft]:
    owner = scene.text(node.value)
    moved = _MOVED.get(f"{name}.{node.attr}")
    if moved is not None:
        module = moved.rpartition(".")[0]
        imports = [add_import(f"import {module}")] if module and module not in ("str", name) else []
        imports += [add_import("import errno")] if moved == "errno" else []
        yield scene.draft(
            replace_expression(node, moved),
            *imports,
            title=f"`{moved}`, as it is called now",
            weight=1.7,
        )
        return
    module_ = _loaded(name)
    if module_ is None:
        return
    if _is_submodule(name, node.attr):
        yield scene.draft(
            add_import(f"import {name}.{node.attr}"),
            title=f"import `{name}.{node.attr}`, which `{name}` alone does not bring",
            weight=1.8,
        )
        return
    holders = [
        known
        for known, member in vars(module_).items()
        if inspect.isclass(member) and not known.startswith("_") and hasattr(member, node.attr)
    ]
    # the class that has the module's own name is what people mistake the module for
    same = [known for known in holders if known.lower() == name.rpartition(".")[2].lower()]
    for holder in same or (holders if len(holders) == 1 else []):
        yield scene.draft(
            replace_expression(node, f"{owner}.{holder}.{node.attr}"),
            title=f"`{node.attr}` belongs to `{holder}` of the module",
            weight=1.8,
        )
    yield from _spelt(scene, node, owner, [n for n in dir(module_) if not n.startswith("_")])


def _beside_class(scene: Scene, node: ast.Attribute, name: str) -> Iterator[Draft]:
    """The class was imported, and the name stands beside it in its module."""
    module_name, _, class_name = name.rpartition(".")
    module_ = _loaded(module_name)
    if module_ is None:
        return
    owner = scene.text(node.value)
    if hasattr(module_, node.attr):
        if node.attr == class_name:
            yield scene.draft(
                replace_expression(node, owner),
                title=f"`{owner}` is the class already",
                weight=1.8,
            )
            return
        yield scene.draft(
            replace_expression(node, node.attr),
            add_import(f"from {module_name} import {node.attr}"),
            title=f"`{node.attr}` stands beside `{class_name}` in `{module_name}`",
            weight=1.8,
        )
        return
    known = [n for n in dir(getattr(module_, class_name, None)) if not n.startswith("_")]
    yield from _spelt(scene, node, owner, known)


def _spelt(scene: Scene, node: ast.Attribute, owner: str, known: list[str]) -> Iterator[Draft]:
    # a call wants what can be called, a read of a value what has the same case
    for rank, near in enumerate(difflib.get_close_matches(node.attr, known, 3, 0.75)):
        yield scene.draft(
            replace_expression(node, f"{owner}.{near}"),
            title=f"`{near}`, as it is spelt",
            weight=1.7 - 0.3 * rank,
        )


def _loaded(name: str) -> ModuleType | None:
    """A module of the standard library; no other one is imported into the engine."""
    root = name.partition(".")[0]
    if not name or root in _LOUD or root not in sys.stdlib_module_names:
        return None
    with suppress(ImportError):
        return importlib.import_module(name)
    return None


def _is_submodule(name: str, attribute: str) -> bool:
    with suppress(ImportError, ValueError):
        return importlib.util.find_spec(f"{name}.{attribute}") is not None
    return False
