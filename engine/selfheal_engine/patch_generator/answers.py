"""How to say no: the project's own error answer or exception, else its framework's idiom.

A donor is the error answer of the same function, file or project; its message is replaced and
everything else kept, so that clients see the shape they know.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from selfheal_engine.diagnosis.origin import parameters
from selfheal_engine.diagnosis.source_file import Function, SourceFile
from selfheal_engine.patch_generator.conventions import Conventions, ErrorClass, is_test
from selfheal_engine.patch_generator.donors import in_its_words, message_of, reworded
from selfheal_engine.patch_generator.edits import Edit, add_import
from selfheal_engine.patch_generator.error_answers import Answer, says_no

_REASONS = {
    400: "bad request",
    401: "unauthorized",
    403: "forbidden",
    404: "not found",
    409: "conflict",
    422: "unprocessable",
    500: "error",
    502: "upstream failed",
    503: "unavailable",
    504: "upstream timed out",
}


@dataclass(frozen=True)
class Refusal:
    """Statements that refuse the request, with the imports they need."""

    code: str
    imports: tuple[Edit, ...]
    status: int
    title: str
    weight: float


def refusals(
    conventions: Conventions,
    file: SourceFile,
    function: Function | None,
    statuses: Sequence[int],
    message: str,
    about: Sequence[str] = (),
) -> Iterator[Refusal]:
    """Ways to refuse with one of the statuses (best first), best way first.

    `message` is a short text for the client; `about` are words that help to choose among the
    project's error classes.
    """
    handler = conventions.is_handler(file, function)
    found = [
        *_donated(conventions, file, function, statuses, message, about, handler),
        *_raised(conventions, file, function, message, about, statuses[0] // 100),
        *_own_errors(conventions, file, statuses, message, about),
        *_said_inside(file, function, message),
    ]
    if handler:
        found += _idioms(conventions, file, statuses, message)
    seen: set[str] = set()
    for rank, refusal in enumerate(sorted(found, key=lambda r: -r.weight)):
        if refusal.code not in seen:
            seen.add(refusal.code)
            # one way to say no is enough; the next ones only if it does not hold
            yield replace(refusal, weight=refusal.weight * (1.0, 0.7, 0.5)[min(rank, 2)])
        if len(seen) == 3:
            return


def _raised(
    conventions: Conventions,
    file: SourceFile,
    function: Function | None,
    message: str,
    about: Sequence[str],
    family: int,
) -> Iterator[Refusal]:
    """The project's error as this function, or this file, raises it elsewhere.

    `family` is 4 where the client is at fault and 5 where the server or its upstream is: the
    one must not be told as the other.
    """
    known = [a for a in conventions.raised_in(file) if _family(a) == family]
    inside = [a for a in known if file.function_of(a.statement) is function]
    if not known:
        yield from _raised_elsewhere(conventions, file, function, message, family)
    for rank, answer in enumerate([*inside, *(a for a in known if a not in inside)][:2]):
        said = in_its_words(message_of(answer), message, about[0] if about else "")
        code = _with_message(answer, said, function)
        if code is None:
            continue
        name = code.removeprefix("raise ").partition("(")[0]
        weight = (1.55 if answer in inside else 1.15) - 0.1 * rank
        yield Refusal(code, (), answer.status, f"raise {name}", weight)


def _said_inside(file: SourceFile, function: Function | None, message: str) -> Iterator[Refusal]:
    """As the function, or one like it, says no without a status: `return {"error": ...}`."""
    if function is None:
        return
    alike = [other for other in file.functions.values() if _is_alike(file, function, other)]
    for other in (function, *alike):
        for node in ast.walk(other):
            if not isinstance(node, ast.Return) or file.function_of(node) is not other:
                continue
            if not says_no(node):
                continue
            code = _with_message(Answer(0, node, file, False), message, function)
            if code is not None and message in code:
                weight = 1.5 if other is function else 1.3
                yield Refusal(code, (), 0, f"{code.replace('return', 'answer', 1)}", weight)
                return


def _is_alike(file: SourceFile, one: Function, other: Function) -> bool:
    """Whether somebody calls the two for the same purpose: one name's form, one signature."""
    if one is other or file.class_of(one) is not file.class_of(other):
        return False
    if ast.unparse(one.args) != ast.unparse(other.args):
        return False
    begins = one.name.strip("_").partition("_")
    same_form = bool(begins[1]) and other.name.strip("_").startswith(f"{begins[0]}_")
    return same_form or any(
        isinstance(node, ast.Dict | ast.List | ast.Tuple)
        and {one.name, other.name} <= _names_of(node)
        for node in ast.walk(file.tree)
    )


def _names_of(display: ast.Dict | ast.List | ast.Tuple) -> set[str]:
    items = display.values if isinstance(display, ast.Dict) else display.elts
    return {item.id if isinstance(item, ast.Name) else getattr(item, "attr", "") for item in items}


def _with_message(
    answer: Answer, message: str, function: Function | None, status: int | None = None
) -> str | None:
    """The donor's text with our message; None where it needs names that are not bound here."""
    known = {n.id for n in ast.walk(answer.file.tree) if isinstance(n, ast.Name)}
    return reworded(answer, message, known & module_names(answer.file), _bound_in(function), status)


def _raised_elsewhere(
    conventions: Conventions,
    file: SourceFile,
    function: Function | None,
    message: str,
    family: int,
) -> Iterator[Refusal]:
    """As another file of the project says it, where this one says nothing."""
    for other in conventions.sources.all():
        if other is file or is_test(other.path):
            continue
        for answer in conventions.raised_in(other):
            code = _with_message(answer, message, function)
            if _family(answer) != family or code is None:
                continue
            name = code.removeprefix("raise ").partition("(")[0]
            owner = next((e.file for e in conventions.error_classes if e.name == name), None)
            if owner is None or not _are_near(file, other, owner):
                continue
            edit = import_own(file, owner, name, conventions)
            imports = (edit,) if edit is not None else ()
            yield Refusal(code, imports, answer.status, f"raise {name}", 0.6)
            return


def _are_near(file: SourceFile, *others: SourceFile) -> bool:
    """Whether one of the others is of the same folder: a stranger's error means something else."""
    folder = file.path.rpartition("/")[0]
    return any(other.path.rpartition("/")[0] == folder for other in others)


_SERVER_WORDS = ("upstream", "unavailable", "gateway", "backend", "timeout", "busy", "overload")


def _family(answer: Answer) -> int:
    """4 or 5: by the answer's status, else by what its error's name says."""
    if answer.status:
        return answer.status // 100
    name = answer.text.partition("(")[0].lower()
    return 5 if any(word in name for word in _SERVER_WORDS) else 4


def _donated(
    conventions: Conventions,
    file: SourceFile,
    function: Function | None,
    statuses: Sequence[int],
    message: str,
    about: Sequence[str],
    handler: bool,
) -> Iterator[Refusal]:
    answers = [a for a in conventions.answers(file) if handler or a.raises]
    available = {id(a.statement): a for a in answers}.values()

    def nearness(answer: Answer) -> tuple[bool, bool]:
        inside = answer.file is file and file.function_of(answer.statement) is function
        return inside, answer.file is file

    for rank, status in enumerate(statuses):
        same = [a for a in available if a.status == status]
        # the shape that clients know comes before the framework's own, with another number too
        family = [a for a in available if a.status // 100 == status // 100]
        like = [a for a in family if a not in same and not rank]
        ordered = [(a, 1.4) for a in sorted(same, key=nearness, reverse=True)]
        ordered += [(a, 1.15) for a in sorted(like, key=nearness, reverse=True) if not a.raises]
        for answer, base in ordered:
            if not can_be_said(answer, file, function):
                continue
            said = in_its_words(message_of(answer), message, about[0] if about else "")
            code = _with_message(answer, said, function, status)
            if code is None:
                continue
            imports = _imports_for(answer, file)
            if imports is None:
                continue
            weight = base - 0.15 * rank + 0.15 * sum(nearness(answer))
            yield Refusal(code, imports, status, f"answer {status}", weight)
            break


def can_be_said(answer: Answer, file: SourceFile, function: Function | None) -> bool:
    """Whether a donor that answers through `self` finds the same methods here."""
    if not any(isinstance(n, ast.Name) and n.id == "self" for n in ast.walk(answer.statement)):
        return True
    here = file.class_of(function) if function is not None else None
    there = answer.file.class_of(answer.statement)
    if here is None or there is None:
        return False
    bases = {ast.unparse(base) for base in there.bases}
    return here is there or any(ast.unparse(b) in bases | {there.name} for b in here.bases)


def _bound_in(function: Function | None) -> set[str]:
    """Names that a donor may use here too: the function's parameters and its loops' items."""
    if function is None:
        return set()
    items = [n.target for n in ast.walk(function) if isinstance(n, ast.For | ast.AsyncFor)]
    return {*parameters(function), *(t.id for t in items if isinstance(t, ast.Name))}


def module_names(file: SourceFile) -> set[str]:
    """What the module binds at its top, and the built-in names."""
    names = set(dir(builtins))
    for node in file.tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(a.asname or a.name).split(".")[0] for a in node.names}
        elif isinstance(node, Function | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {t.id for t in node.targets if isinstance(t, ast.Name)}
    return names


def _imports_for(answer: Answer, file: SourceFile) -> tuple[Edit, ...] | None:
    """Imports that a donor of another file needs here; None where a name cannot be imported."""
    if answer.file is file:
        return ()
    here = module_names(file)
    edits: list[Edit] = []
    for name in {n.id for n in ast.walk(answer.statement) if isinstance(n, ast.Name)} - here:
        code = import_of(answer.file, name)
        if not code:
            return None
        edits.append(add_import(code))
    return tuple(edits)


def import_of(file: SourceFile, name: str) -> str:
    """How `file` imports a name, as a statement for another file; "" where it does not."""
    for node in file.tree.body:
        if isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    suffix = f" as {alias.asname}" if alias.asname else ""
                    return f"from {node.module} import {alias.name}{suffix}"
        if isinstance(node, ast.Import):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    suffix = f" as {alias.asname}" if alias.asname else ""
                    return f"import {alias.name}{suffix}"
    return ""


def import_own(
    file: SourceFile, origin: SourceFile, name: str, conventions: Conventions
) -> Edit | None:
    """The import of a project's name into `file`, in the form its neighbours use."""
    if origin is file or name in module_names(file):
        return None
    for other in conventions.sources.all():
        for node in other.tree.body:
            if isinstance(node, ast.ImportFrom) and any(a.name == name for a in node.names):
                same_folder = other.path.rpartition("/")[0] == file.path.rpartition("/")[0]
                if not node.level or same_folder:
                    dots = "." * node.level
                    return add_import(f"from {dots}{node.module or ''} import {name}")
    folder = file.path.rpartition("/")[0]
    stem = origin.path.removesuffix(".py").removesuffix("/__init__")
    uses_dots = any(isinstance(n, ast.ImportFrom) and n.level for n in file.tree.body)
    if uses_dots and stem.rpartition("/")[0] == folder:
        return add_import(f"from .{stem.rpartition('/')[2]} import {name}")
    return add_import(f"from {stem.replace('/', '.')} import {name}")


def _own_errors(
    conventions: Conventions,
    file: SourceFile,
    statuses: Sequence[int],
    message: str,
    about: Sequence[str],
) -> Iterator[Refusal]:
    for rank, status in enumerate(statuses):
        error = conventions.error_for(status, *about, *_REASONS.get(status, "").split())
        if error is None:
            continue
        edit = import_own(file, error.file, error.name, conventions)
        imports = (edit,) if edit is not None else ()
        weight = 1.4 - 0.15 * rank
        code = f"raise {error.name}({_arguments(error, message)})"
        yield Refusal(code, imports, status, f"raise {error.name}", weight)


def _arguments(error: ErrorClass, message: str) -> str:
    takes = error.required or not any(
        isinstance(item, Function) and item.name == "__init__" for item in error.node.body
    )
    return f'"{message}"' if takes else ""


_AIOHTTP = {
    400: "HTTPBadRequest",
    403: "HTTPForbidden",
    404: "HTTPNotFound",
    409: "HTTPConflict",
    422: "HTTPUnprocessableEntity",
    502: "HTTPBadGateway",
    503: "HTTPServiceUnavailable",
    504: "HTTPGatewayTimeout",
}
"""aiohttp has a class for each status (https://docs.aiohttp.org/en/stable/web_exceptions.html)."""


def _idioms(
    conventions: Conventions, file: SourceFile, statuses: Sequence[int], message: str
) -> Iterator[Refusal]:
    framework = conventions.framework(file)
    for rank, status in enumerate(statuses[:2]):
        weight = 1.0 - 0.15 * rank
        if framework in ("flask", "quart"):
            code, need = f'abort({status}, "{message}")', f"from {framework} import abort"
        elif framework == "fastapi":
            code = f'raise HTTPException(status_code={status}, detail="{message}")'
            need = "from fastapi import HTTPException"
        elif framework == "starlette":
            code = f'raise HTTPException({status}, "{message}")'
            need = "from starlette.exceptions import HTTPException"
        elif framework == "django" and status == 404:
            code, need = f'raise Http404("{message}")', "from django.http import Http404"
        elif framework == "django":
            code = f'return JsonResponse({{"error": "{message}"}}, status={status})'
            need = "from django.http import JsonResponse"
        elif framework == "aiohttp" and status in _AIOHTTP:
            kind, need = _AIOHTTP[status], "from aiohttp import web"
            code = f'raise web.{kind}(text="{message}")'
        else:
            return
        yield Refusal(code, (add_import(need),), status, f"answer {status}", weight)
