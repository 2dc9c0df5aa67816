"""kill -9 at every step of an incident's life: the next start finishes the step or takes it back.

A child process plays the incident with the real loop, healer and memory, and dies by SIGKILL at
its n-th step: before an event reaches its subscriber, before and after a process takes new
code, and before every rename, removal and opening for writing of a file (audit events). The next
start is another child, so that nothing survives but the disk.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from selfheal_engine.coordinator.loop import EngineLoop
from selfheal_engine.model import Event, FunctionSwap, IncidentState, Snapshot, SwapResult
from tests.coordinator.scripted import (
    BROKEN,
    MENDED,
    ScriptedService,
    candidate,
    occurrence,
    parts_for,
    proposed,
)

Step = Callable[[], None]
LAST_STEPS = 16
"""From within the watch to the end of a healing."""
FILE_EVENTS = ("open", "os.rename", "os.remove", "os.link", "os.truncate")


class Workers(ScriptedService):
    """Two workers that outlive the engine: the text that each runs is kept on the disk."""

    def __init__(self, root: Path, step: Step) -> None:
        super().__init__(root)
        self._folder = root.parent / "workers"
        self._step = step
        self._folder.mkdir(exist_ok=True)
        for pid in (11, 12):
            if not self._running(pid).exists():
                self._running(pid).write_bytes(BROKEN)

    def swap(self, swap: FunctionSwap, pids: tuple[int, ...] = ()) -> list[SwapResult]:
        results = []
        for pid in pids or (11, 12):
            self._step()
            self._running(pid).write_bytes(Path(swap.path).read_bytes())
            results.append(SwapResult(pid, True, ("total",)))
        self._step()
        return results

    def _running(self, pid: int) -> Path:
        return self._folder / str(pid)


def engine(folder: Path, step: Step) -> EngineLoop:
    def told(value: Snapshot | Event) -> None:
        if isinstance(value, Event) and value.kind not in ("sample", "alert"):
            step()

    parts = parts_for(folder, told, watch_s=0.01, canary=True)
    source: Any = Workers(parts.project.root, step)
    parts.source = source
    return EngineLoop(parts)


def play(folder: Path, fails_again: bool, step: Step) -> None:
    """From a new incident to its end: healed, or rolled back when it fails again."""
    loop = engine(folder, step)
    (incident,) = loop._parts.tracker.observe(time.time(), (), [occurrence()])
    loop.ledger.opened(incident)
    loop.ledger.move(
        incident.id, IncidentState.PROPOSED, proposal=proposed(incident, candidate()).proposal
    )
    loop.healings.approve(incident.id, "c1", Future())
    turn_to_the_end(loop, incident.id, fails_again)


def turn_to_the_end(loop: EngineLoop, incident_id: str, fails_again: bool = False) -> None:
    deadline = time.monotonic() + 20
    while not loop.ledger.incident(incident_id).state.ended:
        assert time.monotonic() < deadline
        if fails_again and loop.ledger.incident(incident_id).state is IncidentState.WATCHING:
            watch = loop.healings._watched
            assert watch is not None
            watch.watch._harm = "the error came back in process 11"
        loop._turn()


def start_again(folder: Path) -> dict[str, Any]:
    """What a second engine finds, and does, after the first one died."""
    loop = engine(folder, lambda: None)
    loop.healings.recover()
    memory = loop._parts.memory
    for incident in loop._parts.tracker.incidents():
        if incident.state not in (IncidentState.OPEN, IncidentState.PROPOSED):
            turn_to_the_end(loop, incident.id)
    states = [incident.state.value for incident in loop._parts.tracker.incidents()]
    episodes = [episode.state for episode in memory.episodes()]
    return {
        "state": (states or episodes or ["none"])[0],
        "left": len(memory.unfinished()),
        "episodes": episodes,
    }


def in_child(work: Callable[[], object]) -> tuple[bool, Any]:
    """(killed, what `work` returned) of a forked process."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.write(writing, json.dumps(work()).encode())
            code = 0
        except BaseException:  # noqa: BLE001 - told, and the exit code says it
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    with open(reading, "rb") as answer:
        said = answer.read()
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert killed or os.WEXITSTATUS(status) == 0, "the child failed"
    return killed, None if killed else json.loads(said)


def dying_at(wanted: int, folder: Path, fails_again: bool) -> int:
    """Play, and die at step `wanted`; the number of steps when there were fewer."""
    seen = 0
    watched = str(folder)

    def step() -> None:
        nonlocal seen
        seen += 1
        if seen == wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in FILE_EVENTS or not str(arguments[0]).startswith(watched):
            return
        if event != "open" or arguments[2] & (os.O_WRONLY | os.O_RDWR):
            step()

    sys.addaudithook(audit)
    play(folder, fails_again, step)
    return seen


@pytest.mark.parametrize("fails_again", [False, True], ids=["healing", "rolling back"])
def test_killed_at_any_step_the_next_start_leaves_nothing_half_done(
    tmp_path: Path, fails_again: bool
) -> None:
    counted = tmp_path / "counted"
    counted.mkdir()
    _, steps = in_child(lambda: dying_at(0, counted, fails_again))
    assert steps > 30
    ends: set[str] = set()
    # both lives begin alike: the way to the watch is walked once
    for wanted in range(1 if fails_again else steps - LAST_STEPS, steps + 1):
        folder = tmp_path / str(wanted)
        folder.mkdir()
        killed, _ = in_child(lambda: dying_at(wanted, folder, fails_again))  # noqa: B023
        if not killed:
            continue  # fewer samples were taken this time
        _, found = in_child(lambda: start_again(folder))  # noqa: B023
        ends.add(found["state"])
        check(folder, found, f"killed at step {wanted}")
    assert ends == (
        {"none", "open", "proposed", "healed", "rolled_back"} if fails_again else {"healed"}
    )


def check(folder: Path, found: dict[str, Any], when: str) -> None:
    file = folder / "project" / "shop.py"
    text = file.read_bytes() if file.exists() else BROKEN
    running = [worker.read_bytes() for worker in (folder / "workers").glob("*")]
    in_force = found["state"] == "healed"
    assert text == (MENDED if in_force else BROKEN), (when, found)
    assert set(running) <= {text}, (when, found)
    assert [path.name for path in file.parent.glob("*")] in ([], ["shop.py"]), when
    if found["state"] in ("none", "open", "proposed"):
        assert found["episodes"] == [], (when, found)
    else:
        assert found["episodes"] == [found["state"]], (when, found)
        assert found["left"] == 0, (when, found)
