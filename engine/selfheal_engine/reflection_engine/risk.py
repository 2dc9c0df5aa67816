"""How much harm a patch could do if it were wrong: what it touches, not how sure we are of it.

A template's own risk is where it starts; what the changed lines are about can only raise it. A
patch that does no more than refuse reckons nothing and grants nothing, so that money and access
in the lines around it do not count.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from selfheal_engine.model import Candidate
from selfheal_engine.model.vocabulary import Risk
from selfheal_engine.project import Project
from selfheal_engine.reflection_engine.change import Change, called_name, named_functions
from selfheal_engine.reflection_engine.rules.contracts import ChangedSignature
from selfheal_engine.reflection_engine.rules.defaults import MONEY, SECURITY, LooseSecurity

_LEVELS: tuple[Risk, ...] = ("low", "medium", "high")
MANY_CALLERS = 6
"""From so many places on, a function is everybody's."""
BUSY, BUSY_CALLERS = 0.5, 3
"""Share of all requests, and places that call, at which a busy function is everybody's too."""
_WRITES = frozenset(
    {"execute", "executemany", "commit", "rollback", "unlink", "remove", "rename", "replace_file",
     "rmtree", "truncate", "send_mail", "sendmail", "publish", "delete_many", "update_many",
     "insert_one", "bulk_create", "charge", "refund", "transfer"}
)  # fmt: skip
_CONCURRENCY = frozenset(
    {"Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "Event", "Thread", "acquire",
     "release", "create_task", "gather", "run_in_executor", "submit"}
)  # fmt: skip


def risk_of(candidate: Candidate, project: Project, traffic_share: float = 0.0) -> Risk:
    """The template's risk, raised by what the patch touches.

    `traffic_share` (0-1) is the share of all requests that go through the failing route.
    """
    level = _LEVELS.index(candidate.risk)
    for path, content in candidate.files:
        if not path.endswith(".py"):
            level = max(level, 1)  # settings, templates and data reach further than we can read
            continue
        try:
            change = Change.of(project.read(path), content)
        except (OSError, SyntaxError, ValueError):
            continue  # a new file, or one that did not parse before: there is nothing to compare
        level = max(level, _touched(change))
    callers = max((_callers(project.root, n) for n in _short(candidate.functions)), default=0)
    if callers >= MANY_CALLERS or (callers >= BUSY_CALLERS and traffic_share >= BUSY):
        level = max(level, 1)
    return _LEVELS[level]


def _touched(change: Change) -> int:
    """0 to 2, from the lines that one file's change adds."""
    if any(ChangedSignature().findings(change)) or any(LooseSecurity().findings(change)):
        return 2
    nodes = list(change.new_nodes())
    calls = {called_name(node) for node in nodes if isinstance(node, ast.Call)}
    if calls & (_WRITES | _CONCURRENCY) or any(map(_holds_a_lock, nodes)):
        return 1
    if _only_refuses(change):
        return 0
    words = {text for node in nodes for text in _words(node)}
    words |= {name.rpartition(".")[2] for name, _, old in change.changed_functions() if old}
    return 1 if any(MONEY.search(word) or SECURITY.search(word) for word in words) else 0


def _only_refuses(change: Change) -> bool:
    """Whether everything that is added is a condition and the refusal that follows from it."""
    guards = [node for node in change.new_nodes() if isinstance(node, ast.If)]
    inside = {id(part) for guard in guards for part in ast.walk(guard) if change.is_new(part)}
    refused = [
        isinstance(guard.body[-1], ast.Raise)
        or (
            isinstance(guard.body[-1], ast.Return)
            and any(
                isinstance(part, ast.Constant) and part.value in range(400, 500)
                for part in ast.walk(guard.body[-1])
            )
        )
        for guard in guards
    ]
    # the import of what is raised belongs to it
    other = [n for n in change.new_nodes() if isinstance(n, ast.stmt) and id(n) not in inside]
    other = [n for n in other if not isinstance(n, ast.Import | ast.ImportFrom)]
    return bool(guards) and all(refused) and not other


def _holds_a_lock(node: ast.AST) -> bool:
    if not isinstance(node, ast.With | ast.AsyncWith):
        return False
    return any(
        "lock" in word.lower() for item in node.items for word in _all_words(item.context_expr)
    )


def _words(node: ast.AST) -> Iterator[str]:
    """The name that a node brings, or the key that it asks for."""
    text = getattr(node, "attr", getattr(node, "id", getattr(node, "value", "")))
    if isinstance(text, str) and text.isidentifier():
        yield text


def _all_words(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        yield from _words(part)


def _short(functions: Iterable[str]) -> list[str]:
    return [name.rpartition(".")[2] for name in functions if name and not name.endswith(">")]


@lru_cache(maxsize=256)
def _callers(root: Path, name: str) -> int:
    """How many functions of the project call one of that name."""
    project, count = Project(root, ""), 0
    for path in project.python_files():
        try:
            content = project.read(path)
            if name.encode() not in content:
                continue
            tree = ast.parse(content)
        except (OSError, SyntaxError, ValueError):
            continue
        for _, function in named_functions(tree):
            calls = (n for n in ast.walk(function) if isinstance(n, ast.Call))
            count += any(called_name(call) == name for call in calls)
    return count
