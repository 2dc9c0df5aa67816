"""Mutations of one expression: each yields (kind, new source, factor on the kind's weight)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TypeAlias

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.patch_generator.edits import EXPR
from selfheal_engine.patch_generator.mutations.surroundings import (
    ALIKE,
    BUILTINS,
    Surroundings,
    kind_of,
)

Change: TypeAlias = tuple[str, str, float]

_COMPARE: dict[type[ast.cmpop], tuple[tuple[str, float], ...]] = {
    ast.Lt: (("<=", 1.0), (">", 0.7), (">=", 0.3), ("!=", 0.2), ("==", 0.2)),
    ast.LtE: (("<", 1.0), (">=", 0.7), (">", 0.3), ("==", 0.2)),
    ast.Gt: ((">=", 1.0), ("<", 0.7), ("<=", 0.3), ("!=", 0.2), ("==", 0.2)),
    ast.GtE: ((">", 1.0), ("<=", 0.7), ("<", 0.3), ("==", 0.2)),
    ast.Eq: (("!=", 0.6), ("<=", 0.45), (">=", 0.45), ("<", 0.3), (">", 0.3), ("in", 0.2)),
    ast.NotEq: (("==", 0.6), ("<", 0.4), (">", 0.4)),
    ast.Is: (("is not", 0.7), ("==", 0.8)),
    ast.IsNot: (("is", 0.7), ("!=", 0.8)),
    ast.In: (("not in", 0.9), ("==", 0.3)),
    ast.NotIn: (("in", 0.9),),
}
_BINARY: dict[type[ast.operator], tuple[tuple[str, float], ...]] = {
    ast.Add: (("-", 0.9), ("*", 0.4), ("|", 0.2)),
    ast.Sub: (("+", 0.9), ("//", 0.3), ("%", 0.3)),
    ast.Mult: (("+", 0.6), ("/", 0.5), ("//", 0.5), ("**", 0.5)),
    ast.Div: (("//", 1.0), ("*", 0.6), ("%", 0.3)),
    ast.FloorDiv: (("/", 0.9), ("%", 0.6), ("*", 0.4)),
    ast.Mod: (("//", 0.8), ("/", 0.4)),
    ast.BitAnd: (("|", 0.8), ("^", 0.6)),
    ast.BitOr: (("&", 0.8), ("^", 0.6), ("+", 0.3)),
    ast.BitXor: (("&", 0.8), ("|", 0.8), ("**", 0.6)),
    ast.LShift: ((">>", 0.9),),
    ast.RShift: (("<<", 0.9),),
    ast.Pow: (("*", 0.7),),
}


def change_expression(node: ast.expr, around: Surroundings) -> Iterator[Change]:
    """Every small change of the expression itself (not of its parts)."""
    text = around.file.segment
    if isinstance(node, ast.Compare):
        yield from _compare(node, around)
    elif isinstance(node, ast.BinOp):
        left, right = text(node.left), text(node.right)
        for sign, factor in _BINARY.get(type(node.op), ()):
            yield (
                "operator",
                f"{_whole(node.left, left)} {sign} {_whole(node.right, right)}",
                factor,
            )
        swapped = f"{_whole(node.right, right)} {_sign(node.op)} {_whole(node.left, left)}"
        yield "swap_operands", swapped, _swap_factor(node.op)
        if isinstance(node.op, ast.FloorDiv):
            # what is left over counts as a whole one
            yield "rounding", f"-(-{_whole(node.left, left)} // {_whole(node.right, right)})", 1.0
        yield "drop_operand", left, 1.0
        if isinstance(node.op, ast.Mult) and isinstance(node.left, ast.List):
            items = node.left.elts
            if items and not all(isinstance(item, ast.Constant) for item in items):
                yield "fresh_elements", f"[{left[1:-1]} for _ in range({right})]", 1.0
        yield "drop_operand", right, 0.8
    elif isinstance(node, ast.BoolOp):
        yield from _boolean(node, around)
    elif isinstance(node, ast.UnaryOp):
        yield "negation", text(node.operand), 1.0
    elif isinstance(node, ast.Constant):
        yield from _constant(node)
    elif isinstance(node, ast.Name):
        yield from _name(node, around)
    elif isinstance(node, ast.Call):
        yield from _call(node, around)
    elif isinstance(node, ast.Attribute):
        for name in around.attributes_near(node.lineno):
            if name != node.attr:
                factor = 1.0 if name in ALIKE.get(node.attr, ()) else 0.5
                yield "attribute", f"{text(node.value)}.{name}", factor
        parent = around.file.parent(node)
        if not (isinstance(parent, ast.Call) and parent.func is node):
            yield "drop_attribute", text(node.value), 1.0
            for method in _methods_beside(node.attr, around):
                yield "attribute", f"{text(node.value)}.{method}()", 0.8
    elif isinstance(node, ast.Subscript):
        yield from _subscript(node, around)
    elif isinstance(node, ast.List | ast.Dict | ast.Set):
        yield from _collection(node, around)
    elif isinstance(node, ast.IfExp):
        swapped = f"{text(node.orelse)} if {text(node.test)} else {text(node.body)}"
        yield "negation", swapped, 1.0
        yield "drop_term", text(node.body), 0.5
        yield "drop_term", text(node.orelse), 0.5
    yield from _in_place(node, around)
    yield from _reuse(node, around)


def _whole(node: ast.expr, text: str) -> str:
    """The operand's text, in brackets where it could be torn apart without them."""
    atoms = ast.Name | ast.Constant | ast.Attribute | ast.Call | ast.Subscript
    return text if isinstance(node, atoms) else f"({text})"


def _methods_beside(attribute: str, around: Surroundings) -> list[str]:
    """Methods without arguments of the file's classes that use the attribute: `x.net()`."""
    found: list[str] = []
    for owner in ast.walk(around.file.tree):
        if not isinstance(owner, ast.ClassDef):
            continue
        for method in owner.body:
            if not isinstance(method, ast.FunctionDef) or len(method.args.args) != 1:
                continue
            if not method.name.startswith("__"):
                read = {n.attr for n in ast.walk(method) if isinstance(n, ast.Attribute)}
                if attribute in read and method is not around.function:
                    found.append(method.name)
    return found


def _reuse(node: ast.expr, around: Surroundings) -> Iterator[Change]:
    """Another value that the function has already: a name for a call, one subscript for another."""
    if not _is_value(node, around) or isinstance(node, ast.Name | ast.List | ast.ListComp):
        return
    text = around.file.segment(node)
    if isinstance(node, ast.Call | ast.Subscript | ast.Attribute):
        for name in around.in_reach(node.lineno):
            yield "ingredient", name, 0.9
    if isinstance(node, ast.Subscript):
        for other in around.subscripts:
            if other != text:
                yield "ingredient", other, 0.8


def _compare(node: ast.Compare, around: Surroundings) -> Iterator[Change]:
    if len(node.ops) != 1:
        return
    left, right = around.file.segment(node.left), around.file.segment(node.comparators[0])
    for sign, factor in _COMPARE.get(type(node.ops[0]), ()):
        kind = (
            "boundary"
            if {sign, _compare_sign(node.ops[0])} in ({"<", "<="}, {">", ">="})
            else "comparison"
        )
        yield kind, f"{left} {sign} {right}", factor
    if isinstance(node.ops[0], ast.Lt | ast.Gt | ast.LtE | ast.GtE | ast.In | ast.NotIn):
        yield "swap_operands", f"{right} {_compare_sign(node.ops[0])} {left}", 0.5
    # `x == 0` misses what lies beyond: `x <= 1` covers the neighbour too
    constant = node.comparators[0]
    if (
        isinstance(node.ops[0], ast.Eq)
        and isinstance(constant, ast.Constant)
        and type(constant.value) is int
    ):
        yield "comparison", f"{left} <= {constant.value + 1}", 0.7
        yield "comparison", f"{left} < {constant.value}", 0.3


def _boolean(node: ast.BoolOp, around: Surroundings) -> Iterator[Change]:
    parts = [
        f"({around.file.segment(v)})" if isinstance(v, ast.BoolOp) else around.file.segment(v)
        for v in node.values
    ]
    word, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
    yield "boolean", f" {other} ".join(parts), 1.0
    if len(parts) > 1:
        for index in range(len(parts)):
            rest = parts[:index] + parts[index + 1 :]
            yield "drop_term", f" {word} ".join(rest), 1.0


def _constant(node: ast.Constant) -> Iterator[Change]:
    value = node.value
    if isinstance(value, bool):
        yield "literal", str(not value), 1.0
        return
    if isinstance(value, int):
        yield "literal", str(value + 1), 1.0
        yield "literal", str(value - 1), 1.0
        for other in (0, 1, -value, 2, 10 * value):
            if other not in (value, value + 1, value - 1):
                yield "literal", str(other), 0.4
    elif isinstance(value, float):
        yield "literal", str(int(value)) if value == int(value) else str(round(value)), 0.5
    elif isinstance(value, str):
        if value:
            yield "literal", '""', 0.4
        if len(value) == 1 and value != " ":
            yield "literal", '" "', 0.3
        if value != value.strip():
            yield "literal", repr(value.strip()), 0.6
    elif value is None:
        yield "literal", "[]", 0.3
        yield "literal", "0", 0.2


def _name(node: ast.Name, around: Surroundings) -> Iterator[Change]:
    if not isinstance(node.ctx, ast.Load):
        return
    parent = around.file.parent(node)
    if isinstance(parent, ast.Call) and parent.func is node:
        for name in ALIKE.get(node.id, ()):
            yield "function", name, 1.0
        for name in around.functions:
            if name != node.id and name not in ALIKE.get(node.id, ()):
                yield "function", name, 0.4
        return
    line = node.lineno
    alike = around.alike(node.id, line)
    for name in around.in_reach(line):
        if name != node.id:
            yield "identifier", name, 1.0 if name in alike else 0.45
    for name in around.attributes_near(line)[:12]:
        if not (isinstance(parent, ast.Attribute)):
            yield "add_attribute", f"{node.id}.{name}", 0.7


def _call(node: ast.Call, around: Surroundings) -> Iterator[Change]:
    text = around.file.segment
    if isinstance(node.func, ast.Attribute):
        owner = text(node.func.value)
        rest = text(node)[len(text(node.func)) :]
        for name in ALIKE.get(node.func.attr, ()):
            yield "method", f"{owner}.{name}{rest}", 1.0
    arguments = [text(a) for a in node.args]
    keywords = [
        f"{k.arg}={text(k.value)}" if k.arg else f"**{text(k.value)}" for k in node.keywords
    ]
    if any(isinstance(a, ast.Starred) for a in node.args):
        return
    called = text(node.func)
    for index in range(len(arguments) - 1):
        swapped = list(arguments)
        swapped[index], swapped[index + 1] = swapped[index + 1], swapped[index]
        yield "swap_arguments", f"{called}({', '.join([*swapped, *keywords])})", 1.0
    if len(arguments) > 2:
        yield "swap_arguments", f"{called}({', '.join([*arguments[::-1], *keywords])})", 0.4
    for index in range(len(arguments)):
        rest_of = arguments[:index] + arguments[index + 1 :]
        yield "drop_argument", f"{called}({', '.join([*rest_of, *keywords])})", 1.0
    if len(arguments) == 1 and not keywords:
        yield "unwrap_call", arguments[0], 1.0
    if called_name(node) == "range":
        yield from _range(called, arguments)


def _range(called: str, arguments: list[str]) -> Iterator[Change]:
    """A range's ends are where off-by-one lives; its parts alone do not reach all of them."""
    if len(arguments) == 1:
        yield "off_by_one", f"{called}(1, {arguments[0]})", 0.8
        yield "off_by_one", f"{called}(1, {arguments[0]} + 1)", 0.8
    elif len(arguments) == 2:
        yield "off_by_one", f"{called}({arguments[0]} + 1, {arguments[1]} + 1)", 0.5
        yield "off_by_one", f"{called}({arguments[0]} - 1, {arguments[1]} - 1)", 0.3


def _subscript(node: ast.Subscript, around: Surroundings) -> Iterator[Change]:
    text = around.file.segment
    if not isinstance(node.ctx, ast.Load):
        return
    yield "drop_subscript", text(node.value), 1.0
    if isinstance(node.slice, ast.Tuple) and len(node.slice.elts) == 2:
        first, second = (text(e) for e in node.slice.elts)
        yield "swap_index", f"{text(node.value)}[{second}, {first}]", 1.0
    if isinstance(node.value, ast.Subscript):
        outer, inner = text(node.slice), text(node.value.slice)
        yield "swap_index", f"{text(node.value.value)}[{outer}][{inner}]", 1.0
    if isinstance(node.slice, ast.Slice):
        lower = text(node.slice.lower) if node.slice.lower else ""
        upper = text(node.slice.upper) if node.slice.upper else ""
        base = text(node.value)
        yield "slice", f"{base}[{upper}:{lower}]", 0.4
        for low, up in (
            (lower, f"{upper} + 1"),
            (lower, f"{upper} - 1"),
            (f"{lower} + 1", upper),
            (lower, ""),
            ("", upper),
        ):
            if (
                (low or up)
                and not low.startswith(" ")
                and not up.startswith(" ")
                and (low, up) != (lower, upper)
            ):
                yield "slice", f"{base}[{low}:{up}]", 0.7


def _collection(node: ast.List | ast.Dict | ast.Set, around: Surroundings) -> Iterator[Change]:
    text = around.file.segment
    if isinstance(node, ast.List) and not node.elts:
        yield "collection", "[[]]", 1.0
        for name in around.in_reach(node.lineno):
            yield "collection", f"[{name}]", 0.9
    elif isinstance(node, ast.List) and len(node.elts) == 1:
        yield "collection", text(node.elts[0]), 0.7
    if isinstance(node, ast.Set) and len(node.elts) == 1:
        yield "collection", text(node.elts[0]), 0.5


def _in_place(node: ast.expr, around: Surroundings) -> Iterator[Change]:
    """Additions around an expression where a value stands: +1, a slice, a wrapping call."""
    if not _is_value(node, around):
        return
    parent = around.file.parent(node)
    line = node.lineno
    text = around.file.segment(node)
    plain = isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Subscript)
    kind = around.kinds.get(node.id, "") if isinstance(node, ast.Name) else kind_of(node)
    numeric = kind in ("", "number")
    if plain and numeric:
        yield "off_by_one", f"{EXPR} + 1", 1.0
        yield "off_by_one", f"{EXPR} - 1", 1.0
    if plain and kind in ("", "list", "text", "sized") and not isinstance(parent, ast.Compare):
        yield "slice", f"{EXPR}[1:]", 1.0
        yield "slice", f"{EXPR}[:-1]", 0.6
        for name in around.in_reach(line):
            if around.kinds.get(name, "number") == "number" and name != text:
                yield "slice", f"{EXPR}[{name}:]", 0.7
                yield "slice", f"{EXPR}[:{name}]", 0.5
    if plain and numeric:
        for name in around.in_reach(line):
            if around.kinds.get(name, "number") in ("number", "sized") and name != text:
                value = f"len({name})" if around.kinds.get(name) == "sized" else name
                yield "add_operand", f"{EXPR} - {value}", 1.0
                yield "add_operand", f"{EXPR} + {value}", 0.8
        yield "add_operand", f"{EXPR} * {EXPR}", 0.5
        yield "add_operand", f"{EXPR} ** 2", 0.6
    if isinstance(node, ast.List | ast.ListComp) or (plain and kind == "list"):
        for name in around.in_reach(line):
            if around.kinds.get(name, "list") == "list" and name != text:
                yield "add_operand", f"{name} + {EXPR}", 1.0
                yield "add_operand", f"{EXPR} + {name}", 0.8
    yield from _wrapping(node, around, text)


def _wrapping(node: ast.expr, around: Surroundings, text: str) -> Iterator[Change]:
    parent = around.file.parent(node)
    if isinstance(node, ast.Constant | ast.Compare | ast.BoolOp | ast.Lambda):
        return
    if isinstance(node, ast.Call) and called_name(node) in ("max", "min", "abs", "len", "sorted"):
        return
    kind = kind_of(node) if not isinstance(node, ast.Name) else around.kinds.get(node.id, "")
    if kind in ("", "number"):
        yield "wrap_call", f"max(0, {text})", 0.7
        yield "wrap_call", f"abs({text})", 0.5
        yield "wrap_call", f"int({text})", 0.4
        target = around.file.statement_of(node)
        names = around.in_reach(node.lineno)
        if isinstance(target, ast.Assign) and isinstance(target.targets[0], ast.Name):
            name = target.targets[0].id
            if around.first_line.get(name, 0) < node.lineno:
                yield "wrap_call", f"max({name}, {text})", 1.2
                yield "wrap_call", f"min({name}, {text})", 0.8
        del names
    if kind in ("", "text") and isinstance(parent, ast.BinOp | ast.Call):
        yield "wrap_call", f"str({text})", 0.4
    if isinstance(parent, ast.For | ast.comprehension | ast.Return | ast.Call):
        yield "wrap_call", f"list({text})", 0.4
        yield "wrap_call", f"sorted({text})", 0.4
    if isinstance(parent, ast.Return | ast.Yield):
        yield "collection", f"[{text}]", 0.6
    if isinstance(parent, ast.Compare | ast.BinOp) and kind in ("", "list", "dict", "set", "sized"):
        yield "wrap_call", f"len({text})", 0.4
    own = [f for f in around.functions if f not in BUILTINS and f[:1].islower()]
    for name in own[:4]:
        if isinstance(parent, ast.Return | ast.Assign) and not text.startswith(name):
            yield "wrap_call", f"{name}({text})", 0.3


def _is_value(node: ast.expr, around: Surroundings) -> bool:
    """Stands where its value is used: not a target, a called function, an attribute's owner."""
    if isinstance(getattr(node, "ctx", None), ast.Store | ast.Del):
        return False
    parent = around.file.parent(node)
    if isinstance(parent, ast.Attribute | ast.keyword | ast.Starred | ast.Expr):
        return False
    if isinstance(parent, ast.Call) and parent.func is node:
        return False
    if isinstance(parent, ast.Subscript) and parent.value is node:
        return False
    return isinstance(
        node,
        ast.Name
        | ast.Attribute
        | ast.Call
        | ast.Subscript
        | ast.BinOp
        | ast.List
        | ast.ListComp
        | ast.IfExp,
    )


def _sign(op: ast.operator) -> str:
    text = ast.unparse(ast.BinOp(ast.Name("a"), op, ast.Name("b")))
    return text[1:-1].strip()


def _compare_sign(op: ast.cmpop) -> str:
    text = ast.unparse(ast.Compare(ast.Name("a"), [op], [ast.Name("b")]))
    return text[1:-1].strip()


def _swap_factor(op: ast.operator) -> float:
    """Swapping the sides of a sum changes texts and lists only."""
    return (
        0.9
        if isinstance(op, ast.Add)
        else 1.0
        if not isinstance(op, ast.Mult | ast.BitAnd)
        else 0.1
    )
