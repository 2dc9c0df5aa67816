"""Failing requests: a burst is told, a clump of bad luck is not."""

from __future__ import annotations

import pytest

from selfheal_engine.health_monitor.failures import Failures
from selfheal_engine.model import Sample


def seen(failures: Failures, *samples: tuple[float, float], interval_s: float = 5.0) -> Failures:
    for i, (failed, requests) in enumerate(samples):
        counters = {"errors": failed, "requests": requests}
        failures.update(Sample(1000 + i * interval_s, interval_s, {}, counters), learning=True)
    return failures


def test_one_clump_of_failures_is_not_told() -> None:
    assert seen(Failures(), (0, 40), (4, 40), (0, 40)).told() == ""


def test_failures_in_three_samples_are_told() -> None:
    told = seen(Failures(), (0, 20), (2, 20), (1, 20), (3, 20)).told()
    assert told == "6 of 80 requests failed in the last 30 s"


def test_when_nearly_everything_fails_there_is_nothing_to_wait_for() -> None:
    assert seen(Failures(), (0, 20), (38, 40)).told()


def test_samples_a_second_apart_have_to_be_spread_as_far() -> None:
    close = [(1, 10)] * 4
    assert seen(Failures(), *close, interval_s=1.0).told() == ""
    assert seen(Failures(), *([(1, 10)] * 12), interval_s=1.0).told()


def test_a_service_that_sees_a_request_a_minute_is_judged_over_five_minutes() -> None:
    rare = [(0, 0)] * 11 + [(1, 1)]
    assert seen(Failures(), *(rare * 4)).told() == "4 of 4 requests failed in the last 5 minutes"


@pytest.mark.parametrize("interval_s", [30.0, 60.0])
def test_long_intervals_are_judged_too(interval_s: float) -> None:
    assert seen(Failures(), *([(5, 40)] * 4), interval_s=interval_s).told()


def test_the_share_leaves_out_bad_luck_and_what_is_usual() -> None:
    assert Failures().share(15.0) is None
    assert seen(Failures(), (2, 10), (0, 10)).share(15.0) == 0.0
    assert seen(Failures(), *([(200, 200)] * 4)).share(15.0) == pytest.approx(1.0, abs=0.05)
    usual = seen(Failures(), *([(3, 300)] * 2000))
    assert usual.share(15.0) == 0.0


def test_what_came_before_a_healing_does_not_count() -> None:
    failures = seen(Failures(), *([(20, 40)] * 5))
    failures.healed(1000 + 5 * 5.0)
    failures.update(Sample(1030.0, 5.0, {}, {"errors": 0.0, "requests": 40.0}), learning=True)
    assert failures.told() == ""
    assert failures.share(15.0) == 0.0


def test_a_clock_that_is_set_back_forgets_the_future() -> None:
    failures = seen(Failures(), *([(20, 40)] * 5))
    failures.update(Sample(400.0, 5.0, {}, {"errors": 0.0, "requests": 40.0}), learning=True)
    assert failures.count(30.0) == (0.0, 40.0)
