"""What a mutation may use: the names in reach, how they are used, pieces of the function itself."""

from __future__ import annotations

import ast
import builtins
from dataclasses import dataclass, field

from selfheal_engine.diagnosis.origin import called_name, parameters
from selfheal_engine.diagnosis.source_file import Function, SourceFile

_LISTS = frozenset({"append", "extend", "insert", "sort", "reverse"})
_SETS = frozenset({"add", "discard", "union", "difference"})
_DICTS = frozenset({"items", "keys", "values", "get", "setdefault", "update"})
MOST_NAMES = 16
MOST_ATTRIBUTES = 24
"""In a function of hundreds of lines, every pair of names would make a hundred thousand edits."""


@dataclass
class Surroundings:
    """The function (or module) that holds the mutated code."""

    file: SourceFile
    function: Function | None
    names: list[str] = field(default_factory=list)
    """Local names: parameters first, then in order of assignment."""
    functions: list[str] = field(default_factory=list)
    """Callables in reach: called ones first, then the module's own."""
    attributes: list[str] = field(default_factory=list)
    subscripts: list[str] = field(default_factory=list)
    """Source texts of the function's own subscripts."""
    nested_in: int = 0
    """How many of `names`, from the end, belong to the functions around."""
    kinds: dict[str, str] = field(default_factory=dict)
    """Name -> list, set, dict, text, number, bool or object, where its use tells."""
    first_line: dict[str, int] = field(default_factory=dict)
    """Name -> first line that binds it."""
    seen_at: dict[str, list[int]] = field(default_factory=dict)
    """Name, or attribute with its dot -> lines where it stands."""
    _near: dict[int, list[str]] = field(default_factory=dict)

    def in_reach(self, line: int) -> list[str]:
        """Local names that are bound before the line; of very many, those that stand near it."""
        if line not in self._near:
            bound = [name for name in self.names if self.first_line.get(name, 0) <= line]
            self._near[line] = self._nearest(bound, line, MOST_NAMES)
        return self._near[line]

    def attributes_near(self, line: int) -> list[str]:
        """Attributes that the function reads; of very many, those that stand near the line."""
        return self._nearest(self.attributes, line, MOST_ATTRIBUTES, ".")

    def _nearest(self, found: list[str], line: int, most: int, mark: str = "") -> list[str]:
        if len(found) <= most:
            return found
        away = {
            n: min((abs(line - at) for at in self.seen_at.get(mark + n, ())), default=999)
            for n in found
        }
        kept = set(sorted(found, key=away.__getitem__)[:most])
        return [name for name in found if name in kept]

    def nearness(self, name: str) -> float:
        """1 for the function's own names, less for those of the functions around it."""
        outer = self.names[len(self.names) - self.nested_in :] if self.nested_in else []
        return 0.6 if name in outer else 1.0

    def alike(self, name: str, line: int) -> list[str]:
        """Names that could stand where `name` stands: same kind, or one of them not known."""
        kind = self.kinds.get(name, "")
        others = [n for n in self.in_reach(line) if n != name]
        fitting = [n for n in others if not kind or self.kinds.get(n, kind) == kind]
        return fitting or others


def surroundings_of(file: SourceFile, function: Function | None) -> Surroundings:
    """Everything above for a function, or for the module's own code."""
    found = Surroundings(file, function)
    root: ast.AST = function if function is not None else file.tree
    if function is not None:
        for name in parameters(function):
            found.names.append(name)
            found.first_line[name] = function.lineno
    for node in ast.walk(root):
        _look_at(node, found)
    if function is not None:
        _add_outer(file, function, found)
    own = [n.name for n in file.tree.body if isinstance(n, Function | ast.ClassDef)]
    found.functions += [n for n in own if n not in found.functions]
    found.names = [n for n in found.names if n not in ("self", "cls") or n in found.attributes]
    return found


def _add_outer(file: SourceFile, function: Function, found: Surroundings) -> None:
    """What the functions around a nested one bind can be used in it, from its first line on."""
    for outer in file.ancestors(function):
        if not isinstance(outer, Function):
            continue
        seen = Surroundings(file, outer, names=parameters(outer))
        for node in ast.walk(outer):
            if file.function_of(node) is outer:
                _look_at(node, seen)
        for name in seen.names:
            if name not in found.first_line:
                found.names.append(name)
                found.first_line[name] = 0
                found.nested_in += 1
        found.kinds = {**seen.kinds, **found.kinds}
        for name, lines in seen.seen_at.items():
            found.seen_at.setdefault(name, []).extend(lines)


def _look_at(node: ast.AST, found: Surroundings) -> None:
    if isinstance(node, ast.Name):
        found.seen_at.setdefault(node.id, []).append(node.lineno)
        if isinstance(node.ctx, ast.Store):
            if node.id not in found.first_line:
                found.names.append(node.id)
            found.first_line.setdefault(node.id, node.lineno)
    elif isinstance(node, ast.Attribute):
        found.seen_at.setdefault(f".{node.attr}", []).append(node.lineno)
        if node.attr not in found.attributes:
            found.attributes.append(node.attr)
        if isinstance(node.value, ast.Name):
            for kind, methods in (("list", _LISTS), ("set", _SETS), ("dict", _DICTS)):
                if node.attr in methods:
                    found.kinds.setdefault(node.value.id, kind)
    elif isinstance(node, ast.Subscript):
        text = found.file.segment(node)
        if text not in found.subscripts and "\n" not in text and len(found.subscripts) < 20:
            found.subscripts.append(text)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id not in found.functions:
            found.functions.append(node.func.id)
        if node.func.id == "len" and node.args and isinstance(node.args[0], ast.Name):
            found.kinds.setdefault(node.args[0].id, "sized")
    elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        kind = kind_of(node.value)
        for target in targets:
            if isinstance(target, ast.Name) and kind:
                found.kinds[target.id] = kind
            elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                for part, value in zip(target.elts, node.value.elts, strict=False):
                    if isinstance(part, ast.Name) and kind_of(value):
                        found.kinds[part.id] = kind_of(value)
    elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        numeric = isinstance(node.op, ast.Sub | ast.Mult | ast.FloorDiv | ast.Mod)
        if numeric:
            found.kinds.setdefault(node.target.id, "number")
    elif isinstance(node, ast.For) and isinstance(node.target, ast.Name):
        counted = isinstance(node.iter, ast.Call) and called_name(node.iter) == "range"
        if counted:
            found.kinds.setdefault(node.target.id, "number")


def kind_of(value: ast.expr) -> str:
    """What an expression makes, where it can be seen."""
    if isinstance(value, ast.List | ast.ListComp):
        return "list"
    if isinstance(value, ast.Set | ast.SetComp):
        return "set"
    if isinstance(value, ast.Dict | ast.DictComp):
        return "dict"
    if isinstance(value, ast.JoinedStr):
        return "text"
    if isinstance(value, ast.Constant):
        if isinstance(value.value, bool):
            return "bool"
        if isinstance(value.value, int | float):
            return "number"
        return "text" if isinstance(value.value, str) else ""
    if isinstance(value, ast.Call):
        name = called_name(value)
        made = {
            "list": "list",
            "sorted": "list",
            "set": "set",
            "dict": "dict",
            "len": "number",
            "int": "number",
            "sum": "number",
            "abs": "number",
            "str": "text",
            "deque": "list",
            "Queue": "list",
            "defaultdict": "dict",
            "join": "text",
            "split": "list",
        }
        return made.get(name, "")
    if isinstance(value, ast.BinOp) and isinstance(
        value.op, ast.Sub | ast.Mult | ast.Div | ast.FloorDiv
    ):
        return "number"
    if isinstance(value, ast.Compare):
        return "bool"
    return ""


BUILTINS = frozenset(dir(builtins))
"""Names that every module knows."""
ALIKE: dict[str, tuple[str, ...]] = {
    "any": ("all",),
    "all": ("any",),
    "min": ("max",),
    "max": ("min",),
    "list": ("set", "sorted", "tuple"),
    "set": ("list", "sorted"),
    "sorted": ("list", "reversed"),
    "range": ("reversed",),
    "int": ("float", "round"),
    "float": ("int",),
    "str": ("repr",),
    "sum": ("len", "max"),
    "len": ("sum",),
    "append": ("extend", "add", "insert"),
    "extend": ("append", "update"),
    "add": ("update", "discard", "append"),
    "update": ("add",),
    "pop": ("popleft", "get", "remove"),
    "popleft": ("pop",),
    "find": ("rfind", "index"),
    "index": ("find",),
    "strip": ("lstrip", "rstrip"),
    "lstrip": ("strip",),
    "rstrip": ("strip",),
    "startswith": ("endswith",),
    "endswith": ("startswith",),
    "upper": ("lower",),
    "lower": ("upper",),
    "split": ("rsplit", "splitlines"),
    "rsplit": ("split",),
    "partition": ("rpartition",),
    "items": ("values", "keys"),
    "keys": ("values", "items"),
    "values": ("keys", "items"),
    "union": ("intersection", "difference"),
    "intersection": ("union",),
    "issubset": ("issuperset",),
    "issuperset": ("issubset",),
    "replace": ("translate",),
    "encode": ("decode",),
    "decode": ("encode",),
    "floor": ("ceil",),
    "ceil": ("floor",),
    "match": ("search", "fullmatch"),
    "search": ("match", "fullmatch"),
    "isdigit": ("isdecimal", "isnumeric", "isalnum"),
    "isalpha": ("isalnum",),
    "utcnow": ("now",),
}
"""Functions and methods that are mixed up: same arguments, another meaning."""
