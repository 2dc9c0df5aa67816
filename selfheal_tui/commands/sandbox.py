"""`selfheal-tui sandbox -- CMD`: any command behind the very wall that validation uses."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path
from typing import IO

import click

from selfheal_engine.config import Settings
from selfheal_engine.errors import SandboxUnavailableError, SelfhealError
from selfheal_tui.options import common_options, explain_only

OUTPUT_AT_MOST = 16 << 20
"""Bytes passed on of each stream; the rest is dropped, and that is said."""
KILLED = 137


@explain_only("project", "config")
@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="""\b
Examples:
  selfheal-tui sandbox -- python -m pytest -q      this folder's tests, nothing of it written
  selfheal-tui sandbox --project shop -- python    look around: no network, no home, no secrets
  selfheal-tui sandbox --timeout 10 -- ./build.sh
""",
)
@click.option("--timeout", type=float, default=0.0, metavar="S", help="Kill it after S seconds.")
@click.argument("command", nargs=-1, required=True, metavar="-- CMD...", type=click.UNPROCESSED)
@common_options
@click.pass_context
def sandbox(
    context: click.Context, settings: Settings, timeout: float, command: tuple[str, ...]
) -> None:
    """Run a command behind the wall that patches are validated behind.

    It sees this folder (or --project), its interpreter and the system's programs, read-only or
    in an overlay that is thrown away; no network, no home, no other process. The exit code is
    the command's own.
    """
    project = Path(settings.project or os.getcwd())
    if not project.is_dir():
        raise SelfhealError(f"{project} is no folder: give the project's folder with --project")
    context.exit(_run(project, settings, timeout, command))


def _run(project: Path, settings: Settings, timeout: float, command: tuple[str, ...]) -> int:
    from selfheal_engine.sandbox_validator.limits import MIB, Limits
    from selfheal_engine.sandbox_validator.wall import start_walled

    limits = Limits(
        wall_s=timeout or float("inf"),
        memory_bytes=settings.sandbox_memory_mb * MIB,
        disk_bytes=settings.sandbox_disk_mb * MIB,
        processes=settings.sandbox_processes,
    )
    extra = [Path(path).expanduser() for path in settings.sandbox_paths]
    try:
        walled = start_walled(command, project=project, limits=limits, read_only=extra)
    except OSError as why:
        raise SandboxUnavailableError(f"the sandbox could not be built: {why}") from None
    feeder = walled.process.stdin
    assert feeder is not None
    # a pipe of our own stands between: the command never holds the person's terminal
    threading.Thread(target=_feed, args=(feeder,), daemon=True).start()
    out, err = _Tap(sys.stdout.buffer), _Tap(sys.stderr.buffer)
    run = walled.pump(None, out.write, err.write)
    if out.dropped or err.dropped:
        click.echo(f"selfheal-tui: output beyond {OUTPUT_AT_MOST >> 20} MiB was dropped", err=True)
    if run.timed_out:
        click.echo(f"selfheal-tui: killed after {timeout:g} s", err=True)
        return KILLED
    if run.infrastructure:
        if run.ran:
            click.echo(f"selfheal-tui: stopped, {run.infrastructure}", err=True)
            return KILLED
        raise SandboxUnavailableError(run.infrastructure)
    return run.returncode if run.returncode >= 0 else 128 - run.returncode


def _feed(stdin: IO[bytes]) -> None:
    source = sys.stdin.fileno() if sys.stdin else -1
    with contextlib.suppress(OSError, ValueError):
        while source >= 0 and (chunk := os.read(source, 1 << 16)):
            stdin.write(chunk)
            stdin.flush()
    with contextlib.suppress(OSError, ValueError):
        stdin.close()


class _Tap:
    """Passes bytes on up to a limit."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.left = OUTPUT_AT_MOST
        self.dropped = False

    def write(self, chunk: bytes) -> None:
        kept = chunk[: self.left]
        self.left -= len(kept)
        self.dropped = self.dropped or len(kept) < len(chunk)
        if kept:
            self.stream.write(kept)
            self.stream.flush()
