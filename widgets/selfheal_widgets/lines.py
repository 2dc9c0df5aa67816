"""A line of the screen as spans of (text, role), before any colour is known.

Widgets say what a text is (muted, bad, accent, ...); the style sheet says how that looks. So
every widget can be tested as text, and one theme, one monochrome and one ASCII look fit all.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from rich.cells import cell_len, set_cell_size

Span = tuple[str, str]
Line = tuple[Span, ...]


def line(*parts: str | Span) -> Line:
    """A line of parts; a bare text has the role "text"."""
    return tuple((part, "text") if isinstance(part, str) else part for part in parts)


def plain(content: Line) -> str:
    """The line's text alone."""
    return "".join(text for text, _ in content)


def width_of(content: Line) -> int:
    """Terminal cells that the line takes."""
    return sum(cell_len(text) for text, _ in content)


def fit(content: Line, width: int) -> Line:
    """The line in at most `width` cells, an ellipsis where something was cut."""
    if width <= 0:
        return ()
    if width_of(content) <= width:
        return content
    kept: list[Span] = []
    left = width - 1
    for text, role in content:
        cells = cell_len(text)
        if cells > left:
            kept.append((set_cell_size(text, left).rstrip() + "…", role))
            break
        kept.append((text, role))
        left -= cells
    return tuple(kept)


def pad(content: Line, width: int) -> Line:
    """The line in exactly `width` cells."""
    content = fit(content, width)
    missing = width - width_of(content)
    return (*content, (" " * missing, "text")) if missing > 0 else content


def spread(left: Line, right: Line, width: int, gap: int = 2) -> Line:
    """`left` and `right` at the two ends; the left gives way, down to half of the width."""
    if not right:
        return fit(left, width)
    right = fit(right, max(width // 2, width - width_of(left) - gap))
    room = width - width_of(right)
    if room <= gap:
        return fit(right, width)
    return (*pad(left, room - gap), (" " * gap, "text"), *right)


def columns(cells: Iterable[tuple[Line, int]], gap: int = 2) -> Line:
    """Cells of fixed widths side by side; a negative width aligns to the right."""
    out: list[Span] = []
    for content, width in cells:
        if out:
            out.append((" " * gap, "text"))
        if width < 0:
            short = fit(content, -width)
            out.append((" " * max(0, -width - width_of(short)), "text"))
            out.extend(short)
        else:
            out.extend(pad(content, width))
    return tuple(out)


def wrap(text: str, width: int, role: str = "text", indent: str = "") -> list[Line]:
    """Paragraphs of `text` as lines of at most `width` cells; blank lines are kept."""
    out: list[Line] = []
    for paragraph in text.splitlines() or [""]:
        if not paragraph.strip():
            out.append(())
            continue
        pieces = textwrap.wrap(
            paragraph,
            max(8, width),
            initial_indent=indent,
            subsequent_indent=indent,
            break_on_hyphens=False,
        )
        out.extend(((piece, role),) for piece in pieces)
    return out


def wrap_most(text: str, width: int, most: int, role: str = "text") -> list[Line]:
    """The first `most` lines of `wrap`; an ellipsis where that is not all."""
    lines = wrap(text, width, role)
    if len(lines) <= most:
        return lines
    return [*lines[: most - 1], fit((*lines[most - 1], (" …", role)), width)]


def whole_parts(parts: Iterable[str], width: int, between: str = " · ") -> str:
    """As many of the parts, from the first on, as fit whole; the first one always."""
    out = ""
    for part in parts:
        longer = f"{out}{between}{part}" if out else part
        if out and cell_len(longer) > width:
            break
        out = longer
    return out


def safe(text: str) -> str:
    """`text` without control characters, so that a service's message cannot steer the terminal."""
    if text.isprintable():
        return text
    return "".join(ch if ch.isprintable() else " " if ch in "\t\n\r" else "·" for ch in text)
