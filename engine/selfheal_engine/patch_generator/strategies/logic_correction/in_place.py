"""Results of methods that change their object in place and give None back."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name, definitions, last_assignment
from selfheal_engine.diagnosis.source_file import SourceFile
from selfheal_engine.patch_generator.edits import Edit, replace_expression, replace_statements
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import is_stable
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY

_IN_PLACE = frozenset(
    {"append", "extend", "insert", "sort", "reverse", "add", "update", "remove", "clear"}
    | {"discard", "appendleft", "shuffle", "put"}
)


class KeepTheObject(Rule):
    """Keeps the object that a method changed in place, not the None that the method gives."""

    name = "keep_the_object"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(entries=('a',), new='b'):
                    result = list(entries)
                    result = result.append(new)
                    return result[::-1]
                """,
            after="""
                def f(entries=('a',), new='b'):
                    result = list(entries)
                    result.append(new)
                    return result[::-1]
                """,
        ),
        Example(
            before="""
                def f(values=(3, 1)):
                    ordered = list(values).sort(reverse=True)
                    return ordered[:2]
                """,
            after="""
                def f(values=(3, 1)):
                    ordered = sorted(list(values), reverse=True)
                    return ordered[:2]
                """,
        ),
        Example(
            before="""
                def best(rows):
                    return rows.sort()


                def f():
                    return best([2, 1])[0]
                """,
            after="""
                def best(rows):
                    rows.sort()
                    return rows


                def f():
                    return best([2, 1])[0]
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
        culprit = scene.failure.culprit
        if not scene.failure.is_none or culprit is None or scene.depth:
            return
        value, statement, file = culprit, scene.statement, scene.file
        if isinstance(culprit, ast.Name):
            found = last_assignment(scene.file, scene.function, culprit.id, culprit.lineno)
            if found is None or found[2] != "value":
                return
            statement, value = found[0], found[1]
        for other, place, call in self._changing(scene, file, statement, value):
            edit = _kept(other, place, call)
            if edit is not None:
                yield scene.draft(
                    edit,
                    title=f"`{called_name(call)}` changes in place and gives nothing back",
                    weight=1.9,
                    file=other,
                )

    @staticmethod
    def _changing(
        scene: Scene, file: SourceFile, statement: ast.stmt, value: ast.expr
    ) -> Iterator[tuple[SourceFile, ast.stmt, ast.Call]]:
        """The call whose None it is: here, or returned by the function that is called here."""
        if not isinstance(value, ast.Call):
            return
        if called_name(value) in _IN_PLACE and isinstance(value.func, ast.Attribute):
            yield file, statement, value
            return
        for other, function in definitions(scene.sources, file, value):
            for node in ast.walk(function):
                given = node.value if isinstance(node, ast.Return) else None
                if isinstance(node, ast.Return) and isinstance(given, ast.Call):
                    changes = isinstance(given.func, ast.Attribute)
                    if changes and called_name(given) in _IN_PLACE:
                        yield other, node, given


def _kept(file: SourceFile, statement: ast.stmt, call: ast.Call) -> Edit | None:
    assert isinstance(call.func, ast.Attribute)
    name, owner = called_name(call), call.func.value
    if name == "shuffle":
        if not call.args or not is_stable(call.args[0]):
            return None
        owner = call.args[0]
    text, code = file.segment(owner), file.segment(call)
    target = ""
    if isinstance(statement, ast.Assign) and statement.value is call:
        target = file.segment(statement.targets[0])
    returned = isinstance(statement, ast.Return) and statement.value is call
    if target == text:
        return replace_statements([statement], code)
    if returned and is_stable(owner):
        return replace_statements([statement], f"{code}\nreturn {text}")
    if name == "sort":
        named = "".join(f", {file.segment(k)}" for k in call.keywords)
        return replace_expression(call, f"sorted({text}{named})")
    if name == "reverse":
        return replace_expression(call, f"{text}[::-1]")
    if target:
        arguments = ", ".join(file.segment(a) for a in (*call.args, *call.keywords))
        return replace_statements([statement], f"{target} = {text}\n{target}.{name}({arguments})")
    return None
