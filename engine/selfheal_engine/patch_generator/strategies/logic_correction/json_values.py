"""Values that JSON does not know, written in a form that it does."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.patch_generator.edits import (
    EXPR,
    add_argument,
    add_import,
    replace_expression,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY


class JsonValue(Rule):
    """Writes what JSON does not know as the project does elsewhere, else in its plain form."""

    name = "json_value"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                import json
                from datetime import date


                def plain(value):
                    return value.isoformat()


                def show(row):
                    return json.dumps(row, default=plain)


                def f(row={'day': date(2024, 1, 2)}):
                    return json.dumps(row)
                """,
            after="""
                import json
                from datetime import date


                def plain(value):
                    return value.isoformat()


                def show(row):
                    return json.dumps(row, default=plain)


                def f(row={'day': date(2024, 1, 2)}):
                    return json.dumps(row, default=plain)
                """,
        ),
        Example(
            before="""
                import json


                def f(tags={'a'}):
                    return json.dumps({'tags': tags})
                """,
            after="""
                import json


                def f(tags={'a'}):
                    return json.dumps({'tags': sorted(tags)})
                """,
        ),
        Example(
            before="""
                import json


                def f(text='{'):
                    return json.loads(text)
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if "not JSON serializable" in scene.message and isinstance(node, ast.Call):
            yield from _for_json(scene, node)


_TO_JSON = {
    "set": ("sorted({})", "list"),
    "frozenset": ("sorted({})", "list"),
    "dict_keys": ("list({})", "list"),
    "dict_values": ("list({})", "list"),
    "generator": ("list({})", "list"),
    "map": ("list({})", "list"),
    "deque": ("list({})", "list"),
    "datetime": ("{}.isoformat()", "str"),
    "date": ("{}.isoformat()", "str"),
    "bytes": ("{}.decode()", "str"),
    "Decimal": ("str({})", "str"),
    "ndarray": ("{}.tolist()", "list"),
}
"""How a value of a type is written in JSON: (form, function for `default=`)."""


_DUMPS = ("dumps", "dump")


def _for_json(scene: Scene, node: ast.Call) -> Iterator[Draft]:
    if called_name(node) not in _DUMPS or any(k.arg == "default" for k in node.keywords):
        return
    found = re.search(r"Object of type (\w+) is", scene.message)
    kind = found[1] if found is not None else ""
    for donor in _other_dumps(scene, node):
        written = f"{donor.arg}={ast.unparse(donor.value)}"
        yield scene.draft(
            add_argument(node, written),
            title=f"`{written}`, as elsewhere in this file",
            weight=1.7,
        )
    form, default = _TO_JSON.get(kind) or _of_project(scene, kind) or ("", "str")
    imports = [add_import("from dataclasses import asdict")] if default == "asdict" else []
    for part in ast.walk(node.args[0]) if node.args and form else ():
        value = scene.value(part)
        if value is not None and value.type_name.rpartition(".")[2] == kind:
            yield scene.draft(
                replace_expression(part, form.format(EXPR)),
                *imports,
                title=f"`{form.format(scene.text(part))}`, which JSON knows",
                weight=1.1,
            )
            break
    yield scene.draft(
        add_argument(node, f"default={default}"),
        *imports,
        title=f"write what JSON does not know with {default}",
        weight=0.9 if default == "str" else 1.2 if default == "asdict" else 1.0,
    )


def _other_dumps(scene: Scene, call: ast.Call) -> list[ast.keyword]:
    """How another call of the file writes what JSON does not know."""
    found: dict[str, ast.keyword] = {}
    for node in ast.walk(scene.file.tree):
        if isinstance(node, ast.Call) and node is not call and called_name(node) in _DUMPS:
            for keyword in node.keywords:
                if keyword.arg in ("default", "cls") and isinstance(keyword.value, ast.Name):
                    found.setdefault(ast.unparse(keyword.value), keyword)
    return [keyword for name, keyword in found.items() if name != "str"]


def _of_project(scene: Scene, kind: str) -> tuple[str, str] | None:
    """How a class of the project is written in JSON: by its own method, as data, by its value."""
    for _, owner in scene.sources.classes_named(kind):
        methods = [n.name for n in owner.body if isinstance(n, ast.FunctionDef)]
        for name in ("to_dict", "as_dict", "to_json", "serialize"):
            if name in methods:
                return f"{{}}.{name}()", f"lambda value: value.{name}()"
        if any("dataclass" in ast.unparse(d) for d in owner.decorator_list):
            return "asdict({})", "asdict"
        if any("Enum" in ast.unparse(base) for base in owner.bases):
            return "{}.value", "lambda value: value.value"
        return None
    return None
