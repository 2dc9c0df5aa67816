"""Watching a patch that is in force: healed, or harm and back.

A failure of the same fingerprint that began after the patch, or a new one out of the changed
functions or of those that call them, ends the watch at once. Without one, the watch ends as
soon as the sequential test of `sequential` has seen enough comparable calls (requests of the
same route) or enough time. A leak has no failure to wait for: there the slope of the memory
decides. The service's error rate, response time, memory and health are compared with before by
cumulative sums at each sample, and more finely by `side_effects` once a second.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Literal

from selfheal_engine.config import Settings
from selfheal_engine.healer.applied import Applied
from selfheal_engine.healer.routes import route_of
from selfheal_engine.healer.sequential import (
    Cusum,
    calls_needed,
    canary_failures_needed,
    growth,
    seconds_needed,
)
from selfheal_engine.healer.side_effects import Glimpse, SideEffects, in_mb, still_failing
from selfheal_engine.model import Frame, Incident, Occurrence, Sample
from selfheal_engine.model.vocabulary import UPSTREAM_ERRORS

MINIMUM_S = 8.0
"""No healing is declared sooner: workers drain, retries come back."""
STALL_MINIMUM_S = 15.0
CANARY_MINIMUM_S = 3.0
CANARY_MAXIMUM_S = 6.0
GRACE_S = 2.5
"""Calls that were under way when the code was swapped may still fail, and the probe tells of
further failures of a known kind once a second, for the second before."""
SLOW_KINDS = ("stall", "deadlock")
LEAK_PATIENCE = 4
"""A container with a bound still fills up to it: so many watches pass before growth is harm."""
FAILURES = ("exception", "thread_death", "syntax", "stall", "deadlock")
"""What a patch can have caused within its watch; growth told now began before it."""
UNTOLD_S = 15.0
"""A stall without a known beginning may have begun this long before it was told of."""
LEAK_UNTOLD_S = 20.0
"""A leak's report looks back over this time at most."""

HEALTH_FALL = 30.0
"""Points that the health score must fall after the patch to count."""

Routes = dict[str, tuple[int, int]]
"""route -> (requests, errors), both counted since the source was opened."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the watch concludes, with the sentence for the person.

    handed_over: nothing is in force (a file or a patch was written), so nothing can be watched;
    or what runs is stuck from before and nobody has restarted it. renew: what a leak has piled up
    in the processes makes them grow on, whatever code they run: new ones will tell.
    """

    kind: Literal["healed", "roll_back", "next_canary", "handed_over", "renew"]
    text: str
    proven: bool = True
    """Healed on enough evidence; without, the patch goes back should the error return."""


class Watch:
    """One healing under observation. Owned by the engine thread."""

    def __init__(
        self,
        incident: Incident,
        applied: Applied,
        before: tuple[Sample, ...],
        routes_before: Routes,
        settings: Settings,
        now_s: float,
        effects: SideEffects | None = None,
    ) -> None:
        """`effects` sees what the patch costs, where the service can be looked at that closely."""
        occurrence = incident.occurrence
        self._incident = incident
        self._applied = applied
        self._settings = settings
        self._kind = occurrence.kind if occurrence else "metric"
        self._handled_before = occurrence is not None and occurrence.handled
        self._of_a_peer = occurrence is not None and is_of_a_peer(occurrence)
        self._route = route_of(occurrence, routes_before)
        self._effects = effects or SideEffects(Counter(), None, 1.0, None)
        frames = occurrence.frames if occurrence else ()
        self._callers = {(f.file, f.function) for f in frames if f.own}
        self._others_failed = 0
        """Failures of other bugs since the patch, where the patched route's calls failed."""
        self._applied_s = now_s
        """When the patch came into force anywhere."""
        self._started_s = now_s
        """When it came into force everywhere: the evidence counts from here."""
        self._routes_start = dict(routes_before)
        self._routes = dict(routes_before)
        self._routes_settled: Routes | None = None
        """The same once the calls that were under way are through."""
        self._share = failing_share(incident, self._route, routes_before)
        self._unexplained = _unexplained_share(incident, self._route, routes_before)
        self._rate_per_s = _failure_rate(incident, now_s)
        slowest_s = (_worst(before, "response_time") or 0.0) / 1000
        self._grace_s = min(GRACE_S + min(5.0, slowest_s), settings.watch_s / 2)
        self._known = _known_fingerprints(before) | {incident.fingerprint}
        self._control_failures = 0
        self._stray_failures = 0
        self._held_up = 0
        """Failures of what was stuck or lost before the patch, in processes that keep it."""
        self._harm = ""
        self._piled_up = ""
        """How memory still grows in processes that a leak has filled before the patch."""
        self._renewed = False
        self.caused = ""
        """Fingerprint of a new failure that came with the patch and ended the watch."""
        self._limits = _limits(before, _waited_s(incident))
        self._health: Cusum | None = None
        self._memory: list[tuple[float, float]] = []
        self._growth_before = memory_growth(before)

    # ------------------------------------------------------------ what is seen
    def occurrence(self, occurrence: Occurrence) -> None:
        """Something failed while the patch is in force."""
        if occurrence.count == 0 or (occurrence.handled and not self._handled_before):
            return  # news of an old record, or what the project's code deals with now
        if _began_s(occurrence) < self._applied_s + self._grace_s:
            return  # it began before the patch
        if self._is_its_answer(occurrence):
            return
        on_canary = not self._applied.canary or occurrence.pid in self._applied.canary
        if occurrence.fingerprint != self._incident.fingerprint and not occurrence.handled:
            self._others_failed += occurrence.count
        if occurrence.fingerprint == self._incident.fingerprint and self._kind != "leak":
            if self._applied.stuck:
                self._held_up += occurrence.count
            elif on_canary:
                self._harm = f"the error came back in process {occurrence.pid}"
            else:
                self._control_failures += occurrence.count
        elif (
            on_canary and occurrence.kind in FAILURES and occurrence.fingerprint not in self._known
        ):
            if self._applied.stuck and self._is_of_the_stuck(occurrence):
                self._held_up += occurrence.count
            else:
                self._new_failure(occurrence)

    def _is_its_answer(self, occurrence: Occurrence) -> bool:
        """Whether the patch raised this on purpose and the service answered a request with it.

        Whether callers are better off with that answer is told by the failing share.
        """
        if occurrence.kind != "exception" or occurrence.request is None or not occurrence.frames:
            return False
        innermost = occurrence.frames[-1]
        raised = innermost.source_line.strip() in self._applied.raises
        return raised and self._is_in_a_patched_file(innermost)

    def _is_in_a_patched_file(self, frame: Frame) -> bool:
        parts = PurePath(frame.file).parts
        files = (PurePath(path).parts for path in self._applied.files)
        return any(parts[-len(file) :] == file for file in files)

    def _is_of_the_stuck(self, occurrence: Occurrence) -> bool:
        """Whether who meets what is stuck fails so: no new code sets it free."""
        known = self._incident.occurrence
        same = known is not None and occurrence.exception == known.exception
        return same or occurrence.kind in SLOW_KINDS

    def look(self, glimpse: Glimpse, routes: Routes, now_s: float) -> None:
        """A light look, about once a second."""
        if self._applied.stuck and glimpse.memory:
            old = {result.pid for result in self._applied.processes}
            if not old & glimpse.memory.keys():  # somebody has restarted it
                self.rolled_out(replace(self._applied, stuck=""), now_s)
                self._held_up = 0
        self._routes = routes
        self._effects.look(glimpse)
        if now_s < self._applied_s + self._grace_s:
            return
        if self._routes_settled is None:
            self._routes_settled, self._others_failed = dict(routes), 0
        slower = self._effects.slower(self._applied.canary)
        if slower and not self._harm:
            self._harm = slower

    def sample(self, sample: Sample, health_score: float, routes: Routes, now_s: float) -> None:
        """One more reading of the service."""
        self._routes = routes
        memory = sample.value("memory_usage")
        if memory is not None and sample.time_s >= self._started_s:
            self._memory.append((sample.time_s, memory))
        if now_s < self._applied_s + self._grace_s:
            return
        for name, cusum in self._limits.items():
            value = sample.value(name)
            if value is None or not cusum.add(value):
                continue
            if name == "memory_usage" and self._keeps_what_leaked():
                self._piled_up = _harm_in_words(name, value, cusum)
            else:
                self._harm = self._harm or _harm_in_words(name, value, cusum)
        self._look_at_health(health_score)

    def _look_at_health(self, score: float) -> None:
        """A score that falls far and stays there, while requests of the patched route fail.

        Without the failures it proves nothing: a busy machine costs points too.
        """
        if self._health is None:
            self._health = Cusum(score - HEALTH_FALL, upward=False)
        route = self._route or ""
        errors = self._routes.get(route, (0, 0))[1] - self._routes_start.get(route, (0, 0))[1]
        if self._health.add(score) and errors > 0 and not self._harm:
            self._harm = f"the health score fell to {score:.0f} and {errors} requests failed"

    def rolled_out(self, applied: Applied, now_s: float) -> None:
        """The canary stood: the patch is in force in every process now."""
        self._applied = applied
        self._applied_s = self._started_s = now_s
        self._routes_start = dict(self._routes)
        self._routes_settled = None
        self._effects.start_again()
        self._memory.clear()
        self._piled_up = ""

    # ------------------------------------------------------------ what it means
    def decide(self, now_s: float) -> Outcome | None:
        """The conclusion, None while there is none."""
        if self._applied.way in ("file", "export") or (
            self._applied.way == "git" and not self._applied.processes
        ):
            return Outcome("handed_over", self._applied.note)
        if self._harm:
            return Outcome("roll_back", f"rolled back: {self._harm}")
        elapsed_s = now_s - self._started_s
        if self._applied.canary:
            return self._decide_canary(elapsed_s)
        if self._piled_up:
            return self._renew(self._piled_up)
        if self._kind == "leak":
            return self._decide_leak(elapsed_s)
        least_s = STALL_MINIMUM_S if self._kind in SLOW_KINDS else MINIMUM_S
        if elapsed_s < min(least_s, self._settings.watch_s):
            return None
        if self._held_up:
            at_the_end = elapsed_s >= self._settings.watch_s
            return Outcome("handed_over", self._still_stuck()) if at_the_end else None
        if self._still_failing():
            return Outcome("roll_back", f"rolled back: calls of {self._route} fail as before")
        at_the_end = elapsed_s >= self._settings.watch_s
        growing = self._effects.growing(lately=at_the_end)
        if growing:
            # what a healed call fills for the first time comes to a stand
            return Outcome("roll_back", f"rolled back: {growing}") if at_the_end else None
        return self._decide_failures(elapsed_s)

    def _decide_canary(self, elapsed_s: float) -> Outcome | None:
        processes = max(2, len(self._applied.processes), len(self._applied.canary) + 1)
        needed = canary_failures_needed(len(self._applied.canary) / processes)
        if elapsed_s >= CANARY_MINIMUM_S and self._control_failures >= needed:
            return Outcome(
                "next_canary",
                f"the patched process had no failure while the others had "
                f"{self._control_failures}: now all of them",
            )
        if elapsed_s >= min(CANARY_MAXIMUM_S, self._settings.watch_s):
            return Outcome("next_canary", "the patched process does no harm: now all of them")
        return None

    def _decide_failures(self, elapsed_s: float) -> Outcome | None:
        calls = self._comparable_calls()
        if calls is not None and self._share is not None:
            needed = calls_needed(self._share)
            if calls >= needed:
                text = f"{calls} comparable calls without the error"
                return Outcome("healed", text)
        elif self._rate_per_s is not None and elapsed_s >= seconds_needed(self._rate_per_s):
            text = f"not seen again for {elapsed_s:.0f} s"
            return Outcome("healed", text)
        if elapsed_s < self._settings.watch_s:
            return None
        if calls == 0:
            return Outcome(
                "healed",
                f"not seen again for {elapsed_s:.0f} s, but nothing called the code either",
                proven=False,
            )
        seen = "" if calls is None else f" and {calls} comparable calls"
        text = f"not seen again for {elapsed_s:.0f} s{seen}"
        return Outcome("healed", text, proven=False)

    def _decide_leak(self, elapsed_s: float) -> Outcome | None:
        times = [time for time, _ in self._memory]
        after = growth(times, [value for _, value in self._memory])
        before = self._growth_before
        enough = elapsed_s >= min(STALL_MINIMUM_S, self._settings.watch_s)
        if enough and after is not None and before is not None and before > 0:
            slope, error = after
            if slope + 2 * error < 0.5 * before:
                return Outcome(
                    "healed",
                    f"memory grows {in_mb(slope)} instead of {in_mb(before)}",
                )
        if elapsed_s < self._settings.watch_s:
            return None
        growing = after is not None and before is not None and after[0] > 0.5 * before > 0
        if growing and elapsed_s < LEAK_PATIENCE * self._settings.watch_s:
            return None
        if after is not None and before is not None and after[0] - 2 * after[1] > 0.5 * before > 0:
            text = f"memory still grows {in_mb(after[0])}, it was {in_mb(before)}"
            if self._keeps_what_leaked():
                return self._renew(text)
            return Outcome("roll_back", f"rolled back: {text}")
        return Outcome("healed", f"no further growth was found in {elapsed_s:.0f} s")

    def _keeps_what_leaked(self) -> bool:
        """Whether the processes are still those in which the leak has piled things up.

        Listeners that nobody takes out any more are told everything for ever, say.
        """
        return self._kind == "leak" and self._applied.way == "swap" and not self._renewed

    def _renew(self, why: str) -> Outcome:
        self._renewed = True
        return Outcome("renew", f"{why}: by what had piled up before the patch, or in spite of it")

    def _still_stuck(self) -> str:
        """Nothing is healed yet, and nothing speaks against the patch, which was proven."""
        return (
            "the patch is in force, but its processes keep what was stuck or lost before it: "
            f"restart the service ({self._applied.stuck})"
        )

    # ------------------------------------------------------------ evidence
    def _comparable_calls(self) -> int | None:
        """Requests of the failing route since the patch; None where there is no route."""
        if self._route is None:
            return None
        now = self._routes.get(self._route, (0, 0))[0]
        return max(0, now - self._routes_start.get(self._route, (0, 0))[0])

    def _still_failing(self) -> bool:
        """Errors of the route that nothing explains: the exception is gone, the failure is not.

        Where a peer fails, it goes on doing so, and an orderly 502 is all that a patch can give.
        """
        settled = self._routes_settled
        if self._of_a_peer or self._route is None or settled is None or self._share is None:
            return False
        now, then = self._routes.get(self._route, (0, 0)), settled.get(self._route, (0, 0))
        calls, errors = now[0] - then[0], now[1] - then[1]
        return still_failing(calls, errors, self._others_failed, self._share, self._unexplained)

    def _new_failure(self, occurrence: Occurrence) -> None:
        inside = [frame for frame in occurrence.frames if self._is_in_a_patched_file(frame)]
        crash = occurrence.crash
        if not inside and crash is not None and (crash.file, crash.function) in self._callers:
            self._stray_failures += occurrence.count
            if self._stray_failures >= 2:
                place = f"{crash.function} of {PurePath(crash.file).name}"
                self._blame(occurrence, f"{occurrence.exception} is new in {place}, its caller")
        if not inside:
            return
        what = f"{occurrence.exception} is new in {PurePath(inside[-1].file).name}"
        if any(frame.function in self._applied.functions for frame in inside):
            self._blame(occurrence, f"{what}, in a function that the patch changed")
        else:
            self._stray_failures += occurrence.count
            if self._stray_failures >= 2:
                self._blame(occurrence, f"{what}, which the patch changed")

    def _blame(self, occurrence: Occurrence, harm: str) -> None:
        self._harm, self.caused = harm, occurrence.fingerprint


def is_of_a_peer(occurrence: Occurrence) -> bool:
    """Whether what failed first was another service, a database or the network."""
    names = [occurrence.exception, *(one.exception for one in occurrence.chain)]
    return any(name.rpartition(".")[2] in UPSTREAM_ERRORS for name in names)


def _stuck_s(occurrence: Occurrence) -> float:
    """How long the longest of its threads has not moved; 0 where that is not known."""
    return max((thread.stuck_s for thread in occurrence.threads), default=0.0)


def _began_s(occurrence: Occurrence) -> float:
    """When what failed began, at the earliest."""
    if occurrence.began_s:
        return occurrence.began_s
    stuck_s = _stuck_s(occurrence)
    if occurrence.kind == "leak":
        return occurrence.time_s - LEAK_UNTOLD_S
    if occurrence.kind in SLOW_KINDS:
        return occurrence.time_s - (stuck_s or UNTOLD_S)
    return occurrence.time_s - stuck_s


def failing_share(incident: Incident, route: str | None, routes: Routes) -> float | None:
    """Share of the comparable calls that failed before the patch."""
    if route is None:
        return None
    requests, errors = routes[route]
    failures = max(errors, min(incident.count, requests))
    return failures / requests if requests and failures else None


def _unexplained_share(incident: Incident, route: str | None, routes: Routes) -> float:
    """Share of the comparable calls that failed before without an exception of this bug."""
    if route is None or not routes[route][0]:
        return 0.0
    requests, errors = routes[route]
    return max(0, errors - incident.count) / requests


def _failure_rate(incident: Incident, now_s: float) -> float | None:
    """Failures per second before the patch."""
    if incident.count <= 0:
        return None
    return incident.count / max(1.0, now_s - incident.first_seen_s)


def _known_fingerprints(before: tuple[Sample, ...]) -> set[str]:
    prefix = "exceptions:"
    return {
        name.removeprefix(prefix)
        for sample in before
        for name in sample.counters
        if name.startswith(prefix)
    }


def _worst(before: tuple[Sample, ...], metric: str) -> float | None:
    values = [value for sample in before if (value := sample.value(metric)) is not None]
    return max(values) if len(values) >= 5 else None


def _waited_s(incident: Incident) -> float:
    """How long callers waited for what hung: of those no response time was measured."""
    occurrence = incident.occurrence
    hung = occurrence is not None and occurrence.kind in SLOW_KINDS
    if not hung and incident.bug_type != "timeout_guard":
        return 0.0
    return (_stuck_s(occurrence) if occurrence is not None else 0.0) or UNTOLD_S


def _limits(before: tuple[Sample, ...], waited_s: float) -> dict[str, Cusum]:
    """Limits well beyond the worst that was seen before: what a machine that is busy with other
    work does to a service must stay within them.
    """
    limits: dict[str, Cusum] = {}
    errors = _worst(before, "error_rate")
    # calls that hung were no errors yet: that they are refused in time now is no harm
    if errors is not None and not waited_s:
        limits["error_rate"] = Cusum(1.5 * errors + 6)
    slow = _worst(before, "response_time")
    if slow is not None:
        limits["response_time"] = Cusum(max(2 * slow, slow + 200, 1000 * waited_s))
    memory = _worst(before, "memory_usage")
    if memory is not None:
        limits["memory_usage"] = Cusum(1.5 * memory + 64e6)
    return limits


def memory_growth(before: tuple[Sample, ...]) -> float | None:
    points = [
        (sample.time_s, value)
        for sample in before
        if (value := sample.value("memory_usage")) is not None
    ]
    found = growth([time for time, _ in points], [value for _, value in points])
    return None if found is None else found[0]


def _harm_in_words(name: str, value: float, cusum: Cusum) -> str:
    if name == "memory_usage":
        return f"memory rose to {value / 1e6:.0f} MB, beyond {cusum.limit / 1e6:.0f} MB"
    unit = "ms" if name == "response_time" else "/min"
    words = name.replace("_", " ")
    return f"{words} rose to {value:.0f} {unit}, beyond {cusum.limit:.0f} {unit}"
