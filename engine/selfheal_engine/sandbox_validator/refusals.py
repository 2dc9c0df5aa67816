"""An exception of the project's own that the project catches by name is an answer, not a bug.

A call replayed below the handler that would catch it raises what the handler turns into a
refusal. Handlers are `except` clauses and the frameworks' registrations of error handlers.
"""

from __future__ import annotations

import ast

from selfheal_engine.model import Reproducer
from selfheal_engine.project import Project
from selfheal_engine.sandbox_validator.jobs import Outcome

_REGISTRATIONS = frozenset(
    {"errorhandler", "app_errorhandler", "register_error_handler", "exception_handler",
     "add_exception_handler", "error_handler"}
)  # fmt: skip
_TOO_WIDE = frozenset({"Exception", "BaseException"})
FILES_AT_MOST = 600


def caught_names(project: Project) -> frozenset[str]:
    """Last names of the exception classes that the project's code catches by name."""
    found: set[str] = set()
    for relative in project.python_files()[:FILES_AT_MOST]:
        try:
            tree = ast.parse(project.read(relative))
        except (OSError, SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and node.type is not None:
                kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
                found |= {_last(kind) for kind in kinds}
            elif isinstance(node, ast.Call) and _last(node.func) in _REGISTRATIONS:
                found |= {_last(argument) for argument in node.args}
    return frozenset(found - _TOO_WIDE - {""})


def is_refusal(
    reproducer: Reproducer, outcome: Outcome, caught: frozenset[str], project: Project
) -> bool:
    """Whether a call ended by an exception that the project means to raise and to catch."""
    if reproducer.kind not in ("call", "statement", "stall") or outcome.get("ended") != "raised":
        return False
    if outcome.get("exception") == reproducer.exception:
        return False
    return any(
        name.rpartition(".")[2] in caught and _is_own(name, project)
        for name in outcome.get("families", ())
    )


def _is_own(name: str, project: Project) -> bool:
    """Whether a qualified class name belongs to a module of the project."""
    top = name.partition(".")[0]
    folders = [project.root, *map(project.root.joinpath, project.import_paths)]
    return "." in name and any(
        (folder / f"{top}.py").is_file() or (folder / top).is_dir() for folder in folders
    )


def _last(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
