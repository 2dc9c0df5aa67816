"""`selfheal-tui serve`: the engine in a process of its own, which outlives the SSH session."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from selfheal_engine.config import Settings
from selfheal_engine.errors import SelfhealError, TargetError
from selfheal_engine.model import Target
from selfheal_tui.options import common_options

if TYPE_CHECKING:
    from selfheal_engine.coordinator.remote import RemoteEngine

ANSWER_S = 10.0
START_S = 30.0
"""A service that loads slowly still answers within this time."""


@click.command(
    epilog="""\b
Examples:
  selfheal-tui serve shop                         watch what carries the probe as "shop"
  selfheal-tui serve -- gunicorn -w 2 shop:app    start a service and keep both running
  selfheal-tui serve --list                       the engines that run
  selfheal-tui attach shop                        look at one, from any session
  selfheal-tui serve --stop shop                  end one; the service it started ends too
  selfheal-tui serve --hold shop                  maintenance: apply nothing until --resume shop
"""
)
@click.option("--foreground", is_flag=True, help="Stay in this terminal: for unit files.")
@click.option("--list", "list_", is_flag=True, help="List the engines that serve.")
@click.option("--stop", "stop", metavar="NAME", help="End the engine that serves NAME.")
@click.option(
    "--hold", metavar="NAME", help="Maintenance: NAME's engine applies nothing, even when asked."
)
@click.option("--resume", metavar="NAME", help="Maintenance is over.")
@click.argument("what", nargs=-1, type=click.UNPROCESSED, metavar="[PLACE | -- CMD...]")
@common_options
@click.pass_context
def serve(
    context: click.Context,
    settings: Settings,
    what: tuple[str, ...],
    foreground: bool,
    list_: bool,
    stop: str | None,
    hold: str | None,
    resume: str | None,
) -> None:
    """Keep the engine when the session ends; the app attaches to it.

    PLACE is a pid, a service's name, :PORT or UNIT.service that runs already. Policy decides
    while nobody looks (--approve); proposals wait for whoever attaches.
    """
    if list_:
        _list(settings)
    elif stop is not None:
        _stop(settings, stop)
    elif hold is not None or resume is not None:
        with _serving(settings, str(hold or resume)) as engine:
            click.echo(engine.maintenance(hold is not None).result(ANSWER_S))
    elif not what:
        raise SelfhealError("serve what? a running service's name or pid, or -- and a command")
    elif foreground:
        context.exit(_serve_here(settings, _target(what)))
    else:
        _serve_in_background(settings, context)


def _target(what: tuple[str, ...]) -> Target:
    from selfheal_tui.session import parse_place

    if len(what) == 1 and not Path(what[0]).exists():
        return parse_place(what[0])
    return Target(command=what)


def _serve_here(settings: Settings, target: Target) -> int:
    """Until a signal, a viewer or the service ends it; the exit code."""
    from selfheal_engine.coordinator import SelfHealingCoordinator
    from selfheal_engine.coordinator.server import offer
    from selfheal_engine.notify import Watchdog
    from selfheal_tui.plain import PlainPrinter
    from selfheal_tui.session import ending_on_signals, exit_code

    engine = SelfHealingCoordinator(settings, target)
    engine.subscribe(PlainPrinter(sys.stdout))
    with ending_on_signals(hang_up=False) as ended:
        engine.start()
        try:
            name, read_only = engine.snapshot().service.name, engine.snapshot().read_only
            if read_only:
                raise TargetError(f"{read_only}: selfheal-tui attach {name}")
            server = offer(engine, settings)
            watchdog = Watchdog()
            engine.subscribe(watchdog)
            watchdog.ready()
            click.echo(f"serving {name}: selfheal-tui attach {name}")
            try:
                while not (ended.is_set() or server.asked_to_end.is_set() or engine.wait(0.3)):
                    continue
            finally:
                watchdog.stopping()
                engine.stop()
                server.close()
        finally:
            engine.stop()
    return exit_code(engine)


def _serve_in_background(settings: Settings, context: click.Context) -> None:
    """The same command in a session of its own; returns when it serves. Raises TargetError."""
    from selfheal_engine.coordinator.remote import serving_engines

    before = {engine.pid for engine in serving_engines(settings)}
    log = settings.state_path() / "serve.log"
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    arguments = sys.argv[1:]
    arguments.insert(arguments.index("serve") + 1, "--foreground")
    with log.open("ab") as output:
        start = output.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "selfheal_tui.cli", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        for engine in serving_engines(settings):
            if engine.pid == process.pid and engine.pid not in before:
                click.echo(
                    f"serving {engine.service} (pid {engine.pid}, log {log}); "
                    f"look at it with: selfheal-tui attach {engine.service}"
                )
                return
        if process.poll() is not None:
            said = log.read_bytes()[start:].decode("utf-8", "replace").strip().splitlines()
            last = said[-1].removeprefix("selfheal-tui: ") if said else "it said nothing"
            raise TargetError(last)
        time.sleep(0.1)
    process.terminate()
    raise TargetError(f"the engine did not serve within {START_S:.0f} s: see {log}")


def _list(settings: Settings) -> None:
    from selfheal_engine.coordinator.remote import serving_engines

    found = serving_engines(settings)
    for engine in found:
        click.echo(f"{engine.service}  engine {engine.pid}, {len(engine.pids)} processes watched")
    if not found:
        click.echo("no engine serves here: selfheal-tui serve NAME starts one")


def _stop(settings: Settings, name: str) -> None:
    with _serving(settings, name) as remote:
        remote.end().result(ANSWER_S)
        if not remote.wait(START_S):
            raise SelfhealError(f"the engine of {name} has not ended yet: it may be applying")
    click.echo(f"the engine of {name} has ended")


def _serving(settings: Settings, name: str) -> RemoteEngine:
    """A view of the engine that serves the service; not attached yet. Raises SelfhealError."""
    from selfheal_engine.coordinator.remote import RemoteEngine, serving_engines

    engine = next((e for e in serving_engines(settings) if e.service == name), None)
    if engine is None:
        raise SelfhealError(f"no engine serves {name}: selfheal-tui serve --list shows them")
    return RemoteEngine(engine.path)
