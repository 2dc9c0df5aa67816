"""Writes the README's table of settings from their definitions: `python -m ...settings_table`."""

from __future__ import annotations

from pathlib import Path

from selfheal_engine.config import Settings, describe

README = Path(__file__).parents[2] / "README.md"
BEGIN = "<!-- settings: made by `python -m tests.benchmarks.settings_table` -->\n"
END = "<!-- end of settings -->\n"


def table() -> str:
    """The settings as a Markdown table."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for name, value, text in describe(Settings()):
        shown = (
            str(value).lower()
            if isinstance(value, bool)
            else ""
            if value in ("", ())
            else f"{value}"
        )
        meaning = text.replace("|", ", ")
        rows.append(f"| `{name}` | {shown} | {meaning} |")
    return "\n".join(rows) + "\n"


def with_table(readme: str) -> str:
    """The README with its table as it should be."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + table() + END + after


if __name__ == "__main__":
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
