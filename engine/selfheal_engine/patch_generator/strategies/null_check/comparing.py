"""A limit that is None where it is compared: no limit was given, so there is none to keep."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.source_file import SourceFile
from selfheal_engine.patch_generator.edits import EXPR, replace_expression
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import is_stable
from selfheal_engine.patch_generator.strategies.null_check.guarded_value import STRATEGY, guarded


class CompareWhenGiven(Rule):
    """Compares with an optional value only where there is one."""

    name = "compare_when_given"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(count=3, limit=None):
                    if count >= limit:
                        return True
                    return False
                """,
            after="""
                def f(count=3, limit=None):
                    if limit is not None and count >= limit:
                        return True
                    return False
                """,
        ),
        Example(
            before="""
                def f(prices=(1, 2), upper=None):
                    return [price for price in prices if price <= upper]
                """,
            after="""
                def f(prices=(1, 2), upper=None):
                    return [price for price in prices if upper is None or price <= upper]
                """,
        ),
        Example(
            before="""
                def f(rows=({'due': None},), today=3):
                    return [row for row in rows if row['due'] < today]
                """,
            after="""
                def f(rows=({'due': None},), today=3):
                    return [row for row in rows if row['due'] is not None and row['due'] < today]
                """,
        ),
        Example(
            before="""
                def f(count=3, limit=None):
                    return max(count, limit)
                """,
        ),
        Example(
            before="""
                def f(count=3, limit='x'):
                    return count >= limit
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        culprit = guarded(scene)
        if culprit is None or scene.exception != "TypeError" or not is_stable(culprit):
            return
        compared = scene.file.parent(culprit)
        if not isinstance(compared, ast.Compare) or "not supported between" not in scene.message:
            return
        asked = _asked_in(scene.file, compared)
        if asked is None:
            return
        filters = isinstance(asked, ast.comprehension) and not _is_of_item(asked, culprit)
        name = scene.text(culprit)
        ways = (
            (f"{name} is not None and {EXPR}", f"compare only where `{name}` is given"),
            (f"{name} is None or {EXPR}", f"nothing is excluded where `{name}` is not given"),
        )
        for place, (code, title) in enumerate(ways):
            yield scene.draft(
                replace_expression(compared, _fitting(scene.file, compared, code)),
                title=title,
                weight=1.9 if filters == bool(place) else 0.8,
            )


def _is_of_item(loop: ast.comprehension, culprit: ast.expr) -> bool:
    """Whether the None is the item's own value, not what all items are compared with."""
    bound = {n.id for n in ast.walk(loop.target) if isinstance(n, ast.Name)}
    return any(isinstance(n, ast.Name) and n.id in bound for n in ast.walk(culprit))


def _asked_in(file: SourceFile, compared: ast.expr) -> ast.AST | None:
    """The statement or filter whose condition the comparison is part of."""
    part: ast.AST = compared
    for outer in file.ancestors(compared):
        if isinstance(outer, ast.BoolOp | ast.UnaryOp):
            part = outer
            continue
        if isinstance(outer, ast.If | ast.While | ast.IfExp | ast.Assert) and outer.test is part:
            return outer
        if isinstance(outer, ast.comprehension) and part in outer.ifs:
            return outer
        return outer if isinstance(outer, ast.Return) else None
    return None


def _fitting(file: SourceFile, compared: ast.expr, code: str) -> str:
    """In brackets where what stands around binds closer."""
    parent = file.parent(compared)
    closer = isinstance(parent, ast.UnaryOp) or (
        isinstance(parent, ast.BoolOp) and isinstance(parent.op, ast.And) and " or " in code
    )
    return f"({code})" if closer else code
