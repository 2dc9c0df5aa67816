"""What a function's docstring promises for the case that there is nothing.

People write it in a few forms: "the newest entry, None when there is none", "or an empty list",
"-1 for levels that are not known", "returns False if it is missing".
"""

from __future__ import annotations

import ast
import re

from selfheal_engine.diagnosis.source_file import Function

_VALUE = (
    r"(?P<value>(?-i:None)\b|True\b|False\b|-?\d+(?:\.\d+)?(?![\w.])|\[\]|\{\}|\(\)"
    r"|\((?:-?[\d.]+|None|\"\"|'')(?:,\s*(?:-?[\d.]+|None|\"\"|''))*,?\)"
    r"|\"[^\"\n]{0,30}\"|'[^'\n]{0,30}'"
    r"|(?:an?\s+)?empty(?:\s+(?P<kind>string|text|list|dict|dictionary|mapping|set|tuple|one))?"
    r"|zeros?\b|nothing\b)"
)
_CASE = r"(?:when|where|if|for|unless|without|otherwise|at\s+the\s+first|by\s+default|on)\b"
_FORMS = (
    re.compile(rf"(?<![\w'\"]){_VALUE}[`*]*\s*,?\s+(?:is\s+returned\s+)?{_CASE}", re.IGNORECASE),
    re.compile(rf"\bor\s+[`*]*{_VALUE}[`*]*\s*(?:[.,;)\n]|$)", re.IGNORECASE),
    re.compile(
        rf"(?:missing|unknown|none|empty|not\s+known|not\s+there|nothing)\b[^.\n]{{0,40}}?"
        rf"\b(?:gives?|returns?|is|are|has|have|yields?|means?|counts?\s+as)\s+[`*]*{_VALUE}",
        re.IGNORECASE,
    ),
    re.compile(rf"{_CASE}[^.,;\n]{{0,60}},\s*(?:it\s+)?returns?\s+[`*]*{_VALUE}", re.IGNORECASE),
)
_DENIES = re.compile(r"\b(?:no|not|none|nothing|missing|unknown|without|never)\b", re.IGNORECASE)
_EMPTY = {
    "string": '""',
    "text": '""',
    "list": "[]",
    "dict": "{}",
    "dictionary": "{}",
    "mapping": "{}",
    "set": "set()",
    "tuple": "()",
}


def promised(function: Function, guess: str = "") -> list[str]:
    """The values for "nothing" that the docstring names, as source text, in its order.

    `guess` is the empty value of the type that the function returns, for a docstring that only
    says "empty".
    """
    text = ast.get_docstring(function) or ""
    text = " ".join(text.split())
    found: dict[str, int] = {}
    for form in _FORMS:
        for match in form.finditer(text):
            value = _as_source(match["value"], match["kind"], guess)
            if value == "True" and not _DENIES.search(text[match.end() : match.end() + 40]):
                value = "False"  # "True if there was one" says what the other case gives
            if value:
                found.setdefault(value, match.start())
    return sorted(found, key=lambda value: found[value])


def _as_source(words: str, kind: str | None, guess: str) -> str:
    plain = words.lower()
    if kind:
        return _EMPTY.get(kind.lower(), guess)
    if "empty" in plain:
        return guess or '""'
    if plain in ("none", "true", "false"):
        return plain.title()
    if plain.startswith("zero"):
        return "0"
    return "None" if plain == "nothing" else words
