"""A warm server behind the wall: libraries are imported once, each job is a fork of it.

`python zygote.py` reads one JSON object a line from standard input and answers on standard
output. The first line names the modules to load; they are libraries only, never the project's
own, which every job imports afresh from its own tree. Then:

    {"job": 3, "script": "worker", ...}     ->  {"job": 3, "line": {...}} ... {"job": 3, "end": ...}
    {"kill": 3}

Every job runs in a cell (see cell.py). The zygote itself only forks, copies lines and looks
after limits.
"""

from __future__ import annotations

import base64
import importlib
import json
import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, FOLDER)
sys.path.insert(1, os.path.dirname(FOLDER))

if TYPE_CHECKING:
    from selfheal_engine.sandbox_validator.inside import cell, kernel, replay, testing, worker
else:
    import cell
    import kernel
    import replay
    import testing
    import worker

PARTS = (kernel, testing, worker)
"""Loaded before the first fork."""
LOOK_EVERY_S = 0.03
ERRORS_AT_MOST = 8192
RECORDS_AT_MOST = 16 << 20
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Running:
    """One job that runs."""

    def __init__(self, number: int, pid: int, out: int, err: int, job: dict[str, Any]) -> None:
        self.number, self.pid, self.out, self.err = number, pid, out, err
        self.pending = b""
        self.errors = b""
        self.read = 0
        self.ends_s = time.monotonic() + job["wall_s"]
        self.memory_bytes = job["memory_bytes"]
        self.why = ""


def main() -> None:
    lines = Lines(0)
    setup = json.loads(lines.wait())
    say = os.dup(1)
    os.dup2(2, 1)
    loaded = load(setup["preload"])
    tell(say, {"ready": True, "loaded": loaded})
    running: dict[int, Running] = {}
    own_bytes = resident(os.getpid())
    next_look = 0.0
    while True:
        watched = [0] + [d for job in running.values() for d in (job.out, job.err) if d >= 0]
        ready = select.select(watched, [], [], LOOK_EVERY_S)[0]
        if 0 in ready:
            for line in lines.read():
                take(json.loads(line), running, setup, say)
            if lines.ended:
                return
        for job in list(running.values()):
            if job.err in ready:
                job.err = absorb_errors(job)
            if job.out in ready and not copy_lines(job, say):
                finish(running.pop(job.number), say)
        if time.monotonic() >= next_look:
            next_look = time.monotonic() + LOOK_EVERY_S
            for job in running.values():
                look_after(job, own_bytes)


class Lines:
    """Lines of a descriptor as they come."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.pending = b""
        self.ended = False

    def read(self) -> list[bytes]:
        chunk = os.read(self.descriptor, 1 << 16)
        self.ended = not chunk
        *found, self.pending = (self.pending + chunk).split(b"\n")
        return found

    def wait(self) -> bytes:
        """The first line, alone: nothing else is sent before the answer."""
        while True:
            found = self.read()
            if found:
                return found[0]
            if self.ended:
                sys.exit(0)


def load(names: list[str]) -> int:
    """Import libraries, in the order in which the service did; what fails is left out."""
    count = 0
    replay.preload()  # once, not in each fork
    for name in names:
        if name in sys.modules:
            continue
        try:
            importlib.import_module(name)
            count += 1
        except BaseException:  # it may need what only the service sets up
            continue
    return count


def take(
    order: dict[str, Any], running: dict[int, Running], setup: dict[str, Any], say: int
) -> None:
    if "kill" in order:
        job = running.get(order["kill"])
        if job is not None:
            stop(job, "cancelled")
        return
    number = order["job"]
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    order.update(parent=os.getpid(), filter=setup["filter"])
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.dup2(err_write, 2)
        os.dup2(err_write, 1)
        empty = os.open(os.devnull, os.O_RDONLY)
        os.dup2(empty, 0)
        os.set_inheritable(out_write, False)
        for descriptor in [say, empty, out_read, err_read, err_write]:
            os.close(descriptor)
        for other in running.values():
            os.close(other.out)
            if other.err >= 0:
                os.close(other.err)
        cell.serve(order, out_write)
    os.close(out_write)
    os.close(err_write)
    running[number] = Running(number, pid, out_read, err_read, order)


def copy_lines(job: Running, say: int) -> bool:
    """Pass on what a job said; False when it has ended."""
    chunk = os.read(job.out, 1 << 16)
    if not chunk:
        return False
    job.read += len(chunk)
    if job.read > RECORDS_AT_MOST:
        stop(job, "output: more records than a job may write")
        return True
    *found, job.pending = (job.pending + chunk).split(b"\n")
    for line in found:
        tell(say, {"job": job.number, "line": line.decode(errors="replace")})
    return True


def absorb_errors(job: Running) -> int:
    chunk = os.read(job.err, 1 << 16)
    if not chunk:
        os.close(job.err)
        return -1
    job.errors = (job.errors + chunk)[-ERRORS_AT_MOST:]
    return job.err


def finish(job: Running, say: int) -> None:
    stop(job, "")
    os.waitpid(job.pid, 0)
    os.close(job.out)
    if job.err >= 0:
        os.set_blocking(job.err, False)
        try:
            job.errors = (job.errors + os.read(job.err, 1 << 16))[-ERRORS_AT_MOST:]
        except OSError:
            pass  # nothing more was written
        os.close(job.err)
    errors = base64.b64encode(job.errors).decode()
    tell(say, {"job": job.number, "end": job.why, "errors": errors})


def look_after(job: Running, own_bytes: int) -> None:
    if job.why:
        return
    if time.monotonic() > job.ends_s:
        stop(job, "timeout")
    elif memory(job.pid, own_bytes) > 0.92 * job.memory_bytes:
        stop(job, f"memory: more than {job.memory_bytes >> 20} MiB")


def stop(job: Running, why: str) -> None:
    """Kill a job: its cell's first process dies with it, and the kernel takes all the others."""
    job.why = job.why or why
    try:
        os.kill(job.pid, signal.SIGKILL)
    except OSError:
        return


def memory(root: int, own_bytes: int) -> int:
    """Resident bytes of a job's processes beyond what they share with the zygote."""
    total, pending = 0, [root]
    while pending:
        pid = pending.pop()
        total += max(0, resident(pid) - own_bytes)
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                    pending.extend(map(int, file.read().split()))
        except OSError:
            continue
    return total


def resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0


def tell(descriptor: int, record: dict[str, Any]) -> None:
    content = json.dumps(record).encode() + b"\n"
    while content:
        content = content[os.write(descriptor, content) :]


if __name__ == "__main__":
    main()
