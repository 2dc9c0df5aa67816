"""How this project does things: its errors, answers, loggers, locks, constants.

Repair takes donors from here before it invents: the answer a sibling handler gives, the error
class that exists, the logger under the name that the file uses.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.diagnosis.source_file import Function, SourceFile, Sources
from selfheal_engine.patch_generator.contracts import promised
from selfheal_engine.patch_generator.error_answers import Answer, answers_in, is_handler

_WEB = re.compile(r"\baiohttp\.web\b|from aiohttp import [^\n]*\bweb\b")
"""aiohttp is a client library too; what answers requests is its `web`."""
_MAKES_LOGGER = ("getLogger", "get_logger", "get_task_logger")
LOG_METHODS = ("debug", "info", "warning", "error", "exception", "critical")


@dataclass(frozen=True)
class ErrorClass:
    """An exception class of the project."""

    name: str
    file: SourceFile
    node: ast.ClassDef
    status: int | None
    """HTTP status, where the class or its handler says one."""
    bases: tuple[str, ...]

    @property
    def required(self) -> int:
        """How many arguments its constructor demands."""
        for item in self.node.body:
            if isinstance(item, Function) and item.name == "__init__":
                a = item.args
                return max(0, len(a.posonlyargs) + len(a.args) - 1 - len(a.defaults))
        return 0


class Conventions:
    """Looked up lazily; one for each project and incident."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources

    # ------------------------------------------------------------ errors
    @cached_property
    def error_classes(self) -> list[ErrorClass]:
        """The project's exception classes, those of tests left out."""
        found: dict[str, ErrorClass] = {}
        known = {
            "Exception",
            "ValueError",
            "KeyError",
            "LookupError",
            "RuntimeError",
            "TypeError",
            "HTTPException",
            "APIException",
            "OSError",
            "BaseException",
        }
        pending = [
            (file, node)
            for file in self.sources.all()
            if not is_test(file.path)
            for node in file.classes.values()
        ]
        for _ in range(4):  # classes may derive from classes found later
            for file, node in pending:
                bases = tuple(_last_name(base) for base in node.bases)
                if node.name not in found and any(
                    b in known or b in found or b.endswith(("Error", "Exception")) for b in bases
                ):
                    status = _class_status(node) or self._handler_status.get(node.name)
                    inherited = next((found[b].status for b in bases if b in found), None)
                    found[node.name] = ErrorClass(node.name, file, node, status or inherited, bases)
        return list(found.values())

    @cached_property
    def _handler_status(self) -> dict[str, int]:
        """Exception class -> status that an error handler answers for it."""
        found: dict[str, int] = {}
        for file in self.sources.all():
            for function in file.functions.values():
                for decorator in function.decorator_list:
                    if isinstance(decorator, ast.Call) and called_name(decorator) in (
                        "errorhandler",
                        "exception_handler",
                        "app_errorhandler",
                    ):
                        statuses = [a.status for a in answers_in(file, function)]
                        for argument in decorator.args:
                            if statuses:
                                found[_last_name(argument)] = statuses[0]
        return found

    def error_for(self, status: int, *words: str) -> ErrorClass | None:
        """The project's own error for a status, the one whose name shares most with `words`."""
        fitting = [e for e in self.error_classes if e.status == status and e.required <= 1]
        return max(fitting, key=lambda e: _likeness(e.name, words), default=None)

    def raised_in(self, file: SourceFile) -> list[Answer]:
        """`raise OwnError(...)` statements of a file, for their way of saying it."""
        known = {e.name: e for e in self.error_classes}
        return [
            Answer(known[called_name(node.exc)].status or 0, node, file, True)
            for node in ast.walk(file.tree)
            if isinstance(node, ast.Raise)
            and isinstance(node.exc, ast.Call)
            and called_name(node.exc) in known
        ]

    # ------------------------------------------------------------ answers
    def is_handler(self, file: SourceFile, function: Function | None) -> bool:
        """Whether a function answers HTTP requests."""
        return is_handler(file, function)

    def framework(self, file: SourceFile) -> str:
        """The web framework that a file imports: flask, django, fastapi, ...; "" without one."""
        for node in file.tree.body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for name in names:
                root = name.split(".")[0]
                if root == "aiohttp" and not _WEB.search(file.text):
                    continue  # a client
                if root in (
                    "flask",
                    "django",
                    "fastapi",
                    "starlette",
                    "aiohttp",
                    "quart",
                    "bottle",
                    "falcon",
                ):
                    return root
        return ""

    def answers(self, file: SourceFile) -> list[Answer]:
        """The error answers of a file's handlers, then of its siblings in the project."""
        found = list(self._file_answers(file))
        for other in self.sources.all():
            if other is not file and not is_test(other.path):
                found += self._file_answers(other)
        return found

    def _file_answers(self, file: SourceFile) -> Iterator[Answer]:
        for function in file.functions.values():
            yield from answers_in(file, function)

    # ------------------------------------------------------------ small habits
    def logger(self, file: SourceFile) -> str:
        """The expression by which a file logs: `logger`, `log`, `app.logger`; "" if it does not."""
        for node in file.tree.body:
            made = node.value if isinstance(node, ast.Assign) else None
            if (
                isinstance(node, ast.Assign)
                and isinstance(made, ast.Call)
                and called_name(made) in _MAKES_LOGGER
                and isinstance(node.targets[0], ast.Name)
            ):
                return node.targets[0].id
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    if alias.name in ("logger", "log") or alias.asname in ("logger", "log"):
                        return alias.asname or alias.name
        uses = Counter(
            file.segment(node.func.value)
            for node in ast.walk(file.tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("warning", "error", "exception", "info", "debug")
            and re.search(r"log", file.segment(node.func.value), re.IGNORECASE)
        )
        return uses.most_common(1)[0][0] if uses else ""

    def log_style(self, file: SourceFile) -> str:
        """`%` for lazy arguments, `f` for f-strings: what the file's own calls do."""
        for node in ast.walk(file.tree):
            logs = isinstance(node, ast.Call) and called_name(node) in LOG_METHODS
            if logs and isinstance(node, ast.Call) and node.args:
                if isinstance(node.args[0], ast.JoinedStr):
                    return "f"
                break
        return "%"

    def locks(self, file: SourceFile) -> dict[str, list[str]]:
        """{"" or class name: [expressions of its locks]} of a file."""
        found: dict[str, list[str]] = {}
        for node in ast.walk(file.tree):
            if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
                continue
            if called_name(node.value) not in ("Lock", "RLock", "Condition", "Semaphore"):
                continue
            target = node.targets[0]
            if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
                owner = file.class_of(node)
                if owner is not None:
                    found.setdefault(owner.name, []).append(file.segment(target))
            elif isinstance(target, ast.Name) and file.parent(node) is file.tree:
                found.setdefault("", []).append(target.id)
        return found

    def constants(self, file: SourceFile) -> dict[str, ast.expr]:
        """UPPER_CASE names of a file with their values."""
        return {
            target.id: node.value
            for node in file.tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name) and target.id.isupper()
        }

    def timeouts(self) -> Counter[str]:
        """Source texts of the timeouts that the project's calls use."""
        return Counter(
            file.segment(keyword.value)
            for file in self.sources.all()
            if not is_test(file.path)
            for node in ast.walk(file.tree)
            if isinstance(node, ast.Call)
            for keyword in node.keywords
            if keyword.arg == "timeout" and isinstance(keyword.value, ast.Constant | ast.Name)
        )

    # ------------------------------------------------------------ contracts
    def nothing_value(self, file: SourceFile, function: Function) -> list[str]:
        """What the function returns for "nothing", likeliest first, as source text."""
        found: list[str] = []
        returns = [
            n
            for n in ast.walk(function)
            if isinstance(n, ast.Return) and file.function_of(n) is function
        ]
        plain = [r for r in returns if r.value is None]
        found += [file.segment(r.value) for r in returns if r.value and is_nothing(r.value)]
        if plain or not returns:
            found.append("")
        annotated = _annotated_nothing(function)
        if annotated is not None:
            found.insert(0, annotated) if not found else found.append(annotated)
        found += [guess for guess in map(_empty_of, (r.value for r in returns)) if guess]
        found += [guess for r in returns if (guess := _built_up(function, r))]
        if any(isinstance(r.value, ast.Dict) and r.value.keys for r in returns):
            # callers count on its keys: an empty one only moves the failure to them
            found = [value for value in found if value != "{}" or self._returns_empty(returns)]
        given = [a.arg for a in (*function.args.args, *function.args.kwonlyargs)]
        found = [*(n for n in given if n in ("default", "fallback")), *found]
        if returns and all(_is_answer(r.value) for r in returns):
            found.append("False")  # it answers a question
        guess = next((v for v in (*found, *map(_made_of, returns)) if v not in ("", "None")), "")
        return list(dict.fromkeys([*promised(function, guess), *found]))

    def given_by_siblings(self, file: SourceFile, function: Function) -> list[str]:
        """What functions of the file with the same parameters give for nothing, as source text."""
        wanted = ast.unparse(function.args)
        found: list[str] = []
        for other in file.functions.values():
            if other is function or not wanted or ast.unparse(other.args) != wanted:
                continue
            for node in ast.walk(other):
                if not isinstance(node, ast.Return) or node.value is None:
                    continue
                choice = node.value
                parts = [choice.body, choice.orelse] if isinstance(choice, ast.IfExp) else [choice]
                asked = isinstance(choice, ast.IfExp) or isinstance(file.parent(node), ast.If)
                found += [file.segment(part) for part in parts if asked and is_nothing(part)]
        return list(dict.fromkeys(found))

    def read_as(self, file: SourceFile, function: Function) -> list[str]:
        """The empty value of what the function reads and returns: of JSON a mapping, of text ""."""
        returns = [n for n in ast.walk(function) if isinstance(n, ast.Return)]
        own = [r for r in returns if file.function_of(r) is function]
        return [value for value in dict.fromkeys(map(_made_of, own)) if value]

    @staticmethod
    def _returns_empty(returns: list[ast.Return]) -> bool:
        return any(isinstance(r.value, ast.Dict) and not r.value.keys for r in returns)


def is_test(path: str) -> bool:
    name = path.rpartition("/")[2]
    return (
        name.startswith("test")
        or name.endswith("_test.py")
        or name == "conftest.py"
        or "tests/" in path
    )


def _last_name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _class_status(node: ast.ClassDef) -> int | None:
    for item in ast.walk(node):
        if isinstance(item, ast.Assign | ast.AnnAssign):
            targets = item.targets if isinstance(item, ast.Assign) else [item.target]
            names = {_last_name(t) for t in targets}
            if names & {"status", "status_code", "code", "http_status"}:
                value = item.value
                if isinstance(value, ast.Constant) and isinstance(value.value, int):
                    return value.value
    return None


def is_nothing(node: ast.expr) -> bool:
    """An empty or negative value, as functions return it for "there is none"."""
    if isinstance(node, ast.Constant):
        return not node.value
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return not node.elts
    if isinstance(node, ast.Dict):
        return not node.keys
    if isinstance(node, ast.Call) and not node.args and not node.keywords:
        return called_name(node) in ("list", "dict", "set", "tuple", "Decimal")
    return False


def _is_answer(node: ast.expr | None) -> bool:
    """Yes or no, by the form of the expression."""
    if isinstance(node, ast.BoolOp):
        return all(_is_answer(value) for value in node.values)
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.Not)
    if isinstance(node, ast.Call):
        return called_name(node) in ("all", "any", "isinstance", "startswith", "endswith", "bool")
    if isinstance(node, ast.Constant):
        return isinstance(node.value, bool)
    return isinstance(node, ast.Compare)


def _built_up(function: Function, returned: ast.Return) -> str:
    """The empty value of a returned variable that begins as a display of one kind."""
    name = returned.value.id if isinstance(returned.value, ast.Name) else ""
    for node in ast.walk(function) if name else ():
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            value = node.value
            if isinstance(value, ast.List | ast.ListComp):
                return "[]"
            if isinstance(value, ast.Set | ast.SetComp):
                return "set()"
            if isinstance(value, ast.DictComp) or (isinstance(value, ast.Dict) and not value.keys):
                return "{}"
    return ""


def _empty_of(node: ast.expr | None) -> str:
    """The empty value of the same type as a returned expression, where it can be told."""
    if isinstance(node, ast.List | ast.ListComp):
        return "[]"
    if isinstance(node, ast.DictComp) or (isinstance(node, ast.Dict) and not node.keys):
        return "{}"
    if isinstance(node, ast.Dict) and all(key is None for key in node.keys):
        # `{**DEFAULTS, **stored}`: what is left when nothing was stored
        base = node.values[0]
        return f"dict({base.id})" if isinstance(base, ast.Name) and base.id.isupper() else ""
    if isinstance(node, ast.Set | ast.SetComp):
        return "set()"
    if isinstance(node, ast.JoinedStr):
        return '""'
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return '""'
    if isinstance(node, ast.Compare):
        return "False"
    if isinstance(node, ast.Call):
        empties = {
            "len": "0",
            "sum": "0",
            "int": "0",
            "float": "0.0",
            "str": '""',
            "list": "[]",
            "dict": "{}",
            "set": "set()",
            "sorted": "[]",
            "join": '""',
            "strip": '""',
            "lower": '""',
            "upper": '""',
            "title": '""',
            "replace": '""',
            "format": '""',
        }
        return empties.get(called_name(node), "")
    return ""


def _made_of(returned: ast.Return) -> str:
    """The empty value by what a returned expression calls: a loader of JSON gives a mapping."""
    name = called_name(returned.value) if isinstance(returned.value, ast.Call) else ""
    return {"load": "{}", "loads": "{}", "safe_load": "{}", "json": "{}", "readlines": "[]"}.get(
        name, '""' if name in ("read", "read_text", "decode") else ""
    )


def _annotated_nothing(function: Function) -> str | None:
    """What the return annotation allows for nothing: None for Optional, else the empty value."""
    if function.returns is None:
        return None
    text = ast.unparse(function.returns).strip("'\"")
    if text == "None":
        return ""
    if "None" in text or "Optional" in text:
        return "None"
    root = re.split(r"[\[ ]", text)[0].rpartition(".")[2].lower()
    return {
        "list": "[]",
        "dict": "{}",
        "set": "set()",
        "str": '""',
        "tuple": "()",
        "int": "0",
        "float": "0.0",
        "bool": "False",
    }.get(root)


def _likeness(name: str, words: tuple[str, ...]) -> int:
    text = name.lower()
    return sum(bool(w) and w.lower() in text for w in words)
