"""A restart that a person asks for: real processes end, others serve, and it is all told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from selfheal_agent.launch import environment
from selfheal_engine import SelfHealingCoordinator
from selfheal_engine.config import Settings
from selfheal_engine.coordinator.remote import RemoteEngine
from selfheal_engine.coordinator.server import offer
from selfheal_engine.errors import SelfhealError
from selfheal_engine.model import Event, IncidentState, RestartOffer, Snapshot, Target
from tests.coordinator.conftest import Bench

LEAKY = """
import os, time
held = [os.open("/dev/null", os.O_RDONLY) for _ in range(40)]
while True:
    time.sleep(0.05)
"""


def until(condition: Callable[[], bool], most_s: float = 40.0) -> None:
    deadline = time.monotonic() + most_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    project = tmp_path / "project"
    project.mkdir()
    (project / "held.py").write_text(LEAKY, encoding="utf-8")
    return Settings(
        project=str(project),
        state_dir=str(tmp_path / "state"),
        run_dir=str(tmp_path / "run"),
        interval_s=0.2,
    )


@pytest.fixture
def own(settings: Settings) -> Target:
    return Target(command=(sys.executable, f"{settings.project}/held.py"))


class Foreign:
    """A service with the probe that somebody else starts, and restarts by a script of theirs."""

    def __init__(self, settings: Settings) -> None:
        self.pid_file = Path(settings.project) / "pid"
        self.script = Path(settings.project) / "restart.sh"
        where = f"{settings.project}/held.py"
        self.pid_file.touch()
        self.script.write_text(
            f"kill $(cat {self.pid_file}) 2>/dev/null\nsleep 0.7\n"
            f"setsid {sys.executable} {where} >/dev/null 2>&1 &\necho $! > {self.pid_file}\n"
        )
        self.environ = environment(os.environ, "held", settings.run_dir, settings.project)
        self.restart()

    def restart(self) -> None:
        subprocess.run(["sh", str(self.script)], env=self.environ, check=True)

    @property
    def pid(self) -> int:
        return int(self.pid_file.read_text())

    def command(self) -> str:
        words = " ".join(f"{key}='{self.environ[key]}'" for key in self._ours())
        return f"env {words} sh {self.script}"

    def _ours(self) -> list[str]:
        return [key for key, value in self.environ.items() if os.environ.get(key) != value]


@pytest.fixture
def foreign(settings: Settings) -> Iterator[Foreign]:
    made = Foreign(settings)
    until(lambda: any(Path(settings.run_dir).glob("*.json")))
    yield made
    os.kill(made.pid, signal.SIGKILL)


def pids(engine: SelfHealingCoordinator) -> list[int]:
    return [process.pid for process in engine.snapshot().service.processes]


def offered(engine: SelfHealingCoordinator) -> RestartOffer:
    found = engine.snapshot().restart
    assert found is not None
    return found


@pytest.mark.e2e
def test_what_the_app_started_is_ended_and_started_again_and_it_is_told(
    settings: Settings, own: Target
) -> None:
    told: list[Snapshot | Event] = []
    with SelfHealingCoordinator(settings, own) as engine:
        engine.subscribe(told.append)
        (before,) = pids(engine)
        assert offered(engine).does.startswith("Ends the processes that this app started")
        assert "Requests in flight are lost" in offered(engine).loses
        said = engine.restart().result(60)
        assert said.startswith("restarted in ")
        assert said.endswith("1 new process serves")
        assert not psutil.pid_exists(before)
        until(lambda: bool(pids(engine)) and before not in pids(engine))
        assert engine.snapshot().service.alive
        until(lambda: any(alert.text == said for alert in engine.snapshot().feed))
        feed = [alert.text for alert in engine.snapshot().feed if alert.detector == "restart"]
    phases = [v.body["phase"] for v in told if isinstance(v, Event) and v.kind == "restart"]
    assert phases == ["begun", "done"]
    assert len(feed) == 2
    assert feed[0].startswith("restart asked for. Ends the processes")
    assert feed[1] == said
    doing = [v.activity for v in told if isinstance(v, Snapshot)]
    assert any(text.startswith("restarting: Ends the processes") for text in doing)


@pytest.mark.e2e
def test_the_owners_command_restarts_it_and_the_engine_follows_the_new_process(
    settings: Settings, foreign: Foreign
) -> None:
    before = foreign.pid
    told = replace(settings, restart_command=foreign.command())
    with SelfHealingCoordinator(told, Target(name="held")) as engine:
        assert offered(engine).does == f"Runs your restart_command: {foreign.command()}"
        server = offer(engine, told)
        with RemoteEngine(Path(told.run_dir) / "engines" / "held.sock") as viewer:
            assert "1 new process" in viewer.restart().result(60)
        server.close()
        assert foreign.pid != before
        until(lambda: pids(engine) == [foreign.pid])
        until(lambda: engine.snapshot().service.processes[0].has_probe)
        assert engine.snapshot().service.alive


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("false", "not restarted: restart_command ended with exit code 1"),
        ("/no/such/command", "not restarted: restart_command could not be run"),
    ],
)
def test_a_command_that_fails_is_told_and_the_service_is_watched_on(
    settings: Settings, foreign: Foreign, command: str, said: str
) -> None:
    told = replace(settings, restart_command=command)
    with SelfHealingCoordinator(told, Target(name="held")) as engine:
        with pytest.raises(SelfhealError, match=said):
            engine.restart().result(60)
        assert pids(engine) == [foreign.pid]
        until(lambda: any(said in alert.text for alert in engine.snapshot().feed))


@pytest.mark.e2e
def test_where_no_way_is_known_it_says_what_to_set(settings: Settings, foreign: Foreign) -> None:
    with SelfHealingCoordinator(settings, Target(name="held")) as engine:
        assert "set restart_command" in offered(engine).refused
        with pytest.raises(SelfhealError, match="set restart_command"):
            engine.restart().result(10)
        with SelfHealingCoordinator(settings, Target(name="held")) as second:
            with pytest.raises(SelfhealError, match="this one only looks"):
                second.restart().result(10)
            assert "only looks" in offered(second).refused


@pytest.mark.e2e
def test_in_maintenance_and_after_the_end_nothing_is_restarted(
    settings: Settings, own: Target
) -> None:
    with SelfHealingCoordinator(settings, own) as engine:
        engine.maintenance(True).result(10)
        with pytest.raises(SelfhealError, match="maintenance is on"):
            engine.restart().result(10)
        engine.maintenance(False).result(10)
        os.kill(pids(engine)[0], signal.SIGKILL)
        assert engine.wait(30)
        assert "the service has ended" in offered(engine).refused


def test_a_patch_that_could_not_free_its_processes_asks_for_a_restart(bench: Bench) -> None:
    incident = bench.open()
    bench.approve(incident)
    bench.turn_until(lambda: bench.state(incident) is IncidentState.WATCHING)
    assert bench.loop.restarts.offer().wanted == ""
    case = bench.loop.ledger.case(incident)
    assert case.applied is not None
    case.applied = replace(case.applied, stuck="restart_command is not set")
    assert f"the patch for #{incident.number}" in bench.loop.restarts.offer().wanted
    bench.service.pids = (21, 22)
    assert bench.loop.restarts.offer().wanted == "", "somebody has restarted it"


def test_a_process_too_stuck_to_take_its_patch_asks_for_a_restart(bench: Bench) -> None:
    incident = bench.open()
    record = replace(incident.occurrence, kind="deadlock") if incident.occurrence else None
    bench.loop.ledger.change(incident.id, occurrence=record)
    assert bench.loop.restarts.offer().wanted == "", "the patch comes first"
    bench.service.refuse = "the process did not answer"
    answer = bench.approve(incident)
    bench.turn_until(answer.done)
    assert "could not be applied" in bench.loop.restarts.offer().wanted


def test_while_a_restart_runs_a_second_one_waits_and_no_patch_is_applied(bench: Bench) -> None:
    word = bench.file.parent / "go"
    bench.parts.settings = replace(
        bench.parts.settings, restart_command=f"sh -c 'while ! test -e {word}; do sleep 0.05; done'"
    )
    answer: Future[str] = Future()
    bench.loop.restarts.begin(answer)
    with pytest.raises(SelfhealError, match="under way already"):
        bench.loop.restarts.begin(Future())
    incident = bench.open()
    bench.approve(incident)
    for _ in range(20):
        bench.loop._turn()
    assert bench.state(incident) is IncidentState.APPROVED
    word.touch()
    bench.service.pids = (21, 22)
    bench.turn_until(answer.done)
    assert answer.result(0).endswith("2 new processes serve")
    bench.turn_until(lambda: bench.state(incident) is not IncidentState.APPROVED)
