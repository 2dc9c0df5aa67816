"""When a watch says healed, when it takes back, and what it waits for."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from selfheal_agent import histogram
from selfheal_engine.config import Settings
from selfheal_engine.healer import Applied, Glimpse, SideEffects, Watch
from selfheal_engine.healer.applied import raised_by
from selfheal_engine.healer.sequential import (
    Cusum,
    calls_needed,
    canary_failures_needed,
    growth,
    seconds_needed,
)
from selfheal_engine.healer.watch import LEAK_PATIENCE, Outcome
from selfheal_engine.model import (
    Candidate,
    Frame,
    Incident,
    Occurrence,
    Reading,
    RequestRecord,
    Sample,
    SwapResult,
    WaitingThread,
)

START_S = 2000.0
ROUTE = "/order"
APPLIED = Applied(
    "c1",
    ("shop.py",),
    "swap",
    (SwapResult(1, True), SwapResult(2, True)),
    functions=("city",),
)


def sample(time_s: float, **values: float) -> Sample:
    usual = {"error_rate": 0.0, "response_time": 20.0, "memory_usage": 100e6, **values}
    return Sample(time_s, 1.0, {name: Reading(value) for name, value in usual.items()})


def occurrence(time_s: float, fingerprint: str = "f1", pid: int = 1, **more: object) -> Occurrence:
    return replace(
        Occurrence("o", "exception", time_s, pid, "AttributeError", "", (), fingerprint), **more
    )


def calm(seconds: int = 30, **values: float) -> tuple[Sample, ...]:
    return tuple(sample(START_S - seconds + n, **values) for n in range(seconds))


@pytest.fixture
def by_route(incident: Incident) -> Incident:
    request = RequestRecord("GET", "/order/7", route=ROUTE)
    record = replace(incident.occurrence, request=request)
    return replace(incident, occurrence=record, count=20, first_seen_s=START_S - 20)


@pytest.fixture
def watch(by_route: Incident) -> Callable[..., Watch]:
    def make(
        incident: Incident = by_route,
        applied: Applied = APPLIED,
        before: tuple[Sample, ...] = (),
        routes: dict[str, tuple[int, int]] | None = None,
        effects: SideEffects | None = None,
        **settings: object,
    ) -> Watch:
        counts = {ROUTE: (40, 20)} if routes is None else routes
        chosen = Settings(**settings)
        return Watch(incident, applied, before or calm(), counts, chosen, START_S, effects)

    return make


def run(watch: Watch, seconds: float, *, calls_per_s: float = 4, **values: float):
    """Play `seconds` of samples; the first outcome, and when it came."""
    for second in range(1, int(seconds) + 1):
        now_s = START_S + second
        routes = {ROUTE: (40 + int(calls_per_s * second), 20)}
        watch.sample(sample(now_s, **values), 95.0, routes, now_s)
        outcome = watch.decide(now_s)
        if outcome is not None:
            return outcome, second
    return None, seconds


# ---------------------------------------------------------------- healed
def test_enough_good_calls_heal_after_eight_seconds(watch) -> None:
    outcome, second = run(watch(), 60)
    assert (outcome.kind, second) == ("healed", 8)
    assert outcome.text == "32 comparable calls without the error"


def test_a_rare_failure_needs_more_calls(watch) -> None:
    rare = watch(routes={ROUTE: (1000, 20)}, watch_s=600)
    outcome, second = run(rare, 600)
    assert outcome.kind == "healed"
    assert calls_needed(0.02) <= 4 * second < calls_needed(0.02) + 1000 + 8


def test_without_calls_it_waits_to_the_end_and_says_so(watch) -> None:
    outcome, second = run(watch(), 100, calls_per_s=0)
    assert (outcome.kind, second) == ("healed", 60)
    assert "nothing called the code" in outcome.text


def test_without_a_route_time_decides(watch, by_route) -> None:
    plain = replace(by_route, occurrence=replace(by_route.occurrence, request=None))
    outcome, second = run(watch(plain), 60)
    assert (outcome.kind, second) == ("healed", 8)
    outcome, second = run(watch(replace(plain, count=2)), 60)
    assert second == math.ceil(seconds_needed(2 / 20))


def test_a_failure_that_began_before_the_patch_does_not_count(watch) -> None:
    watching = watch()
    watching.occurrence(occurrence(START_S + 1.5))
    stuck = WaitingThread("worker", (), stuck_s=30.0)
    watching.occurrence(occurrence(START_S + 20, threads=(stuck,)))
    assert run(watching, 60)[0].kind == "healed"


@pytest.mark.parametrize(
    ("kind", "began_s", "time_s", "counts"),
    [
        ("exception", 0.0, START_S + 2, False),
        ("exception", 0.0, START_S + 4, True),
        ("stall", START_S - 5, START_S + 10, False),
        ("stall", START_S + 5, START_S + 10, True),
        ("stall", 0.0, START_S + 12, False),
        ("stall", 0.0, START_S + 30, True),
        ("leak", 0.0, START_S + 12, False),
        ("leak", 0.0, START_S + 30, True),
    ],
)
def test_only_what_began_after_the_patch_counts(watch, kind, began_s, time_s, counts) -> None:
    watching = watch(applied=replace(APPLIED, canary=(1,)))
    watching.occurrence(occurrence(time_s, kind=kind, began_s=began_s))
    assert (watching.decide(START_S + 1) is not None) == counts


def test_an_old_record_with_new_good_calls_is_no_failure(watch) -> None:
    watching = watch()
    watching.occurrence(occurrence(START_S + 5, count=0))
    assert run(watching, 60)[0].kind == "healed"


def test_an_error_that_was_handled_before_still_counts(watch, by_route) -> None:
    handled = replace(by_route, occurrence=replace(by_route.occurrence, handled=True))
    watching = watch(handled)
    watching.occurrence(occurrence(START_S + 5, handled=True))
    assert watching.decide(START_S + 5).kind == "roll_back"


def test_what_the_code_handles_now_is_no_failure(watch) -> None:
    watching = watch()
    watching.occurrence(occurrence(START_S + 5, handled=True))
    assert run(watching, 60)[0].kind == "healed"


# ---------------------------------------------------------------- harm
def test_the_same_error_takes_the_patch_back_at_once(watch) -> None:
    watching = watch()
    watching.occurrence(occurrence(START_S + 3, pid=2))
    outcome = watching.decide(START_S + 3)
    assert (outcome.kind, outcome.text) == (
        "roll_back",
        "rolled back: the error came back in process 2",
    )


def frame(function: str, file: str = "/srv/app/shop.py") -> Frame:
    return Frame(file, 3, function, own=True)


def test_a_new_error_in_the_changed_function_takes_it_back(watch) -> None:
    watching = watch()
    watching.occurrence(occurrence(START_S + 3, "f2", frames=(frame("city"),)))
    assert "in a function that the patch changed" in watching.decide(START_S + 3).text


def test_new_errors_elsewhere_in_the_file_count_from_the_second(watch) -> None:
    watching = watch()
    watching.occurrence(occurrence(START_S + 3, "f2", frames=(frame("other"),)))
    assert watching.decide(START_S + 3) is None
    watching.occurrence(occurrence(START_S + 4, "f2", frames=(frame("other"),)))
    assert watching.decide(START_S + 4).kind == "roll_back"


def test_what_the_patch_raises_to_answer_with_is_no_new_failure(watch, by_route) -> None:
    line = 'raise Unavailable("try again") from error'
    diff = f"--- a/shop.py\n+++ b/shop.py\n@@ -1 +1,2 @@\n city()\n+        {line}\n"
    patch = Candidate("c1", "error_handling", "t", "title", diff, (("shop.py", b""),))
    applied = replace(APPLIED, raises=raised_by(patch))
    answer = replace(frame("city"), source_line=line)
    told = {"frames": (answer,), "request": by_route.occurrence.request}
    watching = watch(applied=applied)
    watching.occurrence(occurrence(START_S + 3, "f2", **told))
    assert watching.decide(START_S + 3) is None
    other = replace(answer, source_line="raise Unavailable(None)")
    watching.occurrence(occurrence(START_S + 4, "f3", **{**told, "frames": (other,)}))
    assert watching.decide(START_S + 4).kind == "roll_back"


def test_errors_of_other_files_or_known_ones_do_not_count(watch) -> None:
    known = replace(calm()[0], counters={"exceptions:f9": 3.0})
    watching = watch(before=(known, *calm()))
    watching.occurrence(occurrence(START_S + 3, "f2", frames=(frame("city", "/srv/app/mail.py"),)))
    watching.occurrence(occurrence(START_S + 3, "f9", frames=(frame("city"),)))
    assert run(watching, 60)[0].kind == "healed"


def test_a_new_error_in_a_caller_of_the_patched_code_takes_it_back(watch, by_route) -> None:
    frames = (frame("view", "/srv/app/views.py"), frame("city"))
    called = replace(by_route, occurrence=replace(by_route.occurrence, frames=frames))
    watching = watch(called)
    pushed_on = (frame("view", "/srv/app/views.py"),)
    watching.occurrence(occurrence(START_S + 3, "f2", frames=pushed_on, count=2))
    outcome = watching.decide(START_S + 3)
    assert outcome.text == "rolled back: AttributeError is new in view of views.py, its caller"
    assert watching.caused == "f2"


def glimpses(watching: Watch, seconds: int, durations, memory=None, errors: int = 0):
    """Play a glimpse a second; the first outcome and its second."""
    for second in range(1, seconds + 1):
        now_s = START_S + second
        routes = {ROUTE: (40 + 4 * second, 20 + errors * second)}
        resident = {1: 5e7 + (memory or 0.0) * second}
        watching.look(Glimpse(now_s, resident, durations(second)), routes, now_s)
        outcome = watching.decide(now_s)
        if outcome is not None:
            return outcome, second
    return None, seconds


def test_slower_answers_take_it_back(watch) -> None:
    quick = Counter({histogram.bucket(0.005): 300})
    effects = SideEffects(quick, Glimpse(START_S, {}, {1: Counter()}), 0.2, 0.0)
    slow = histogram.bucket(0.105)
    outcome, second = glimpses(
        watch(effects=effects), 60, lambda second: {1: Counter({slow: 8 * second})}
    )
    assert outcome.text == "rolled back: answers take 107 ms, before 5 ms"
    assert second < 8


def test_memory_that_begins_to_grow_is_watched_to_the_end_and_goes_back(watch) -> None:
    effects = SideEffects(Counter(), None, 0.2, 0.0)
    outcome, second = glimpses(watch(effects=effects), 100, lambda _: {}, memory=3e5)
    assert (outcome.kind, second) == ("roll_back", 60)
    assert "memory grows 18.00 MB/min" in outcome.text


def test_a_route_that_fails_on_without_the_exception_goes_back(watch) -> None:
    effects = SideEffects(Counter(), None, 0.2, 0.0)
    outcome, _ = glimpses(watch(effects=effects), 60, lambda _: {}, errors=3)
    assert outcome.text == "rolled back: calls of /order fail as before"


STUCK = replace(APPLIED, stuck="it cannot be reloaded by itself (set reload_command)")
FRAME = Frame("/srv/shop.py", 9, "city", own=True)


def waits_on(watching: Watch, kind: str = "stall", fingerprint: str = "f2", **more: object) -> None:
    watching.occurrence(
        occurrence(
            START_S + 20, fingerprint, kind=kind, began_s=START_S + 12, frames=(FRAME,), **more
        )
    )


@pytest.mark.parametrize(
    ("kind", "comes", "fingerprint"),
    [("deadlock", "stall", "f2"), ("exception", "exception", "f1")],
    ids=["a held lock", "an empty pool"],
)
def test_what_was_stuck_before_is_not_blamed_on_the_patch_but_told(
    watch, by_route, kind, comes, fingerprint
) -> None:
    record = replace(by_route.occurrence, kind=kind, request=None)
    watching = watch(replace(by_route, occurrence=record), applied=STUCK)
    waits_on(watching, comes, fingerprint)
    outcome, second = run(watching, 100)
    assert (outcome.kind, second) == ("handed_over", 60)
    assert "restart the service" in outcome.text


def test_a_restart_by_the_owner_frees_what_was_stuck(watch, by_route) -> None:
    record = replace(by_route.occurrence, kind="deadlock", request=None)
    watching = watch(replace(by_route, occurrence=record), applied=STUCK)
    waits_on(watching)
    watching.look(Glimpse(START_S + 21, {99: 1e6}), {}, START_S + 21)
    outcome, _ = run(watching, 100)
    assert outcome.kind == "healed"


def test_another_failure_of_the_patched_code_goes_back_though_something_is_stuck(
    watch, by_route
) -> None:
    record = replace(by_route.occurrence, kind="deadlock", request=None)
    watching = watch(replace(by_route, occurrence=record), applied=STUCK)
    waits_on(watching, "exception", exception="NameError")
    outcome, _ = run(watching, 100)
    assert outcome.kind == "roll_back"


def test_an_orderly_answer_for_a_peer_that_fails_on_is_no_failure_of_the_patch(
    watch, by_route
) -> None:
    record = replace(by_route.occurrence, exception="urllib.error.HTTPError")
    of_a_peer = watch(
        replace(by_route, occurrence=record), effects=SideEffects(Counter(), None, 0.2, 0.0)
    )
    outcome, _ = glimpses(of_a_peer, 60, lambda _: {}, errors=3)
    assert outcome.kind == "healed"


@pytest.mark.parametrize(("calls_per_s", "proven"), [(4, True), (0, False)])
def test_a_healing_says_whether_it_is_proven(watch, calls_per_s, proven) -> None:
    outcome, _ = run(watch(), 100, calls_per_s=calls_per_s)
    assert (outcome.kind, outcome.proven) == ("healed", proven)


@pytest.mark.parametrize(
    ("metric", "value", "words"),
    [
        ("error_rate", 300.0, "error rate rose to 300 /min"),
        ("response_time", 900.0, "response time rose to 900 ms"),
        ("memory_usage", 400e6, "memory rose to 400 MB"),
    ],
)
def test_a_metric_that_gets_worse_takes_it_back(watch, metric, value, words) -> None:
    outcome, second = run(watch(), 60, **{metric: value})
    assert outcome.kind == "roll_back"
    assert words in outcome.text
    assert second < 8


@pytest.mark.parametrize(("errors_per_s", "kind"), [(0, "healed"), (1, "roll_back")])
def test_a_health_score_that_falls_counts_only_with_failures(watch, errors_per_s, kind) -> None:
    watching = watch()
    for second in range(1, 61):
        now_s = START_S + second
        routes = {ROUTE: (40 + 4 * second, 20 + errors_per_s * second)}
        watching.sample(sample(now_s), 95.0 if second < 4 else 12.0, routes, now_s)
        outcome = watching.decide(now_s)
        if outcome is not None:
            break
    assert outcome.kind == kind


def test_a_metric_as_bad_as_before_is_no_harm(watch) -> None:
    outcome, _ = run(watch(before=calm(error_rate=300.0)), 60, error_rate=310.0)
    assert outcome.kind == "healed"


# ---------------------------------------------------------------- canary
CANARY = replace(APPLIED, canary=(1,))


def test_a_canary_stands_when_only_the_others_fail(watch) -> None:
    watching = watch(applied=CANARY)
    for number in range(canary_failures_needed(0.5)):
        assert watching.decide(START_S + 3.5) is None
        watching.occurrence(occurrence(START_S + 3 + number / 10, pid=2))
    outcome = watching.decide(START_S + 3.5)
    assert outcome.kind == "next_canary"
    watching.rolled_out(APPLIED, START_S + 3.5)
    assert run(watching, 60)[0].kind == "healed"


def test_a_canary_that_fails_goes_back(watch) -> None:
    watching = watch(applied=CANARY)
    watching.occurrence(occurrence(START_S + 3, pid=1))
    assert watching.decide(START_S + 3).kind == "roll_back"


def test_a_canary_without_harm_is_followed_after_a_few_seconds(watch) -> None:
    outcome, second = run(watch(applied=CANARY), 60)
    assert (outcome.kind, second) == ("next_canary", 6)


# ---------------------------------------------------------------- what does not raise
def leaking(seconds: int, per_s: float, noise: random.Random) -> tuple[Sample, ...]:
    return tuple(
        sample(START_S - seconds + n, memory_usage=100e6 + per_s * n + noise.gauss(0, 2e5))
        for n in range(seconds)
    )


@pytest.fixture
def leak(incident: Incident) -> Incident:
    return replace(incident, occurrence=replace(incident.occurrence, kind="leak"))


def growing(
    watching: Watch, per_s: float, start_s: float = START_S, first=140e6
) -> tuple[Outcome, int]:
    noise = random.Random(5)
    for second in range(1, 60 * LEAK_PATIENCE + 1):
        memory = first + per_s * second + noise.gauss(0, 2e5)
        now_s = start_s + second
        watching.sample(sample(now_s, memory_usage=memory), 90.0, {}, now_s)
        outcome = watching.decide(now_s)
        if outcome is not None:
            break
    return outcome, second


RESTARTED = replace(APPLIED, way="restart")


@pytest.mark.parametrize(("after_per_s", "kind"), [(0.0, "healed"), (1e6, "roll_back")])
def test_a_leak_is_judged_by_its_slope(watch, leak, after_per_s, kind) -> None:
    watching = watch(leak, before=leaking(40, 1e6, random.Random(5)), applied=RESTARTED)
    outcome, second = growing(watching, after_per_s)
    assert outcome.kind == kind
    assert "memory" in outcome.text
    assert (second < 30) == (kind == "healed")


@pytest.mark.parametrize(("per_s", "within_s"), [(1e6, 241), (8e6, 60)])
@pytest.mark.parametrize(("renewed_per_s", "kind"), [(0.0, "healed"), (1e6, "roll_back")])
def test_what_has_piled_up_is_no_harm_of_the_patch_until_new_processes_grow_too(
    watch, leak, per_s, within_s, renewed_per_s, kind
) -> None:
    watching = watch(leak, before=leaking(40, 1e6, random.Random(5)))
    outcome, second = growing(watching, per_s)
    assert (outcome.kind, second < within_s) == ("renew", True)
    watching.rolled_out(RESTARTED, START_S + second)
    assert growing(watching, renewed_per_s, START_S + second, 60e6)[0].kind == kind


def test_a_stall_is_watched_longer_than_an_error(watch, by_route) -> None:
    stall = replace(by_route, occurrence=replace(by_route.occurrence, kind="stall"))
    assert run(watch(stall), 60)[1] == 15


@pytest.mark.parametrize(("response_ms", "kind"), [(2_000.0, "healed"), (90_000.0, "roll_back")])
def test_who_hung_before_may_now_wait_for_the_time_out(watch, by_route, response_ms, kind) -> None:
    stuck = (WaitingThread("worker", (), stuck_s=30.0),)
    record = replace(by_route.occurrence, kind="stall", threads=stuck)
    stall = replace(by_route, occurrence=record)
    seen = {"response_time": response_ms, "error_rate": 120.0}  # 503 in place of no answer
    assert run(watch(stall), 60, **seen)[0].kind == kind


def test_a_patch_that_was_only_written_is_handed_over(watch) -> None:
    applied = Applied("c1", ("shop.py",), "file", note="written to shop.py")
    outcome = watch(applied=applied).decide(START_S)
    assert (outcome.kind, outcome.text) == ("handed_over", "written to shop.py")


# ---------------------------------------------------------------- the tests behind it
def test_the_test_calls_a_bug_that_is_still_there_healed_rarely() -> None:
    chance = random.Random(1)
    for share in (0.05, 0.3, 0.8):
        calls = calls_needed(share)
        wrong = sum(all(chance.random() >= share for _ in range(calls)) for _ in range(4000))
        assert wrong / 4000 < 0.06, share


def test_the_alarm_is_quick_and_seldom_false() -> None:
    bad = Cusum(1.0)
    assert [bad.add(2.0) for _ in range(3)] == [False, False, True]
    chance = random.Random(2)
    alarms = 0
    for _ in range(300):
        cusum = Cusum(1.0)
        alarms += any(cusum.add(2.0 if chance.random() < 0.05 else 0.0) for _ in range(60))
    assert alarms / 300 < 0.02


def test_growth_is_the_slope_with_its_error() -> None:
    slope, error = growth([0, 1, 2, 3, 4, 5], [1, 3, 5, 7, 9, 11])
    assert (slope, error) == (pytest.approx(2.0), pytest.approx(0.0))
    assert growth([1, 2, 3], [1, 2, 3]) is None
