"""Names that cannot be imported or found: matched with what exists."""

from __future__ import annotations

import ast
import builtins
import difflib
import importlib.util
import re
import sys
from collections.abc import Iterator

from selfheal_engine.diagnosis.source_file import SourceFile, span_of
from selfheal_engine.patch_generator.answers import import_of
from selfheal_engine.patch_generator.conventions import is_test
from selfheal_engine.patch_generator.edits import add_import, replace_expression, splice_text
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import names_in
from selfheal_engine.patch_generator.strategies.syntax_fix.texts import KINDS, STRATEGY

RENAMED = {
    "ConfigParser": "configparser",
    "Queue": "queue",
    "StringIO": "io",
    "cPickle": "pickle",
    "urllib2": "urllib.request",
    "urlparse": "urllib.parse",
    "httplib": "http.client",
    "SocketServer": "socketserver",
    "Tkinter": "tkinter",
    "HTMLParser": "html.parser",
    "cStringIO": "io",
    "commands": "subprocess",
    "__builtin__": "builtins",
}
"""Modules of the standard library that Python 3 renamed (PEP 3108)."""


class NearestName(Rule):
    """Spells a name as the code around it does, or imports what is used without import."""

    name = "nearest_name"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(
            before="""
                def f(amount=1):
                    return ammount + 1
                """,
            after="""
                def f(amount=1):
                    return amount + 1
                """,
        ),
        Example(
            before="""
                def f():
                    return json.dumps([])
                """,
            after="""
                import json


                def f():
                    return json.dumps([])
                """,
        ),
        Example(
            before="""
                def f():
                    return zzqx
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        name = undefined_name(scene)
        if not name:
            return
        uses = [n for n in ast.walk(scene.statement) if isinstance(n, ast.Name) and n.id == name]
        if not uses:
            return
        imported = _import_for(scene, name)
        if imported:
            yield scene.draft(
                add_import(imported), title=f"`{imported}`, which is missing", weight=1.8
            )
        known = names_in(scene.file, scene.function) | _module_level(scene.file)
        known |= {n for n in dir(builtins) if not n.startswith("_")}
        for rank, near in enumerate(
            difflib.get_close_matches(name, sorted(known - {name}), 3, 0.7)
        ):
            yield scene.draft(
                *(replace_expression(use, near) for use in uses),
                title=f"`{near}`, as it is spelt elsewhere",
                weight=1.6 - 0.25 * rank,
            )
        owner = scene.file.class_of(scene.statement)
        if owner is not None and scene.function is not None and scene.function.args.args:
            first = scene.function.args.args[0].arg
            fields = {
                n.attr
                for n in ast.walk(owner)
                if isinstance(n, ast.Attribute) and scene.file.segment(n.value) == first
            } | {
                n.name for n in owner.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
            }
            if first in ("self", "cls") and name in fields:
                yield scene.draft(
                    *(replace_expression(use, f"{first}.{name}") for use in uses),
                    title=f"`{first}.{name}`",
                    weight=1.8,
                )


def undefined_name(scene: Scene) -> str:
    """The global name that was used and is nowhere defined; "" where that is not the failure."""
    found = re.search(r"name '(\w+)' is not defined", scene.message)
    return found[1] if scene.exception == "NameError" and found is not None else ""


def _module_level(file: SourceFile) -> set[str]:
    names: set[str] = set()
    for node in file.tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {t.id for t in node.targets if isinstance(t, ast.Name)}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(a.asname or a.name).split(".")[0] for a in node.names}
    return names


def _import_for(scene: Scene, name: str) -> str:
    """How the project, else the standard library, would import a name."""
    files = [file for file in scene.sources.all() if not is_test(file.path)]
    for file in files:
        known = import_of(file, name)
        if known:
            return known
    if name in sys.stdlib_module_names:
        return f"import {name}"
    for file in files:
        if file is not scene.file and (name in file.classes or name in file.functions):
            module = file.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            return f"from {module} import {name}"
    return ""


class NearestImport(Rule):
    """Imports the module or name that exists, where the names are nearly the same."""

    name = "nearest_import"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(
            before="from collections import defaultdct\n\nX = 1\n",
            after="from collections import defaultdict\n\nX = 1\n",
            kind="syntax",
        ),
        Example(before="import jsn\n\nX = 1\n", after="import json\n\nX = 1\n", kind="syntax"),
        Example(before="import zzqx\n", kind="syntax"),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if scene.exception not in ("ImportError", "ModuleNotFoundError"):
            return
        statement = scene.statement
        if not isinstance(statement, ast.Import | ast.ImportFrom):
            return
        text = scene.text(statement)
        wrong_name = re.search(r"cannot import name '(\w+)' from '([\w.]+)'", scene.message)
        wrong_module = re.search(r"No module named '([\w.]+)'", scene.message)
        options: list[tuple[str, str]] = []
        if wrong_name is not None:
            name, module = wrong_name[1], wrong_name[2]
            near = difflib.get_close_matches(name, sorted(_names_of(scene, module)), 3, 0.6)
            options = [(name, n) for n in near]
        elif wrong_module is not None:
            name = wrong_module[1]
            known = set(sys.stdlib_module_names) | _modules(scene)
            near = difflib.get_close_matches(name, sorted(known), 3, 0.7)
            if name in RENAMED:
                near.insert(0, RENAMED[name])
            last = name.rpartition(".")[2]
            near += [m for m in sorted(known) if m.rpartition(".")[2] == last and m not in near]
            options = [(name, n) for n in near[:3]]
        for rank, (old, new) in enumerate(options):
            changed = re.sub(rf"(?<![\w.]){re.escape(old)}(?!\w)", new, text, count=1)
            used_by = old in names_in(scene.file, None)
            if used_by and wrong_name is not None and " as " not in changed:
                changed = re.sub(
                    rf"(?<![\w.]){re.escape(new)}(?!\w)", f"{new} as {old}", changed, count=1
                )
            if changed == text:
                continue
            yield scene.draft(
                splice_text(span_of(statement), changed),
                title=f"import `{new}`, which exists",
                weight=1.7 - 0.3 * rank,
            )
            if used_by and wrong_name is not None:
                yield from self._renamed(scene, statement, old, new, text, rank)

    @staticmethod
    def _renamed(
        scene: Scene, statement: ast.stmt, old: str, new: str, text: str, rank: int
    ) -> Iterator[Draft]:
        """The import and every use spelt right."""
        plain = re.sub(rf"(?<![\w.]){re.escape(old)}(?!\w)", new, text, count=1)
        uses = [n for n in ast.walk(scene.file.tree) if isinstance(n, ast.Name) and n.id == old]
        yield scene.draft(
            splice_text(span_of(statement), plain),
            *(splice_text(span_of(use), new) for use in uses),
            title=f"`{new}` in the import and where it is used",
            weight=1.75 - 0.3 * rank,
        )


def _names_of(scene: Scene, module: str) -> set[str]:
    """What a module offers: by its source in the project, by import for the standard library."""
    file = scene.sources.module(module)
    if file is not None:
        return _module_level(file)
    if module.partition(".")[0] not in sys.stdlib_module_names:
        return set()
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return set()
    if spec is None or module in ("antigravity", "this", "idlelib"):
        return set()
    return {name for name in dir(importlib.import_module(module)) if not name.startswith("_")}


def _modules(scene: Scene) -> set[str]:
    """Importable names of the project's files, as its import paths would have them."""
    found: set[str] = set()
    for path in scene.sources.paths():
        dotted = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        found.add(dotted)
        found.add(dotted.rpartition(".")[2])
    return found
