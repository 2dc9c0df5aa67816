"""Flask under gunicorn gthread: what is caught, measured and swapped while requests go on."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from selfheal_agent.recording import decode
from selfheal_engine.config import Settings
from selfheal_engine.model import METRICS, FunctionSwap, GoodCall, Occurrence, Target
from selfheal_engine.sources import open_source
from selfheal_engine.sources.discovery import list_services
from selfheal_engine.sources.glance import Glances
from tests.sources.conftest import Running

pytestmark = pytest.mark.e2e


def swap_of(path: Path, text: str, *functions: str) -> FunctionSwap:
    path.write_text(text, encoding="utf-8")
    return FunctionSwap(str(path), hashlib.sha256(text.encode()).hexdigest(), functions)


def test_a_crash_is_caught_once_with_its_place_arguments_and_request(shop: Running) -> None:
    assert shop.get("/order/2") == 500
    shop.until(lambda: shop.seen)
    [occurrence] = shop.seen
    crash = occurrence.crash
    assert crash is not None
    assert (crash.function, crash.line) == ("Cart.total", 14)
    line = (shop.project / "shop.py").read_text().splitlines()[13]
    assert line[crash.column : crash.end_column] == 'order["address"]["zip"]'
    assert decode_order(crash.arguments) == {"address": None}
    assert occurrence.request is not None
    assert (occurrence.request.path, occurrence.request.app) == ("/order/2", "shop:app")
    assert occurrence.request.route == "GET /order/<int:number>"
    assert occurrence.fingerprint
    assert [f.function for f in occurrence.frames if f.own] == ["order", "price", "Cart.total"]


def decode_order(arguments: str) -> object:
    plain = json.loads(arguments)
    return decode(json.dumps(plain["v"]["args"][1]))


def test_every_failed_request_is_counted_whichever_worker_served_it(shop: Running) -> None:
    threads = [
        threading.Thread(target=lambda: [shop.get("/order/2") for _ in range(10)], daemon=True)
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shop.until(lambda: shop.count() >= 40 and shop.requests() >= 40)
    assert shop.count() == 40
    assert len({occurrence.fingerprint for occurrence in shop.seen}) == 1
    sample = shop.source.sample(time.time())
    assert sample.counters["requests"] == 40
    assert sample.counters["errors"] == 40
    assert shop.source.route_counts()["GET /order/<int:number>"] == (40, 40)


def test_a_sample_has_the_seven_metrics_or_says_why_not(shop: Running) -> None:
    first = shop.source.sample(time.time())
    assert set(first.readings) == set(METRICS)
    assert first.readings["response_time"].value is None
    assert "no requests" in first.readings["response_time"].reason
    for _ in range(20):
        shop.get("/")
    second = shop.source.sample(time.time())
    assert second.value("response_time") is not None
    assert second.value("queue_depth") == 0
    assert second.value("deadlock_risk") == 0
    assert (second.value("memory_usage") or 0) > 10_000_000
    assert (second.value("cpu_usage") or 0) >= 0
    assert second.counters["processes"] == 3
    assert [stat.route for stat in shop.source.endpoints()] == ["GET /"]


def test_a_posted_body_can_be_replayed(shop: Running) -> None:
    body = b'{"cents": 500, "share": 0, "password": "hunter22"}'
    assert shop.get("/checkout", body) == 500
    shop.until(lambda: shop.seen)
    request = shop.seen[0].request
    assert request is not None
    assert request.method == "POST"
    assert b'"share": 0' in request.body
    assert b"hunter22" not in request.body


def test_good_calls_follow_the_first_crash_and_entry_arguments_the_second(shop: Running) -> None:
    def totals() -> list[GoodCall]:
        for number in range(8):
            shop.get(f"/order/{number}")
        found = [call for occurrence in shop.seen for call in occurrence.good_calls]
        return [call for call in found if call.function == "Cart.total"]

    shop.until(lambda: len(totals()) >= 4)
    assert decode(totals()[0].result) == 5


def test_a_swap_heals_every_worker_and_no_request_is_lost(shop: Running) -> None:
    path = shop.project / "shop.py"
    old = path.read_text()
    new = old.replace(
        'zone = order["address"]["zip"]', 'zone = (order["address"] or {}).get("zip", "")'
    )
    statuses: list[int] = []
    stop = threading.Event()

    def traffic() -> None:
        while not stop.is_set():
            statuses.append(shop.get("/order/1"))

    threads = [threading.Thread(target=traffic, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(10):
        swap = swap_of(path, new if turn % 2 == 0 else old, "Cart.total")
        results = shop.source.swap(swap)
        assert all(result.ok for result in results), results
        assert sum(bool(result.swapped) for result in results) == 2
    assert shop.get("/order/2") == 500
    shop.source.swap(swap_of(path, new, "Cart.total"))
    assert [shop.get("/order/2") for _ in range(10)] == [200] * 10
    shop.source.revert(FunctionSwap(str(path), ""))
    stop.set()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200}
    assert shop.get("/order/2") == 500


def test_the_text_of_running_code_survives_a_write_to_its_file(shop: Running) -> None:
    path = shop.project / "shop.py"
    shop.source.hold_text(str(path))
    path.write_text("# a new first line\n" + path.read_text())
    shop.get("/order/2")
    shop.until(lambda: shop.seen)
    crash = shop.seen[0].crash
    assert crash is not None
    assert crash.source_line == 'zone = order["address"]["zip"]'


def test_workers_that_are_replaced_keep_the_totals_exact(shop: Running) -> None:
    import os
    import signal

    for _ in range(5):
        shop.get("/order/2")
    shop.until(lambda: shop.count() >= 5)
    workers = [p.pid for p in shop.source.service().processes if p.role == "worker"]
    for pid in workers:
        os.kill(pid, signal.SIGTERM)
    known = set(workers)
    shop.until(
        lambda: sum(c.pid not in known for c in shop.source._probes.connections) >= 3, seconds=20
    )
    for _ in range(5):
        shop.get("/order/2")
    shop.until(lambda: shop.count() >= 10)
    assert shop.count() == 10
    assert shop.source.sample(time.time()).counters["requests"] == 10


def test_a_request_far_beyond_its_own_distribution_is_reported_while_it_hangs(
    shop: Running,
) -> None:
    for _ in range(60):
        shop.get("/slow?s=0")
    hanging = threading.Thread(target=shop.get, args=("/slow?s=5",), daemon=True)
    hanging.start()
    shop.until(lambda: any(o.kind == "stall" for o in shop.seen))
    stall = next(o for o in shop.seen if o.kind == "stall")
    assert hanging.is_alive()
    crash = stall.crash
    assert crash is not None
    assert crash.function == "slow"
    assert crash.source_line.startswith("time.sleep")
    assert stall.durations_s
    assert max(stall.durations_s) < 1.0


def test_a_memory_report_names_the_line_and_the_holder(shop: Running) -> None:
    stop = threading.Event()

    def traffic() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            shop.get(f"/leak/{number}")

    thread = threading.Thread(target=traffic, daemon=True)
    thread.start()

    def told() -> list[Occurrence]:
        return [o for o in shop.seen if o.kind == "leak" and o.growth[0].holder]

    def found() -> bool:
        shop.source.request_memory_report(1.0)  # again when the first saw too little
        return bool(told())

    try:
        shop.until(found)
    finally:
        stop.set()
        thread.join()
    leak = told()[0]
    crash = leak.crash
    assert crash is not None
    assert crash.source_line == 'CACHE[number] = "x" * 6000'
    assert crash.function == "leak"
    assert leak.growth[0].holder == "shop.CACHE", leak.growth
    assert leak.growth[0].bytes_grown > 60_000


def test_a_second_app_may_look_and_is_told_who_was_first(shop: Running, settings: Settings) -> None:
    import os

    second = open_source(Target(name="shop"), settings)
    try:
        second.poll(0.5)
        assert str(os.getpid()) in second.read_only()
        assert shop.source.read_only() == ""
        path = shop.project / "shop.py"
        results = second.swap(swap_of(path, path.read_text(), "price"))
        assert results
        assert not any(result.ok for result in results)
        assert "look only" in results[0].reason
        shop.get("/order/2")
        shop.until(lambda: shop.seen)
        seen: list[Occurrence] = []
        end = time.monotonic() + 10
        while not seen and time.monotonic() < end:
            seen = second.poll(0.2)
        assert seen[0].fingerprint == shop.seen[0].fingerprint
    finally:
        second.close(stop_service=False)


def test_a_glance_tells_how_a_service_does_and_takes_nothing_from_it(
    shop: Running, settings: Settings
) -> None:
    glances = Glances(Path(settings.run_dir))
    [well] = glances.look()
    assert well.health is not None
    assert well.health.score == 100
    for _ in range(4):
        assert shop.get("/order/2") == 500
        shop.get("/hello")

    def seen_failing() -> bool:
        [ill] = glances.look()
        assert ill.health is not None
        return ill.failed >= 4 and ill.health.score < 50 and ill.service.taken_by == os.getpid()

    shop.until(seen_failing)
    shop.until(lambda: shop.seen)  # the records went to the app that watches


def test_a_service_whose_probe_does_not_answer_is_listed_without_health(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / f"{os.getpid()}.sock"))
    listener.listen()
    card = {"pid": os.getpid(), "ppid": os.getppid(), "name": "mute", "project": "",
            "command": ["python"], "started_s": time.time(), "python": ""}  # fmt: skip
    (tmp_path / f"{os.getpid()}.json").write_text(json.dumps(card))
    [glance] = Glances(tmp_path).look()
    listener.close()
    assert (glance.service.name, glance.health) == ("mute", None)


def test_a_later_app_reads_what_happened_while_nobody_looked(
    shop: Running, settings: Settings
) -> None:
    shop.source.close(stop_service=False)
    shop.get("/order/2")
    [service] = list_services(Path(settings.run_dir))
    assert (service.name, service.taken_by) == ("shop", 0)
    later = open_source(Target(name="shop"), settings)
    try:
        end = time.monotonic() + 10
        seen: list[Occurrence] = []
        while not seen and time.monotonic() < end:
            seen = later.poll(0.2)
        assert seen[0].exception == "TypeError"
    finally:
        later.close(stop_service=True)
