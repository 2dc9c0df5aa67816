"""Which value can stand in for a missing one: by how it is used, and by what the project uses."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Sequence

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.diagnosis.source_file import SourceFile, Sources
from selfheal_engine.patch_generator.conventions import is_test

_TEXT = frozenset(dir(str)) - frozenset(dir(list)) - frozenset(dir(dict))
_MAPPING = frozenset(dir(dict)) - frozenset(dir(list)) - frozenset(dir(str))
_ITERATING = frozenset(
    {
        "len",
        "sum",
        "sorted",
        "list",
        "set",
        "tuple",
        "any",
        "all",
        "max",
        "min",
        "enumerate",
        "map",
        "filter",
        "zip",
        "reversed",
        "join",
        "extend",
    }
)
_NUMBER = frozenset({"round", "abs", "int", "float", "Decimal", "divmod", "math"})


_OF_TYPE = {
    "int": "0",
    "float": "0.0",
    "Decimal": "0",
    "str": '""',
    "bytes": 'b""',
    "list": "[]",
    "tuple": "()",
    "dict": "{}",
    "set": "set()",
    "bool": "False",
}


def of_type(name: str) -> str:
    """The neutral value of a type, by its name; "" where it has none."""
    return _OF_TYPE.get(name.rpartition(".")[2], "")


def by_message(message: str) -> str:
    """The neutral value of the type that the None met, as a TypeError's words name it."""
    if message.startswith("sequence item"):
        return '""'
    if "after ** must be" in message:
        return "{}"
    if "after * must be" in message:
        return "()"
    one = re.search(r"'([\w.]+)' and '([\w.]+)'", message)
    other = re.search(r'can only concatenate (\w+) \(not "NoneType"', message)
    if one is not None and "NoneType" in one.groups():
        return of_type(one[2] if one[1] == "NoneType" else one[1])
    return of_type(other[1]) if other is not None else ""


def by_others(values: Sequence[ast.expr]) -> str:
    """The neutral value of the kind that all these written values have; "" where they differ."""
    kinds = {_kind(value) for value in values}
    return of_type(kinds.pop()) if len(kinds) == 1 else ""


DISPLAYS: dict[type[ast.AST], str] = {
    ast.JoinedStr: "str",
    ast.List: "list",
    ast.ListComp: "list",
    ast.Dict: "dict",
    ast.DictComp: "dict",
    ast.Set: "set",
    ast.SetComp: "set",
    ast.Tuple: "tuple",
}
"""The type of what is written out."""


def _kind(value: ast.expr) -> str:
    if isinstance(value, ast.Constant):
        return type(value.value).__name__
    if isinstance(value, ast.Call):
        return called_name(value)
    return DISPLAYS.get(type(value), "")


def by_format(node: ast.AST) -> str:
    """By the format that a value is written in: that of numbers ends in a letter of theirs."""
    if not isinstance(node, ast.FormattedValue) or node.format_spec is None:
        return ""
    parts = node.format_spec.values if isinstance(node.format_spec, ast.JoinedStr) else []
    last = parts[-1] if parts else None
    text = str(last.value) if isinstance(last, ast.Constant) else ""
    return "0" if text.endswith(("d", "f", "F", "e", "g", "%", "x", ",")) else '""'


def by_use(file: SourceFile, node: ast.AST) -> str:
    """The neutral value of the type that the use of `node` needs; "" where it tells nothing."""
    parent = file.parent(node)
    if isinstance(parent, ast.Attribute):
        if parent.attr in _TEXT:
            return '""'
        if parent.attr in _MAPPING:
            return "{}"
        if parent.attr in ("append", "extend", "sort", "index"):
            return "[]"
        return ""
    if isinstance(parent, ast.Subscript) and parent.value is node:
        # an empty mapping or list would only raise KeyError or IndexError here
        return "[]" if isinstance(parent.slice, ast.Slice) else ""
    if isinstance(parent, ast.For | ast.AsyncFor | ast.comprehension) and parent.iter is node:
        return "()" if isinstance(node, ast.Constant) else "[]"
    if isinstance(parent, ast.BinOp):
        other = parent.right if parent.left is node else parent.left
        return _by_sibling(parent.op, other)
    if isinstance(parent, ast.Compare):
        others = [parent.left, *parent.comparators]
        if isinstance(parent.ops[0], ast.In | ast.NotIn) and parent.left is not node:
            return "()"
        for other in others:
            if other is not node and isinstance(other, ast.Constant):
                return "0" if isinstance(other.value, int | float) else '""'
        return "0" if isinstance(parent.ops[0], ast.Lt | ast.Gt | ast.LtE | ast.GtE) else ""
    if isinstance(parent, ast.Call) and node in parent.args:
        name = called_name(parent)
        if name in _NUMBER:
            return "0"
        if name == "update":
            return "{}"  # nothing for a set as well
        return "[]" if name in _ITERATING else ""
    if isinstance(parent, ast.AugAssign) and parent.value is node:
        return "0"
    if isinstance(parent, ast.Starred):
        return "[]"
    if isinstance(parent, ast.keyword) and parent.arg is None:
        return "{}"
    return ""


def _by_sibling(op: ast.operator, other: ast.expr) -> str:
    if isinstance(other, ast.Constant) and isinstance(other.value, str):
        return '""'
    if isinstance(other, ast.JoinedStr):
        return '""'
    if isinstance(other, ast.List | ast.ListComp):
        return "[]"
    if isinstance(op, ast.Mod) and not isinstance(other, ast.Constant):
        return ""
    return "0"


def by_custom(sources: Sources, key: str) -> str:
    """The default that the project gives for this key elsewhere (`.get("key", default)`)."""
    found: Counter[str] = Counter()
    for file in sources.all():
        if is_test(file.path) or key not in file.text:
            continue
        for node in ast.walk(file.tree):
            if not isinstance(node, ast.Call) or called_name(node) not in (
                "get",
                "pop",
                "getenv",
                "getattr",
                "setdefault",
            ):
                continue
            arguments = node.args[1:] if called_name(node) == "getattr" else node.args
            if len(arguments) != 2 or not isinstance(arguments[0], ast.Constant):
                continue
            plain = isinstance(arguments[1], ast.Constant | ast.List | ast.Dict | ast.Name)
            if plain and arguments[0].value == key:
                found[file.segment(arguments[1])] += 1
    return found.most_common(1)[0][0] if found else ""


def name_for(expression: ast.expr, taken: set[str]) -> str:
    """A name for a value that so far had none: `find_user(...)` gives `user`."""
    base = "result"
    if isinstance(expression, ast.Call):
        called = called_name(expression)
        words = called.split("_")
        if len(words) > 1 and words[0] in (
            "get",
            "find",
            "load",
            "fetch",
            "read",
            "lookup",
            "query",
            "make",
            "build",
            "parse",
            "search",
        ):
            words = words[1:]
            base = (
                words[0]
                if words and words[0] not in ("by", "for", "or", "one", "first")
                else "found"
            )
            base = (
                "_".join(words).partition("_by_")[0].partition("_for_")[0].partition("_or_")[0]
                or base
            )
        elif called in ("match", "search", "fullmatch"):
            base = "match"
        elif called in ("first", "fetchone", "one_or_none", "scalar"):
            base = "row"
        elif called in ("get", "pop"):
            key = expression.args[0] if expression.args else None
            text = key.value if isinstance(key, ast.Constant) else getattr(key, "id", "")
            base = str(text).lower() if str(text).isidentifier() else "found"
        else:
            # `member_by_id`, `owner_of`: named by what they give
            made = called.partition("_by_")[0].removesuffix("_of").removesuffix("_for")
            base = made if made != called else "found"
    elif isinstance(expression, ast.Attribute):
        base = expression.attr
    elif isinstance(expression, ast.Subscript):
        key = expression.slice
        text = key.value if isinstance(key, ast.Constant) else ""
        base = str(text) if str(text).isidentifier() else "item"
    name, number = base, 2
    while name in taken or not name.isidentifier():
        name = f"{base}_{number}" if base.isidentifier() else f"result_{number}"
        number += 1
    return name
