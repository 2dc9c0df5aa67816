"""Defaults that a file names itself: `DEFAULT_RETRIES`, `DEFAULTS["retries"]`."""

from __future__ import annotations

import ast
import re

from selfheal_engine.diagnosis.origin import default_of, parameters
from selfheal_engine.diagnosis.source_file import Function
from selfheal_engine.patch_generator.neutral_values import by_custom
from selfheal_engine.patch_generator.rules import Scene


def default_named(scene: Scene, *names: str) -> str:
    """The expression of the file's own default for one of the names; "" where it has none."""
    constants = scene.conventions.constants(scene.file)
    for name in names:
        word = re.sub(r"\W+", "_", name).strip("_").upper()
        if not word:
            continue
        for form in (f"DEFAULT_{word}", f"{word}_DEFAULT"):
            if form in constants:
                return form
        for table in ("DEFAULTS", "DEFAULT_CONFIG", "DEFAULT_SETTINGS", "DEFAULT_OPTIONS"):
            display = constants.get(table)
            for key in display.keys if isinstance(display, ast.Dict) else ():
                if isinstance(key, ast.Constant) and str(key.value).upper() == word:
                    return f"{table}[{scene.text(key)}]"
    return ""


def default_for(scene: Scene, name: str) -> str:
    """The default for what the project calls so: a constant, a look-up's, or a parameter's own."""
    found = default_named(scene, name) or by_custom(scene.sources, name)
    return found or _of_parameters(scene, name)


def _of_parameters(scene: Scene, name: str) -> str:
    """What functions and dataclasses of the file take where nobody gives `name`."""
    found: set[str] = set()
    for node in ast.walk(scene.file.tree):
        default: ast.expr | None = None
        if isinstance(node, Function) and name in parameters(node):
            default = default_of(node, name)
        elif isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == name:
            inside = isinstance(scene.file.parent(node), ast.ClassDef)
            default = node.value if inside else None
        if isinstance(default, ast.Constant) and default.value not in (None, True, False):
            found.add(scene.text(default))
    return found.pop() if len(found) == 1 else ""
