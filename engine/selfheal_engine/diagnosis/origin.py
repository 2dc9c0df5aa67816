"""Where a value came from: backward data flow through assignments, callers and callees.

The walk is over source and captured frames, not over a run: it follows the last assignment
before the use, a parameter to the argument in the caller's captured frame, a call to the
returns of the function it names, an attribute to the places that set it to None.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from selfheal_engine.diagnosis.source_file import Function, SourceFile, Sources
from selfheal_engine.model import Frame

MAX_STEPS = 12


@dataclass(frozen=True)
class Step:
    """One place on the way back from the failing expression to the value's origin."""

    file: SourceFile
    node: ast.AST
    text: str
    """In words: "`find_user` returns None"."""
    depth: int = 0
    kind: str = ""
    """assigned, argument, returned, missing_key, attribute, loop."""

    @property
    def line(self) -> int:
        return getattr(self.node, "lineno", 0)

    @property
    def function(self) -> str:
        inner = self.file.function_of(self.node)
        if isinstance(self.node, Function):
            inner = self.node
        return self.file.qualified_name(inner) if inner is not None else "<module>"


def trace_back(
    sources: Sources,
    file: SourceFile,
    node: ast.expr,
    frames: Sequence[Frame],
    depth: int = 0,
) -> Iterator[Step]:
    """The steps back from `node`, which stands in the last of `frames`; nearest first."""
    if depth > MAX_STEPS or not frames:
        return
    if isinstance(node, ast.NamedExpr):
        node = node.value
    if isinstance(node, ast.Await):
        node = node.value
    if isinstance(node, ast.Name):
        yield from _name(sources, file, node, frames, depth)
    elif isinstance(node, ast.Attribute):
        yield from _attribute(sources, file, node, depth)
    elif isinstance(node, ast.Call):
        yield from _call(sources, file, node, frames, depth)
    elif isinstance(node, ast.Subscript):
        yield Step(file, node, f"`{file.segment(node)}` holds it", depth, "key")
    elif isinstance(node, ast.IfExp | ast.BoolOp):
        parts = [node.body, node.orelse] if isinstance(node, ast.IfExp) else node.values
        for part in parts:
            if isinstance(part, ast.Constant) and part.value is None:
                yield Step(file, part, "the expression itself says None", depth, "assigned")
            elif not isinstance(part, ast.Constant):
                yield from trace_back(sources, file, part, frames, depth + 1)
    elif isinstance(node, ast.Constant) and node.value is None:
        yield Step(file, node, "None is written here", depth, "assigned")


def _name(
    sources: Sources, file: SourceFile, node: ast.Name, frames: Sequence[Frame], depth: int
) -> Iterator[Step]:
    function = file.function_of(node)
    found = last_assignment(file, function, node.id, node.lineno)
    if found is not None:
        statement, value, kind = found
        if kind == "loop":
            yield Step(
                file, statement, f"`{node.id}` is an item of `{file.segment(value)}`", depth, "loop"
            )
        else:
            text = f"`{node.id}` is set from `{_short(file.segment(value))}`"
            yield Step(file, statement, text, depth, "assigned")
        if kind == "value":
            yield from trace_back(sources, file, value, frames, depth + 1)
        return
    if function is not None and _is_parameter(function, node.id):
        yield from _argument(sources, file, function, node.id, frames, depth)
        return
    for statement in file.tree.body:
        if any(_binds(t, node.id) for t in _targets(statement)):
            yield Step(file, statement, f"`{node.id}` is a module's variable", depth, "assigned")


def last_assignment(
    file: SourceFile, function: Function | None, name: str, line: int
) -> tuple[ast.stmt, ast.expr, str] | None:
    """What bound the name last before the line; the word is "value", "loop" or "unpacked"."""
    body: ast.AST = function if function is not None else file.tree
    best: tuple[ast.stmt, ast.expr, str] | None = None
    for statement in ast.walk(body):
        if not isinstance(statement, ast.stmt) or statement.lineno > line:
            continue
        if statement is not body and file.function_of(statement) is not function:
            continue
        found: tuple[ast.expr, str] | None = None
        if isinstance(statement, ast.For | ast.AsyncFor) and _binds(statement.target, name):
            found = statement.iter, "loop"
        elif isinstance(statement, ast.With | ast.AsyncWith):
            for item in statement.items:
                if item.optional_vars is not None and _binds(item.optional_vars, name):
                    found = item.context_expr, "value"
        elif isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            if (statement.end_lineno or 0) >= line and statement.lineno <= line:
                continue  # the use stands in the assignment itself
            for target in _targets(statement):
                if isinstance(target, ast.Name) and target.id == name:
                    found = statement.value, "value"
                elif _binds(target, name):
                    found = statement.value, "unpacked"
        if found is not None and (best is None or statement.lineno >= best[0].lineno):
            best = (statement, *found)
    walrus = [
        n
        for n in ast.walk(body)
        if isinstance(n, ast.NamedExpr) and n.target.id == name and n.lineno <= line
    ]
    if walrus and best is None:
        statement_of = file.statement_of(walrus[-1])
        if statement_of is not None:
            return statement_of, walrus[-1].value, "value"
    return best


def _targets(statement: ast.stmt) -> list[ast.expr]:
    if isinstance(statement, ast.Assign):
        return statement.targets
    return [statement.target] if isinstance(statement, ast.AnnAssign) else []


def _binds(target: ast.expr, name: str) -> bool:
    return any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(target))


def _is_parameter(function: Function, name: str) -> bool:
    return name in parameters(function)


def parameters(function: Function) -> list[str]:
    """Names of all parameters in order; `*args` and `**kwargs` last."""
    a = function.args
    names = [arg.arg for arg in (*a.posonlyargs, *a.args, *a.kwonlyargs)]
    return names + [arg.arg for arg in (a.vararg, a.kwarg) if arg is not None]


def defaults_of(function: Function) -> list[tuple[ast.arg, ast.expr]]:
    """The parameters that have a default, with it."""
    a = function.args
    named = [*a.posonlyargs, *a.args]
    pairs = list(zip(named[len(named) - len(a.defaults) :], a.defaults, strict=True))
    only = zip(a.kwonlyargs, a.kw_defaults, strict=True)
    return pairs + [(argument, default) for argument, default in only if default is not None]


def _argument(
    sources: Sources,
    file: SourceFile,
    function: Function,
    name: str,
    frames: Sequence[Frame],
    depth: int,
) -> Iterator[Step]:
    """Follow a parameter to the caller's argument, by the captured caller's frame."""
    caller = frames[-2] if len(frames) > 1 else None
    if caller is None or not caller.own:
        return
    caller_file = sources.get(caller.file)
    if caller_file is None:
        return
    for call in calls_on_line(caller_file, caller, function.name):
        argument = argument_for(call, function, name)
        if argument is None:
            default = default_of(function, name)
            if default is not None:
                yield Step(file, default, f"`{name}` has its default here", depth, "argument")
            return
        text = f"`{function.name}` is called with `{_short(caller_file.segment(argument))}`"
        yield Step(caller_file, call, text, depth, "argument")
        yield from trace_back(sources, caller_file, argument, frames[:-1], depth + 1)
        return


def calls_on_line(file: SourceFile, frame: Frame, name: str) -> list[ast.Call]:
    """Calls of `name` (or of the class, for `__init__`) on the frame's line."""
    statement = file.statement_at(frame.line)
    if statement is None:
        return []
    calls = [n for n in ast.walk(statement) if isinstance(n, ast.Call)]
    named = [c for c in calls if called_name(c) == name]
    return named or [c for c in calls if name == "__init__" and c.lineno <= frame.line]


def called_name(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def argument_for(call: ast.Call, function: Function, name: str) -> ast.expr | None:
    """The caller's expression for a parameter; None where the default is used."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    names = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
    if names[:1] in (["self"], ["cls"]) and isinstance(call.func, ast.Attribute | ast.Name):
        names = names[1:]
    if name in names and names.index(name) < len(call.args):
        return call.args[names.index(name)]
    return None


def default_of(function: Function, name: str) -> ast.expr | None:
    a = function.args
    positional = [*a.posonlyargs, *a.args]
    for arg, default in zip(reversed(positional), reversed(a.defaults), strict=False):
        if arg.arg == name:
            return default
    for arg, keyword_default in zip(a.kwonlyargs, a.kw_defaults, strict=True):
        if arg.arg == name:
            return keyword_default
    return None


def _attribute(
    sources: Sources, file: SourceFile, node: ast.Attribute, depth: int
) -> Iterator[Step]:
    """The places that set an attribute of this name to None, own class first."""
    own_class = file.class_of(node)
    found: list[tuple[int, Step]] = []
    files = [file, *(f for f in sources.all() if f is not file)]
    for other in files:
        for statement in ast.walk(other.tree):
            if not isinstance(statement, ast.Assign | ast.AnnAssign):
                continue
            if not any(
                _names_attribute(t, node.attr, statement, other) for t in _targets(statement)
            ):
                continue
            weight = 0 if other.class_of(statement) is own_class else 1
            value = statement.value
            none = _none_by_default(other, statement, value)
            optional = isinstance(statement, ast.AnnAssign) and "None" in ast.dump(
                statement.annotation
            )
            handed = _is_handed_in(other, statement, value)
            if none or optional or handed or _nullable_column(value):
                text = f"`{node.attr}` may be None from here"
                rank = weight + (0 if none else 3 if handed else 1)
                found.append((rank, Step(other, statement, text, depth, "attribute")))
    for _, step in sorted(found, key=lambda f: f[0])[:4]:
        yield step


def _none_by_default(file: SourceFile, statement: ast.stmt, value: ast.expr | None) -> bool:
    """None itself, or a parameter whose default is None."""
    if isinstance(value, ast.Constant):
        return value.value is None
    function = file.function_of(statement)
    if not isinstance(value, ast.Name) or function is None:
        return False
    default = default_of(function, value.id) if value.id in parameters(function) else None
    return isinstance(default, ast.Constant) and default.value is None


def _is_handed_in(file: SourceFile, statement: ast.stmt, value: ast.expr | None) -> bool:
    """A parameter of `__init__`: whoever makes the object may hand in a None."""
    function = file.function_of(statement)
    if function is None or function.name != "__init__" or not isinstance(value, ast.Name):
        return False
    return value.id in parameters(function)


def _names_attribute(target: ast.expr, name: str, statement: ast.stmt, file: SourceFile) -> bool:
    if isinstance(target, ast.Attribute):
        return target.attr == name
    in_class = isinstance(file.parent(statement), ast.ClassDef)
    return in_class and isinstance(target, ast.Name) and target.id == name


def _nullable_column(value: ast.expr | None) -> bool:
    """An ORM column that may be NULL: SQLAlchemy's default, Django's `null=True`."""
    if not isinstance(value, ast.Call):
        return False
    name = called_name(value)
    flags = {k.arg: getattr(k.value, "value", None) for k in value.keywords}
    if name in ("Column", "mapped_column"):
        return flags.get("nullable") is not False and not flags.get("primary_key")
    return flags.get("null") is True


def _call(
    sources: Sources, file: SourceFile, node: ast.Call, frames: Sequence[Frame], depth: int
) -> Iterator[Step]:
    name = called_name(node)
    method = isinstance(node.func, ast.Attribute)
    if method and name in ("get", "pop", "getenv") and len(node.args) == 1 and not node.keywords:
        yield Step(
            file, node, f"`{_short(file.segment(node))}` has no default", depth, "missing_key"
        )
        return
    if method and name in ("match", "search", "fullmatch"):
        yield Step(file, node, f"`{_short(file.segment(node))}` finds nothing", depth, "returned")
        return
    if method and name in (
        "first",
        "fetchone",
        "one_or_none",
        "scalar",
        "find_one",
    ):
        yield Step(file, node, f"`{_short(file.segment(node))}` finds no row", depth, "returned")
        return
    if is_none_by_default(node):
        yield Step(file, node, f"`{_short(file.segment(node))}` finds nothing", depth, "returned")
        return
    for other, function in definitions(sources, file, node):
        for returned in none_returns(other, function):
            text = f"`{function.name}` returns None here"
            yield Step(other, returned, text, depth, "returned")
            value = getattr(returned, "value", None)
            if value is not None and not isinstance(value, ast.Constant):
                yield from trace_back(sources, other, value, frames[:1], depth + 2)


def definitions(
    sources: Sources, file: SourceFile, call: ast.Call
) -> list[tuple[SourceFile, Function]]:
    """The project's functions that a call may reach: by scope, import, class, then unique name."""
    name = called_name(call)
    here = [f for q, f in file.functions.items() if q.rpartition(".")[2] == name]
    if isinstance(call.func, ast.Name):
        plain = [f for f in here if file.class_of(f) is None]
        if plain:
            return [(file, f) for f in plain]
    elif isinstance(call.func, ast.Attribute) and _is_self(call.func.value):
        own = file.class_of(call)
        methods = [f for f in here if file.class_of(f) is own]
        if methods:
            return [(file, f) for f in methods]
    everywhere = [
        (other, f)
        for other in sources.all()
        for q, f in other.functions.items()
        if q.rpartition(".")[2] == name
    ]
    return everywhere if 0 < len(everywhere) <= 2 else [(file, f) for f in here][:2]


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def none_returns(file: SourceFile, function: Function) -> list[ast.AST]:
    """Where a function gives None back: `return`, `return None`, `.get(key)`, or its end."""
    found: list[ast.AST] = []
    valued = False
    for node in ast.walk(function):
        if not isinstance(node, ast.Return) or file.function_of(node) is not function:
            continue
        value = node.value
        if value is None or (isinstance(value, ast.Constant) and value.value is None):
            found.append(node)
            continue
        valued = True
        if isinstance(value, ast.Call):
            if is_none_by_default(value):
                found.append(node)
                continue
            finds = called_name(value) in (
                "get",
                "first",
                "fetchone",
                "one_or_none",
                "find_one",
                "match",
                "search",
            )
            if finds and len(value.args) <= 1:
                found.append(node)
        elif isinstance(value, ast.Name | ast.Attribute | ast.Subscript) or (
            isinstance(value, ast.IfExp) and _says_none(value)
        ):
            found.append(node)
    if valued and not ends(function.body):
        found.append(function.body[-1])
    return found


def is_none_by_default(call: ast.Call) -> bool:
    """`next(found, None)`, `rows.get(key, None)`, `getattr(it, name, None)`."""
    last = call.args[-1] if len(call.args) > 1 else None
    takes = called_name(call) in ("next", "get", "pop", "getattr")
    return takes and isinstance(last, ast.Constant) and last.value is None


def _says_none(choice: ast.IfExp) -> bool:
    parts = (choice.body, choice.orelse)
    return any(isinstance(part, ast.Constant) and part.value is None for part in parts)


def ends(block: Sequence[ast.stmt]) -> bool:
    """Whether control never leaves the block at its end."""
    last = block[-1] if block else None
    if isinstance(last, ast.Return | ast.Raise | ast.Continue | ast.Break):
        return True
    if isinstance(last, ast.If):
        return bool(last.orelse) and ends(last.body) and ends(last.orelse)
    if isinstance(last, ast.With | ast.AsyncWith):
        return ends(last.body)
    if isinstance(last, ast.Try):
        whole = ends(last.body) and all(ends(h.body) for h in last.handlers)
        return ends(last.finalbody) or whole
    if isinstance(last, ast.While):
        return isinstance(last.test, ast.Constant) and bool(last.test.value)
    return False


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "..."
