"""`selfheal-tui repair`: the engine on a checkout with failing tests, for CI and for the desk."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import click

from selfheal_engine.codec import to_plain
from selfheal_engine.config import Settings
from selfheal_engine.errors import ConfigError
from selfheal_tui.options import common_options, explain_only

EPILOG = """\b
Examples:
  selfheal-tui repair --project . --tests "python -m pytest -q"
  selfheal-tui repair --project . --tests "pytest tests" --fail test_cart.py::test_empty --json
  selfheal-tui repair --project . --tests "PYTHONPATH=src python -m unittest discover tests"
  selfheal-tui repair --project . --tests "python manage.py test" --apply
\b
Exit code: 0 a patch was found that passes all tests, 1 none was, 2 the tests cannot be used.
"""


@explain_only("project", "tests", "executor", "state_dir", "config")
@click.command(epilog=EPILOG)
@click.option(
    "--fail",
    "failing",
    multiple=True,
    metavar="TESTID",
    help="Repair this failing test only (may be given more than once).",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--apply", is_flag=True, help="Write the first patch into the checkout.")
@common_options
def repair(settings: Settings, failing: tuple[str, ...], as_json: bool, apply: bool) -> None:
    """Find patches for a checkout whose tests fail; nothing is written without --apply."""
    if not settings.project:
        raise ConfigError("repair needs --project DIR: the checkout with the failing tests")
    from selfheal_engine.repair.repairing import RepairReport, apply_first, repair_project

    def say(text: str) -> None:
        click.echo(f"selfheal-tui: {text}", err=True)

    root = Path(settings.project).expanduser()
    report: RepairReport = repair_project(
        root, shlex.split(settings.tests or "pytest"), failing, settings, say
    )
    written: list[str] = []
    if apply and report.candidates:
        written = apply_first(root, report)
    if as_json:
        body = to_plain(report)
        for candidate in body["candidates"]:
            candidate.pop("files", None)  # the diff says it all, and prints
        body["applied"] = written
        click.echo(json.dumps(body, indent=2))
    else:
        _print(report, written)
    sys.exit(0 if report.candidates else 1)


def _print(report: object, written: list[str]) -> None:
    from selfheal_engine.repair.repairing import RepairReport

    assert isinstance(report, RepairReport)
    if report.candidates:
        click.echo(f"tier: {report.tier}")
    for number, candidate in enumerate(report.candidates, 1):
        verdict = report.verdicts[number - 1]
        click.echo(f"{number}. {candidate.title}  [{candidate.template}]")
        for check in verdict.checks:
            click.echo(f"   {check.name}: {check.text}")
        click.echo(candidate.diff)
    if not report.candidates:
        click.echo("No patch passes the tests. The lines that the failing tests point at:")
        for suspect in report.suspects[:5]:
            click.echo(f"  {suspect.file}:{suspect.line} in {suspect.function} ({suspect.score})")
    for note in report.notes:
        click.echo(note)
    for path in written:
        click.echo(f"written: {path}")
