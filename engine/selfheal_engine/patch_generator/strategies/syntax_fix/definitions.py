"""A global name that a module uses and never defines, while its siblings all define it alike."""

from __future__ import annotations

import ast
import builtins
from collections import Counter
from collections.abc import Iterator

from selfheal_engine.diagnosis.source_file import SourceFile, Span
from selfheal_engine.patch_generator.answers import import_of
from selfheal_engine.patch_generator.conventions import is_test
from selfheal_engine.patch_generator.edits import add_import, insert_after, splice_text
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.syntax_fix.names import undefined_name
from selfheal_engine.patch_generator.strategies.syntax_fix.texts import STRATEGY

_OF_EACH_MODULE = frozenset({"__name__", "__file__", *dir(builtins)})
"""What the value may be made of besides imports."""


class DefineAsElsewhere(Rule):
    """Defines a global as the project's other modules define theirs of the same name."""

    name = "define_as_elsewhere"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                import os


                def f():
                    logger.info("in %s", os.sep)
                """,
            after="""
                import logging
                import os

                logger = logging.getLogger(__name__)


                def f():
                    logger.info("in %s", os.sep)
                """,
            others=(
                ("orders.py", "import logging\n\nlogger = logging.getLogger(__name__)\n"),
                ("prices.py", "import logging\n\nlogger = logging.getLogger(__name__)\n"),
            ),
        ),
        Example(
            before="""
                '''Orders.'''


                def f():
                    return lock.locked()
                """,
            after="""
                '''Orders.'''

                import threading


                lock = threading.Lock()


                def f():
                    return lock.locked()
                """,
            others=(("prices.py", "import threading\n\nlock = threading.Lock()\n"),),
        ),
        Example(  # one module's own value is no custom
            before="""
                def f():
                    return totals + 1
                """,
            others=(("orders.py", "totals = 17\n"),),
        ),
        Example(  # made of what only that module has
            before="""
                def f():
                    return table[1]
                """,
            others=(
                ("orders.py", "rows = [1]\ntable = dict(enumerate(rows))\n"),
                ("prices.py", "rows = [2]\ntable = dict(enumerate(rows))\n"),
            ),
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        name = undefined_name(scene)
        if not name or not scene.file.tree.body:
            return
        customs: Counter[tuple[str, tuple[str, ...]]] = Counter()
        for file in scene.sources.all():
            if file is not scene.file and not is_test(file.path):
                customs.update(_definitions(file, name))
        for rank, ((value, imports), files) in enumerate(customs.most_common(2)):
            if files < 2 and not imports:
                continue  # one module's own value says nothing of another's
            code = f"{name} = {value}"
            last = _last_import(scene.file.tree)
            place = (
                insert_after(last, f"\n{code}")
                if last is not None
                else splice_text(_before_the_first(scene.file.tree), f"{code}\n\n\n")
            )
            yield scene.draft(
                *map(add_import, imports),
                place,
                title=f"`{code}`, as in {_counted(files)}",
                weight=1.9 - 0.3 * rank,
            )


def _counted(files: int) -> str:
    return "another module" if files == 1 else f"{files} other modules"


def _definitions(file: SourceFile, name: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The values that a module gives a name at its top, with the imports that they need.

    Only a call whose parts every module has or can import: what else there is belongs to it.
    """
    for statement in file.tree.body:
        if not isinstance(statement, ast.Assign) or not isinstance(statement.value, ast.Call):
            continue
        if not any(isinstance(t, ast.Name) and t.id == name for t in statement.targets):
            continue
        used = {n.id for n in ast.walk(statement.value) if isinstance(n, ast.Name)}
        imports = {part: import_of(file, part) for part in used - _OF_EACH_MODULE}
        if all(imports.values()):
            yield file.segment(statement.value), tuple(sorted(imports.values()))


def _last_import(tree: ast.Module) -> ast.stmt | None:
    """The last statement of the block of imports, guarded ones among them."""
    found: ast.stmt | None = None
    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom) or (
            isinstance(statement, ast.Try | ast.If)
            and any(isinstance(n, ast.Import | ast.ImportFrom) for n in ast.walk(statement))
        ):
            found = statement
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            break
    return found


def _before_the_first(tree: ast.Module) -> Span:
    """Where the first statement below the docstring begins."""
    first = tree.body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    if is_docstring and len(tree.body) > 1:
        first = tree.body[1]
    line = min([first.lineno, *(d.lineno for d in getattr(first, "decorator_list", ()))])
    return Span(line, 0, line, 0)
