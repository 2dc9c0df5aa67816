"""The service as the engine sees it: samples, occurrences, swaps, all from one thread."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from selfheal_agent import histogram
from selfheal_engine.codec import from_plain
from selfheal_engine.config import Settings
from selfheal_engine.diagnosis.keeping import repeatable
from selfheal_engine.diagnosis.source_file import Sources
from selfheal_engine.errors import TargetError
from selfheal_engine.model import (
    EndpointStat,
    FunctionSwap,
    Occurrence,
    Reading,
    Sample,
    ServiceInfo,
    SwapResult,
    Target,
    WaitingThread,
)
from selfheal_engine.sources import launching, locating, remote_attach
from selfheal_engine.sources.brokers import Brokers
from selfheal_engine.sources.deploys import Deploys
from selfheal_engine.sources.leaks import LeakReport
from selfheal_engine.sources.occurrences import OccurrenceStore
from selfheal_engine.sources.outside import Outside
from selfheal_engine.sources.probes import ProbeSet, RouteCounts, swap_result
from selfheal_engine.sources.process_tree import ProcessTree
from selfheal_engine.sources.readings import (
    Totals,
    increase,
    latency,
    or_level,
    rate,
    spool_depth,
    teller_of,
)

SWAP_S = 5.0
STATS_S = 0.4
RECENT_S = 60.0
RESTART_S = 90.0
"""A restart by the owner's command may leave the service without processes for so long."""


def open_source(target: Target, settings: Settings, *, log: Path | None = None) -> ServiceSource:
    """Start the target's command, or attach to what runs. Raises TargetError."""
    if not target.command:
        source = ServiceSource(settings, locating.locate(target, settings))
        source.enter()
        return source
    program = launching.find_program(target.command)
    project = settings.project or os.getcwd()
    name = launching.service_name(target.command, project)
    if not Path(project).is_dir():
        raise TargetError(f"the project path {project} is not a folder: check --project")
    log = log or settings.state_path() / "logs" / f"{name}.log"
    launch = partial(
        launching.start,
        (program, *target.command[1:]),
        name=name,
        run_dir=settings.run_path(),
        project=project,
        log=log,
        environ={**os.environ, "SELFHEAL_SWALLOWED": "1"} if settings.swallowed else None,
    )
    process = launch()
    found = locating.Located(
        process.pid, name, project, " ".join(shlex.quote(word) for word in target.command)
    )
    source = ServiceSource(settings, found, process, launch)
    source._note = launching.why_no_probe((program, *target.command[1:]))
    return source


class ServiceSource:
    """One watched service. Every method but `wake` belongs to one thread."""

    def __init__(
        self,
        settings: Settings,
        found: locating.Located,
        process: subprocess.Popen[bytes] | None = None,
        launch: Callable[[], subprocess.Popen[bytes]] | None = None,
    ) -> None:
        """`process` is what we started ourselves, by `launch`; None: it ran before."""
        self._settings = settings
        self._found = found
        self._process = process
        self._launch = launch
        self._probes = ProbeSet(settings.run_path(), found.pid)
        self._tree = ProcessTree(found.pid)
        self._store = OccurrenceStore()
        self._waiting: list[Occurrence] = []
        self._threads: tuple[WaitingThread, ...] = ()
        self._threads_asked: dict[Any, int] = {}
        self._leak: LeakReport | None = None
        self._alive = True
        self._restart_s = 0.0
        self._note = ""
        self._before = Totals()
        self._last = time.monotonic()
        self._stats: dict[int, dict[str, Any]] = {}
        self._recent: deque[tuple[float, dict[str, tuple[int, int, Counter[int]]]]] = deque()
        self._probes.scan()
        self.project = locating.project_of(found, settings, self._probes)
        self._brokers = Brokers()
        self._outside = Outside(settings, self.project, found.pid, found.unit)
        self._deploys = Deploys(self.project.root)

    def enter(self) -> None:
        """Put the probe into a service that runs without it, where its Python allows that."""
        if self._probes.connections or self._process is not None:
            return
        found = self._found
        self._note = remote_attach.enter(
            found.pid, found.name, self._settings.run_path(), str(self.project.root)
        )
        self._probes.scan()
        self.project = locating.project_of(found, self._settings, self._probes)

    # ------------------------------------------------------------ what happened
    def poll(self, timeout_s: float) -> list[Occurrence]:
        """Occurrences, waited for up to `timeout_s`; early when something came or on `wake`."""
        end = time.monotonic() + timeout_s
        while True:
            left = max(0.0, end - time.monotonic())
            messages = self._probes.wait(min(left, 0.5) if self._alive else left)
            found = self._take(messages)
            if self._waiting:
                found = [*self._waiting, *found]
                self._waiting = []
            ended = self._alive and not self._still_alive()
            if ended:
                found += self._take(self._probes.left_behind())
            if found or ended or self._probes.woken or time.monotonic() >= end:
                return found

    def wake(self) -> None:
        """Thread-safe: let `poll` return now."""
        self._probes.wake()

    def _take(self, messages: list[tuple[int, dict[str, Any]]]) -> list[Occurrence]:
        found: list[Occurrence] = []
        for pid, message in messages:
            kind = message.get("t")
            if kind == "occurrence":
                occurrence = self._store.record(pid, message)
                if occurrence is not None:
                    found.append(occurrence)
            elif kind == "counts":
                found.extend(self._store.counted(pid, message))
            elif kind == "good_call":
                self._store.good_call(message)
        found.extend(self._store.updated())
        if self._leak is not None:
            leak = self._leak.advance(self._probes)
            if self._leak.done:
                self._leak = None
            if leak is not None:
                found.append(self._store.put(leak))
                # what the growth can be shown again with
                for file, function in repeatable(leak, Sources(self.project)):
                    path = str(self.project.root / file.path)
                    self.record_good_calls(path, (function,))
        has_probe = bool(self._probes.connections)
        expected = has_probe or (self._process is not None and self._alive)
        found.extend(self._outside.poll(found, self._store.put, has_probe=has_probe, wait=expected))
        self._take_threads()
        return found

    def _still_alive(self) -> bool:
        if self._process is not None:
            self._process.poll()
        self._alive = self._tree.alive() and (
            self._process is None or self._process.returncode is None or bool(self._workers())
        )
        if not self._alive and 0 < time.time() - self._restart_s < RESTART_S:
            found = locating.find_again(self._found, self._settings, self._restart_s)
            if found is not None:
                self._process = None  # whoever restarted it has started this one
                self._follow(found)
            self._alive = True
        return self._alive

    def _workers(self) -> list[int]:
        self._tree.refresh()
        return [pid for pid in self._tree.pids() if pid != self._found.pid]

    @property
    def root_pid(self) -> int:
        """The outermost process of the service."""
        return self._found.pid

    @property
    def exit_status(self) -> int | None:
        """How the process that we started ended; None while it runs or when it is not ours."""
        return self._process.poll() if self._process is not None else None

    # ------------------------------------------------------------ measurements
    def sample(self, now_s: float) -> Sample:
        """Readings since the last call; anomaly_score is filled in by the detector."""
        clock = time.monotonic()  # rates must not follow a clock that is set
        interval = max(1e-3, clock - self._last)
        self._last = clock
        tree = self._tree.read()
        self._stats = self._probes.refresh_stats(STATS_S)
        page = self._outside.measure()
        now = Totals.of(self._probes, self._store, self._outside)
        before, self._before = self._before, now
        requests = increase(now.requests, before.requests)
        errors = increase(now.errors, before.errors)
        outside = now.outside - before.outside
        durations = now.durations - before.durations
        self._remember_routes(now_s)
        has_probe = bool(self._probes.cards)
        traffic = has_probe or bool(self._outside.traffic.teller)
        failures = increase(now.failures, before.failures)
        readings = {
            "cpu_usage": tree.cpu,
            "memory_usage": or_level(tree.memory, page.levels.get("memory_bytes")),
            "error_rate": rate(
                errors + outside, failures, interval, traffic or self._outside.hears_exceptions
            ),
            "response_time": latency(
                durations, bool(now.requests), "" if traffic else self._outside.why_no_requests
            ),
            "queue_depth": self._queue_depth(tree.backlog, page.levels.get("backlog")),
            "deadlock_risk": self._risk(has_probe),
            "anomaly_score": Reading(None, ""),
        }
        counters = {
            **tree.counters,
            "requests": float(requests),
            "errors": float(errors),
            "exceptions": float(now.exceptions - before.exceptions),
            "restarts": float(now.restarts - before.restarts),
            "deploy": float(self._deploys.update(self._tree.pids())),
            **self._probe_counters(),
        }
        for name, level in (*page.levels.items(), *page.totals.items()):
            counters.setdefault(name, level)
        for q, name in ((0.5, "p50_ms"), (0.95, "p95_ms"), (0.99, "p99_ms")):
            value = histogram.quantile_s(durations, q)
            if value is not None:
                counters[name] = value * 1000.0
        for name, total in now.totals.items():
            counters[name] = float(total - before.totals.get(name, 0))
        counters |= self._derived(counters, interval)
        for print_, count in now.fingerprints.items():
            more = count - before.fingerprints.get(print_, 0)
            if more:
                counters[f"exceptions:{print_}"] = float(more)
        return Sample(now_s, interval, readings, counters)

    def _derived(self, counters: Mapping[str, float], interval_s: float) -> dict[str, float]:
        """What signatures and forecasts read and nobody measures directly."""
        made = {}
        if "gc_pause_ms" in counters:
            made["gc_share"] = counters["gc_pause_ms"] / (1000.0 * interval_s)
        if counters.get("upstream_calls"):
            made["upstream_ms"] = counters["upstream_total_ms"] / counters["upstream_calls"]
        if self._settings.latency_budget_ms > 0:
            made["latency_budget_ms"] = self._settings.latency_budget_ms
        return made

    def _queue_depth(self, backlog: int | None, told: float | None) -> Reading:
        depths = [s["queue_depth"] for s in self._stats.values() if s.get("ok")]
        spool = spool_depth(self._settings.queue_dir)
        waiting = self._brokers.waiting(
            [told for s in self._stats.values() for told in s.get("brokers", ())]
        )
        backlog = backlog if backlog is not None or told is None else int(told)
        known = [float(part) for part in (backlog, *depths, spool, waiting) if part is not None]
        if not known:
            return Reading(None, "no listening socket and no probe to look at queues")
        return Reading(sum(known))

    def _risk(self, has_probe: bool) -> Reading:
        risks = [float(s["deadlock_risk"]) for s in self._stats.values() if s.get("ok")]
        if risks:
            return Reading(max(risks))
        return Reading(None, "the probes did not answer" if has_probe else "needs the probe")

    def _probe_counters(self) -> dict[str, float]:
        counters: dict[str, float] = {}
        for stats in self._stats.values():
            for name, value in stats.get("levels", {}).items():
                counters[name] = counters.get(name, 0.0) + float(value)
            for name, value in stats.get("worst", {}).items():
                counters[name] = max(counters.get(name, 0.0), float(value))
        return counters

    def _remember_routes(self, now_s: float) -> None:
        snapshot = {
            route: (counts.requests, counts.errors, Counter(counts.histogram))
            for route, counts in self._routes().items()
        }
        self._recent.append((now_s, snapshot))
        while len(self._recent) > 2 and now_s - self._recent[1][0] > RECENT_S:
            self._recent.popleft()

    # ------------------------------------------------------------ what it looks like
    def service(self) -> ServiceInfo:
        """The watched program now."""
        pythons = {pid: card.python for pid, card in self._probes.cards.items()}
        frameworks = [str(s.get("framework") or "") for s in self._stats.values()]
        frameworks += [card.framework for card in self._probes.cards.values()]
        return ServiceInfo(
            name=self._found.name,
            project=str(self.project.root),
            command=self._found.command,
            processes=self._tree.infos({c.pid for c in self._probes.connections}, pythons),
            framework=next((name for name in frameworks if name), ""),
            started_by_us=self._process is not None,
            alive=self._alive,
        )

    def endpoints(self) -> tuple[EndpointStat, ...]:
        """Routes of the last minute, busiest first."""
        if not self._recent:
            return ()
        first, last = self._recent[0][1], self._recent[-1][1]
        found = []
        for route, (requests, errors, counts) in last.items():
            old = first.get(route, (0, 0, Counter()))
            if requests <= old[0]:
                continue
            recent = counts - old[2]
            p50, p95 = histogram.quantile_s(recent, 0.5), histogram.quantile_s(recent, 0.95)
            found.append(
                EndpointStat(
                    route,
                    requests - old[0],
                    errors - old[1],
                    1000.0 * (p50 or 0.0),
                    1000.0 * (p95 or 0.0),
                )
            )
        return tuple(sorted(found, key=lambda stat: -stat.requests))

    def threads(self) -> tuple[WaitingThread, ...]:
        """Stacks as of the last `refresh_threads` that was answered."""
        return self._threads

    def refresh_threads(self) -> None:
        """Ask the probes for stacks; the answers show up in `threads` later."""
        self._threads_asked = {
            connection: connection.send({"t": "threads"}) for connection in self._probes.connections
        }

    def _take_threads(self) -> None:
        found: list[WaitingThread] = []
        for connection, number in list(self._threads_asked.items()):
            answer = connection.reply(number)
            if answer is not None:
                del self._threads_asked[connection]
                found += [from_plain(WaitingThread, item) for item in answer.get("threads", ())]
        if found:
            self._threads = tuple(found)

    def drops(self) -> int:
        """Records that the probes or other sources had to drop."""
        return self._probes.drops + self._outside.drops

    def notes(self) -> tuple[str, ...]:
        """What the probes and other sources could not do, in their words."""
        late = (self._note,) if self._note and not self._probes.connections else ()
        return (*late, *self._probes.notes, *self._outside.notes)

    def read_only(self) -> str:
        """Why this app may only look; "" when it holds the service."""
        owner = self._probes.taken_by()
        return f"the app with pid {owner} holds this service; this one only looks" if owner else ""

    def route_counts(self) -> dict[str, tuple[int, int]]:
        """Cumulative (requests, errors) by route, as of now."""
        self._probes.refresh_stats(STATS_S)
        return {route: (counts.requests, counts.errors) for route, counts in self._routes().items()}

    def durations(self, route: str = "") -> dict[int, Counter[int]]:
        """Durations of requests by process since each began, as of the last `route_counts`.

        Of one route, or of all with "". Counts by bucket of `selfheal_agent.histogram`; only
        the probe tells processes apart.
        """
        return self._probes.durations(route)

    def recent_durations(self, route: str = "") -> Counter[int]:
        """Durations of the last minute's requests, over all processes."""
        recent: Counter[int] = Counter()
        first = self._recent[0][1] if self._recent else {}
        none: tuple[int, int, Counter[int]] = (0, 0, Counter())
        for name, (_, _, counts) in (self._recent[-1][1] if self._recent else {}).items():
            if route in ("", name):
                recent.update(counts - first.get(name, none)[2])
        return recent

    def _routes(self) -> Mapping[str, RouteCounts]:
        return teller_of(self._probes, self._outside).routes

    # ------------------------------------------------------------ commands
    def swap(self, request: FunctionSwap, pids: tuple[int, ...] = ()) -> list[SwapResult]:
        """Bring the functions to the file's new text in every process (or those of `pids`)."""
        message = {
            "t": "swap",
            "changes": True,
            "path": request.path,
            "sha256": request.sha256,
            "functions": list(request.functions),
        }
        return self._command(message, pids)

    def revert(self, request: FunctionSwap, pids: tuple[int, ...] = ()) -> list[SwapResult]:
        """Give every process the code back that it had before."""
        return self._command({"t": "revert", "changes": True, "path": request.path}, pids)

    def _command(self, message: dict[str, Any], pids: tuple[int, ...]) -> list[SwapResult]:
        self._probes.scan()
        asked = [c.pid for c in self._probes.connections if not pids or c.pid in pids]
        answers = self._probes.ask(message, SWAP_S, tuple(asked)) if asked else {}
        return [swap_result(pid, answers.get(pid), SWAP_S) for pid in asked]

    def restart(self) -> str | None:
        """End the service and start it as we did before; None when it runs, else why not."""
        if self._process is None or self._launch is None:
            return "this app did not start it"
        launching.stop(self._process)
        try:
            self._process = launching.start_again(self._launch)
        except TargetError as why:
            self._alive = False
            return str(why)
        self._follow(replace(self._found, pid=self._process.pid))
        return None

    def expect_restart(self) -> None:
        """Somebody restarts it now: processes that end are followed by new ones."""
        self._restart_s = time.time()

    def _follow(self, found: locating.Located) -> None:
        self._probes.follow(found.pid)
        self._found, self._tree = found, ProcessTree(found.pid)
        self._stats, self._threads_asked, self._leak, self._alive = {}, {}, None, True

    def hold_text(self, path: str) -> None:
        """Before `path` is written: the probes keep its present text for the code that runs."""
        self._probes.ask({"t": "hold", "path": path}, STATS_S)

    def record_good_calls(self, file: str, functions: tuple[str, ...] | list[str]) -> None:
        """Sample good calls of these functions in every process."""
        message = {"t": "record", "changes": True, "path": file, "functions": list(functions)}
        for connection in self._probes.connections:
            connection.send(message)

    def request_memory_report(self, wait_s: float) -> None:
        """Look for growth over `wait_s`; what is found comes through `poll` as a leak."""
        if self._leak is None:
            self._leak = LeakReport(self._probes, wait_s)

    def memory_report(self, wait_s: float) -> Occurrence | None:
        """The same for callers that can wait."""
        report = LeakReport(self._probes, wait_s)
        while not report.done:
            for pid, message in self._probes.wait(0.2):
                self._waiting.extend(self._take([(pid, message)]))
            found = report.advance(self._probes)
            if found is not None:
                return self._store.put(found)
        return None

    def close(self, stop_service: bool) -> None:
        """Detach; end the service too when asked. Harmless the second time."""
        if stop_service:
            if self._process is not None:
                launching.stop(self._process)
            else:
                locating.stop_foreign(self._found.pid)
        self._outside.close()
        self._brokers.close()
        self._probes.close()
