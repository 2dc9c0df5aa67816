"""What `__main__` was: a recording made in a script names its objects after a module that is gone.

The name that the script used for its application is followed to the module that defines it.
Where the crash goes through the script itself, it is loaded without starting what it serves
(inside/scripts.py).
"""

from __future__ import annotations

import ast
from pathlib import Path

from selfheal_engine.model import Occurrence, Reproducer
from selfheal_engine.project import Project

MAIN = ("__main__", "__mp_main__")
_STARTERS = frozenset({"run", "run_simple", "serve", "serve_forever", "main", "run_app", "start"})


def application(app: str, project: Project, occurrence: Occurrence) -> str:
    """The importable "module:name" for a recorded application; as it is where it can be."""
    module, _, name = app.partition(":")
    if module not in MAIN:
        return app
    first = name.removesuffix("()").partition(".")[0]
    for script in scripts(project, occurrence):
        found = defined_in(script, first, project)
        if found:
            return f"{found}:{name}" if ":" not in found else found
    return app


def modules(reproducer: Reproducer, project: Project, occurrence: Occurrence) -> list[str]:
    """Names under which a replay imports what ran as a script, which it must not start."""
    found: dict[str, None] = {}
    for frame in (frame for one in (occurrence, *occurrence.chain) for frame in one.frames):
        relative = project.relative(frame.file)
        if frame.module in MAIN and relative is not None:
            found[dotted(relative)] = None
            if relative == reproducer.file and reproducer.module:
                found[reproducer.module] = None
    return list(found)


def dotted(relative: str) -> str:
    """The name under which the project's root imports a file."""
    return relative.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def scripts(project: Project, occurrence: Occurrence) -> list[Path]:
    """Files that may have been the main script: seen in the frames, else at the top."""
    seen = [
        Path(frame.file)
        for one in (occurrence, *occurrence.chain)
        for frame in one.frames
        if frame.module in MAIN
    ]
    top = sorted(project.root.glob("*.py"))
    return [path for path in dict.fromkeys([*seen, *top]) if path.is_file()]


def defined_in(script: Path, name: str, project: Project) -> str:
    """Where a script's global comes from: "package.module:name", its own module, or ""."""
    try:
        tree = ast.parse(script.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return f"{node.module}:{alias.name}"
    own = any(
        isinstance(target, ast.Name) and target.id == name
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
    ) or any(isinstance(n, ast.FunctionDef) and n.name == name for n in tree.body)
    relative = project.relative(str(script))
    if not own or relative is None or _starts_unguarded(tree):
        return ""
    return dotted(relative)


def _starts_unguarded(tree: ast.Module) -> bool:
    """Whether importing the script would start what it serves."""
    for node in tree.body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            function = node.value.func
            called = getattr(function, "attr", getattr(function, "id", ""))
            if called in _STARTERS:
                return True
    return False
