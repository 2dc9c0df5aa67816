"""Of which type an expression is: by its captured value, else by how it is written."""

from __future__ import annotations

import ast
import re

from selfheal_engine.diagnosis.origin import called_name, definitions, last_assignment
from selfheal_engine.diagnosis.source_file import Function, SourceFile
from selfheal_engine.patch_generator.neutral_values import DISPLAYS
from selfheal_engine.patch_generator.rules import Scene

_GIVES = {
    "encode": "bytes",
    "tobytes": "bytes",
    "to_bytes": "bytes",
    "digest": "bytes",
    "b64encode": "bytes",
    "urlsafe_b64encode": "bytes",
    "recv": "bytes",
    "hexdigest": "str",
    "decode": "str",
    "dumps": "str",
    "isoformat": "str",
    "join": "str",
    "strip": "str",
    "lower": "str",
    "upper": "str",
    "format": "str",
    "read_text": "str",
    "getenv": "str",
    "read_bytes": "bytes",
    "str": "str",
    "repr": "str",
    "input": "str",
    "bytes": "bytes",
    "int": "int",
    "len": "int",
    "float": "float",
    "Decimal": "Decimal",
    "list": "list",
    "sorted": "list",
    "split": "list",
    "splitlines": "list",
    "dict": "dict",
    "set": "set",
    "tuple": "tuple",
}
"""What functions and methods of these names give."""
_DISPLAYS = {**DISPLAYS, ast.GeneratorExp: "generator"}


def kind_of(scene: Scene, node: ast.AST) -> str:
    """The type's name; "" where neither values nor the text tell it."""
    value = scene.value(node)
    if value is not None:
        return value.type_name.rpartition(".")[2]
    if isinstance(node, ast.Call):
        return _GIVES.get(called_name(node), "") or _returned(scene, node)
    written = written_under(scene, node)
    if isinstance(written, ast.Constant):
        return type(written.value).__name__
    return _DISPLAYS.get(type(node), "")


_MOMENTS = ("date", "datetime", "time")


def as_text_of(scene: Scene, kind: str) -> str:
    """How a value of the type is written as text, where `str` alone says something else."""
    if kind in _MOMENTS:
        return "{}.isoformat()"
    if kind in ("bytes", "bytearray"):
        return "{}.decode()"
    for _, owner in scene.sources.classes_named(kind):
        if any("Enum" in ast.unparse(base) for base in owner.bases):
            return "{}.value"
    return ""


def number_of_text(scene: Scene, node: ast.AST, wants: str) -> str:
    """How a text is read as the number that is wanted; "" where it is none of a number."""
    value, written = scene.value(node), written_under(scene, node)
    text = value.text if value is not None else ""
    if isinstance(written, ast.Constant) and isinstance(written.value, str):
        text = written.value
    if re.fullmatch(r"\s*[-+]?\d+\s*", text):
        return "int({})" if wants == "float" else f"{wants}({{}})"
    if re.fullmatch(r"\s*[-+]?\d*\.\d+\s*", text):
        return "int(float({}))" if wants == "int" else f"{wants}({{}})"
    return "" if text else f"{wants}({{}})"


def _returned(scene: Scene, call: ast.Call) -> str:
    """What all returns of the project's function that is called give."""
    kinds = set()
    for file, function in definitions(scene.sources, scene.file, call):
        for node in ast.walk(function):
            if isinstance(node, ast.Return) and file.function_of(node) is function:
                kinds.add(_kind_there(file, function, node.value))
    return kinds.pop() if len(kinds) == 1 else ""


def _kind_there(file: SourceFile, function: Function, node: ast.expr | None) -> str:
    """By the text alone: in another function nothing was captured."""
    if isinstance(node, ast.Name):
        found = last_assignment(file, function, node.id, node.lineno)
        node = found[1] if found is not None and found[2] == "value" else node
    if isinstance(node, ast.Constant):
        return type(node.value).__name__
    if isinstance(node, ast.Call):
        return _GIVES.get(called_name(node), "")
    return _DISPLAYS.get(type(node), "") if node is not None else ""


def written_under(scene: Scene, node: ast.AST) -> ast.expr | None:
    """What the module writes for a constant, or in a mapping of its own under the captured key."""
    constants = scene.conventions.constants(scene.file)
    if isinstance(node, ast.Name):
        return constants.get(node.id)
    if not isinstance(node, ast.Subscript) or not isinstance(node.value, ast.Name):
        return None
    display, key = constants.get(node.value.id), scene.value(node.slice)
    if not isinstance(display, ast.Dict) or key is None:
        return None
    for name, value in zip(display.keys, display.values, strict=True):
        if isinstance(name, ast.Constant) and str(name.value) == key.text:
            return value
    return None


def written_beside(scene: Scene, node: ast.AST) -> list[ast.expr]:
    """The further values of the module's mapping that `node` looks into."""
    written = written_under(scene, node)
    display = scene.file.parent(written) if written is not None else None
    values = display.values if isinstance(display, ast.Dict) else []
    return [value for value in values if value is not written and isinstance(value, ast.expr)]
