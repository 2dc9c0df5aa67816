"""`selfheal-tui demo [CASE]`: a real service under real traffic fails and is healed."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click

from selfheal_engine.config import Settings
from selfheal_engine.errors import SelfhealError
from selfheal_engine.model import Event, Snapshot, Target
from selfheal_tui.demo.cases import Case, all_cases, find_case
from selfheal_tui.demo.prepare import PreparedCase, prepare
from selfheal_tui.options import common_options

DEFAULT_CASE = "checkout"
HEADLESS_LIMIT_S = 300.0
"""A headless demo that has not healed by then has failed."""
AFTERGLOW_S = 5.0
"""Traffic goes on so long after the end, so that its report shows that nothing fails."""


@click.command(
    epilog="""\b
Examples:
  selfheal-tui demo                                     a shop that meets its first guest
  selfheal-tui demo --list                              every demo, one for each bug family
  selfheal-tui demo --headless --approve low --events e.jsonl
"""
)
@click.argument("case", required=False, metavar="[CASE]")
@click.option("--list", "list_", is_flag=True, help="Name every demo and what it shows.")
@click.option("--headless", is_flag=True, help="No screen; ends when the service is healed.")
@click.option("--folder", metavar="DIR", help="Where to lay it out; default: a temporary folder.")
@click.option("--seed", default=1, show_default=True, help="Of the traffic generator.")
@click.option("--bug-after", type=float, metavar="S", help="When the bug bites; default 20 s.")
@common_options
@click.pass_context
def demo(
    context: click.Context,
    settings: Settings,
    case: str | None,
    list_: bool,
    headless: bool,
    folder: str | None,
    seed: int,
    bug_after: float | None,
) -> None:
    """Watch a real service fail and heal it.

    A copy of the service is started under traffic in a folder of its own; everything that was
    started is gone when you leave, the folder stays for you to look at.
    """
    if list_:
        _print_list()
        return
    chosen = find_case(case or DEFAULT_CASE)
    if not chosen.shows:
        version = ".".join(map(str, chosen.python_below))
        raise SelfhealError(
            f"{chosen.name} shows a bug that Python {version} and later do not have: "
            "play another one (see `demo --list`)"
        )
    if "interval_s" not in context.meta["selfheal.sources"]:
        settings = replace(settings, interval_s=1.0)  # a demo is watched by eye
    place = Path(folder or tempfile.mkdtemp(prefix="selfheal-demo-")).absolute()
    prepared = prepare(chosen, place, seed=seed, bug_after_s=bug_after)
    click.echo(f"{chosen.title}: {chosen.story}")
    click.echo(f"the service's copy: {prepared.project}")
    code = _play(prepared, settings, headless)
    click.echo(f"the service is stopped; what was changed is in {prepared.project}")
    context.exit(code)


def _play(prepared: PreparedCase, settings: Settings, headless: bool) -> int:
    from selfheal_tui.session import watch

    settings = replace(
        settings,
        project=str(prepared.project),
        tests=settings.tests or prepared.tests,
        events=os.path.abspath(settings.events) if settings.events else "",
        state_dir=os.path.abspath(settings.state_dir) if settings.state_dir else "",
    )
    os.environ.update(prepared.env)
    os.chdir(prepared.project)
    with _traffic(prepared) as traffic:
        if not headless:
            return watch(settings, Target(command=prepared.command))
        end = _EndOfDemo(settings.approve == "never", traffic)
        timer = threading.Timer(HEADLESS_LIMIT_S, end.give_up)
        timer.daemon = True
        timer.start()
        code = watch(settings, Target(command=prepared.command), headless=True, subscriber=end)
        timer.cancel()
        if traffic.poll() not in (None, 0, -signal.SIGTERM, -signal.SIGKILL):
            raise SelfhealError(f"the demo's traffic ended early with code {traffic.returncode}")
        return code if end.reached else 1


class _EndOfDemo:
    """Ends a headless demo a moment after its healing (or its proposal, when a person decides)."""

    def __init__(self, at_proposal: bool, traffic: subprocess.Popen[bytes]) -> None:
        self._traffic = traffic
        self._kinds = ("proposal",) if at_proposal else ("healed", "rolled_back")
        self.reached = False

    def __call__(self, value: Snapshot | Event) -> None:
        if isinstance(value, Event) and value.kind in self._kinds and not self.reached:
            self.reached = True
            timer = threading.Timer(AFTERGLOW_S, self.give_up)
            timer.daemon = True
            timer.start()

    def give_up(self) -> None:
        """The orderly end: customers first, then as if the person had pressed control-C."""
        _end(self._traffic)
        os.kill(os.getpid(), signal.SIGINT)


@contextmanager
def _traffic(prepared: PreparedCase) -> Iterator[subprocess.Popen[bytes]]:
    """The load, as long as the demo lasts; it waits for the service's port by itself."""
    log = prepared.report.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            prepared.traffic_command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(5.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _print_list() -> None:
    cases: tuple[Case, ...] = all_cases()
    width = max(len(case.name) for case in cases)
    for case in cases:
        click.echo(f"{case.name:{width}}  {case.strategy:18}  {case.title}")
