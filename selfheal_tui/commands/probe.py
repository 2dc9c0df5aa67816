"""`selfheal-tui probe -- CMD`: start a service with the probe inside and get out of the way."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from selfheal_engine.config import Settings
from selfheal_engine.errors import TargetError
from selfheal_tui.options import common_options, explain_only


@explain_only("project", "run_dir", "config")
@click.command(
    epilog="""\b
Examples:
  selfheal-tui probe -- gunicorn -w 2 shop.wsgi:app
  ExecStart=/opt/venv/bin/selfheal-tui probe --name shop -- /opt/venv/bin/gunicorn shop.wsgi:app
""",
)
@click.option("--name", metavar="NAME", help="Name to attach by; default: from the command.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD...")
@common_options
def probe(settings: Settings, command: tuple[str, ...], name: str | None) -> None:
    """Start a service with the probe alone, for unit files and containers.

    The service takes this process's place: same pid, same signals, nothing in between.
    """
    from selfheal_agent.launch import environment
    from selfheal_engine.sources.launching import find_program, prepare_run_dir, service_name

    program = find_program(command)
    project = settings.project or os.getcwd()
    if not Path(project).is_dir():
        raise TargetError(f"the project path {project} is not a folder: check --project")
    run_dir = settings.run_path()
    prepare_run_dir(run_dir)
    env = environment(os.environ, name or service_name(command, project), str(run_dir), project)
    sys.stdout.flush()
    try:
        os.execve(program, list(command), env)
    except OSError as why:
        raise TargetError(f"{command[0]} cannot be started: {why.strerror}") from None
