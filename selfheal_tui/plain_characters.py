"""The screen in ASCII: for terminals and locales that know no other characters.

Every sign the app draws has a stand-in of the same width, so that the layout stays as it is;
what a service writes in other scripts becomes question marks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

STAND_INS = {
    "─": "-", "━": "=", "│": "|", "┃": "|", "┄": "-", "┬": "+", "┤": "+", "├": "|", "└": "`",
    "╭": "+", "╮": "+", "╰": "+", "╯": "+", "┌": "+", "┐": "+", "┘": "+", "▌": "|", "▐": "|",
    "▁": "_", "▂": ".", "▃": "-", "▄": "=", "▅": "+", "▆": "*", "▇": "%", "█": "#", "░": ".",
    "▔": "-", "▎": "|", "▊": "#", "▍": "|", "▏": "|", "▕": "|",
    "●": "*", "○": "o", "◆": ">", "◇": "~", "▲": "^", "△": "^", "▼": "v", "▶": ">", "▸": ">",
    "✓": "v", "✗": "x", "↵": "<", "→": ">", "←": "<", "↑": "^", "↓": "v", "↗": "/", "↘": "\\",
    "‹": "<", "›": ">", "·": "-", "…": "~", "⋯": ":", "–": "-", "—": "-", "−": "-", "×": "x",
    "σ": "s", "≤": "<", "≥": ">", "“": '"', "”": '"', "‘": "'", "’": "'", "\xa0": " ",
}  # fmt: skip
"""Each sign of the app's own and of the toolkit's frames, with one of ASCII."""

OTHER = re.compile(r"[^\x00-\x7f]")


def in_ascii(text: str) -> str:
    """`text` with the same width in cells and nothing outside ASCII."""
    return text if text.isascii() else OTHER.sub(lambda m: _stand_in(m[0]), text)


def _stand_in(character: str) -> str:
    from rich.cells import cell_len  # not before the first frame, which needs none

    return STAND_INS.get(character) or "?" * cell_len(character)


def locale_is_ascii(environ: Mapping[str, str]) -> bool:
    """Whether the locale that is set, if one is, says that the terminal knows no Unicode."""
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        if value := environ.get(name):
            return "utf" not in value.lower()
    return False
