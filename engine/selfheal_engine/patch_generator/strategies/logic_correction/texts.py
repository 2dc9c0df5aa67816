"""Text and bytes: the other of the two, another encoding, a pattern that was meant as text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name, last_assignment, parameters
from selfheal_engine.diagnosis.source_file import Span
from selfheal_engine.patch_generator.edits import (
    EXPR,
    Edit,
    add_argument,
    insert_before,
    replace_expression,
    splice_text,
)
from selfheal_engine.patch_generator.rules import Draft, Example, Rule, Scene
from selfheal_engine.patch_generator.sites import anchor_of
from selfheal_engine.patch_generator.strategies.logic_correction.guards import STRATEGY

_NARROW = re.compile(
    r"^(ascii|us-ascii|latin[-_ ]?1|iso-?8859-?\d+|cp\d+|windows-?\d+|charmap|ansi_x3\S*)$",
    re.IGNORECASE,
)
"""Encodings that hold a part of the letters only."""


class WiderEncoding(Rule):
    """Writes and reads text as UTF-8 where the encoding that is named does not hold it."""

    name = "wider_encoding"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(name='\u017eofie'):
                    return name.encode('ascii')
                """,
            after="""
                def f(name='\u017eofie'):
                    return name.encode("utf-8")
                """,
        ),
        Example(
            before="""
                def f(path='/dev/null', line='\u017eofie'):
                    with open(path, 'w', encoding='latin-1') as out:
                        out.write(line)
                """,
            after="""
                def f(path='/dev/null', line='\u017eofie'):
                    with open(path, 'w', encoding="utf-8") as out:
                        out.write(line)
                """,
        ),
        Example(
            before="""
                def f(data=b'\\xff'):
                    return data.decode('utf-8')
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        if scene.exception not in ("UnicodeEncodeError", "UnicodeDecodeError"):
            return
        codec = re.match(r"'([\w-]+)' codec", scene.message)
        if codec is None or not _NARROW.match(codec[1]):
            return
        for edit in _named_encodings(scene):
            yield scene.draft(edit, title="use UTF-8, which holds every letter", weight=1.8)


def _named_encodings(scene: Scene) -> Iterator[Edit]:
    """Where the failing call, or the opening of the file that it writes to, says its encoding."""
    node = scene.node
    if not isinstance(node, ast.Call):
        return
    if called_name(node) in ("encode", "decode", "bytes", "str"):
        for argument in _encodings(node):
            yield replace_expression(argument, '"utf-8"')
        return
    opening: ast.expr | None = node
    if isinstance(node.func, ast.Attribute) and called_name(node) not in ("open", "fdopen"):
        owner = node.func.value
        if isinstance(owner, ast.Name):
            found = last_assignment(scene.file, scene.function, owner.id, node.lineno)
            opening = found[1] if found is not None else node
    if not isinstance(opening, ast.Call) or called_name(opening) not in _OPENS:
        # it writes through something else: the file is opened in the same function
        root = scene.function if scene.function is not None else scene.file.tree
        opened = [n for n in ast.walk(root) if isinstance(n, ast.Call) and _is_opening(n)]
        opening = opened[0] if len(opened) == 1 else None
    if not isinstance(opening, ast.Call):
        return
    said = [k.value for k in opening.keywords if k.arg == "encoding"]
    for argument in said:
        yield replace_expression(argument, '"utf-8"')
    if not said:
        yield add_argument(opening, 'encoding="utf-8"')


_OPENS = frozenset({"open", "fdopen", "read_text", "write_text", "TextIOWrapper"})


def _is_opening(call: ast.Call) -> bool:
    modes = [*call.args[1:2], *(k.value for k in call.keywords if k.arg == "mode")]
    binary = any(isinstance(m, ast.Constant) and "b" in str(m.value) for m in modes)
    return called_name(call) in _OPENS and not binary


def _encodings(call: ast.Call) -> list[ast.expr]:
    named = [k.value for k in call.keywords if k.arg == "encoding"]
    at = 1 if called_name(call) in ("bytes", "str") else 0
    return named or call.args[at : at + 1]


class EitherText(Rule):
    """Takes text as well as bytes: what comes as the other one is converted first."""

    name = "either_text"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                def f(raw=b'a/b'):
                    return raw.split('/')
                """,
            after="""
                def f(raw=b'a/b'):
                    if isinstance(raw, bytes):
                        raw = raw.decode()
                    return raw.split('/')
                """,
        ),
        Example(
            before="""
                def f(payload='{}'):
                    return payload.decode('utf-8')
                """,
            after="""
                def f(payload='{}'):
                    return payload.decode('utf-8') if isinstance(payload, bytes) else payload
                """,
        ),
        Example(
            before="""
                import hashlib


                def f(content='abc'):
                    return hashlib.sha1(content).hexdigest()
                """,
            after="""
                import hashlib


                def f(content='abc'):
                    if isinstance(content, str):
                        content = content.encode()
                    return hashlib.sha1(content).hexdigest()
                """,
        ),
        Example(
            before="""
                def f(raw=3):
                    return raw.split('/')
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        wrong = re.match(r"'(str|bytes)' object has no attribute '(decode|encode)'", scene.message)
        call = scene.file.parent(node)
        if wrong and isinstance(node, ast.Attribute) and isinstance(call, ast.Call):
            other = "bytes" if wrong[1] == "str" else "str"
            owner = scene.text(node.value)
            if isinstance(node.value, ast.Name | ast.Attribute | ast.Subscript):
                yield scene.draft(
                    replace_expression(
                        call, f"{EXPR} if isinstance({owner}, {other}) else {owner}"
                    ),
                    title=f"leave `{owner}` as it is where it is {wrong[1]} already",
                    weight=1.6,
                )
            yield scene.draft(
                replace_expression(call, owner),
                title=f"`{owner}` is {wrong[1]} already",
                weight=1.3,
            )
            return
        has, wants = _mixed(scene)
        if not has or scene.depth:  # what a caller hands over is looked at where it is used
            return
        for name in _names_of(scene, has):
            yield from _first_converted(scene, name, has, wants)


_TEXT_WANTED = re.compile(
    r"a bytes-like object is required, not 'str'|expected bytes or bytearray, but got 'str'"
    r"|(?:Strings|Unicode-objects) must be encoded before hashing"
    r"|expected bytes, str found|string argument without an encoding"
    r"|can't concat str to bytes|cannot use a bytes pattern on a string-like"
    r"|cannot use a string pattern on a bytes-like|must be str, not bytes"
    r"|argument must be str, not bytes|expected str, bytes found"
    r"|expected str, bytes or os.PathLike|(?:startswith|endswith) first arg must be bytes"
)


def _mixed(scene: Scene) -> tuple[str, str]:
    """(type of the value that does not fit, type that it should have); ("", "") elsewhere."""
    message = scene.message
    if scene.exception != "TypeError" or not _TEXT_WANTED.search(message):
        return "", ""
    node = scene.node
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        owner = scene.value(node.func.value)
        # `raw.split("/")`: what is written in the code is text, so what came should be
        if owner is not None and owner.type_name in ("bytes", "bytearray"):
            literal = any(isinstance(a, ast.Constant | ast.JoinedStr) for a in node.args)
            return ("bytes", "str") if literal else ("str", "bytes")
    if "string pattern" in message or "not bytes" in message or "bytes found" in message:
        return "bytes", "str"
    return "str", "bytes"


def _names_of(scene: Scene, kind: str) -> Iterator[str]:
    node = scene.node if isinstance(scene.node, ast.expr) else scene.statement
    seen: set[str] = set()
    for part in _handed(node):
        if isinstance(part, ast.Name) and part.id not in seen:
            seen.add(part.id)
            value = scene.value(part)
            if value is not None and value.type_name == kind:
                yield part.id


def _handed(node: ast.AST) -> Iterator[ast.expr]:
    """What the failing expression itself works on: not keys, nor what inner calls make of it."""
    for child in ast.iter_child_nodes(node):
        part = child.value if isinstance(child, ast.keyword) else child
        if isinstance(node, ast.Call) and part is node.func and isinstance(part, ast.Attribute):
            part = part.value
        if isinstance(part, ast.expr) and not isinstance(part, ast.Subscript | ast.Attribute):
            yield part
            if not isinstance(part, ast.Call | ast.Lambda):
                yield from _handed(part)


def _first_converted(scene: Scene, name: str, has: str, wants: str) -> Iterator[Draft]:
    way = "decode()" if has == "bytes" else "encode()"
    anchor = anchor_of(scene.file, scene.statement)
    if anchor is None:
        return
    given = scene.function is not None and name in parameters(scene.function)
    yield scene.draft(
        insert_before(anchor, f"if isinstance({name}, {has}):\n    {name} = {name}.{way}"),
        title=f"take {has} for `{name}` as well as {wants}",
        weight=1.6 if given else 1.2,
    )
    found = last_assignment(scene.file, scene.function, name, scene.statement.lineno)
    if found is not None and found[2] == "value":
        yield scene.draft(
            replace_expression(found[1], f"{EXPR}.{way}"),
            title=f"`{name}` is read as {wants}",
            weight=1.4,
        )


_ERRORS = ("re.error", "re.PatternError", "sre_constants.error", "re._constants.error")
_PATTERN_WORDS = ("pattern", "regex", "regexp", "expression", "rule", "mask", "_re")


class EscapePattern(Rule):
    """Takes text that somebody typed literally where it becomes part of a regular expression."""

    name = "escape_pattern"
    strategy = STRATEGY
    examples = (
        Example(
            before="""
                import re


                def f(term='(', text='a ( b'):
                    pattern = re.compile('(%s)' % term)
                    return pattern.sub('x', text)
                """,
            after="""
                import re


                def f(term='(', text='a ( b'):
                    pattern = re.compile('(%s)' % re.escape(term))
                    return pattern.sub('x', text)
                """,
        ),
        Example(
            before="""
                import re


                def f(word='*', titles=('a*', 'b')):
                    return [t for t in titles if re.search(word, t)]
                """,
            after="""
                import re


                def f(word='*', titles=('a*', 'b')):
                    return [t for t in titles if re.search(re.escape(word), t)]
                """,
        ),
        Example(
            before="""
                import re


                def f(text='a'):
                    return re.search('(', text)
                """,
        ),
    )

    def drafts(self, scene: Scene) -> Iterator[Draft]:
        node = scene.node
        if scene.occurrence.exception not in _ERRORS or not isinstance(node, ast.Call):
            return
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        if not node.args or owner is None or scene.text(owner) not in ("re", "regex"):
            return
        pattern = node.args[0]
        parts = list(_texts_in(scene, pattern))
        if not parts:
            return
        names = " ".join(scene.text(part).lower() for part in parts)
        says_pattern = any(word in names for word in _PATTERN_WORDS)
        yield scene.draft(
            *(_escaped(scene, part) for part in parts),
            title=f"take `{scene.text(parts[0])}` literally, not as a pattern",
            weight=0.9 if says_pattern else 1.7,
        )


def _texts_in(scene: Scene, pattern: ast.expr) -> Iterator[ast.expr]:
    """What comes from outside in the pattern's text; a name is followed to where it is built."""
    if isinstance(pattern, ast.Name):
        found = last_assignment(scene.file, scene.function, pattern.id, pattern.lineno)
        built = found is not None and isinstance(found[1], ast.BinOp | ast.JoinedStr | ast.IfExp)
        if found is not None and built and found[2] == "value":
            yield from _texts_in(scene, found[1])
            return
        if found is None or found[2] != "value" or not isinstance(found[1], ast.Constant):
            yield pattern
    elif isinstance(pattern, ast.Attribute | ast.Subscript):
        yield pattern
    elif isinstance(pattern, ast.IfExp):
        yield from _texts_in(scene, pattern.body)
        yield from _texts_in(scene, pattern.orelse)
    elif isinstance(pattern, ast.Tuple):
        for element in pattern.elts:
            yield from _texts_in(scene, element)
    elif isinstance(pattern, ast.Call):
        escapes = called_name(pattern) == "escape"
        if called_name(pattern) in ("join", "format"):
            for argument in pattern.args:
                yield from _texts_in(scene, argument)
        elif not escapes:
            yield pattern
    elif isinstance(pattern, ast.BinOp):
        sides = (
            [pattern.right] if isinstance(pattern.op, ast.Mod) else [pattern.left, pattern.right]
        )
        for side in sides:
            yield from _texts_in(scene, side)
    elif isinstance(pattern, ast.JoinedStr):
        for part in pattern.values:
            if isinstance(part, ast.FormattedValue):
                yield from _texts_in(scene, part.value)


def _escaped(scene: Scene, part: ast.expr) -> Edit:
    around = scene.file.parent(part)
    if isinstance(around, ast.Call) and called_name(around) == "join":
        return replace_expression(part, f"map(re.escape, {EXPR})")
    if isinstance(around, ast.FormattedValue):
        # positions inside f-strings are the file's from Python 3.12 on; the text is spliced
        span = Span(part.lineno, part.col_offset, part.end_lineno or 0, part.end_col_offset or 0)
        return splice_text(span, f"re.escape({scene.text(part)})")
    return replace_expression(part, f"re.escape({EXPR})")
