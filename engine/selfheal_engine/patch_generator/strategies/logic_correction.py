"""The code says something else than it means: an edge case, another name, another type.

These templates know the exception's words; what only tests can tell apart is left to
`mutations`. Guards return what the function returns elsewhere for "nothing".
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.captured import integer
from selfheal_engine.diagnosis.origin import called_name, parameters
from selfheal_engine.diagnosis.source_file import Function
from selfheal_engine.patch_generator.answers import refusals
from selfheal_engine.patch_generator.edits import (
    BODY,
    EXPR,
    add_argument,
    indented,
    insert_after,
    insert_before,
    replace_expression,
    replace_statements,
)
from selfheal_engine.patch_generator.neutral_values import by_use
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import anchor_of, in_comprehension, in_loop, is_stable

STRATEGY = "logic_correction"


def _guard(scene: Scene, condition: str, code: str) -> str:
    return f"if {condition}:\n{indented(code.rstrip())}\n{BODY}\n"


class GuardZero(Rule):
    """Handles the divisor that is zero: nothing to divide by means nothing to tell."""

    name = "guard_zero"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(amounts=()):
                    return sum(amounts) / len(amounts)
                """,
            after="""
                def f(amounts=()):
                    if not amounts:
                        return 0.0
                    return sum(amounts) / len(amounts)
                """,
        ),
        Example(
            before="""
                def f(done=0, all_of=0):
                    share = done / all_of
                    return {'share': share}
                """,
            after="""
                def f(done=0, all_of=0):
                    share = done / all_of if all_of else 0.0
                    return {'share': share}
                """,
        ),
        Example(
            before="""
                def f(a=1):
                    return a[0]
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if scene.exception not in ("ZeroDivisionError", "DivisionByZero", "InvalidOperation"):
            return
        if isinstance(node, ast.BinOp):
            divisor: ast.expr = node.right
        elif isinstance(node, ast.Call) and node.args:
            divisor = node.args[-1]
        else:
            return
        condition = _empty_test(scene, divisor)
        value = "0" if isinstance(getattr(node, "op", None), ast.FloorDiv | ast.Mod) else "0.0"
        anchor = anchor_of(scene.file, scene.statement)
        whole = isinstance(scene.statement, ast.Return) and scene.statement.value is node
        assert isinstance(node, ast.expr)
        if scene.function is not None and anchor is not None and not _inner(scene, divisor):
            nothing = [v for v in scene.conventions.nothing_value(scene.file, scene.function) if v]
            given_for_nothing = dict.fromkeys([*nothing[:1], *([value] if whole else [])])
            for rank, given in enumerate(given_for_nothing):
                yield scene.draft(
                    replace_statements([anchor], _guard(scene, condition, f"return {given}")),
                    title=f"return {given} when there is nothing to divide by",
                    weight=1.3 - 0.1 * rank if whole else 0.9,
                )
        test = condition.removeprefix("not ")
        if test == condition:
            test = f"{scene.text(divisor)} != 0"
        yield scene.draft(
            replace_expression(node, f"{EXPR} if {test} else {value}"),
            title=f"{value} when `{scene.text(divisor)}` is 0",
            weight=1.2,
        )


def _empty_test(scene: Scene, divisor: ast.expr) -> str:
    """`not amounts` for `len(amounts)`, `not n` for a plain number."""
    if isinstance(divisor, ast.Call) and called_name(divisor) == "len" and divisor.args:
        return f"not {scene.text(divisor.args[0])}"
    if isinstance(divisor, ast.BinOp):
        return f"({scene.text(divisor)}) == 0"
    return f"not {scene.text(divisor)}"


def _inner(scene: Scene, node: ast.expr) -> bool:
    return in_comprehension(scene.file, node, scene.statement)


class GuardEmpty(Rule):
    """Handles the sequence that is empty or too short before it is indexed."""

    name = "guard_empty"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(rows=()):
                    first = rows[0]
                    return [first]
                """,
            after="""
                def f(rows=()):
                    if not rows:
                        return []
                    first = rows[0]
                    return [first]
                """,
        ),
        Example(
            before="""
                def f(rows=(1, 2), at=5):
                    return [rows[at]]
                """,
            after="""
                def f(rows=(1, 2), at=5):
                    if at >= len(rows):
                        return []
                    return [rows[at]]
                """,
        ),
        Example(
            before="""
                def f(rows=None):
                    return rows[0]
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if scene.exception != "IndexError" or not isinstance(node, ast.Subscript):
            return
        anchor = anchor_of(scene.file, scene.statement)
        if scene.function is None or anchor is None or _inner(scene, node):
            return
        if not is_stable(node.value) or isinstance(scene.statement, ast.While):
            return
        base, key = scene.text(node.value), scene.text(node.slice)
        index = integer(scene.value(node.slice))
        constant = isinstance(node.slice, ast.Constant | ast.UnaryOp)
        if constant:
            length = abs(index) if index is not None and index < 0 else (index or 0) + 1
            condition = f"not {base}" if length <= 1 else f"len({base}) < {length}"
        else:
            condition = f"{key} >= len({base})" if (index or 0) >= 0 else f"{key} < -len({base})"
        word = base.rpartition(".")[2].strip("_").replace("_", " ")
        statuses = (404, 400, 422)
        message = f"no such {word.rstrip('s') if not constant else word}"
        for refusal in refusals(
            scene.conventions, scene.file, scene.function, statuses, message, (word,)
        ):
            yield scene.draft(
                replace_statements([anchor], _guard(scene, condition, refusal.code)),
                *refusal.imports,
                title=f"{refusal.title} when {condition}",
                weight=refusal.weight,
            )
            break
        if in_loop(scene.file, anchor):
            way = "continue" if constant else "break"
            yield scene.draft(
                replace_statements([anchor], _guard(scene, condition, way)),
                title=f"{way} when {condition}",
                weight=1.1,
            )
        nothing = scene.conventions.nothing_value(scene.file, scene.function)
        for rank, value in enumerate(nothing[:2]):
            yield scene.draft(
                replace_statements([anchor], _guard(scene, condition, f"return {value}".rstrip())),
                title=f"return {value or 'early'} when {condition}",
                weight=1.0 - 0.15 * rank,
            )


class ClampRange(Rule):
    """Ends a counting loop, or a slice by hand, where the sequence ends."""

    name = "clamp_range"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(rows=(1, 2, 3), start=2, size=2):
                    return [rows[i] for i in range(start, start + size)]
                """,
            after="""
                def f(rows=(1, 2, 3), start=2, size=2):
                    return [rows[i] for i in range(start, min(start + size, len(rows)))]
                """,
        ),
        Example(
            before="""
                def f(rows=()):
                    return rows[0]
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if scene.exception != "IndexError" or not isinstance(node, ast.Subscript):
            return
        names = {n.id for n in ast.walk(node.slice) if isinstance(n, ast.Name)}
        for outer in scene.file.ancestors(node):
            pairs: list[tuple[ast.expr, ast.expr]] = []
            if isinstance(outer, ast.For):
                pairs.append((outer.target, outer.iter))
            pairs += [(g.target, g.iter) for g in getattr(outer, "generators", ())]
            for target, iterated in pairs:
                if not isinstance(target, ast.Name) or target.id not in names:
                    continue
                if not isinstance(iterated, ast.Call) or called_name(iterated) != "range":
                    continue
                end = iterated.args[-1] if len(iterated.args) < 3 else iterated.args[1]
                base = scene.text(node.value)
                shift = _shift_of(scene, node.slice, target.id)
                length = f"len({base}){shift}"
                if scene.text(end) == f"len({base})":
                    if shift:
                        yield scene.draft(
                            replace_expression(end, length),
                            title=f"end the loop at {length}",
                            weight=1.5,
                        )
                    continue
                yield scene.draft(
                    replace_expression(end, f"min({EXPR}, {length})"),
                    title=f"end the loop where `{base}` ends",
                    weight=1.4,
                )
            if isinstance(outer, Function):
                return


def _shift_of(scene: Scene, index: ast.expr, name: str) -> str:
    """` - 1` for `rows[i + 1]`."""
    added = isinstance(index, ast.BinOp) and isinstance(index.op, ast.Add)
    if isinstance(index, ast.BinOp) and added and scene.text(index.left) == name:
        return f" - {scene.text(index.right)}"
    return ""


class DefaultForEmpty(Rule):
    """Tells `max`, `min` and `next` what to give when there is nothing."""

    name = "default_for_empty"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(scores=()):
                    return max(scores) + 1
                """,
            after="""
                def f(scores=()):
                    return max(scores, default=0) + 1
                """,
        ),
        Example(
            before="""
                def f(rows=()):
                    return next(iter(rows))
                """,
            after="""
                def f(rows=()):
                    return next(iter(rows), None)
                """,
        ),
        Example(
            before="""
                def f(rows=3):
                    return max(rows)
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if not isinstance(node, ast.Call):
            return
        name = called_name(node)
        parent = scene.file.parent(node)
        value = "None"
        if isinstance(parent, ast.BinOp | ast.Compare):
            value = "0"
        if isinstance(parent, ast.Attribute | ast.Subscript):
            return
        if name in ("max", "min") and "empty" in scene.message:
            yield scene.draft(
                add_argument(node, f"default={value}"),
                title=f"{name} of nothing is {value}",
                weight=1.2,
            )
        if name == "next" and scene.exception == "StopIteration" and len(node.args) == 1:
            yield scene.draft(
                add_argument(node, "None"), title="None when nothing is left", weight=1.1
            )


class NearestKey(Rule):
    """Reads the key that the mapping really has, where the names are nearly the same."""

    name = "nearest_key"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f():
                    order = {'amount': 3, 'name': 'x'}
                    return order['ammount']
                """,
            after="""
                def f():
                    order = {'amount': 3, 'name': 'x'}
                    return order['amount']
                """,
        ),
        Example(
            before="""
                def f():
                    order = {'amount': 3}
                    return order['city']
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if scene.exception != "KeyError" or not isinstance(node, ast.Subscript):
            return
        key = node.slice
        container = scene.value(node.value)
        if not isinstance(key, ast.Constant) or not isinstance(key.value, str) or container is None:
            return
        known = [name for name, _ in container.children]
        for rank, near in enumerate(_near(key.value, known)):
            quote = scene.text(key)[:1]
            yield scene.draft(
                replace_expression(key, f"{quote}{near}{quote}"),
                title=f"read {near!r}, the key that is there",
                weight=1.6 - 0.3 * rank,
            )


def _near(name: str, known: list[str]) -> list[str]:
    """Names that a slip of the pen or another word order would turn into this one."""
    parts = set(re.split(r"[_\W]+", name.lower()))
    found = difflib.get_close_matches(name, known, 3, 0.72)
    for other in known:
        words = set(re.split(r"[_\W]+", other.lower()))
        same = other.replace("_", "").lower() == name.replace("_", "").lower()
        if other not in found and other != name and (same or (len(parts) > 1 and words == parts)):
            found.append(other)
    return [f for f in found if f != name]


class NearestAttribute(Rule):
    """Uses the attribute that the object really has, where the names are nearly the same."""

    name = "nearest_attribute"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                class User:
                    def __init__(self):
                        self.email = 'a@b'


                def f():
                    user = User()
                    return user.emial
                """,
            after="""
                class User:
                    def __init__(self):
                        self.email = 'a@b'


                def f():
                    user = User()
                    return user.email
                """,
        ),
        Example(
            before="""
                def f(user=None):
                    return user.email
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if scene.exception != "AttributeError" or not isinstance(node, ast.Attribute):
            return
        if scene.failure.is_none:
            return
        value = scene.value(node.value)
        known = [name for name, _ in value.children] if value is not None else []
        kind = value.type_name if value is not None else _kind_in(scene.message)
        builtin = {"str": str, "dict": dict, "list": list, "set": set, "int": int, "bytes": bytes}
        if kind in builtin:
            known = [n for n in dir(builtin[kind]) if not n.startswith("__")]
        for file in scene.sources.all():
            for name, cls in file.classes.items():
                if name.rpartition(".")[2] == kind:
                    known += [f.name for f in cls.body if isinstance(f, Function)]
                    known += [
                        n.attr
                        for n in ast.walk(cls)
                        if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)
                    ]
                    known += [
                        n.target.id
                        for n in cls.body
                        if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)
                    ]
        for rank, near in enumerate(_near(node.attr, list(dict.fromkeys(known)))):
            yield scene.draft(
                replace_expression(node, f"{scene.text(node.value)}.{near}"),
                title=f"use `{near}`, which `{kind}` has",
                weight=1.6 - 0.3 * rank,
            )
        # a dictionary that is used like an object
        if kind == "dict" and value is not None and any(n == node.attr for n, _ in value.children):
            yield scene.draft(
                replace_expression(node, f'{scene.text(node.value)}["{node.attr}"]'),
                title=f"read the key {node.attr!r} of the dictionary",
                weight=1.7,
            )


def _kind_in(message: str) -> str:
    found = re.search(r"'(\w+)' object has no attribute", message)
    return found[1] if found else ""


class InitialiseVariable(Rule):
    """Gives a variable a value on the path that so far set none."""

    name = "initialise_variable"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(rows=()):
                    for row in rows:
                        total = row
                    return total + 1
                """,
            after="""
                def f(rows=()):
                    total = 0
                    for row in rows:
                        total = row
                    return total + 1
                """,
        ),
        Example(
            before="""
                COUNT = 0


                def f():
                    COUNT += 1
                    return COUNT
                """,
            after="""
                COUNT = 0


                def f():
                    global COUNT
                    COUNT += 1
                    return COUNT
                """,
        ),
        Example(
            before="""
                def f():
                    return unknown
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        function = scene.function
        found = re.search(r"variable '(\w+)'", scene.message)
        if scene.exception != "UnboundLocalError" or found is None or function is None:
            return
        name = found[1]
        first = function.body[0]
        docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
        at = function.body[1] if docstring and len(function.body) > 1 else first
        module_level = any(
            isinstance(t, ast.Name) and t.id == name
            for n in scene.file.tree.body
            if isinstance(n, ast.Assign)
            for t in n.targets
        )
        if module_level:
            yield scene.draft(
                insert_before(at, f"global {name}"), title=f"`{name}` is the module's", weight=1.6
            )
        use = scene.node if isinstance(scene.node, ast.Name) else None
        neutral = by_use(scene.file, use) if use is not None else ""
        setters = [s for s in function.body if _sets(s, name)]
        place = setters[0] if setters else at
        for rank, value in enumerate(dict.fromkeys([neutral or "None", "None"])):
            yield scene.draft(
                insert_before(place, f"{name} = {value}"),
                title=f"`{name}` is {value} where nothing sets it",
                weight=1.2 - 0.3 * rank,
            )


def _sets(statement: ast.stmt, name: str) -> bool:
    names = [n for n in ast.walk(statement) if isinstance(n, ast.Name)]
    return any(n.id == name and isinstance(n.ctx, ast.Store) for n in names)


class AddReturn(Rule):
    """Returns what a function computes and so far forgets to give back."""

    name = "add_return"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def total(rows, tax=True):
                    if not tax:
                        return sum(rows)
                    whole = sum(rows) + 1


                def f():
                    return total([1]) + 1
                """,
            after="""
                def total(rows, tax=True):
                    if not tax:
                        return sum(rows)
                    whole = sum(rows) + 1
                    return whole


                def f():
                    return total([1]) + 1
                """,
        ),
        Example(
            before="""
                def total(rows):
                    return None


                def f():
                    return total([1]) + 1
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        culprit = scene.failure.culprit
        if not scene.failure.is_none or culprit is None or scene.depth:
            return
        seen: set[int] = set()
        for step in scene.origin:
            node = step.node
            if step.kind != "returned" or id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                yield scene.draft(
                    replace_statements([node], f"return {step.file.segment(node.value)}"),
                    title="return what the last call gives",
                    weight=1.5,
                    file=step.file,
                )
            targets = node.targets if isinstance(node, ast.Assign) else []
            if isinstance(node, ast.AugAssign):
                targets = [node.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    yield scene.draft(
                        insert_after(node, f"return {target.id}"),  # type: ignore[arg-type]
                        title=f"return `{target.id}`",
                        weight=1.6,
                        file=step.file,
                    )
            if isinstance(node, ast.For | ast.While | ast.With | ast.If | ast.Try):
                function = step.file.function_of(node)
                name = _result_name(function) if function is not None else ""
                if name and function is not None:
                    yield scene.draft(
                        insert_after(function.body[-1], f"return {name}"),
                        title=f"return `{name}`",
                        weight=1.4,
                        file=step.file,
                    )


def _result_name(function: Function) -> str:
    """The variable that the function builds up: first set outside of loops, changed inside."""
    for statement in function.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
            if isinstance(statement.value, ast.List | ast.Dict | ast.Set | ast.Constant | ast.Call):
                uses = [n for n in ast.walk(function) if isinstance(n, ast.Name) and n.id == name]
                if len(uses) > 1 and name not in parameters(function):
                    return name
    return ""


class SplitOnce(Rule):
    """Splits only as often as there are names to unpack into."""

    name = "split_once"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(line='a: b: c'):
                    name, value = line.split(': ')
                    return name + value
                """,
            after="""
                def f(line='a: b: c'):
                    name, value = line.split(': ', 1)
                    return name + value
                """,
        ),
        Example(
            before="""
                def f(line='a'):
                    name, value = line.split(': ')
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if "too many values to unpack" not in scene.message:
            return
        statement = scene.statement
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Tuple):
            names = len(statement.targets[0].elts)
            call = statement.value
            splits = isinstance(call, ast.Call) and called_name(call) in ("split", "rsplit")
            if isinstance(call, ast.Call) and splits and len(call.args) == 1:
                yield scene.draft(
                    add_argument(call, str(names - 1)),
                    title=f"split into {names} parts at most",
                    weight=1.6,
                )
        if isinstance(statement, ast.For) and isinstance(statement.target, ast.Tuple):
            iterated = statement.iter
            if is_stable(iterated) and len(statement.target.elts) == 2:
                for way in ("{}.items()", "enumerate({})"):
                    yield scene.draft(
                        replace_expression(iterated, way.format(EXPR)),
                        title=f"iterate over `{way.format(scene.text(iterated))}`",
                        weight=1.2,
                    )


class LimitRecursion(Rule):
    """Ends a recursion at the case that has nothing below it, or that was seen already."""

    name = "limit_recursion"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(n=3):
                    return [n] + f(n - 1)
                """,
            after="""
                def f(n=3):
                    if n <= 0:
                        return []
                    return [n] + f(n - 1)
                """,
        ),
        Example(
            before="""
                def f(n=3):
                    return n / 0
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        function = scene.function
        if scene.exception != "RecursionError" or function is None:
            return
        first = function.body[0]
        docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
        at = function.body[1] if docstring and len(function.body) > 1 else first
        own = [n for n in ast.walk(function) if isinstance(n, ast.Call)]
        calls = [n for n in own if called_name(n) == function.name]
        values = scene.conventions.nothing_value(scene.file, function)
        values = [v for v in values if v] or _for_sum(scene, calls) or ["None"]
        for name in parameters(function):
            condition = _end_test(name, [a for c in calls for a in c.args if _names(a, name)])
            if condition:
                yield scene.draft(
                    insert_before(at, f"if {condition}:\n    return {values[0]}"),
                    title=f"end the recursion when {condition}",
                    weight=1.3,
                )


def _end_test(name: str, arguments: list[ast.expr]) -> str:
    """When there is nothing below: by how the recursion's argument gets smaller."""
    for argument in arguments:
        if isinstance(argument, ast.BinOp) and isinstance(argument.op, ast.Sub | ast.FloorDiv):
            return f"{name} <= 0"
        if isinstance(argument, ast.Subscript):
            return f"not {name}"
        if isinstance(argument, ast.Attribute):
            return f"{name} is None"
    return ""


def _for_sum(scene: Scene, calls: list[ast.Call]) -> list[str]:
    """The neutral element of the operation that joins the recursion's results."""
    for call in calls:
        parent = scene.file.parent(call)
        if isinstance(parent, ast.BinOp):
            other = parent.left if parent.right is call else parent.right
            if isinstance(parent.op, ast.Mult):
                return ["1"]
            if isinstance(other, ast.List | ast.ListComp):
                return ["[]"]
            return ['""'] if isinstance(other, ast.JoinedStr) else ["0"]
    return []


def _names(node: ast.AST, name: str) -> bool:
    return any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(node))


RULES: tuple[Rule, ...] = (
    GuardZero(),
    GuardEmpty(),
    ClampRange(),
    DefaultForEmpty(),
    NearestKey(),
    NearestAttribute(),
    InitialiseVariable(),
    AddReturn(),
    SplitOnce(),
    LimitRecursion(),
)
