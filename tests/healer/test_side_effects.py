"""What a patch costs although its error is gone: found where it is, not where it is not."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable

import pytest

from selfheal_agent import histogram
from selfheal_engine.healer import Glimpse, SideEffects, resident_bytes, route_of
from selfheal_engine.healer.side_effects import (
    LEAST_CALLS,
    Z_LEVEL,
    rank_sum_z,
    still_failing,
    without_fastest,
)
from selfheal_engine.model import Occurrence, RequestRecord


def calls(count: int, median_s: float, noise: random.Random) -> Counter[int]:
    """Durations as services have them: log-normal."""
    return Counter(
        histogram.bucket(median_s * noise.lognormvariate(0.0, 0.5)) for _ in range(count)
    )


def effects(
    noise: random.Random, *, before_s: float = 0.02, failing: float = 0.2, grows: float = 0.0
) -> SideEffects:
    start = Glimpse(0.0, durations={1: Counter(), 2: Counter()})
    return SideEffects(calls(400, before_s, noise), start, failing, grows)


# ---------------------------------------------------------------- slower
@pytest.mark.parametrize(("canary_s", "told"), [(0.02, False), (0.022, False), (0.05, True)])
def test_a_canary_is_compared_with_the_other_processes(canary_s: float, told: bool) -> None:
    noise = random.Random(1)
    seen = effects(noise)
    seen.look(Glimpse(3.0, durations={1: calls(60, canary_s, noise), 2: calls(60, 0.02, noise)}))
    assert bool(seen.slower((1,))) == told
    assert seen.slower((1,)) == "" or "in the other processes" in seen.slower((1,))


@pytest.mark.parametrize(("after_s", "told"), [(0.02, False), (0.04, False), (0.12, True)])
def test_all_processes_are_compared_with_the_minute_before(after_s: float, told: bool) -> None:
    noise = random.Random(2)
    seen = effects(noise)
    seen.look(Glimpse(3.0, durations={1: calls(60, after_s, noise), 2: calls(60, after_s, noise)}))
    assert bool(seen.slower(())) == told


def test_calls_that_did_nothing_but_fail_make_nobody_slow() -> None:
    noise = random.Random(3)
    mixed = calls(160, 0.0005, noise) + calls(240, 0.1, noise)  # four in ten failed at once
    seen = SideEffects(mixed, Glimpse(0.0, durations={1: Counter()}), 0.4, 0.0)
    seen.look(Glimpse(9.0, durations={1: calls(200, 0.1, noise)}))
    assert seen.slower(()) == ""
    mostly = SideEffects(mixed, Glimpse(0.0, durations={1: Counter()}), 0.9, 0.0)
    mostly.look(Glimpse(9.0, durations={1: calls(200, 5.0, noise)}))
    assert mostly.slower(()) == "", "there was next to nothing to compare with"


def test_few_calls_say_nothing() -> None:
    noise = random.Random(4)
    seen = effects(noise)
    seen.look(Glimpse(3.0, durations={1: calls(LEAST_CALLS - 1, 9.0, noise)}))
    assert seen.slower(()) == ""


def test_the_level_holds_over_all_looks_of_a_watch() -> None:
    noise = random.Random(5)
    alarms = 0
    for _ in range(300):
        patched: Counter[int] = Counter()
        others: Counter[int] = Counter()
        for _ in range(10):  # looks, of which the data only grow
            patched += calls(10, 0.02, noise)
            others += calls(10, 0.02, noise)
            alarms += rank_sum_z(patched, others) >= Z_LEVEL
    assert alarms <= 3


def test_the_statistic_is_the_textbooks() -> None:
    # 4 of 3 and 3 of 4 calls: U = 10.5 with the tie's mean rank, by counting pairs
    first, second = Counter({1: 1, 3: 2, 5: 1}), Counter({1: 1, 2: 2})
    pairs = sum((a > b) + 0.5 * (a == b) for a in first.elements() for b in second.elements())
    sizes, total = (4, 3), 7
    ties = (2**3 - 2) + (2**3 - 2) + (2**3 - 2)
    spread = sizes[0] * sizes[1] / 12 * ((total + 1) - ties / (total * (total - 1)))
    assert rank_sum_z(first, second) == pytest.approx((pairs - 6) / spread**0.5)
    assert rank_sum_z(first, Counter()) == 0.0


def test_the_failing_share_comes_off_the_fast_end() -> None:
    assert without_fastest(Counter({1: 5, 2: 5, 9: 10}), 0.4) == {2: 2, 9: 10}


# ---------------------------------------------------------------- growing
@pytest.fixture
def grown() -> Callable[[float, float], SideEffects]:
    def play(per_s: float, until_s: float = 60.0) -> SideEffects:
        noise = random.Random(6)
        seen = effects(noise)
        for second in range(60):
            memory = 80e6 + per_s * min(second, until_s) + noise.gauss(0, 3e4)
            seen.look(Glimpse(float(second), {7: memory}))
        return seen

    return play


def test_memory_that_grows_with_the_patch_is_found(grown) -> None:
    assert "memory grows" in grown(2e5).growing()
    assert "memory grows" in grown(2e5).growing(lately=True)
    assert grown(1e4).growing() == ""


def test_what_fills_up_and_then_stands_is_no_growth(grown) -> None:
    assert grown(4e5, until_s=25.0).growing()
    assert grown(4e5, until_s=25.0).growing(lately=True) == ""


def test_a_worker_that_ended_does_not_look_like_memory() -> None:
    seen = effects(random.Random(7))
    for second in range(20):
        pids = (7, 8) if second > 9 else (7,)
        seen.look(Glimpse(float(second), dict.fromkeys(pids, 50e6)))
    assert seen.growing() == ""


def test_resident_memory_is_read_of_those_that_live() -> None:
    found = resident_bytes([os.getpid(), 2**22 + 1])
    assert list(found) == [os.getpid()]
    assert found[os.getpid()] > 1e6


# ---------------------------------------------------------------- still failing
@pytest.mark.parametrize(
    ("calls_since", "errors", "explained", "told"),
    [
        (100, 0, 0, False),
        (100, 20, 0, True),  # as many as before, and no exception tells why
        (100, 20, 20, False),  # another bug of the same route
        (5, 2, 0, False),
        (100, 5, 0, False),
    ],
)
def test_errors_that_no_exception_explains_are_the_same_failure(
    calls_since: int, errors: int, explained: int, told: bool
) -> None:
    assert still_failing(calls_since, errors, explained, 0.2, 0.0) == told


def test_what_failed_without_an_exception_before_may_go_on() -> None:
    assert not still_failing(100, 20, 0, 0.2, 0.15)


# ---------------------------------------------------------------- routes
@pytest.mark.parametrize(
    ("request_", "found"),
    [
        (RequestRecord("GET", "/order/7", route="/order/<n>"), "GET /order/<n>"),
        (RequestRecord("GET", "/order/165"), "GET /order/<id>"),
        (RequestRecord("GET", "/other"), None),
    ],
)
def test_a_request_belongs_to_the_route_that_the_probe_counts(request_, found) -> None:
    occurrence = Occurrence("o", "exception", 0.0, 1, "E", "", (), "f", request=request_)
    assert route_of(occurrence, {"GET /order/<id>", "GET /order/<n>"}) == found
    assert route_of(None, {"GET /"}) is None
