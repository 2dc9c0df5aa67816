"""A donor's answer in our words: its message, and where need be its status, replaced.

Everything else is kept as the project wrote it, so that clients see the shape they know.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Set
from http import HTTPStatus

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.diagnosis.source_file import SourceFile
from selfheal_engine.patch_generator.error_answers import (
    STATUS_LINE,
    STATUS_WORDS,
    Answer,
    error_word,
    status_node,
)

_ALWAYS = frozenset({"self", "cls", "request", "req", "environ", "start_response", "writer"})
"""Parameters by which a handler answers: a donor's use of them says nothing of its own case."""
_FILE_NAME = re.compile(r"[\w/.-]+\.\w{2,5}")
_NO_SUCH = re.compile(r"((?:no such|unknown|no) )(\w+)|(\w+)( (?:was )?not found)")


def reworded(
    answer: Answer,
    message: str | None,
    known: Set[str],
    bound: Set[str],
    status: int | None = None,
) -> str | None:
    """The donor's statements with our message and status; None where they cannot be told here.

    Without a message, or a status, the donor's own is kept. The statements may use the names that
    are `known` to the module, and where they carry no message those `bound` in the function.
    """
    statements = [answer.statement, *answer.after]
    messages = [(one, said) for one in statements for said in _messages(answer.file, one)]
    spoken = next((m for m in messages if _has_space(m[1])), messages[0] if messages else None)
    allowed = set(known) | (bound if spoken is None else bound & _ALWAYS)
    strings = {id(inner) for _, said in messages for inner in ast.walk(said)}
    changed: dict[ast.AST, str] = {}
    if message is None:
        strings.clear()
    elif spoken is not None:
        changed[spoken[1]] = _quoted(answer.file, spoken[1], message)
    if status is not None and status != answer.status:
        other = _other_status(answer, status)
        if not other:
            return None
        changed |= other
    parts: list[str] = []
    for one in statements:
        # what the donor raises from is its own affair
        raised = one.exc if isinstance(one, ast.Raise) else None
        said = raised or one
        for node in ast.walk(said):
            foreign = isinstance(node, ast.Name) and node.id not in allowed
            if foreign and id(node) not in strings:
                return None
        parts.append(
            ("raise " if raised is not None else "") + _written(answer.file, said, changed)
        )
    if isinstance(statements[-1], ast.Expr) and not _leaves(statements[-1]):
        parts.append("return")
    return "\n".join(parts)


def in_its_words(said: str, message: str, word: str) -> str:
    """`no such user` for a donor that says `no such account`; else the plain message."""
    found = _NO_SUCH.fullmatch(said)
    if found is None or not word or message != f"{word} not found":
        return message
    return f"{found[1]}{word}" if found[1] else f"{word}{found[4]}"


def message_of(answer: Answer) -> str:
    """The message that a donor carries, where it is a plain text; else ""."""
    for one in (answer.statement, *answer.after):
        for said in _messages(answer.file, one):
            if isinstance(said, ast.Constant) and isinstance(said.value, str):
                return said.value
    return ""


def _leaves(statement: ast.Expr) -> bool:
    return isinstance(statement.value, ast.Call) and called_name(statement.value) == "abort"


def _messages(file: SourceFile, statement: ast.stmt) -> list[ast.Constant | ast.JoinedStr]:
    """The texts of a statement that a person reads: no keys, headers, status lines, templates."""
    return [
        node
        for node in ast.walk(statement)
        if isinstance(node, ast.Constant | ast.JoinedStr)
        and (isinstance(node, ast.JoinedStr) or _is_prose(node.value))
        and not _is_key(node, file)
        and not isinstance(file.parent(node), ast.JoinedStr | ast.FormattedValue)
        and not _is_header(node, file)
    ]


def _is_prose(value: object) -> bool:
    if isinstance(value, bytes):
        return bool(value)
    if not isinstance(value, str) or STATUS_LINE.match(value):
        return False
    return _FILE_NAME.fullmatch(value) is None


def _has_space(node: ast.Constant | ast.JoinedStr) -> bool:
    return isinstance(node, ast.JoinedStr) or " " in str(node.value)


def _is_key(node: ast.AST, file: SourceFile) -> bool:
    parent = file.parent(node)
    if isinstance(parent, ast.Dict):
        return any(key is node for key in parent.keys)
    if isinstance(parent, ast.Subscript):
        return True
    if isinstance(parent, ast.keyword):
        return parent.arg in ("media_type", "content_type", "mimetype", "code")
    return False


def _is_header(node: ast.AST, file: SourceFile) -> bool:
    parent = file.parent(node)
    if isinstance(parent, ast.Call) and called_name(parent) in ("send_header", "encode"):
        return True
    return isinstance(parent, ast.Tuple) and isinstance(file.parent(parent), ast.List)


def _quoted(file: SourceFile, node: ast.Constant | ast.JoinedStr, message: str) -> str:
    """The message as this literal writes it: with its quotes, its protocol's word and line end."""
    text = file.segment(node)
    prefix = text[: len(text) - len(text.lstrip("fFrRbBuU"))]
    letter = "b" if "b" in prefix.lower() else ""
    quote = text[len(prefix) :][:1] or '"'
    inside = text[len(prefix) :].strip(quote)
    end = re.search(r"(?:\\r)?(?:\\n)?$", inside)
    return f"{letter}{quote}{error_word(inside)}{message}{end[0] if end else ''}{quote}"


def _other_status(answer: Answer, status: int) -> dict[ast.AST, str]:
    """How the donor's statement would say another status; {} where that cannot be told."""
    said = status_node(answer.statement)
    if said is None:
        return {}
    words = next((word for word, number in STATUS_WORDS.items() if number == status), "")
    if isinstance(said, ast.Attribute):
        owner = answer.file.segment(said.value)
        number = f"HTTP_{status}_{words}" if "HTTP_" in said.attr else words
        return {said: f"{owner}.{number}"} if words else {}
    if not isinstance(said, ast.Constant):
        return {}
    if isinstance(said.value, str):
        quote = answer.file.segment(said)[:1]
        return {said: f"{quote}{status} {HTTPStatus(status).phrase}{quote}"}
    return {
        node: str(status)
        for node in ast.walk(answer.statement)
        if isinstance(node, ast.Constant) and node.value == said.value
    }


def _written(file: SourceFile, said: ast.stmt | ast.expr, changed: dict[ast.AST, str]) -> str:
    """The text with the changed parts; written anew where a part is not on the first line."""
    inside = [node for node in ast.walk(said) if node in changed]
    text = file.segment(said)
    if any(node.lineno != said.lineno or node.end_lineno != node.lineno for node in inside):  # type: ignore[attr-defined]
        return ast.unparse(_replaced(said, changed))
    for node in sorted(inside, key=lambda n: -getattr(n, "col_offset", 0)):
        start = getattr(node, "col_offset", 0) - said.col_offset
        end = getattr(node, "end_col_offset", 0) - said.col_offset
        text = f"{text[:start]}{changed[node]}{text[end:]}"
    return text


def _replaced(said: ast.AST, changed: dict[ast.AST, str]) -> ast.AST:
    """A copy with the changed parts in place."""
    places = {
        (getattr(node, "lineno", 0), getattr(node, "col_offset", 0)): code
        for node, code in changed.items()
    }

    class Replace(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            at = (getattr(node, "lineno", -1), getattr(node, "col_offset", -1))
            if at in places and isinstance(node, ast.Constant | ast.JoinedStr | ast.Attribute):
                return ast.parse(places[at], mode="eval").body
            return self.generic_visit(node)

    new: ast.AST = Replace().visit(copy.deepcopy(said))
    return new
