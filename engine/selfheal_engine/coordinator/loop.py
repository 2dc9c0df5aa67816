"""The engine's loop: one thread that owns every part and all mutable state.

Each turn waits on the source (an occurrence, a command or the next sample wakes it), takes
what came, moves the incidents on, and publishes one snapshot when something changed. A full
sweep every 10 s ends incidents that went away by themselves and keeps the files tidy.
"""

from __future__ import annotations

import queue
import signal
import time
import traceback
from collections.abc import Callable

from selfheal_engine.coordinator.decisions import Decisions
from selfheal_engine.coordinator.healing import Healings
from selfheal_engine.coordinator.investigation import Investigations
from selfheal_engine.coordinator.ledger import Ledger
from selfheal_engine.coordinator.overview import Overview
from selfheal_engine.coordinator.parts import Parts
from selfheal_engine.coordinator.policy import ApprovalPolicy
from selfheal_engine.coordinator.restarting import Restarts
from selfheal_engine.coordinator.workers import Message
from selfheal_engine.errors import SelfhealError
from selfheal_engine.events import VERSION, alert_event, sample_event
from selfheal_engine.model import Alert, Event, Incident, IncidentState, Occurrence, Severity

SWEEP_S = 10.0
"""The healing loop's full round."""
SAVE_S = 300.0
RETENTION_S = 6 * 3600.0
"""How often what is older than the owner's setting is forgotten."""
TOLD_S = 10.0
"""The feed tells of one bug at most this often."""
LEAK_REPORT_S = 8.0
"""How long the probe compares memory before it reports what grew."""
QUIET_S = 1200.0
"""An incident of metrics alone that an earlier engine opened has gone away after so long without
an alert; those of this engine are ended by their tracker."""
MOST_FAILURES, FAILING_S = 20, 60.0
"""So many turns in a row, over so long, that fail by a bug of ours end the engine."""


class EngineLoop:
    """Runs on one thread from `run` to the end. Only `post` may be called from others."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.ledger = Ledger(parts)
        self.investigations = Investigations(parts, self.ledger, self._deliver, self._proposed)
        self.healings = Healings(
            parts,
            self.ledger,
            ApprovalPolicy(
                parts.settings,
                parts.memory.precedents(parts.source.service().name, time.time()),
            ),
            self.investigations.edit,
            self.investigations.cancel,
        )
        self.decisions = Decisions(parts, self.ledger, self.investigations)
        self.restarts = Restarts(parts, self.ledger, self._tell_alerts)
        self.overview = Overview(
            parts, self.ledger, self.investigations, self.healings, self.restarts
        )
        self._told_s: dict[str, float] = {}
        self._processes: frozenset[int] = frozenset()
        self._next_sample_s = 0.0
        self._next_sweep_s = 0.0
        self._next_save_s = 0.0
        self._next_retention_s = time.time() + RETENTION_S
        self._turn_s = 0.0
        self._failures = 0
        self._failing_since_s = 0.0
        self._told_problem = ""
        self._stopping = ""
        self.broken = False
        """The engine ends by a bug of its own: its service must not end with it."""

    # ------------------------------------------------------------ from other threads
    def post(self, call: Callable[[], None]) -> None:
        """Run `call` on the engine thread soon."""
        self._inbox.put(call)
        self._parts.source.wake()

    def stop(self, reason: str) -> None:
        """Ask the loop to end; it finishes the turn it is in."""
        self.post(lambda: self._stop(reason))

    # ------------------------------------------------------------ the thread
    def begin(self) -> None:
        """Tell of the start, finish what a crash left, publish the first snapshot."""
        service = self._parts.source.service()
        self._parts.publisher.event(
            Event(
                time.time(),
                "started",
                {
                    "version": VERSION,
                    "service": service.name,
                    "project": service.project,
                    "pids": [process.pid for process in service.processes],
                },
            )
        )
        self.healings.recover()
        self._next_sample_s = time.time() + self._parts.settings.interval_s
        self.overview.publish(time.time())

    def run(self) -> str:
        """Until stopped or until the service ends; returns the reason."""
        while not self._stopping:
            try:
                self._turn()
                self._failures, self._told_problem = 0, ""
            except Exception as why:  # noqa: BLE001 - one bad turn must not end the watch
                self._survive(why)
                time.sleep(min(1.0, 0.01 * self._failures))
        return self._stopping

    def close(self) -> None:
        """End the work under way; the parts are closed by their owner."""
        self.investigations.close()
        self.restarts.close()
        while not self._inbox.empty():
            self._inbox.get()()

    # ------------------------------------------------------------ one turn
    def _turn(self) -> None:
        """What one step cannot do does not keep the others from theirs; the first problem is
        raised at the end.
        """
        wait_s = min(self._next_sample_s - time.time(), 0.5)
        occurrences = self._parts.source.poll(max(0.0, wait_s))
        now_s = time.time()
        self._follow_clock(now_s)
        problems: list[Exception] = []
        steps: tuple[Callable[[], None], ...] = (
            lambda: self._take_occurrences(occurrences, now_s),
            self._run_inbox,
            lambda: self._take_sample(now_s),
            lambda: self.restarts.advance(now_s),
            lambda: None if self.restarts.running else self.healings.advance(now_s),
            lambda: self.investigations.advance(now_s),
            lambda: self._sweep(now_s),
            lambda: self._publish(now_s),
        )
        for step in steps:
            try:
                step()
            except Exception as why:  # noqa: BLE001 - raised below
                problems.append(why)
        if problems:
            raise problems[0]

    def _publish(self, now_s: float) -> None:
        if self.ledger.dirty:
            self.ledger.dirty = False
            self.overview.publish(now_s)

    def _follow_clock(self, now_s: float) -> None:
        """When the clock is set back, what is due does not wait until it has caught up."""
        back_s = self._turn_s - now_s
        if back_s > 0.0:
            self._next_sample_s -= back_s
            self._next_sweep_s -= back_s
            self._next_save_s -= back_s
            self._next_retention_s -= back_s
        self._turn_s = now_s

    def _run_inbox(self) -> None:
        while True:
            try:
                call = self._inbox.get_nowait()
            except queue.Empty:
                return
            call()

    def _take_occurrences(self, occurrences: list[Occurrence], now_s: float) -> None:
        if not occurrences:
            return
        for occurrence in () if self.restarts.running else occurrences:
            self.healings.occurrence(occurrence)
        self._note_incidents(now_s, (), occurrences)
        for occurrence in occurrences:
            self._tell_occurrence(occurrence, now_s)

    def _take_sample(self, now_s: float) -> None:
        if now_s < self._next_sample_s:
            return
        parts = self._parts
        interval_s = parts.settings.interval_s
        self._next_sample_s = max(self._next_sample_s + interval_s, now_s + 0.1 * interval_s)
        in_incident = self._in_incident(now_s)
        sample = parts.source.sample(now_s)
        alerts = list(parts.monitor.ingest(sample, in_incident=in_incident))
        assessment = parts.detector.ingest(sample, in_incident)
        parts.monitor.set_anomaly(assessment.score, assessment.metrics)
        parts.monitor.set_forecasts(assessment.forecasts)
        alerts.extend(assessment.alerts)
        health = parts.monitor.health().score
        parts.publisher.event(sample_event(parts.monitor.recent(1)[-1], health))
        self._tell_alerts(alerts)
        self._note_incidents(now_s, tuple(alerts), [])
        if assessment.leak_suspected:
            parts.source.request_memory_report(LEAK_REPORT_S)
        if not self.restarts.running:  # what ends and starts says nothing of a patch
            self.healings.sample(sample, health, now_s)
        self._note_processes(now_s)
        self.ledger.dirty = True

    def _note_incidents(
        self, now_s: float, alerts: tuple[Alert, ...], occurrences: list[Occurrence]
    ) -> None:
        tracker = self._parts.tracker
        ended_before = {incident.id: incident.state.ended for incident in tracker.incidents()}
        for incident in tracker.observe(now_s, alerts, occurrences):
            if incident.id not in ended_before:
                self.ledger.opened(incident)
                self.healings.came_back(incident, now_s)
            elif incident.state.ended and not ended_before[incident.id]:
                self.investigations.cancel(incident.id)
                self.ledger.ended_by_itself(incident)
            self.ledger.dirty = True

    # ------------------------------------------------------------ slower rounds
    def _sweep(self, now_s: float) -> None:
        if now_s < self._next_sweep_s:
            return
        self._next_sweep_s = now_s + SWEEP_S
        self.ledger.catch_up()
        if not self.healings.watching():  # what is watched has changed its file itself
            self.healings.rebasing.freshen()
        self.healings.reconsider()
        for incident, _ in self.ledger.open_cases():
            waiting = incident.state in (IncidentState.OPEN, IncidentState.DIAGNOSED)
            if waiting and incident.occurrence is None and now_s - incident.last_seen_s > QUIET_S:
                self.decisions.dismiss(incident.id, "went away by itself", by="engine")
        if now_s >= self._next_save_s:
            self._next_save_s = now_s + SAVE_S
            self._parts.save()
        if now_s >= self._next_retention_s:
            self._next_retention_s = now_s + RETENTION_S
            self._parts.forget_old()
        self._told_s = {name: at for name, at in self._told_s.items() if now_s - at < TOLD_S}

    def _note_processes(self, now_s: float) -> None:
        """A service that ended, and a deploy: none of the processes is one we knew."""
        source = self._parts.source
        service = source.service()
        if not service.alive:
            code = source.exit_status
            self._stop("the service ended" + how_it_ended(code))
            return
        workers = frozenset(p.pid for p in service.processes if p.has_probe)
        if workers and self._processes and not workers & self._processes:
            self._parts.monitor.note_deploy(now_s, "every process was replaced")
            self.healings.restarted(now_s)
            text = "every process was replaced: the limits are learned anew"
            self._tell_alerts([Alert(now_s, "deploy", "info", text)])
        self._processes = workers or self._processes

    def _in_incident(self, now_s: float) -> bool:
        """Baselines must not learn from a service that is failing right now."""
        recent_s = max(120.0, 3 * self._parts.settings.interval_s)
        return any(now_s - i.last_seen_s < recent_s for i, _ in self.ledger.open_cases())

    # ------------------------------------------------------------ telling
    def _tell_alerts(self, alerts: list[Alert]) -> None:
        for alert in alerts:
            self.overview.feed.append(alert)
            self._parts.publisher.event(alert_event(alert))

    def _tell_occurrence(self, occurrence: Occurrence, now_s: float) -> None:
        """One line in the feed for each bug, at most every `TOLD_S`."""
        if now_s - self._told_s.get(occurrence.fingerprint, 0.0) < TOLD_S:
            return
        self._told_s[occurrence.fingerprint] = now_s
        crash = occurrence.crash
        place = f"{crash.file}:{crash.line}" if crash else ""
        name = occurrence.exception or occurrence.kind
        text = f"{name}: {occurrence.message}" if occurrence.message else name
        severity: Severity = "warning" if occurrence.handled else "critical"
        alert = Alert(
            occurrence.time_s,
            "occurrence",
            severity,
            text[:300],
            metrics=(),
            fingerprint=occurrence.fingerprint,
            place=place,
        )
        self._tell_alerts([alert])

    # ------------------------------------------------------------ endings
    def _deliver(self, message: Message) -> None:
        self.post(lambda: self.investigations.handle(message))

    def _proposed(self, incident: Incident) -> None:
        self.healings.proposed(incident)

    def _stop(self, reason: str) -> None:
        self._stopping = self._stopping or reason

    def _survive(self, why: Exception) -> None:
        """Tell of it once, and go on. A full disk or a lost mount may last for days; only what
        is a bug of ours, turn after turn, ends the engine, so that whoever supervises it can
        start it anew.
        """
        outside = isinstance(why, (SelfhealError, OSError))
        text = str(why) if outside else f"the engine stumbled: {type(why).__name__}: {why}"
        now_s = time.monotonic()
        if not self._failures:
            self._failing_since_s = now_s
        self._failures += 1
        if text != self._told_problem:
            self._told_problem = text
            self._parts.publisher.error(text, traceback="".join(traceback.format_exception(why)))
            self.overview.note(text)
        lasting = now_s - self._failing_since_s >= FAILING_S
        if not outside and self._failures >= MOST_FAILURES and lasting:
            self.broken = True
            self._stop(f"{text} ({self._failures} times in a row)")


def how_it_ended(code: int | None) -> str:
    """A process's exit code in words; a negative one is a signal (subprocess's convention)."""
    if code is None:
        return ""
    known = {number.value: number.name for number in signal.Signals}
    by = f" ({known.get(-code, f'signal {-code}')})" if code < 0 else ""
    return f" with exit code {code}{by}"
