"""Small changes of regular expressions: what a class holds, how often, and where it is anchored."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from selfheal_engine.diagnosis.origin import called_name
from selfheal_engine.patch_generator.edits import Edit, replace_expression
from selfheal_engine.patch_generator.mutations.surroundings import Surroundings

_CALLS = frozenset(
    {"compile", "match", "search", "fullmatch", "findall", "finditer", "sub", "subn", "split"}
)
_CLASS = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]")
_REPEAT = re.compile(r"(?<!\\)(?<=[\])\w.])([+*])(?![?+])")
_WIDER = ("0-9", "A-Z", "a-z", "_", "-", ".")
_ESCAPED = tuple("\"'/<>,:;=#%&!@ ")
"""What is written with a backslash at times, though it means itself."""
_MOST = 60


def pattern_changes(node: ast.Constant, around: Surroundings) -> Iterator[tuple[Edit, ...]]:
    """Edits of a pattern that is given to `re`; the same slip in the function's others with it."""
    pattern = _pattern(node, around)
    if not pattern:
        return
    others = [
        (other, text)
        for other in ast.walk(around.function or ast.Module([], []))
        if isinstance(other, ast.Constant) and other is not node
        for text in [_pattern(other, around)]
        if text
    ]
    seen: set[str] = {pattern}
    for old, new in _fragments(pattern):
        text = pattern.replace(old, new, 1) if old else new
        if text in seen or not _compiles(text) or len(seen) > _MOST:
            continue
        seen.add(text)
        edit = replace_expression(node, _literal(text))
        alike = [(o, t.replace(old, new)) for o, t in others if len(old) > 1 and old in t]
        if alike and pattern.count(old) == 1 and all(_compiles(changed) for _, changed in alike):
            yield (edit, *(replace_expression(o, _literal(changed)) for o, changed in alike))
        yield (edit,)


def _pattern(node: ast.Constant, around: Surroundings) -> str:
    """The text, where it is the pattern that a call of `re` is given; "" elsewhere."""
    call = around.file.parent(node)
    if not isinstance(call, ast.Call) or not call.args or call.args[0] is not node:
        return ""
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    ours = called_name(call) in _CALLS and isinstance(owner, ast.Name) and owner.id == "re"
    return node.value if ours and isinstance(node.value, str) else ""


def _fragments(pattern: str) -> Iterator[tuple[str, str]]:
    """(part of the pattern, what it becomes); ("", whole) for anchors."""
    for match in _CLASS.finditer(pattern):
        old = match.group()
        for more in _WIDER:
            if more not in old:
                yield old, f"{old[:-1]}{more}]"
        after = pattern[match.end() :].lstrip("+*?)")
        if after[:1] == "\\" and after[1:2] in _ESCAPED:
            after = after[1:]
        if after and not after[0].isalnum() and after[0] not in "\\[(.|^$":
            yield old, f"[^{after[0]}]"
        yield old, "."
    for match in _REPEAT.finditer(pattern):
        at, sign = match.start(), match.group(1)
        other = "*" if sign == "+" else "+"
        yield "", pattern[:at] + other + pattern[at + 1 :]
        yield "", pattern[:at] + sign + "?" + pattern[at + 1 :]
    for anchor, fixed in (("^", pattern.removeprefix("^")), ("$", pattern.removesuffix("$"))):
        if fixed != pattern:
            yield "", fixed
        else:
            yield "", f"^{pattern}" if anchor == "^" else f"{pattern}$"


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _literal(text: str) -> str:
    """As a raw string where that says the same."""
    quote = '"' if '"' not in text else "'"
    raw = f"r{quote}{text}{quote}"
    plain = quote not in text and "\n" not in text and not text.endswith("\\")
    return raw if plain and "\\" in text else repr(text)
