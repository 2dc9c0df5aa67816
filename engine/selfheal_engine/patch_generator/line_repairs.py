"""Repairs of one line that does not parse: (new line, what was done), likeliest first.

Each is only an idea; the caller keeps those after which the whole file parses.
"""

from __future__ import annotations

import ast
import difflib
import keyword
import re
from collections.abc import Iterator, Sequence

_OPENS = {"(": ")", "[": "]", "{": "}"}
_BLOCKS = (
    "if",
    "elif",
    "else",
    "for",
    "while",
    "def",
    "class",
    "try",
    "except",
    "finally",
    "with",
    "async",
    "match",
    "case",
)
_QUOTES = {"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "«": '"', "»": '"'}


def line_repairs(
    line: str, lines: Sequence[str], number: int, error: SyntaxError
) -> Iterator[tuple[str, str]]:
    """Ideas for line `number` (from 1) of `lines`."""
    body = line.rstrip("\n")
    end = line[len(body) :]
    code, comment = _without_comment(body)
    for new, title in _ideas(code, lines, number, error):
        yield new + (f"  {comment}" if comment and not new.endswith(comment) else "") + end, title


def repaired_lines(old: Sequence[str], number: int, new: str, title: str) -> dict[int, str]:
    """The repaired lines: the first, and those below with the same slip; {} if it does not help."""
    lines, repaired = list(old), {number: new}
    while True:
        lines[number - 1] = new
        error = syntax_error("".join(lines))
        if error is None:
            return repaired
        before, number = number, min(error.lineno or 0, len(lines))
        # each must be further down, so that it ends; indentation belongs to blocks, not to lines
        if number <= before or isinstance(error, IndentationError):
            return {}
        ideas = line_repairs(lines[number - 1], lines, number, error)
        new = next((line for line, done in ideas if done == title), "")
        if not new:
            return {}
        repaired[number] = new


def syntax_error(text: str) -> SyntaxError | None:
    try:
        ast.parse(text)
    except SyntaxError as error:
        return error
    except (ValueError, RecursionError) as why:
        return SyntaxError(str(why))
    return None


def _without_comment(body: str) -> tuple[str, str]:
    """Code and trailing comment, told apart roughly: quotes before the mark keep it code."""
    at = body.find("#")
    if at < 0 or body[:at].count('"') % 2 or body[:at].count("'") % 2:
        return body.rstrip(), ""
    return body[:at].rstrip(), body[at:]


def _ideas(
    code: str, lines: Sequence[str], number: int, error: SyntaxError
) -> Iterator[tuple[str, str]]:
    stripped = code.lstrip()
    first = re.match(r"\w*", stripped)
    word = first[0] if first else ""
    if (word in _BLOCKS or stripped.startswith("else")) and not code.endswith(":"):
        yield code + ":", "add the colon"
        yield code.rstrip(";,") + ":", "add the colon"
    yield from _brackets(code, error)
    yield from _words(code, word)
    yield from _python2(code, stripped)
    yield from _quotes(code)
    if re.match(r"\s*(if|elif|while)\b.*[^=!<>:]=[^=]", code):
        yield re.sub(r"(?<![=!<>:])=(?!=)", "==", code, count=1), "compare with =="
    for new in (
        re.sub(r"\belse\s+if\b", "elif", code),
        code.replace("<>", "!="),
        code.replace("&&", "and").replace("||", "or"),
    ):
        if new != code:
            yield new, "spell it as Python does"
    if code.rstrip().endswith(";") or code.rstrip().endswith("{"):
        yield (
            code.rstrip()[:-1].rstrip() + (":" if code.endswith("{") else ""),
            "spell it as Python does",
        )
    yield from _indents(code, lines, number)
    # a missing comma between two items
    offset = (error.offset or 1) - 1
    if number == error.lineno:
        for at in range(max(0, offset - 2), min(len(code), offset + 30)):
            if code[at : at + 1] == " " and at and code[at - 1] not in ",([{:=":
                yield code[:at] + "," + code[at:], "add the comma"
        if not code.endswith(","):
            yield code + ",", "add the comma"
    elif not code.endswith((",", "(", "[", "{")) and code:
        yield code + ",", "add the comma"


def _brackets(code: str, error: SyntaxError) -> Iterator[tuple[str, str]]:
    stack: list[str] = []
    extra: list[int] = []
    quote = ""
    for at, letter in enumerate(code):
        if quote:
            quote = "" if letter == quote and code[at - 1] != "\\" else quote
        elif letter in "'\"":
            quote = letter
        elif letter in _OPENS:
            stack.append(letter)
        elif letter in ")]}":
            if stack and _OPENS[stack[-1]] == letter:
                stack.pop()
            else:
                extra.append(at)
    missing = "".join(_OPENS[letter] for letter in reversed(stack))
    if missing:
        if code.endswith(":"):
            yield code[:-1] + missing + ":", f"close the {missing}"
        if code.endswith(","):
            yield code[:-1] + missing + ",", f"close the {missing}"
        yield code + missing, f"close the {missing}"
        if code.lstrip().startswith(("def ", "class ", "if ", "for ", "while ", "with ")):
            yield code.rstrip(":") + missing + ":", f"close the {missing}"
    for at in extra:
        yield code[:at] + code[at + 1 :], f"drop the {code[at]} that closes nothing"
        if stack:
            yield code[:at] + _OPENS[stack[-1]] + code[at + 1 :], "close with the right bracket"
    if quote:
        for tail in (":", ")", "),", "]", ",", ""):
            if code.endswith(tail):
                cut = len(code) - len(tail)
                yield code[:cut] + quote + code[cut:], "close the quote"


def _words(code: str, word: str) -> Iterator[tuple[str, str]]:
    """A keyword that was misspelt, at the start of the line or inside it."""
    known = [*keyword.kwlist, "match", "case", "print"]
    for found in re.finditer(r"[A-Za-z_]+", code):
        text = found[0]
        if text in known or len(text) < 2:
            continue
        for near in difflib.get_close_matches(text, keyword.kwlist, 2, 0.7):
            yield code[: found.start()] + near + code[found.end() :], f"spell `{near}` right"
        for prefix in ("def", "return", "class", "import", "from", "if", "for", "while", "else"):
            if text.startswith(prefix) and len(text) > len(prefix) + 1:
                rest = f"{prefix} {text[len(prefix) :]}"
                yield (
                    code[: found.start()] + rest + code[found.end() :],
                    f"a space after `{prefix}`",
                )


def _python2(code: str, stripped: str) -> Iterator[tuple[str, str]]:
    lead = code[: len(code) - len(stripped)]
    found = re.match(r"print\s+(.*)$", stripped)
    if found:
        yield f"{lead}print({found[1].rstrip(',')})", "call `print`"
        to = re.match(r">>\s*([\w.]+)\s*,\s*(.*)$", found[1])
        if to:
            yield f"{lead}print({to[2]}, file={to[1]})", "call `print`"
    elif stripped == "print":
        yield f"{lead}print()", "call `print`"
    found = re.match(r"except\s+(.+?)\s*,\s*(\w+)\s*:", stripped)
    if found:
        yield f"{lead}except {found[1]} as {found[2]}:", "name the exception with `as`"
    found = re.match(r"raise\s+([\w.]+)\s*,\s*(.+)$", stripped)
    if found:
        yield f"{lead}raise {found[1]}({found[2]})", "raise an instance"
    found = re.match(r"exec\s+(.+?)(?:\s+in\s+(.+))?$", stripped)
    if found:
        inside = f", {found[2]}" if found[2] else ""
        yield f"{lead}exec({found[1]}{inside})", "call `exec`"
    for pattern, new in (
        (r"\b0([0-7]+)\b", r"0o\1"),
        (r"\b(\d+)[lL]\b", r"\1"),
        (r"\bur(['\"])", r"r\1"),
        (r"`([^`]+)`", r"repr(\1)"),
        (r"\b0+([1-9]\d*)\b", r"\1"),
    ):
        changed = re.sub(pattern, new, code)
        if changed != code:
            yield changed, "spell it as Python 3 does"


def _quotes(code: str) -> Iterator[tuple[str, str]]:
    plain = code
    for fancy, quote in _QUOTES.items():
        plain = plain.replace(fancy, quote)
    plain = plain.replace("\u00a0", " ").replace("\u200b", "").replace("–", "-")
    if plain != code:
        yield plain, "use plain quotes and spaces"
    # the same quote inside an f-string's braces, which Python before 3.12 does not take
    for quote, other in (('"', "'"), ("'", '"')):
        everywhere = _requoted(code, quote, other)
        if everywhere != code:
            yield everywhere, "quote with the other"
    for found in re.finditer(r"\{([^{}]*)\}", code):
        for quote, other in (('"', "'"), ("'", '"')):
            if quote in found[1] and other not in found[1]:
                inner = found[1].replace(quote, other)
                yield code[: found.start(1)] + inner + code[found.end(1) :], "quote with the other"
    for quote in ("'", '"'):
        if code.count(quote) % 2 and code.count(quote) >= 3:
            # an apostrophe inside a text of the same quotes
            for found in re.finditer(rf"(?<=\w){quote}(?=\w)", code):
                yield code[: found.start()] + "\\" + code[found.start() :], "escape the quote"
    if code.count("}") < code.count("{"):
        for at in (m.end() for m in re.finditer(r"\{[\w.]+", code)):
            yield code[:at] + "}" + code[at:], "close the }"


def _requoted(code: str, quote: str, other: str) -> str:
    """With the other quote inside all braces that have none of it yet."""

    def inside(braces: re.Match[str]) -> str:
        return braces[0] if other in braces[0] else braces[0].replace(quote, other)

    return re.sub(r"\{[^{}]*\}", inside, code)


def _indents(code: str, lines: Sequence[str], number: int) -> Iterator[tuple[str, str]]:
    stripped = code.lstrip()
    if not stripped:
        return
    levels: list[str] = []
    for near in (*reversed(lines[: number - 1][-30:]), *lines[number : number + 10]):
        if near.strip():
            lead = near[: len(near) - len(near.lstrip())]
            if lead not in levels:
                levels.append(lead)
    above = next((x for x in reversed(lines[: number - 1]) if x.strip()), "")
    if above.rstrip().endswith(":"):
        lead = above[: len(above) - len(above.lstrip())]
        levels.insert(0, lead + ("\t" if "\t" in lead else "    "))
    current = code[: len(code) - len(stripped)]
    for lead in levels:
        if lead != current:
            yield lead + stripped, "indent the line as its neighbours"
