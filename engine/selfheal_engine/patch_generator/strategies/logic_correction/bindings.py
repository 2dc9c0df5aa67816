"""SQL statements that get another number of values than they have places for."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import parameters
from selfheal_engine.patch_generator.edits import EXPR, Edit, add_argument, replace_expression
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY

_COUNTED = re.compile(r"statement uses (\d+), and there (?:is|are) (\d+) supplied")
_PLACE = re.compile(r"\b(\w+)\s*(?:=|<>|!=|>=|<=|<|>|\blike\b|\bis\b)\s*\(?\?", re.IGNORECASE)
_INSERT = re.compile(r"insert\s+(?:or\s+\w+\s+)?into\s+\w+\s*\(([^)]*)\)", re.IGNORECASE)


class BindValues(Rule):
    """Gives an SQL statement one value for each of its places."""

    name = "bind_values"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                import sqlite3

                db = sqlite3.connect(':memory:')
                db.execute('create table t (name text)')


                def f(name='ann'):
                    return db.execute('select * from t where name = ?', (name)).fetchall()
                """,
            after="""
                import sqlite3

                db = sqlite3.connect(':memory:')
                db.execute('create table t (name text)')


                def f(name='ann'):
                    return db.execute('select * from t where name = ?', (name,)).fetchall()
                """,
        ),
        Example(
            before="""
                import sqlite3

                db = sqlite3.connect(':memory:')
                db.execute('create table t (name text, age integer)')


                def f(name='ann', age=3):
                    sql = 'select * from t where name = ? and age > ?'
                    return db.execute(sql, (name,)).fetchall()
                """,
            after="""
                import sqlite3

                db = sqlite3.connect(':memory:')
                db.execute('create table t (name text, age integer)')


                def f(name='ann', age=3):
                    sql = 'select * from t where name = ? and age > ?'
                    return db.execute(sql, (name, age)).fetchall()
                """,
        ),
        Example(
            before="""
                import sqlite3

                db = sqlite3.connect(':memory:')


                def f(name='ann'):
                    return db.execute('select * from t where name = ?', (name,)).fetchall()
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node, counted = scene.node, _COUNTED.search(scene.message)
        wrong_kind = "parameters are of unsupported type" in scene.message
        if not isinstance(node, ast.Call) or not (counted or wrong_kind):
            return
        values = node.args[1] if len(node.args) > 1 else None
        if isinstance(values, ast.Name | ast.Attribute | ast.Subscript | ast.Constant | ast.Call):
            known = scene.value(values)
            single = known is None or known.type_name not in ("list", "tuple", "dict")
            if single and (counted is None or counted[1] == "1"):
                yield scene.draft(
                    _alone(scene, values),
                    title="one value in a tuple: parentheses alone make none",
                    weight=1.9,
                )
            return
        if counted is None:
            return
        places, given = int(counted[1]), int(counted[2])
        elements = list(values.elts) if isinstance(values, ast.Tuple | ast.List) else []
        if (values is not None and len(elements) != given) or places <= given:
            return
        yield from _completed(scene, node, values, elements, places)


def _alone(scene: Scene, values: ast.expr) -> Edit:
    """`(name)` gets the comma that makes it a tuple; bare `name` gets both."""
    line = scene.file.lines[(values.end_lineno or values.lineno) - 1]
    in_parentheses = scene.file.lines[values.lineno - 1][: values.col_offset].rstrip().endswith(
        "("
    ) and line[values.end_col_offset or 0 :].lstrip().startswith(")")
    return replace_expression(values, f"{EXPR}," if in_parentheses else f"({EXPR},)")


def _completed(
    scene: Scene,
    node: ast.Call,
    values: ast.expr | None,
    elements: list[ast.expr],
    places: int,
) -> Iterator[Draft]:
    """The missing values are variables that are called as the columns are."""
    names = {name for name, _ in scene.frame.locals}
    if scene.function is not None:
        names |= set(parameters(scene.function))
    texts = [scene.text(e) for e in elements]
    wanted: list[str] = []
    columns = _columns(scene, node)
    if len(columns) == places:
        for column in columns:
            same = [t for t in texts if t.rpartition(".")[2] == column]
            wanted.append(same[0] if same else column if column in names else "")
    used = {n.id for n in ast.walk(scene.function or ast.Pass()) if isinstance(n, ast.Name)}
    unused = [
        n
        for n in (parameters(scene.function) if scene.function is not None else [])
        if n not in used and n not in ("self", "cls")
    ]
    if "" in wanted or len(wanted) != places or not all(t in wanted for t in texts):
        wanted = [*texts, *unused[: places - len(texts)]]
    if len(wanted) != places:
        return
    code = f"({', '.join(wanted)}{',' if places == 1 else ''})"
    edit = replace_expression(values, code) if values is not None else add_argument(node, code)
    yield scene.draft(edit, title=f"bind {code}, a value for each place", weight=1.9)


def _columns(scene: Scene, node: ast.Call) -> list[str]:
    """Names of the columns that the places are compared with or written to, in order."""
    sql = node.args[0] if node.args else None
    value = scene.value(sql) if sql is not None else None
    if value is None:
        return []
    inserted = _INSERT.search(value.text)
    if inserted:
        return [name.strip() for name in inserted[1].split(",")]
    return _PLACE.findall(value.text)
