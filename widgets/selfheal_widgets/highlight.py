"""Python source as lines of (start, end, role) spans, by Pygments. Slow: call it in a worker."""

from __future__ import annotations

Syntax = list[list[tuple[int, int, str]]]

MOST_CHARACTERS = 2_000_000


def lex(text: str, file: str = "x.py") -> Syntax:
    """Spans of each line of `text`; empty when the file is too large or of no known language."""
    from pygments.lexers import get_lexer_for_filename
    from pygments.lexers.python import PythonLexer
    from pygments.util import ClassNotFound

    if len(text) > MOST_CHARACTERS:
        return []
    try:
        lexer = PythonLexer() if file.endswith(".py") else get_lexer_for_filename(file)
    except ClassNotFound:
        return []
    out: Syntax = [[]]
    column = 0
    for kind, value in lexer.get_tokens(text):
        role = _role(kind)
        for number, piece in enumerate(value.split("\n")):
            if number:
                out.append([])
                column = 0
            if piece and role:
                out[-1].append((column, column + len(piece), role))
            column += len(piece)
    return out


_ROLES: dict[object, str] = {}


def _role(kind: object) -> str:
    role = _ROLES.get(kind)
    if role is None:
        role = _ROLES[kind] = _classify(kind)
    return role


def _classify(kind: object) -> str:
    from pygments.token import Comment, Keyword, Literal, Name, Number, Operator, String

    def of(parent: object) -> bool:
        return kind in parent  # type: ignore[operator]

    if of(Keyword) or of(Operator.Word):
        return "syntax-keyword"
    if of(Comment):
        return "syntax-comment"
    if of(String):
        return "syntax-string"
    if of(Number) or of(Literal):
        return "syntax-number"
    if of(Name.Function) or of(Name.Class) or of(Name.Decorator):
        return "syntax-name"
    if of(Name.Builtin) or of(Name.Exception):
        return "syntax-builtin"
    return ""
