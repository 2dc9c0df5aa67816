"""Format strings whose places and values do not fit."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.patch_generator.edits import EXPR, add_import, replace_expression
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY

_PLACE = re.compile(r"%(?:\(\w+\))?[-+ #0]*(?:\d+|\*)?(?:\.(?:\d+|\*))?[hlL]?([a-zA-Z%])")
_WANTS_NUMBER = re.compile(r"%(\w) format: a(?:n integer|(?: real)? number) is required")


class FitFormat(Rule):
    """Makes a `%` format take what it is given: any value, one tuple, a sign that stands alone."""

    name = "fit_format"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(name='disk', value='full'):
                    return '%s: %d' % (name, value)
                """,
            after="""
                def f(name='disk', value='full'):
                    return '%s: %s' % (name, value)
                """,
        ),
        Example(
            before="""
                def f(value=(1, 2)):
                    return 'value %s' % value
                """,
            after="""
                def f(value=(1, 2)):
                    return 'value %s' % (value,)
                """,
        ),
        Example(
            before="""
                def f(done=3):
                    return '%d% of all' % done
                """,
            after="""
                def f(done=3):
                    return '%d%% of all' % done
                """,
        ),
        Example(
            before="""
                def f(value=None):
                    return value % 3
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Mod):
            return
        values = node.right
        if "not all arguments converted" in scene.message:
            value = scene.value(values)
            if value is not None and value.type_name == "tuple":
                yield scene.draft(
                    replace_expression(values, f"({EXPR},)"),
                    title="format the tuple as one value",
                    weight=1.8,
                )
        if "not enough arguments" in scene.message:
            value = scene.value(values)
            if value is not None and value.type_name == "list":
                yield scene.draft(
                    replace_expression(values, f"tuple({EXPR})"),
                    title="one value for each place: a list counts as one",
                    weight=1.5,
                )
        text = node.left
        if not isinstance(text, ast.Constant) or not isinstance(text.value, str):
            return
        written = scene.text(text)
        found = re.search(
            r"%(\w) format: a(?: real)? (?:number|integer) is required", scene.message
        )
        if found is not None:
            for fixed in _with_text(scene, written, values, found[1]):
                yield scene.draft(
                    replace_expression(text, fixed),
                    title="%s, which takes any value",
                    weight=1.5,
                )
        if "unsupported format character" in scene.message or "incomplete format" in scene.message:
            count = len(values.elts) if isinstance(values, ast.Tuple) else 1
            fixed = _with_signs(written, count)
            if fixed and fixed != written:
                yield scene.draft(
                    replace_expression(text, fixed),
                    title="a `%` that stands for itself is written twice",
                    weight=1.7,
                )
        if "not enough arguments" in scene.message:
            count = len(values.elts) if isinstance(values, ast.Tuple) else 1
            fixed = _with_signs(written, count)
            if fixed and fixed != written:
                yield scene.draft(
                    replace_expression(text, fixed),
                    title="a `%` that stands for itself is written twice",
                    weight=1.2,
                )


def _with_text(scene: Scene, written: str, values: ast.expr, kind: str) -> Iterator[str]:
    """The format with `%s` at the place whose value is no number."""
    items = values.elts if isinstance(values, ast.Tuple) else [values]
    places = [m for m in _PLACE.finditer(written) if m[1] != "%"]
    for place, item in zip(places, items, strict=False):
        value = scene.value(item)
        number = value is not None and value.type_name in ("int", "float", "bool", "Decimal")
        if place[1] == kind and not number:
            yield f"{written[: place.start()]}%s{written[place.end() :]}"


def _with_signs(written: str, count: int) -> str:
    """The format with those `%` doubled that do not begin a place that a value is there for."""
    out, at, left = "", 0, count
    while at < len(written):
        if written[at] != "%":
            out, at = out + written[at], at + 1
            continue
        if written[at + 1 : at + 2] == "%":
            out, at = out + "%%", at + 2
            continue
        place = _PLACE.match(written, at)
        spaced = place is not None and " " in place.group()
        if place is not None and place[1] in "diouxXeEfFgGcrsa" and not spaced and left:
            out, at, left = out + place.group(), place.end(), left - 1
        else:
            out, at = out + "%%", at + 1
    return out if not left else ""


class FillTemplate(Rule):
    """Fills a template that asks for more than is known: what is missing stays empty."""

    name = "fill_template"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(template='Dear {name} from {city}', person={'name': 'Ann'}):
                    return template.format(**person)
                """,
            after="""
                from collections import defaultdict


                def f(template='Dear {name} from {city}', person={'name': 'Ann'}):
                    return template.format_map(defaultdict(str, person))
                """,
        ),
        Example(
            before="""
                def f(name='x'):
                    return '{"user": "{}"}'.format(name)
                """,
            after="""
                def f(name='x'):
                    return '{{"user": "{}"}}'.format(name)
                """,
        ),
        Example(
            before="""
                def f(template='{name}', person={}):
                    return template.upper() + person['name']
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if not isinstance(node, ast.Call) or called_name(node) != "format":
            return
        if not isinstance(node.func, ast.Attribute):
            return
        owner = node.func.value
        splat = [k for k in node.keywords if k.arg is None]
        if isinstance(owner, ast.Constant) and isinstance(owner.value, str):
            fixed = _with_braces(scene.text(owner))
            if fixed != scene.text(owner):
                yield scene.draft(
                    replace_expression(owner, fixed),
                    title="a brace that stands for itself is written twice",
                    weight=1.7,
                )
        if scene.exception != "KeyError" or node.args or not splat:
            return
        named = ", ".join(f"{k.arg}={scene.text(k.value)}" for k in node.keywords if k.arg)
        values = scene.text(splat[0].value)
        given = f"defaultdict(str, {values}{', ' + named if named else ''})"
        yield scene.draft(
            replace_expression(node, f"{scene.text(owner)}.format_map({given})"),
            add_import("from collections import defaultdict"),
            title="leave empty what the template asks for and nobody knows",
            weight=1.6,
        )


_FIELD = re.compile(r"\{(?:[A-Za-z_][\w.\[\]]*|\d*)?(?:![rsa])?(?::[^{}\"'\s]*)?\}")


def _with_braces(written: str) -> str:
    """The text with those braces doubled that do not make a field."""
    out, at = "", 0
    while at < len(written):
        sign = written[at]
        field = _FIELD.match(written, at)
        if field is not None:
            out, at = out + field.group(), field.end()
        elif sign in "{}" and written[at : at + 2] != sign * 2:
            out, at = out + sign * 2, at + 1
        elif sign in "{}":
            out, at = out + sign * 2, at + 2
        else:
            out, at = out + sign, at + 1
    return out
