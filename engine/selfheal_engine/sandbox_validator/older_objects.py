"""Patches of `__init__`, which recorded objects cannot show: they were made before the patch.

A replay hands the method the object as it was recorded, without running its class's `__init__`
again. Where an attribute is missing and the patch sets it there, the replay must fail as before
and says nothing about the patch.
"""

from __future__ import annotations

import ast
import re

from selfheal_engine.model import Candidate
from selfheal_engine.project import Project
from selfheal_engine.sandbox_validator.static_checks import original, python_files

_MISSING = re.compile(r"AttributeError: '(?:[\w]+\.)*(\w+)' object has no attribute '(\w+)'")


def sets_at_birth(candidate: Candidate, project: Project, fault: str) -> str:
    """The attribute that the fault misses and the patch sets in `__init__`; "" for any other."""
    found = _MISSING.match(fault)
    if found is None:
        return ""
    kind, name = found[1], found[2]
    for path, content in python_files(candidate).items():
        before, after = _births(original(project, path)), _births(content)
        for owner, (start, bases) in after.items():
            if owner != kind or before.get(owner, ("", []))[0] == start:
                continue
            setting = re.compile(rf"\bself\.{name}\b\s*(?::[^=]+)?=")
            old = before.get(owner, ("", []))[0]
            sets = len(setting.findall(start)) > len(setting.findall(old))
            begins = "super().__init__(" in start and bool(bases)
            if sets or (begins and "super().__init__(" not in old):
                return name
    return ""


def _births(content: bytes) -> dict[str, tuple[str, list[str]]]:
    """Class -> (its `__init__` as text, its bases)."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return {}
    return {
        node.name: (
            "".join(
                ast.unparse(part)
                for part in node.body
                if isinstance(part, ast.FunctionDef) and part.name == "__init__"
            ),
            [ast.unparse(base) for base in node.bases],
        )
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
