"""What can be said of a patch without running it: syntax, names, and hands off the judge."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import PurePosixPath

from pyflakes import checker, messages

from selfheal_engine.model import Candidate, Check
from selfheal_engine.project import Project

_FATAL = (
    messages.UndefinedName,
    messages.UndefinedLocal,
    messages.UndefinedExport,
    messages.DuplicateArgument,
    messages.ReturnOutsideFunction,
)

_JUDGES = frozenset(
    {
        "conftest.py",
        "sitecustomize.py",
        "usercustomize.py",
        "pytest.ini",
        "tox.ini",
        "setup.cfg",
        "pyproject.toml",
        "noxfile.py",
    }
)
_JUDGE_FOLDERS = frozenset({"tests", "test", "testing"})

_MEDDLING = {
    "os": {
        "_exit",
        "abort",
        "kill",
        "killpg",
        "execv",
        "execve",
        "execvp",
        "fork",
        "dup2",
        "write",
    },
    "sys": {"settrace", "setprofile", "_getframe", "exit", "meta_path", "path_hooks", "modules"},
    "gc": {"get_objects", "get_referrers", "get_referents"},
    "inspect": {"stack", "currentframe", "getouterframes"},
    "signal": {"signal", "alarm", "setitimer"},
    "threading": {"settrace", "setprofile", "excepthook"},
    "builtins": {"*"},
    "ctypes": {"*"},
    "atexit": {"*"},
    "pytest": {"*"},
    "_pytest": {"*"},
    "unittest": {"*"},
    "doctest": {"*"},
    "faulthandler": {"*"},
    "multiprocessing": {"*"},
    "subprocess": {"*"},
    "pty": {"*"},
    "marshal": {"*"},
    "pickle": {"*"},
    "importlib": {"*"},
    "runpy": {"*"},
}
"""Process control, introspection of the caller and the runners themselves. A patch that newly
reaches for one of these is refused: no bug fix of ours needs it, and forging a verdict does."""

_MEDDLING_CALLS = frozenset({"exec", "eval", "compile", "__import__", "exit", "quit", "breakpoint"})
_MEDDLING_NAMES = frozenset({"__builtins__", "__loader__", "__spec__"})
_INTROSPECTION = frozenset({"__subclasses__", "__globals__", "f_back", "tb_frame", "__code__"})
_COMPARISONS = frozenset(
    {"__eq__", "__ne__", "__instancecheck__", "__subclasscheck__", "__bool__", "__class__"}
)


def parses(candidate: Candidate) -> Check:
    """Whether every Python file of the patch has a syntax tree.

    With our own interpreter's grammar; the service's compiles them again behind the wall.
    """
    files = python_files(candidate)
    for path, content in files.items():
        try:
            ast.parse(content, filename=path)
        except (SyntaxError, ValueError) as why:
            return Check("parses", "failed", f"{path} does not parse: {why}")
    return Check("parses", "passed", "every changed file parses", n=len(files))


def lint(candidate: Candidate, project: Project) -> Check:
    """New findings of pyflakes: undefined names fail, unused and shadowed ones are told."""
    fatal: list[str] = []
    minor: list[str] = []
    for path, content in python_files(candidate).items():
        before = Counter(_key(m) for m in findings(path, original(project, path)))
        for message in findings(path, content):
            key = _key(message)
            if before[key] > 0:
                before[key] -= 1
                continue
            text = f"{path}:{message.lineno}: {message.message % message.message_args}"
            (fatal if isinstance(message, _FATAL) else minor).append(text)
    if fatal:
        return Check("lint", "failed", fatal[0], n=len(fatal), details=tuple(fatal + minor))
    if minor:
        return Check("lint", "passed", f"{minor[0]}", n=len(minor), details=tuple(minor))
    return Check("lint", "passed", "no new undefined, unused or shadowed names")


def findings(path: str, content: bytes) -> list[messages.Message]:
    """pyflakes' messages for one file; none when it does not parse."""
    try:
        tree = ast.parse(content, filename=path)
    except (SyntaxError, ValueError):
        return []
    found: list[messages.Message] = checker.Checker(tree, filename=path).messages
    return sorted(found, key=lambda message: message.lineno)


def _key(message: messages.Message) -> tuple[str, str]:
    # line numbers shift with the patch, so they are no part of what a finding is
    return type(message).__name__, str(message.message_args[:1])


def untouched_judge(candidate: Candidate, project: Project) -> Check:
    """A patch may not change what judges it, nor newly reach for the means to do so."""
    for path, _ in candidate.files:
        parts = PurePosixPath(path).parts
        name = parts[-1]
        is_test = name.startswith("test_") or name.endswith("_test.py") or name in _JUDGES
        if ".." in parts or path.startswith("/"):
            return Check("judge", "failed", f"{path} lies outside the project")
        if is_test or _JUDGE_FOLDERS.intersection(parts[:-1]) or name.endswith(".pth"):
            return Check("judge", "failed", f"the patch changes {path}, which judges it")
    for path, content in python_files(candidate).items():
        news = sorted(_reaches(content) - _reaches(original(project, path)))
        if news:
            return Check("judge", "failed", f"{path} newly uses {news[0]}", details=tuple(news))
    return Check("judge", "passed", "the patch leaves its judges alone")


def _reaches(content: bytes) -> set[str]:
    """What of process control, introspection and test runners a file uses."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return set()
    names: dict[str, str] = {}
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.split(".")[0]
                names[alias.asname or top] = top
                if "*" in _MEDDLING.get(top, ()):
                    found.add(top)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            top = node.module.split(".")[0]
            wanted = _MEDDLING.get(top, set())
            found |= {f"{top}.{a.name}" for a in node.names if a.name in wanted or "*" in wanted}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            base = node.value.id if isinstance(node.value, ast.Name) else ""
            top = names.get(base, "")
            if node.attr in _MEDDLING.get(top, ()):
                found.add(f"{top}.{node.attr}")
            if node.attr in _INTROSPECTION | _COMPARISONS:
                found.add(node.attr)
        elif isinstance(node, ast.Name) and node.id in _MEDDLING_NAMES:
            found.add(node.id)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in _MEDDLING_CALLS:
                found.add(f"{node.func.id}()")
            if node.func.id in ("setattr", "delattr", "getattr"):
                found |= _meddling_text(node)
        elif isinstance(node, ast.FunctionDef) and node.name in _COMPARISONS:
            found.add(f"a new {node.name}")
        elif isinstance(node, ast.Raise):
            found |= _meddling_raise(node)
        elif isinstance(node, ast.Constant) and node.value in _COMPARISONS:
            found.add(f"{node.value} by name")
    return found


def _meddling_text(call: ast.Call) -> set[str]:
    """getattr(os, "_exit") and its like: names given as text."""
    flat = {name for names in _MEDDLING.values() for name in names}
    texts = {a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)}
    return {f"{name} by name" for name in texts & (flat | _MEDDLING_NAMES)}


def _meddling_raise(node: ast.Raise) -> set[str]:
    raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    name = raised.id if isinstance(raised, ast.Name) else ""
    return (
        {f"raise {name}"} if name in ("SystemExit", "KeyboardInterrupt", "GeneratorExit") else set()
    )


def python_files(candidate: Candidate) -> dict[str, bytes]:
    return {path: content for path, content in candidate.files if path.endswith(".py")}


def original(project: Project, path: str) -> bytes:
    """The file as it is now, empty when the patch makes it."""
    try:
        return project.read(path)
    except OSError:
        return b""
