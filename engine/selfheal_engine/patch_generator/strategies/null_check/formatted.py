"""A None that is to be written as a number: a mark in its place, not a made-up zero."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.diagnosis.source_file import SourceFile
from selfheal_engine.patch_generator.conventions import is_test
from selfheal_engine.patch_generator.edits import (
    insert_before,
    replace_expression,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import guard_site, is_stable, names_in
from selfheal_engine.patch_generator.strategies.null_check.guarded_value import STRATEGY, guarded

_SPEC = re.compile(
    r"(?:(?P<fill>[^{}])?(?P<align>[<>=^]))?(?P<number>[-+ ]?z?#?)(?P<zero>0)?(?P<width>\d+)?"
    r"(?P<rest>[,_]?(?:\.\d+)?[bcdeEfFgGnoxX%]?)"
)
_MARK = re.compile(r"-{1,3}|\u2013|\u2014|n/?a|n\.a\.|\?{1,3}|unknown|missing|none|no data", re.I)
_NAMES = ("shown", "written", "as_text")


class ShowMissing(Rule):
    """Writes a mark where there is no number to format, as wide as the number would be."""

    name = "show_missing"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(name='a', value=None):
                    return f"{name:<10}{value:>8.2f}"
                """,
            after="""
                def f(name='a', value=None):
                    shown = f"{value:.2f}" if value is not None else "-"
                    return f"{name:<10}{shown:>8}"
                """,
        ),
        # with the project's own mark
        Example(
            before="""
                def age(value):
                    return str(value) if value is not None else '?'


                def f(rs=({'a': None},)):
                    return [f"{r['a']:.1f}s" for r in rs]
                """,
            after="""
                def age(value):
                    return str(value) if value is not None else '?'


                def f(rs=({'a': None},)):
                    return [f"{format(r['a'], '.1f') if r['a'] is not None else '?'}s" for r in rs]
                """,
        ),
        Example(
            before="""
                def f(value=None):
                    return format(value, '.2f')
                """,
            after="""
                def f(value=None):
                    return format(value, '.2f') if value is not None else "-"
                """,
        ),
        # a text that is missing is an empty one
        Example(
            before="""
                def f(name=None):
                    return f"{name:>8}"
                """,
        ),
        Example(
            before="""
                def f(value='x'):
                    return f"{value:.2f}"
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        culprit = guarded(scene)
        if culprit is None or scene.depth or "__format__" not in scene.message:
            return
        if not is_stable(culprit):
            return
        own = _own_mark(scene)
        mark, weight = own or "-", 1.8 if own else 0.88  # a mark of ours is a guess
        title = f"{mark} where `{scene.text(culprit)}` is None"
        parent = scene.file.parent(culprit)
        if isinstance(parent, ast.Call) and called_name(parent) == "format":
            if isinstance(parent.func, ast.Name) and len(parent.args) == 2:
                code = f'__expr__ if {scene.text(culprit)} is not None else "{mark}"'
                yield scene.draft(replace_expression(parent, code), title=title, weight=weight)
            return
        whole = scene.file.parent(parent) if isinstance(parent, ast.FormattedValue) else None
        if isinstance(whole, ast.JoinedStr):
            yield from _in_text(scene, culprit, whole, mark, title, weight)


def _in_text(
    scene: Scene, culprit: ast.expr, whole: ast.JoinedStr, mark: str, title: str, weight: float
) -> Iterator[Draft]:
    field = _field(scene.file, culprit, whole)
    parsed = _SPEC.fullmatch(field[2]) if field is not None else None
    if field is None or parsed is None or not parsed["rest"]:
        return
    before, after = field[0], field[1]
    value, spec = scene.text(culprit), f"{parsed['number']}{parsed['rest']}"
    wide = _width(parsed)
    site = guard_site(scene, culprit)
    taken = names_in(scene.file, scene.function)
    name = next((name for name in _NAMES if name not in taken), "")
    if name and site is not None and site.anchor is scene.statement and not site.binding:
        quote = '"' if '"' not in value else "'"
        shown = f"f{quote}{{{value}:{spec}}}{quote}"
        yield scene.draft(
            insert_before(site.anchor, f'{name} = {shown} if {value} is not None else "{mark}"'),
            replace_expression(whole, f"{before}{name}{wide}{after}"),
            title=title,
            weight=weight,
        )
        return
    quote = "'" if '"' in scene.file.segment(whole)[:4] else '"'
    other = (
        f"format({value}, {quote}{spec}{quote}) if {value} is not None else {quote}{mark}{quote}"
    )
    yield scene.draft(
        replace_expression(whole, f"{before}{other}{wide}{after}"), title=title, weight=weight
    )


def _field(
    file: SourceFile, culprit: ast.expr, whole: ast.JoinedStr
) -> tuple[str, str, str] | None:
    """(text before the value, text from the closing brace on, format) of its field."""
    if culprit.lineno != whole.lineno or whole.end_lineno != whole.lineno:
        return None
    text = file.segment(whole)
    start = culprit.col_offset - whole.col_offset
    end = (culprit.end_col_offset or 0) - whole.col_offset
    found = re.match(r":([^{}]*)\}", text[end:])
    if found is None or not text[:start].endswith("{"):
        return None
    return text[:start], text[end + found.end() - 1 :], found[1]


def _width(parsed: re.Match[str]) -> str:
    """The part of a number's format that says how wide it is, for a text: to the right."""
    if not parsed["width"]:
        return ""
    align = parsed["align"] if parsed["align"] in ("<", "^") else ">"
    fill = parsed["fill"] if parsed["fill"] not in (None, "0") else ""
    return f":{fill}{align}{parsed['width']}"


def _own_mark(scene: Scene) -> str:
    """The text that the file, or else the project, writes for what is missing; "" without one."""
    others = (f for f in scene.sources.all() if f is not scene.file and not is_test(f.path))
    for files in ([scene.file], others):
        found = Counter(
            str(node.value)
            for file in files
            for node in ast.walk(file.tree)
            if isinstance(node, ast.Constant) and _is_mark(file, node)
        )
        if found:
            return found.most_common(1)[0][0]
    return ""


def _is_mark(file: SourceFile, node: ast.Constant) -> bool:
    if not isinstance(node.value, str) or not _MARK.fullmatch(node.value):
        return False
    parent = file.parent(node)
    if isinstance(parent, ast.IfExp):
        return node is not parent.test
    if isinstance(parent, ast.BoolOp):
        return isinstance(parent.op, ast.Or) and parent.values[-1] is node
    if isinstance(parent, ast.Call):
        return called_name(parent) == "get" and parent.args[-1] is node and len(parent.args) == 2
    return isinstance(parent, ast.Return) and isinstance(file.parent(parent), ast.If)
