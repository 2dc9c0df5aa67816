"""`selfheal-tui doctor`: what this machine allows, and the fix for what it does not."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass

import click

from selfheal_engine.config import Settings
from selfheal_tui.options import common_options, explain_only

SIGNS = {"ok": "✓", "warn": "▲", "bad": "✗"}


@dataclass(frozen=True, slots=True)
class Row:
    """One fact: how it stands, in words, and what to do when it does not stand well."""

    name: str
    status: str
    text: str
    fix: str = ""


@explain_only("state_dir", "run_dir", "config")
@click.command(
    epilog="""\b
Examples:
  selfheal-tui doctor
  selfheal-tui doctor --json | jq '.[] | select(.status != "ok")'
"""
)
@click.option("--json", "as_json", is_flag=True, help="The same facts as a JSON array.")
@common_options
@click.pass_context
def doctor(context: click.Context, settings: Settings, as_json: bool) -> None:
    """Say what this machine allows: sandbox, probe, terminal, Python versions.

    Exit code 1 when something is missing without which patches cannot be proven.
    """
    rows = examine(settings)
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], ensure_ascii=False, indent=2))
    else:
        width = max(len(row.name) for row in rows)
        for row in rows:
            click.echo(f"{SIGNS[row.status]} {row.name:{width}}  {row.text}")
            if row.fix:
                click.echo(f"  {'':{width}}  → {row.fix}")
    context.exit(1 if any(row.status == "bad" for row in rows) else 0)


def examine(settings: Settings) -> list[Row]:
    """Every fact, most important first."""
    from selfheal_engine.sandbox_validator import level
    from selfheal_engine.sources.environment import doctor_rows

    isolation = level()
    status = {1: "ok", 2: "warn"}.get(isolation.tier, "bad")
    rows = [Row("sandbox", status, f"tier {isolation.tier}: {isolation.note}", isolation.fix)]
    rows.extend(Row(name, state, text, fix) for name, state, text, fix in doctor_rows())
    rows.extend((_folder("state folder", settings.state_path()), _terminal()))
    return rows


def _folder(name: str, path: os.PathLike[str]) -> Row:
    place = os.fspath(path)
    existing = place
    while not os.path.exists(existing):
        existing = os.path.dirname(existing)
    if os.access(existing, os.W_OK | os.X_OK):
        return Row(name, "ok", place)
    return Row(name, "bad", f"{place} cannot be written", "choose another with --state DIR")


def _terminal() -> Row:
    term = os.environ.get("TERM", "")
    if not sys.stdout.isatty():
        return Row("terminal", "ok", "output is not a terminal: commands print plain text")
    if term in ("", "dumb"):
        return Row("terminal", "warn", "TERM=dumb: lines of text", "set TERM, or use --headless")
    size = os.get_terminal_size()
    colour = os.environ.get("COLORTERM", "") or "16 or 256 colours"
    text = f"{term}, {size.columns}x{size.lines}, {colour}"
    if size.columns < 80 or size.lines < 24:
        return Row("terminal", "warn", text, "80x24 shows everything; smaller shows a summary")
    return Row("terminal", "ok", text)
