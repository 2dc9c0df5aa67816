"""A restart of the service that a person asks for, from the question to its outcome.

It may take a minute (workers drain, a unit starts): all but the part that the source owns runs
in a thread beside the loop, which goes on measuring. Meanwhile nothing is applied or judged.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from selfheal_engine.coordinator.ledger import Ledger
from selfheal_engine.coordinator.parts import Parts
from selfheal_engine.errors import SelfhealError
from selfheal_engine.events import restart_event
from selfheal_engine.healer import GONE, NO_WAY, RestartWay, holds_on, way_to_restart
from selfheal_engine.model import Alert, Incident, IncidentState, RestartOffer, Severity

BACK_S = 30.0
"""After the command: new processes are there within this time, or it is told that none are."""


@dataclass(slots=True)
class _Running:
    """The restart under way."""

    way: RestartWay
    answer: Future[str]
    before: frozenset[int]
    """The service's processes when it began."""
    stuck: list[Incident]
    """Incidents whose patch waits for it."""
    began_s: float = field(default_factory=time.time)
    shown: bool = False
    """That it begins has been published: the way may keep the loop busy from here on."""
    ran_s: float = 0.0
    """When the command or signal was through; 0: it is not."""
    problem: str | None = None
    thread: threading.Thread | None = None


class Restarts:
    """Offers, runs and tells of restarts. Runs on the engine thread."""

    def __init__(self, parts: Parts, ledger: Ledger, tell: Callable[[list[Alert]], None]) -> None:
        """`tell` puts alerts into the feed and the events."""
        self._parts = parts
        self._ledger = ledger
        self._tell = tell
        self._running: _Running | None = None
        self._reload_failed: frozenset[int] = frozenset()
        """Processes that a reload was tried on in vain."""

    @property
    def running(self) -> bool:
        return self._running is not None

    def doing(self) -> tuple[str, float]:
        """(what is being run, since when), ("", 0) when nothing is."""
        running = self._running
        return (f"restarting: {running.way.does}", running.began_s) if running else ("", 0.0)

    # ------------------------------------------------------------ before
    def offer(self) -> RestartOffer:
        """What a restart would run now, or why it cannot be done."""
        wanted = self._wanted()
        refused = self._refusal()
        way = None if refused else self._way()
        if way is None:
            return RestartOffer(refused=refused or NO_WAY, wanted=wanted)
        return RestartOffer(way.does, way.loses, "", wanted)

    def _refusal(self) -> str:
        parts = self._parts
        if not parts.source.service().alive:
            return GONE
        if parts.read_only():
            return f"nothing is restarted from here: {parts.read_only()}"
        if parts.in_maintenance():
            return "maintenance is on: nothing is restarted until it is switched off"
        return "a restart is under way already" if self._running else ""

    def _way(self) -> RestartWay | None:
        source = self._parts.source
        tried = bool(self._stuck() or self._reload_failed & _pids(self._parts))
        return way_to_restart(source, self._parts.settings, reload_failed=tried)

    def _wanted(self) -> str:
        """Which incident's processes keep what the bug took, as far as one is known."""
        for incident in self._stuck():
            return f"the patch for #{incident.number} is in force, what was stuck before stays so"
        service = self._parts.source.service()
        for incident, case in self._ledger.open_cases():
            proposal = incident.proposal
            if incident.state is not IncidentState.PROPOSED or not holds_on(incident, service):
                continue
            if case.refused:
                return f"the patch for #{incident.number} could not be applied to what is stuck"
            if proposal is None or not proposal.candidates:
                return f"there is no patch for #{incident.number}, and what is stuck stays so"
        return ""

    def _stuck(self) -> list[Incident]:
        """Those whose patch could not set free what processes of before still hold."""
        alive = _pids(self._parts)
        return [
            incident
            for incident, applied in self._ledger.stuck()
            if alive & {result.pid for result in applied.processes}
        ]

    # ------------------------------------------------------------ doing it
    def begin(self, answer: Future[str]) -> None:
        """Start it; `answer` is given when new processes serve. Raises SelfhealError."""
        refused = self._refusal()
        way = None if refused else self._way()
        if way is None:
            raise SelfhealError(refused or NO_WAY)
        self._running = _Running(way, answer, _pids(self._parts), self._stuck())
        self._say("begun", f"restart asked for. {way.does}", "info")

    def advance(self, now_s: float) -> None:
        """Run it, once that it has begun was published; then wait for the new processes."""
        running = self._running
        if running is None:
            return
        if not running.shown:
            running.shown = True
            self._parts.source.wake()  # the loop publishes, then goes on at once
            return
        if running.thread is None and not running.ran_s:
            self._run(running)
        if not running.ran_s:
            return
        if running.problem is not None:
            self._end(running, running.problem)
            return
        now = _pids(self._parts)
        if now - running.before and self._parts.source.service().alive:
            self._end(running, None)
        elif now_s - running.ran_s > BACK_S:
            gone = "no process of the service is there"
            same = "the same processes run as before"
            self._end(running, f"it was run, but {same if now else gone} {BACK_S:.0f} s after it")

    def _run(self, running: _Running) -> None:
        if running.way.owned:
            running.problem = running.way.run()
            running.ran_s = time.time()
            return
        self._parts.source.expect_restart()

        def work() -> None:
            try:
                running.problem = running.way.run()
            except Exception as why:  # noqa: BLE001 - told to whoever asked
                running.problem = f"{type(why).__name__}: {why}"
            running.ran_s = time.time()
            self._parts.source.wake()

        running.thread = threading.Thread(target=work, name="restart", daemon=True)
        running.thread.start()

    def _end(self, running: _Running, problem: str | None) -> None:
        self._running = None
        took_s = time.time() - running.began_s
        if problem is None:
            new = len(_pids(self._parts) - running.before)
            serve = f"{new} new process{'es' if new > 1 else ''} serve{'s' if new == 1 else ''}"
            text = f"restarted in {took_s:.1f} s: {serve}"
            for incident in running.stuck:
                self._ledger.case(incident).step("restarted", text)
            self._say("done", text, "info")
            running.answer.set_result(text)
            return
        self._reload_failed |= running.before
        text = f"not restarted: {problem}"
        self._say("failed", text, "critical")
        running.answer.set_exception(SelfhealError(text))

    def _say(self, phase: str, text: str, severity: Severity) -> None:
        now_s = time.time()
        self._parts.publisher.event(restart_event(phase, text, now_s))
        self._tell([Alert(now_s, "restart", severity, text)])
        self._ledger.dirty = True

    def close(self) -> None:
        """The engine ends: whoever waits is told that the outcome will not be seen here."""
        if self._running is not None:
            running, self._running = self._running, None
            running.answer.set_exception(
                SelfhealError("the engine ended before the restart was through: see for yourself")
            )


def _pids(parts: Parts) -> frozenset[int]:
    return frozenset(process.pid for process in parts.source.service().processes)
