"""Requests that are kept while all is well, for what only repetition shows later."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from selfheal_agent import recent, requests


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    now = [100.0]
    recent.forget()
    monkeypatch.setattr(requests, "clock", lambda: now[0])
    yield now
    recent.forget()
    requests.finished.clear()


def served(path: str, status: int) -> None:
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "HTTP_X_API_KEY": "hunter2"}
    request = requests.InFlight("wsgi", environ, 1)
    over(request, status)


def over(request: requests.InFlight, status: int) -> None:
    request.route, request.status = "/tiles", status
    requests.end(request, failed=False)


def paths() -> list[str]:
    return [message["request"]["path"] for message in recent.exchanges("/srv/tiles.py", "read")]


def test_one_a_second_of_each_route_and_outcome_is_kept_and_failures_are_not_sent(
    clock: list[float],
) -> None:
    for path, status in (("/1", 200), ("/2", 200), ("/3", 304), ("/4", 500)):
        served(path, status)
    assert sorted(paths()) == ["/1", "/3"]
    for number in range(5, 5 + 2 * recent.KEPT):
        clock[0] += recent.EVERY_S
        served(f"/{number}", 200)
    assert len(paths()) == recent.KEPT + 1


@pytest.mark.parametrize(
    "odd",
    [{"kind": "task"}, {"body_size": recent.MAX_BODY + 1}, {"environ": None}],
    ids=["a task", "a large body", "an environment of another kind"],
)
def test_what_cannot_be_sent_again_is_let_go_without_a_word(odd: dict[str, object]) -> None:
    request = requests.InFlight("wsgi", {"REQUEST_METHOD": "GET", "PATH_INFO": "/1"}, 1)
    for name, value in odd.items():
        setattr(request, name, value)
    over(request, 200)
    assert paths() == []


def test_secrets_are_hidden_and_kinds_are_bounded() -> None:
    for status in range(200, 200 + 2 * recent.MAX_KINDS):
        served("/1", status)
    kept = recent.exchanges("/srv/tiles.py", "read")
    assert len(kept) == recent.MAX_SENT
    assert "hunter2" not in str(kept)


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        ({"kind": "resource", "exception": "ResourceLeak", "message": ""}, True),
        ({"kind": "exception", "exception": "OSError", "message": "Too many open files"}, True),
        ({"kind": "exception", "exception": "_queue.Empty", "message": ""}, True),
        ({"kind": "exception", "exception": "KeyError", "message": "'pool'"}, False),
    ],
)
def test_only_what_ran_out_takes_them_along(record: dict[str, object], wanted: bool) -> None:
    served("/1", 200)
    frames = [
        {"file": "/srv/tiles.py", "function": "read", "own": True},
        {"file": "/usr/lib/queue.py", "function": "get", "own": False},
    ]
    found = recent.exchanges_for({**record, "frames": frames})
    assert bool(found) is wanted
    assert all((one["file"], one["function"]) == ("/srv/tiles.py", "read") for one in found)
