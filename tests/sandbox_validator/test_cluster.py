"""Patches judged on a cluster: who may be talked to, what is sent, and that nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfheal_engine.codec import to_plain
from selfheal_engine.config import Settings
from selfheal_engine.errors import ConfigError, SandboxUnavailableError
from selfheal_engine.model import Candidate, Diagnosis, Occurrence, Verdict
from selfheal_engine.project import Project
from selfheal_engine.sandbox_validator import SandboxValidator, cluster_worker
from selfheal_engine.sandbox_validator.cluster import ClusterValidator
from selfheal_engine.sandbox_validator.executors import (
    TLS_VARIABLES,
    scheduler_of,
    validator_for,
)
from selfheal_engine.sandbox_validator.trees import pack

from .conftest import FIX, ORDERS, PYTEST, none_address, write_shop

DIAGNOSIS = Diagnosis("null_check", (), (), "no address")
OCCURRENCE = Occurrence("o1", "exception", 0.0, 1, "AttributeError", "no strip", ())


def candidates_of(count: int) -> list[Candidate]:
    return [
        Candidate(f"c{n}", "null_check", "t", "title", "", (("a.py", b""),)) for n in range(count)
    ]


# ---------------------------------------------------------------- who may be talked to
@pytest.mark.parametrize(
    "text", ["dask://", "dask://host", "tcp://127.0.0.1:1", "dask://h:port", "dask://h:1/x", "h:1"]
)
def test_an_executor_that_is_no_cluster_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(ConfigError, match="write dask://host:port"):
        scheduler_of(text, {}, lambda: True)


def test_without_the_extra_the_refusal_names_it() -> None:
    with pytest.raises(ConfigError, match=r"selfheal-tui\[cluster\]"):
        scheduler_of("dask://127.0.0.1:8786", {}, lambda: False)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "[::1]"])
def test_loopback_needs_no_tls(host: str) -> None:
    assert scheduler_of(f"dask://{host}:8786", {}, lambda: True).url == f"tcp://{host}:8786"


@pytest.mark.parametrize("host", ["10.0.0.1", "cluster.example", "[2001:db8::1]", "localhost.x"])
@pytest.mark.parametrize("given", [0, 1, 2])
def test_off_loopback_nothing_goes_without_the_whole_of_tls(
    host: str, given: int, tmp_path: Path
) -> None:
    file = tmp_path / "key.pem"
    file.write_text("")
    environ = dict.fromkeys(TLS_VARIABLES[:given], str(file))
    with pytest.raises(ConfigError, match=TLS_VARIABLES[2]):
        scheduler_of(f"dask://{host}:8786", environ, lambda: True)
    whole = scheduler_of(
        f"dask://{host}:8786", dict.fromkeys(TLS_VARIABLES, str(file)), lambda: True
    )
    assert whole.url == f"tls://{host}:8786"
    assert whole.tls == (str(file),) * 3


def test_a_certificate_that_cannot_be_read_is_named() -> None:
    environ = dict.fromkeys(TLS_VARIABLES, "/nonexistent/ca.pem")
    with pytest.raises(ConfigError, match=r"/nonexistent/ca\.pem"):
        scheduler_of("dask://10.0.0.1:8786", environ, lambda: True)


def test_without_an_executor_patches_are_tried_here(tmp_path: Path) -> None:
    validator = validator_for(
        Project(tmp_path, sys.executable), Settings(state_dir=str(tmp_path / "state"))
    )
    assert isinstance(validator, SandboxValidator)
    validator.close()


# ---------------------------------------------------------------- what is sent
def test_an_order_names_the_worker_s_folder_and_its_answer_ours() -> None:
    order = {"root": "/srv/shop", "python": "/srv/shop/.venv/bin/python", "n": [1]}
    order["frames"] = ["/srv/shop/a.py", "/srv/shop2/a.py", "see /srv/shop/a.py:3", "/x/srv/shop"]
    there = cluster_worker.moved(order, "/srv/shop", "/trees/abc", leave=("python",))
    assert there["frames"][0] == "/trees/abc/a.py"
    assert there["frames"][1] == "/srv/shop2/a.py"
    assert there["frames"][2] == "see /trees/abc/a.py:3"
    assert there["frames"][3] == "/x/srv/shop"
    assert there["python"] == order["python"]
    assert cluster_worker.moved(there["frames"], "/trees/abc", "/srv/shop") == order["frames"]


# ---------------------------------------------------------------- a worker by itself
@pytest.fixture
def on_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Verdict]]:
    """Judges one candidate of the shop as a worker would, in this process."""
    from selfheal_engine.codec import from_plain

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "service"
    write_shop(root)
    tree, content = pack(root)
    cluster_worker.receive(tree, content)
    project = Project(root, sys.executable, PYTEST)

    def judge(text: str, **changed: Any) -> Verdict:
        order = cluster_worker.order_for(project, Settings(), tree, *none_address(root))
        candidate = Candidate("c", "null_check", "t", "t", "", (("orders.py", text.encode()),))
        said = cluster_worker.judge(
            json.dumps({**order, **changed}), json.dumps(to_plain(candidate))
        )
        return from_plain(Verdict, json.loads(said)["verdict"])

    yield judge
    cluster_worker._benches.close()


@pytest.mark.e2e
def test_a_worker_judges_as_this_machine_does(on_worker: Callable[..., Verdict]) -> None:
    good, bad = on_worker(ORDERS.replace(*FIX)), on_worker(ORDERS)
    assert good.plausible, good
    assert not bad.plausible
    assert not bad.infrastructure


def test_a_worker_that_cannot_isolate_runs_nothing(
    on_worker: Callable[..., Verdict], monkeypatch: pytest.MonkeyPatch
) -> None:
    from selfheal_engine.sandbox_validator import IsolationLevel

    monkeypatch.setattr(cluster_worker, "level", lambda: IsolationLevel(3, "no walls", "build one"))
    verdict = on_worker(ORDERS)
    assert "cannot isolate" in verdict.infrastructure
    assert verdict.safety is None
    assert not verdict.checks


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"version": "0"}, "version"), ({"python": "/nonexistent/python"}, "interpreter")],
)
def test_a_worker_that_lacks_what_the_service_needs_runs_nothing(
    on_worker: Callable[..., Verdict], changed: dict[str, str], said: str
) -> None:
    assert said in on_worker(ORDERS, **changed).infrastructure


# ---------------------------------------------------------------- nothing lost, nothing twice
class Here:
    """Stands for the validator of this machine."""

    tier = 1
    note = "here"

    def __init__(self, walled: bool = True) -> None:
        self.walled = walled
        self.judged: list[str] = []
        self.closed = False

    def prepare(self) -> None:
        if not self.walled:
            raise SandboxUnavailableError("no wall here")

    def baseline(self, diagnosis: Diagnosis, occurrence: Occurrence) -> None:
        self.prepare()

    def validate(
        self,
        candidates: Sequence[Candidate],
        diagnosis: Diagnosis,
        occurrence: Occurrence,
        on_verdict: Callable[[Verdict], None],
    ) -> list[Verdict]:
        made = [Verdict(one.id, (), 50, plausible=True, tier=1) for one in candidates]
        for verdict in made:
            self.judged.append(verdict.candidate)
            on_verdict(verdict)
        return made

    def close(self) -> None:
        self.closed = True


class Scripted(Executor):
    """A cluster whose jobs meet the fates that are told, in order."""

    def __init__(self, fates: Sequence[str], living: bool = False) -> None:
        self.fates = list(fates)
        self.living = living
        self.sent: list[Sequence[str] | None] = []
        self.executor = self

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        fate = self.fates.pop(0) if self.fates else "silent"
        if fate == "closed":
            raise RuntimeError("the client is closed")
        name = json.loads(args[1])["id"]
        future: Future[Any] = Future()
        plain = to_plain(Verdict(name, (), 90, plausible=True, tier=1))
        answers = {
            "judged": {"verdict": plain},
            "another's": {"verdict": {**plain, "candidate": "x"}},
            "cannot": {"verdict": {**plain, "infrastructure": "no wall"}},
            "lacking": {"lacking": "tcp://worker"},
            "nonsense": {"verdict": 3},
        }
        if fate in answers:
            future.set_result(json.dumps(answers[fate]))
        elif fate == "killed":
            future.set_exception(OSError("the worker died"))
        elif fate == "cancelled":
            future.cancel()
            future.set_running_or_notify_cancel()
        return future

    def send(self, digest: str, packed: bytes, workers: Sequence[str] | None) -> None:
        self.sent.append(workers)

    def alive(self) -> bool:
        return self.living

    def close(self) -> None:
        return


FATES = ("judged", "another's", "cannot", "lacking", "nonsense", "killed", "cancelled", "closed")


@settings(max_examples=60, deadline=None)
@given(
    fates=st.lists(st.sampled_from(FATES), min_size=60, max_size=60),
    count=st.integers(0, 9),
    living=st.booleans(),
)
def test_whatever_happens_on_the_cluster_each_candidate_has_one_verdict(
    fates: list[str], count: int, living: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    here, link = Here(), Scripted(fates, living)
    root = tmp_path_factory.mktemp("empty")
    validator = ClusterValidator(Project(root, sys.executable), Settings(), here, lambda: link)
    validator.baseline(DIAGNOSIS, OCCURRENCE)
    heard: list[str] = []
    wanted = candidates_of(count)
    found = validator.validate(
        wanted, DIAGNOSIS, OCCURRENCE, lambda verdict: heard.append(verdict.candidate)
    )
    assert Counter(heard) == Counter(one.id for one in wanted)
    assert [verdict.candidate for verdict in found] == [one.id for one in wanted]
    assert not any(verdict.infrastructure for verdict in found)
    assert Counter(here.judged).keys() <= set(heard)


def test_a_cluster_that_goes_silent_is_left_and_said_so(tmp_path: Path) -> None:
    here = Here()
    link = Scripted(["judged", "silent"])
    validator = ClusterValidator(Project(tmp_path, sys.executable), Settings(), here, lambda: link)
    validator.baseline(DIAGNOSIS, OCCURRENCE)
    found = validator.validate(candidates_of(2), DIAGNOSIS, OCCURRENCE, lambda verdict: None)
    assert [verdict.safety for verdict in found] == [90, 50]
    assert "gone" in validator.note


def test_a_lost_cluster_is_closed_in_peace_and_this_machine_too(tmp_path: Path) -> None:
    class Gone(Scripted):
        def close(self) -> None:
            raise RuntimeError("the client is closed")

    here = Here()
    validator = ClusterValidator(
        Project(tmp_path, sys.executable), Settings(), here, lambda: Gone(["judged"])
    )
    validator.prepare()
    validator.close()
    assert here.closed


def test_a_cluster_that_nobody_answers_for_is_no_fault_of_the_patch(tmp_path: Path) -> None:
    def refuse() -> Scripted:
        raise OSError("connection refused")

    here = Here()
    validator = ClusterValidator(Project(tmp_path, sys.executable), Settings(), here, refuse)
    validator.baseline(DIAGNOSIS, OCCURRENCE)
    found = validator.validate(candidates_of(3), DIAGNOSIS, OCCURRENCE, lambda verdict: None)
    assert here.judged == ["c0", "c1", "c2"]
    assert all(verdict.plausible for verdict in found)
    assert "connection refused" in validator.note


def test_lost_with_no_wall_here_is_infrastructure_and_never_a_failed_patch(tmp_path: Path) -> None:
    link = Scripted(["judged", "killed"])
    validator = ClusterValidator(
        Project(tmp_path, sys.executable), Settings(), Here(walled=False), lambda: link
    )
    validator.baseline(DIAGNOSIS, OCCURRENCE)
    first, second = validator.validate(
        candidates_of(2), DIAGNOSIS, OCCURRENCE, lambda verdict: None
    )
    assert first.plausible
    assert "no wall here" in second.infrastructure


# ---------------------------------------------------------------- a real cluster on loopback
@dataclass
class Cluster:
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]
    executor: str
    logs: Path

    def hold(self) -> None:
        """Stop the second worker: what it is given from now on is never finished."""
        self.workers[1].send_signal(signal.SIGSTOP)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A scheduler and two workers, each a process of its own with a cache of its own."""
    distributed: Any = pytest.importorskip("distributed")
    file, logs = tmp_path / "scheduler.json", tmp_path / "logs"
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, *words: str) -> subprocess.Popen[bytes]:
        env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / f"cache-{name}")}
        with logs.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{words[0]}", *words[1:]],
                stdout=log,
                stderr=log,
                env=env,
                cwd=tmp_path,
            )
        started.append(process)
        return process

    try:
        place = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show")
        scheduler = start("scheduler", "scheduler", *place, "--scheduler-file", str(file))
        waited_until = time.monotonic() + 60
        while not (file.exists() and file.read_text().endswith("}")):
            assert scheduler.poll() is None, logs.read_text()
            assert time.monotonic() < waited_until, logs.read_text()
            time.sleep(0.05)
        url = json.loads(file.read_text())["address"]
        local = ("--no-nanny", "--nthreads", "2", "--no-dashboard", "--host", "127.0.0.1")
        folder = ("--local-directory", str(tmp_path / "spill"))
        workers = [start(f"worker{n}", "worker", url, *local, *folder) for n in range(2)]
        with distributed.Client(url, timeout=30, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
        yield Cluster(scheduler, workers, url.replace("tcp://", "dask://"), logs)
    finally:
        for process in started:
            process.kill()
            process.wait()


def judged_while(
    tmp_path: Path,
    executor: str,
    before: Callable[[], None] = lambda: None,
    on_first: Callable[[], None] = lambda: None,
) -> tuple[list[Verdict], str]:
    """Verdicts on eight patches, every other one right, and the validator's note; `before` is
    called when the workers have the tree, `on_first` when the first verdict is in."""
    root = tmp_path / "service"
    write_shop(root)
    diagnosis, occurrence = none_address(root)
    texts = [f"LABEL = {n}\n" + (ORDERS.replace(*FIX) if n % 2 == 0 else ORDERS) for n in range(8)]
    wanted = [
        Candidate(f"c{n}", "null_check", "t", "t", "", (("orders.py", text.encode()),))
        for n, text in enumerate(texts)
    ]
    heard: list[str] = []

    def hear(verdict: Verdict) -> None:
        heard.append(verdict.candidate)
        if len(heard) == 1:
            on_first()

    validator = validator_for(
        Project(root, sys.executable, PYTEST),
        Settings(executor=executor, state_dir=str(tmp_path / "state")),
    )
    try:
        validator.prepare()
        validator.baseline(diagnosis, occurrence)
        before()
        found = validator.validate(wanted, diagnosis, occurrence, hear)
        note = validator.note
    finally:
        validator.close()
    assert Counter(heard) == Counter(one.id for one in wanted)
    assert [verdict.candidate for verdict in found] == [one.id for one in wanted]
    assert [verdict.plausible for verdict in found] == [n % 2 == 0 for n in range(8)], found
    assert not any(verdict.infrastructure for verdict in found)
    return found, note


@pytest.mark.e2e
def test_two_workers_share_the_patches_and_each_gets_the_tree_once(
    cluster: Cluster, tmp_path: Path
) -> None:
    found, note = judged_while(tmp_path, cluster.executor)
    assert "this machine" not in note, cluster.logs.read_text()
    tests = found[0].check("tests")
    assert tests is not None
    assert tests.status == "passed"
    for n in range(2):
        trees = tmp_path / f"cache-worker{n}" / "selfheal-tui" / "worker" / "trees"
        assert len(list(trees.iterdir())) == 1


@pytest.mark.e2e
def test_with_a_worker_killed_in_the_middle_every_patch_still_has_one_verdict(
    cluster: Cluster, tmp_path: Path
) -> None:
    _, note = judged_while(
        tmp_path, cluster.executor, before=cluster.hold, on_first=cluster.workers[1].kill
    )
    assert "this machine" not in note, cluster.logs.read_text()


@pytest.mark.e2e
def test_with_the_scheduler_killed_in_the_middle_the_rest_is_tried_here(
    cluster: Cluster, tmp_path: Path
) -> None:
    _, note = judged_while(
        tmp_path, cluster.executor, before=cluster.hold, on_first=cluster.scheduler.kill
    )
    assert "patches are tried on this machine" in note
