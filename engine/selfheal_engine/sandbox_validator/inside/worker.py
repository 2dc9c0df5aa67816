"""Runs one job behind the wall: import the project, replay what was recorded, report.

`python worker.py` reads a job from standard input (JSON) and writes one JSON object a line to
standard output, each carrying the job's nonce:

    {"nonce": ..., "step": "imports", "outcome": {...}}
    ...
    {"nonce": ..., "step": "done"}

Three processes keep the results honest. The supervisor holds the nonce and the way out, never
imports anything of the project, and cannot be looked into by the others. The importer loads the
project. Each replay runs in a fork of the importer, so one replay's damage never reaches the
next. A replay that ends without its record has died, whatever its exit code says.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

FOLDER = os.path.dirname(os.path.abspath(__file__))

if TYPE_CHECKING:
    from selfheal_engine.sandbox_validator.inside import kernel, replay
else:
    sys.path.insert(0, FOLDER)
    sys.path.insert(1, os.path.dirname(FOLDER))
    import kernel
    import replay
RECORD_AT_MOST = 4 << 20
IDLE_S = 5.0
"""A replay that sleeps so long without any work waits for what will not come."""

Job = dict[str, Any]
Outcome = dict[str, Any]


def main() -> None:
    job = json.loads(sys.stdin.buffer.read().decode())
    out = os.dup(1)
    os.set_inheritable(out, False)
    # what the project prints must not mix with the records
    os.dup2(2, 1)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    supervise(job, out)


def supervise(job: Job, out: int) -> None:
    """Run every step of the job, each in a process of its own, and pass the records on."""
    hide()
    nonce = job.pop("nonce")

    def say(step: str, outcome: Outcome) -> None:
        record = {"nonce": nonce, "step": step, "outcome": outcome}
        write_all(out, json.dumps(record).encode() + b"\n")

    read, write = os.pipe()
    orders_read, orders_write = os.pipe()
    importer = os.fork()
    if importer == 0:
        kernel.close_others({write, orders_read})
        os.setpgid(0, 0)
        # the importer never returns into the supervisor's frames
        run_importer(job, write, orders_read)
        os._exit(0)
    os.close(write)
    os.close(orders_read)
    reader = Records(read)
    limit = job.get("import_timeout_s", 30.0)
    outcome = reader.next("imports", limit)
    say("imports", outcome)
    if outcome.get("ended") == "returned":
        for step in job["steps"]:
            started = time.monotonic()
            try:
                write_all(orders_write, (step["id"] + "\n").encode())
            except OSError:
                say(step["id"], {"ended": "died"})
                continue
            outcome = reader.next(step["id"], step.get("wall_s", 15.0) + 5.0)
            outcome.setdefault("seconds", time.monotonic() - started)
            say(step["id"], outcome)
    os.close(orders_write)
    try:
        os.killpg(importer, signal.SIGKILL)
    except OSError:
        pass
    os.waitpid(importer, 0)
    say("done", {})


class Records:
    """Reads the records that replays send, with a limit of time and of size."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.pending = b""

    def next(self, step: str, wall_s: float, pid: int = 0, cpu_s: float = 0.0) -> Outcome:
        """The record of `step`; {"ended": "died"} or {"ended": "timeout"} when none comes.

        With `pid`, the limits are `cpu_s` of that process and IDLE_S seconds of sleep without
        any work; the wall time is only a backstop, so that a busy machine changes no verdict.
        """
        begun = worked = time.monotonic()
        before = 0.0
        while True:
            line, found, rest = self.pending.partition(b"\n")
            if found:
                self.pending = rest
                try:
                    record = json.loads(line.decode())
                    if record.get("step") == step and isinstance(record.get("outcome"), dict):
                        record["outcome"].setdefault("ended", "died")
                        outcome: Outcome = record["outcome"]
                        return outcome
                except (ValueError, AttributeError):
                    pass  # not a record: the project's own bytes on a stolen descriptor
                continue
            left = wall_s - (time.monotonic() - begun)
            busy, sleeps = activity_of(pid) if pid else (0.0, False)
            if busy > before or not sleeps:
                before, worked = busy, time.monotonic()
            idle = pid and time.monotonic() - worked > IDLE_S
            if left <= 0 or idle or (pid and busy > cpu_s):
                return {"ended": "timeout", "seconds": wall_s - left, "cpu_s": busy}
            if select.select([self.descriptor], [], [], min(left, 0.25))[0]:
                chunk = os.read(self.descriptor, 1 << 16)
                if not chunk or len(self.pending) > RECORD_AT_MOST:
                    return {"ended": "died"}
                self.pending += chunk


def activity_of(pid: int) -> tuple[float, bool]:
    """(CPU seconds of a process and its ended children, whether it sleeps now), proc(5)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK"), fields[0] == b"S"
    except (OSError, ValueError):
        return 0.0, False


def run_importer(job: Job, write: int, orders: int) -> None:
    """Import, report, then fork a replay for every order that comes."""

    def send(step: str, outcome: Outcome) -> None:
        write_all(write, json.dumps({"step": step, "outcome": outcome}).encode() + b"\n")

    parent = os.getpid()
    try:
        outcome = replay.prepare(job)
    except BaseException as why:  # whatever the project raises while it is imported
        outcome = replay.raised(why, job)
    if os.getpid() != parent:
        os._exit(1)  # the project forked while it was imported
    send("imports", outcome)
    steps = {step["id"]: step for step in job["steps"]}
    with os.fdopen(orders, "r") as lines:
        for line in lines:
            name = line.strip()
            send(name, replay_apart(steps[name], job))


def replay_apart(step: dict[str, Any], job: Job) -> Outcome:
    """The outcome of one replay in a fork of its own, killed with all it started."""
    read, write = os.pipe()
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.setpgid(0, 0)
        try:
            outcome = replay.run(step, job)
        except BaseException as why:  # a replay says how it ended, always
            outcome = replay.raised(why, job)
        write_all(write, json.dumps({"step": step["id"], "outcome": outcome}).encode() + b"\n")
        os._exit(0)
    os.close(write)
    limit = step.get("timeout_s", 10.0)
    outcome = Records(read).next(step["id"], step.get("wall_s", limit), child, limit)
    for kill in (os.killpg, os.kill):
        try:
            kill(child, signal.SIGKILL)
        except OSError:
            continue
    os.waitpid(child, 0)
    os.close(read)
    outcome.setdefault("seconds", time.monotonic() - started)
    return outcome


def hide() -> None:
    """Keep our memory and descriptors from processes of the same user (prctl(2), proc(5))."""
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)


def write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


if __name__ == "__main__":
    main()
