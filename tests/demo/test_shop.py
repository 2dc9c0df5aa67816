"""The shop under its traffic: healthy until the bug's time, and then each bug as described."""

from __future__ import annotations

import subprocess

import psutil
import pytest

from selfheal_tui.demo.playing import service, traffic, wait_for_report


def total(report, name):
    return sum(line[name] for line in report)


def test_the_shops_own_tests_pass(lay_out):
    prepared = lay_out("checkout")
    done = subprocess.run(
        prepared.tests.split(), cwd=prepared.project, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.e2e
def test_before_the_bugs_time_every_customer_is_served(lay_out):
    prepared = lay_out("checkout", bug_after_s=600, rate_per_s=60)
    with service(prepared), traffic(prepared) as load:
        report = wait_for_report(
            prepared.report, load, lambda lines: total(lines, "requests") > 150
        )
    assert total(report, "ok") > 140
    assert total(report, "failed") + total(report, "lost") + total(report, "timeouts") == 0
    assert total(report, "bad") == 0


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("checkout", "TypeError: 'NoneType' object is not subscriptable"),
        ("suppliers", "ValueError: invalid literal for int()"),
    ],
)
def test_from_the_bugs_time_on_its_requests_fail_and_no_others(lay_out, name, words):
    prepared = lay_out(name, bug_after_s=1, rate_per_s=40)
    with service(prepared), traffic(prepared) as load:
        report = wait_for_report(
            prepared.report, load, lambda lines: total(lines, "bad_failed") >= 4
        )
    assert total(report, "bad_failed") == total(report, "bad") >= 4
    assert total(report, "failed") == total(report, "bad_failed")
    assert total(report, "lost") == 0
    assert words in prepared.report.with_name("service.log").read_text()


@pytest.mark.e2e
def test_the_cache_of_strips_makes_the_workers_grow_without_a_failure(lay_out):
    prepared = lay_out("related", bug_after_s=1, rate_per_s=60)

    def workers_bytes():
        return sum(child.memory_info().rss for child in psutil.Process(shop.pid).children())

    with service(prepared) as shop, traffic(prepared) as load:
        wait_for_report(prepared.report, load, lambda lines: total(lines, "requests") > 40)
        before = workers_bytes()
        report = wait_for_report(prepared.report, load, lambda lines: total(lines, "bad") > 200)
        grown = workers_bytes() - before
    assert grown > 2_000_000
    assert report[-1]["total_failed"] == 0


@pytest.mark.e2e
def test_a_carrier_that_stops_answering_keeps_customers_waiting(lay_out):
    prepared = lay_out("delivery", bug_after_s=1, rate_per_s=40)
    with service(prepared), traffic(prepared) as load:
        report = wait_for_report(prepared.report, load, lambda lines: total(lines, "timeouts") > 0)
    assert report[-1]["in_flight"] > 2
    assert total(report, "failed") + total(report, "lost") == 0


@pytest.mark.e2e
def test_the_load_ends_with_whoever_started_it(lay_out):
    prepared = lay_out("checkout", rate_per_s=40)
    with service(prepared):
        # a shell starts the load and is gone: nobody is left to tell it to stop
        words = " ".join(prepared.traffic_command)
        wait = f"until test -s {prepared.report}; do sleep 0.1; done"
        shell = subprocess.run(
            ["sh", "-c", f"{words} >/dev/null 2>&1 & echo $!; {wait}"],
            capture_output=True,
            text=True,
            timeout=30,
        )
        load = psutil.Process(int(shell.stdout)) if psutil.pid_exists(int(shell.stdout)) else None
        if load is not None:
            load.wait(20)
    assert not psutil.pid_exists(int(shell.stdout))
