"""Which statements of a project answer with an error, and which functions answer requests.

Frameworks and hand-written servers say it in few forms: `return {...}, 404`, `abort(404)`, a
helper that is given the status (`return self.reply(404, {...})`, `api_error(404, "...")`), a
status line (`start_response("404 Not Found", ...)`), a raised exception that carries it. A line
protocol has no status but a word: `return "ERR no such key"`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from selfheal_engine.diagnosis.origin import called_name, parameters
from selfheal_engine.diagnosis.source_file import Function, SourceFile

_ROUTE_NAMES = frozenset(
    {"route", "get", "post", "put", "patch", "delete", "websocket", "api_view"}
)
_REGISTERS = re.compile(r"^(add_url_rule|add_(api_)?route|add_(get|post|put|patch|delete)|Route)$")
_VIEW_METHODS = frozenset({"get", "post", "put", "patch", "delete", "head", "options"})
_VIEW_BASE = re.compile(r"(View|Resource|RequestHandler|Endpoint|ViewSet|Controller)$")
_HTTP_METHOD = re.compile(r"^do_[A-Z]+$")
STATUS_LINE = re.compile(r"^([1-5]\d\d) [A-Z]")
_ANSWERS = re.compile(
    r"abort|answer|bad|deny|error|fail|finish|halt|json|problem|refuse|reject|repl(y|ies)"
    r"|respon|send|status",
    re.IGNORECASE,
)
"""In the name of a function that is given a status and answers with it."""
_STATUS_KEYWORDS = ("status_code", "status", "code")
MOST_AFTER = 4
"""Statements that complete an answer which was begun: headers, the text, `return`."""


@dataclass(frozen=True)
class Answer:
    """How a handler answers an error: the statement's text with its message as a placeholder."""

    status: int
    statement: ast.stmt
    file: SourceFile
    raises: bool
    after: tuple[ast.stmt, ...] = ()
    """What completes the statement: the rest of its block, up to `return`."""

    @property
    def text(self) -> str:
        return self.file.segment(self.statement)


def answers_in(file: SourceFile, function: Function) -> Iterator[Answer]:
    """The function's error answers (status >= 400)."""
    for node in ast.walk(function):
        if not isinstance(node, ast.Return | ast.Raise | ast.Expr):
            continue
        if file.function_of(node) is not function:
            continue
        said = status_node(node)
        status = _number_of(said) if said is not None else _status_by_name(node)
        if status is None or not 400 <= status < 600:
            continue
        after = _completing(file, function, node)
        if after is not None:
            yield Answer(status, node, file, isinstance(node, ast.Raise), after)


def _completing(
    file: SourceFile, function: Function, node: ast.stmt
) -> tuple[ast.stmt, ...] | None:
    """The statements behind a plain call that is no end in itself; None where it cannot stand
    alone."""
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
        return ()
    if called_name(node.value) == "abort":
        return ()
    block = file.block_of(node)
    if block is function.body:
        return None  # the function is the answer: it says no to everyone
    after = tuple(block[block.index(node) + 1 :])
    plain = all(isinstance(one, ast.Expr) for one in after[:-1])
    if len(after) > MOST_AFTER or not plain:
        return None
    if after and not isinstance(after[-1], ast.Expr | ast.Return):
        return None
    return after


def status_node(statement: ast.stmt) -> ast.expr | None:
    """The expression that says the status: `404`, `HTTPStatus.NOT_FOUND`, `"404 Not Found"`."""
    value = statement.exc if isinstance(statement, ast.Raise) else getattr(statement, "value", None)
    if isinstance(statement, ast.Return) and isinstance(value, ast.Tuple) and len(value.elts) >= 2:
        return value.elts[1]
    if not isinstance(value, ast.Call):
        return None
    if called_name(value) == "abort" and value.args:
        return value.args[0]
    for keyword in value.keywords:
        if keyword.arg in _STATUS_KEYWORDS:
            return keyword.value
    if isinstance(statement, ast.Raise):
        for argument in value.args[:2]:
            if isinstance(argument, ast.Constant) and type(argument.value) is int:
                return argument
        broad = called_name(value) in ("HTTPException", "HTTPError") and value.args
        return value.args[0] if broad else None
    line = [a for a in value.args if _is_status_line(a)]
    if line:
        return line[0]
    if _ANSWERS.search(called_name(value)):
        for argument in value.args:
            if _is_status(argument):
                return argument
    return None


def _is_status(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return type(node.value) is int and 400 <= node.value < 600
    return isinstance(node, ast.Attribute) and _number_of(node) is not None


def _is_status_line(node: ast.expr) -> bool:
    text = node.value if isinstance(node, ast.Constant) else None
    return isinstance(text, str) and STATUS_LINE.match(text) is not None


_BY_NAME = {
    "Http404": 404,
    "HttpResponseBadRequest": 400,
    "HTTPBadRequest": 400,
    "BadRequest": 400,
    "HttpResponseNotFound": 404,
    "HTTPNotFound": 404,
    "NotFound": 404,
}


def _status_by_name(statement: ast.stmt) -> int | None:
    value = statement.exc if isinstance(statement, ast.Raise) else getattr(statement, "value", None)
    return _BY_NAME.get(called_name(value)) if isinstance(value, ast.Call) else None


STATUS_WORDS = {
    "BAD_REQUEST": 400,
    "UNAUTHORIZED": 401,
    "FORBIDDEN": 403,
    "NOT_FOUND": 404,
    "CONFLICT": 409,
    "UNPROCESSABLE_ENTITY": 422,
    "BAD_GATEWAY": 502,
    "SERVICE_UNAVAILABLE": 503,
    "GATEWAY_TIMEOUT": 504,
}


def _number_of(node: ast.expr) -> int | None:
    if isinstance(node, ast.Constant):
        if isinstance(node.value, int):
            return node.value
        line = STATUS_LINE.match(node.value) if isinstance(node.value, str) else None
        return int(line[1]) if line else None
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    found = re.search(r"(\d{3})", name)
    return int(found[1]) if found else STATUS_WORDS.get(name)


def is_handler(file: SourceFile, function: Function | None) -> bool:
    """Whether a function answers HTTP requests."""
    if function is None:
        return False
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and called_name(decorator) in _ROUTE_NAMES:
            return True
    names = parameters(function)
    if names[:1] == ["request"] or names[:2] == ["self", "request"] or "start_response" in names:
        return True
    owner = file.class_of(function)
    if owner is not None:
        if _HTTP_METHOD.match(function.name):
            return True
        bases = [
            base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
            for base in owner.bases
        ]
        if function.name in _VIEW_METHODS and any(map(_VIEW_BASE.search, bases)):
            return True
    elif _is_registered(file, function.name):
        return True
    # what answers some with an error may answer others so
    return any(not answer.raises for answer in answers_in(file, function))


def _is_registered(file: SourceFile, name: str) -> bool:
    """Whether the file hands the function to its router."""
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Call) and _REGISTERS.match(called_name(node)):
            given = [*node.args, *(k.value for k in node.keywords)]
            if any(isinstance(one, ast.Name) and one.id == name for one in given):
                return True
    return False


# ---------------------------------------------------------------- without a status
_SAYS_WHY = frozenset({"error", "errors", "reason", "detail", "problem"})
_ERROR_WORD = re.compile(r"^-?ERR(OR)?\b[:\s]*|^error:?\s+", re.IGNORECASE)
_MAKES_ERROR = re.compile(
    r"^_*([a-z]+_)?(err|error|fail|failed|failure|refuse|refused|reject|rejected|problem"
    r"|not_found|bad_request|denied)(_response|_reply|_answer|_result)?$"
)


def error_word(text: str) -> str:
    """The word by which a line protocol's reply begins when it is a no; "" where it is none."""
    found = _ERROR_WORD.match(text)
    return found[0] if found else ""


def says_no(statement: ast.Return) -> bool:
    """`return {"error": ...}`, `return None, "..."`, `return "ERR ..."`, `return error("...")`."""
    value = statement.value
    if isinstance(value, ast.Dict):
        keys = {k.value for k in value.keys if isinstance(k, ast.Constant)}
        return bool(keys & _SAYS_WHY)
    if isinstance(value, ast.Tuple) and len(value.elts) == 2:
        first, second = value.elts
        no = isinstance(first, ast.Constant) and first.value in (None, False)
        text = isinstance(second, ast.JoinedStr | ast.Constant)
        return no and text and not (isinstance(second, ast.Constant) and not second.value)
    if isinstance(value, ast.Call):
        says = bool(value.args) and isinstance(value.args[0], ast.JoinedStr | ast.Constant)
        return says and _MAKES_ERROR.match(called_name(value)) is not None
    return value is not None and bool(error_word(_begins(value)))


def _begins(node: ast.expr) -> str:
    """The text that a written string starts with."""
    if isinstance(node, ast.JoinedStr):
        node = node.values[0] if node.values else node
    text = node.value if isinstance(node, ast.Constant) else ""
    if isinstance(text, bytes):
        return text.decode("latin-1")
    return text if isinstance(text, str) else ""
