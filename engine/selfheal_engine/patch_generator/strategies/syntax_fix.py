"""A module that does not parse or import: the smallest edit of the text after which it does.

Repairs of the text are tried near the place that the parser names; only what makes the whole
file parse is drafted. Names that cannot be imported or found are matched with what exists.
"""

from __future__ import annotations

import ast
import builtins
import difflib
import importlib.util
import re
import sys
from collections.abc import Iterator

from selfheal_engine.diagnosis.recent_changes import last_good_text
from selfheal_engine.diagnosis.source_file import SourceFile, Span, span_of
from selfheal_engine.patch_generator.answers import import_of
from selfheal_engine.patch_generator.conventions import is_test
from selfheal_engine.patch_generator.edits import (
    add_import,
    replace_expression,
    splice_text,
)
from selfheal_engine.patch_generator.line_repairs import line_repairs
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import names_in

STRATEGY = "syntax_fix"
KINDS = frozenset({"syntax", "exception", "thread_death"})
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


def _whole(file: SourceFile, first: int, last: int) -> Span:
    """Lines `first` to `last`, both inclusive."""
    return Span(first, 0, last, len(file.lines[last - 1]))


def parses(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return False
    return True


class RepairLine(Rule):
    """Repairs one line: a colon, a bracket, a quote, an indent, a keyword, an old spelling."""

    name = "repair_line"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(before="def f()\n    return 1\n", after="def f():\n    return 1\n", kind="syntax"),
        Example(
            before="def f(a):\n    return max(a, 1\n\n\nX = 2\n",
            after="def f(a):\n    return max(a, 1)\n\n\nX = 2\n",
            kind="syntax",
        ),
        Example(
            before="def f(a):\n    if a = 1:\n        return 2\n",
            after="def f(a):\n    if a == 1:\n        return 2\n",
            kind="syntax",
        ),
        Example(
            before="def f(a):\n    print 'a', a\n",
            after="def f(a):\n    print('a', a)\n",
            kind="syntax",
        ),
        Example(
            before="def f(a):\n    retrun a\n", after="def f(a):\n    return a\n", kind="syntax"
        ),
        Example(
            before="def f(a):\n    x = 1\n      y = 2\n    return x\n",
            after="def f(a):\n    x = 1\n    y = 2\n    return x\n",
            kind="syntax",
        ),
        Example(before="def f():\n    return undefined\n"),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        file = scene.file
        error = file.syntax_error
        if error is None:
            return
        at = min(error.lineno or scene.frame.line, len(file.lines))
        found = 0
        for distance in (0, -1, 1, -2, 2, -3):
            number = at + distance
            if not 1 <= number <= len(file.lines):
                continue
            old = file.lines[number - 1]
            for rank, (new, title) in enumerate(line_repairs(old, file.lines, number, error)):
                text = "".join([*file.lines[: number - 1], new, *file.lines[number:]])
                if new != old and parses(text):
                    yield scene.draft(
                        splice_text(_whole(file, number, number), new),
                        title=title,
                        weight=1.5 - 0.1 * abs(distance) - 0.03 * rank,
                    )
                    found += 1
            if found >= 4:
                return


class ResolveConflict(Rule):
    """Resolves a merge conflict that was left in the file: one side, or the other."""

    name = "resolve_conflict"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(
            before="<<<<<<< HEAD\nX = 1\n=======\nX = 2\n>>>>>>> topic\n",
            after="X = 1\n",
            kind="syntax",
        ),
        Example(before="def f()\n    return 1\n", kind="syntax"),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        file = scene.file
        text = file.text
        if file.syntax_error is None or not re.search(r"^<<<<<<< ", text, re.MULTILINE):
            return
        last = len(file.lines)
        good = last_good_text(scene.sources.project.root, file.path)
        for rank, (side, title) in enumerate(
            (
                (1, "keep our side of the merge"),
                (2, "keep their side of the merge"),
                (3, "keep both sides"),
            )
        ):
            resolved = _resolved(text, side)
            if resolved is None or not parses(resolved):
                continue
            names = _undefined(resolved)
            weight = 1.6 - 0.15 * rank - 0.4 * len(names)
            if good and side in (1, 2):
                weight += (
                    0.1 if difflib.SequenceMatcher(None, good, resolved).quick_ratio() > 0.98 else 0
                )
            yield scene.draft(
                splice_text(_whole(file, 1, last), resolved), title=title, weight=weight
            )


def _resolved(text: str, side: int) -> str | None:
    """The text with one side of every conflict (1 ours, 2 theirs, 3 both)."""
    out: list[str] = []
    state = 0
    for line in text.splitlines(True):
        if line.startswith("<<<<<<< "):
            state = 1
        elif line.startswith("||||||| ") and state == 1:
            state = 4
        elif line.rstrip() == "=======" and state in (1, 4):
            state = 2
        elif line.startswith(">>>>>>> ") and state == 2:
            state = 0
        elif state == 0 or (state & side and state != 4):
            out.append(line)
    return "".join(out) if state == 0 else None


def _undefined(text: str) -> list[str]:
    """Names that the text uses but nothing binds: a sign of the wrong side."""
    tree = ast.parse(text)
    bound = set(dir(builtins))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {(a.asname or a.name).split(".")[0] for a in node.names}
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
    used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    return sorted(used - bound)


class BackToLastGood(Rule):
    """Takes the lines that broke the file back to the last version that parsed."""

    name = "back_to_last_good"
    strategy = STRATEGY
    kinds = KINDS
    examples = ()

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        file = scene.file
        if file.syntax_error is None:
            return
        good = last_good_text(scene.sources.project.root, file.path)
        if not good or not parses(good):
            return
        new, old = file.lines, good.splitlines(True)
        for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, new, old, False).get_opcodes():
            if tag == "equal":
                continue
            if parses("".join([*new[:i1], *old[j1:j2], *new[i2:]])):
                first, last = (i1 + 1, i2) if i2 > i1 else (i1 + 1, i1 + 1)
                code = "".join(old[j1:j2]) + ("" if i2 > i1 else (new[i1] if i1 < len(new) else ""))
                if last <= len(new):
                    yield scene.draft(
                        splice_text(_whole(file, first, last), code),
                        title="take the broken lines back to their last good version",
                        weight=0.8,
                        risk="medium",
                    )


class TabsToSpaces(Rule):
    """Writes the indentation in one way where tabs and spaces are mixed."""

    name = "tabs_to_spaces"
    strategy = STRATEGY
    kinds = KINDS
    examples = (
        Example(
            before="def f(a):\n    if a:\n\tb = 1\n\treturn b\n    return 2\n",
            after="def f(a):\n    if a:\n        b = 1\n        return b\n    return 2\n",
            kind="syntax",
        ),
        Example(before="def f()\n    return 1\n", kind="syntax"),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        file = scene.file
        if file.syntax_error is None or "\t" not in file.text:
            return
        for width in (8, 4):
            edits = []
            lines = list(file.lines)
            for number, line in enumerate(file.lines, 1):
                lead = line[: len(line) - len(line.lstrip())]
                if "\t" in lead:
                    lines[number - 1] = lead.expandtabs(width) + line.lstrip()
                    edits.append(splice_text(_whole(file, number, number), lines[number - 1]))
            if edits and parses("".join(lines)):
                yield scene.draft(*edits, title="indent with spaces only", weight=1.4)
                return


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
        found = re.search(r"name '(\w+)' is not defined", scene.message)
        if scene.exception != "NameError" or found is None:
            return
        name = found[1]
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


RULES: tuple[Rule, ...] = (
    RepairLine(),
    ResolveConflict(),
    TabsToSpaces(),
    NearestName(),
    NearestImport(),
    BackToLastGood(),
)
