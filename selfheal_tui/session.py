"""Watching one service to the end: on the screen, as plain lines, or without either.

The commands that watch (`run`, `attach`, `demo` and the picker) differ in the target only;
what happens then is the same and lives here.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import click

from selfheal_engine.config import Settings
from selfheal_engine.errors import SelfhealError, TargetError
from selfheal_engine.model import Target

if TYPE_CHECKING:
    from selfheal_engine.coordinator import SelfHealingCoordinator
    from selfheal_engine.coordinator.publishing import Subscriber
    from selfheal_engine.coordinator.remote import RemoteEngine
    from selfheal_tui.engine_thread import EngineLike


def watch(
    settings: Settings,
    target: Target,
    *,
    headless: bool = False,
    subscriber: Subscriber | None = None,
) -> int:
    """Watch `target` until the person leaves or the service ends; the exit code.

    0: left or ended well, 1: the service ended with a failure. `subscriber` also hears
    everything of a headless run. Raises SelfhealError.
    """
    if headless:
        return watch_headless(settings, target, subscriber)
    if not has_screen():
        return watch_plain(settings, target)
    return watch_on_screen(settings, target)


def has_screen() -> bool:
    """Whether the app can draw here: a terminal on both sides that is not dumb."""
    dumb = os.environ.get("TERM", "") in ("", "dumb")
    return sys.stdin.isatty() and sys.stdout.isatty() and not dumb


def watch_on_screen(settings: Settings, target: Target) -> int:
    """The app at once, the engine opened behind it; its errors are lines, not screens."""
    from selfheal_tui.first_frame import first_frame

    words = " ".join(target.command) or target.name or target.unit or "the service"
    gc.disable()  # until the first paint: nothing that start-up makes is garbage
    with first_frame(sys.stdout, f"opening {words} …", ascii_only=settings.ascii):
        from multiprocessing import resource_tracker

        from selfheal_tui.app import SelfhealApp
        from selfheal_tui.opening import OpeningEngine

        offers = ExitStack()

        def opened() -> SelfHealingCoordinator | RemoteEngine:
            engine = nearest_engine(settings, target)
            engine.start()
            offers.enter_context(offered(engine, settings, may_end=False))
            return engine

        # while the app runs, standard error is no file that a child could be given
        resource_tracker.ensure_running()
        engine = OpeningEngine(opened)
        owns_service = bool(target.command)
        app = SelfhealApp(engine, settings, owns_service=owns_service)
    try:
        app.run()
    finally:
        gc.enable()
        engine.stop(stop_service=app.stop_service if owns_service else False)
        offers.close()
    if engine.problem is not None:
        raise engine.problem
    return exit_code(engine)


def nearest_engine(settings: Settings, target: Target) -> SelfHealingCoordinator | RemoteEngine:
    """The engine that serves the target already, else one of our own; not started yet."""
    from selfheal_engine.coordinator import SelfHealingCoordinator
    from selfheal_engine.coordinator.remote import RemoteEngine, find_engine

    serving = find_engine(settings, target)
    return RemoteEngine(serving.path) if serving else SelfHealingCoordinator(settings, target)


def watch_headless(settings: Settings, target: Target, subscriber: Subscriber | None = None) -> int:
    """No screen: events go to the file, what matters to standard output as lines."""
    from selfheal_engine.coordinator import SelfHealingCoordinator
    from selfheal_engine.notify import Watchdog
    from selfheal_tui.plain import PlainPrinter

    engine = SelfHealingCoordinator(settings, target)
    engine.subscribe(PlainPrinter(sys.stdout))
    if subscriber is not None:
        engine.subscribe(subscriber)
    with ending_on_signals() as ended:
        engine.start()
        with offered(engine, settings) as asked_to_end:
            watchdog = Watchdog()
            engine.subscribe(watchdog)
            watchdog.ready()
            while not (ended.is_set() or asked_to_end.is_set() or engine.wait(0.5)):
                continue
            watchdog.stopping()
            engine.stop()
    return exit_code(engine)


@contextmanager
def offered(
    engine: SelfHealingCoordinator | RemoteEngine, settings: Settings, *, may_end: bool = True
) -> Iterator[threading.Event]:
    """While an engine of ours runs, other sessions attach to it instead of starting another.

    The event is set when one of them asks it to end, which it may unless it has a screen.
    """
    from selfheal_engine.coordinator.remote import RemoteEngine
    from selfheal_engine.coordinator.server import offer

    if isinstance(engine, RemoteEngine) or engine.snapshot().read_only:
        yield threading.Event()
        return
    try:
        server = offer(engine, settings, may_end=may_end)
    except TargetError as why:
        if may_end:  # a screen is no place for it
            echo(f"selfheal-tui: other sessions cannot attach: {why}")
        yield threading.Event()
        return
    try:
        yield server.asked_to_end
    finally:
        server.close()


def watch_plain(settings: Settings, target: Target) -> int:
    """A terminal that cannot draw: a line of text per event, commands typed as words."""
    from selfheal_tui.plain import run_plain

    engine = nearest_engine(settings, target)
    with engine, offered(engine, settings, may_end=False):
        run_plain(engine, settings, sys.stdout)
    return exit_code(engine)


@contextmanager
def ending_on_signals(hang_up: bool = True) -> Iterator[threading.Event]:
    """An event that SIGTERM, SIGINT and SIGHUP set, so that the end is an orderly one.

    Not `hang_up`: SIGHUP, a session that ends, is survived.
    """
    ended = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: ended.set())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    before[signal.SIGHUP] = signal.signal(
        signal.SIGHUP, (lambda *_: ended.set()) if hang_up else signal.SIG_IGN
    )
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_code(engine: EngineLike) -> int:
    """1 when the service ended with a failure."""
    snapshot = engine.snapshot()
    activity = snapshot.activity if snapshot else ""
    return 1 if activity.startswith("the service ended with exit code") else 0


def parse_place(place: str) -> Target:
    """PID, :PORT, unit NAME.service or a service's name, as a person types it.

    Raises SelfhealError for what can be none of them.
    """
    if place.isdigit():
        return Target(pid=int(place))
    if place.startswith(":") and place[1:].isdigit() and 0 < int(place[1:]) < 65536:
        return Target(port=int(place[1:]))
    if place.endswith(".service"):
        return Target(unit=place)
    if not place or place.startswith(":"):
        raise SelfhealError(f"{place!r} is no pid, :PORT, UNIT.service or name of a service")
    return Target(name=place)


def echo(text: str) -> None:
    """A line for the person, on standard error where output may be piped."""
    click.echo(text, err=True)
