"""One fork, one answer: work runs in a child process and says its result over a pipe.

Runs inside the sandbox: standard library only, Python 3.9 and later.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import signal
import time
import traceback
from typing import Any

Answer = dict[str, Any]


class Channel:
    """The real standard output; whatever the tests print goes to /dev/null."""

    def __init__(self) -> None:
        self.file = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)

    def say(self, **message: Any) -> None:
        self.file.write(json.dumps(message) + "\n")
        self.file.flush()


def in_fork(work: Any, limit_s: float, memory_bytes: int) -> tuple[Answer, float]:
    """(answer of `work`, seconds); {"outcome": "timeout" | "died"} when it gave none."""
    reading, writing = os.pipe()
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_child(work, writing, memory_bytes)
    os.close(writing)
    answer = _await_answer(reading, child, limit_s)
    os.close(reading)
    seconds = time.monotonic() - started
    return answer, seconds


def _be_child(work: Any, writing: int, memory_bytes: int) -> None:
    os.setpgid(0, 0)
    gc.disable()

    def leave(answer: Answer) -> None:
        data = json.dumps(answer).encode("utf-8", "replace")
        view = memoryview(data)
        while view:
            view = view[os.write(writing, view) :]
        os._exit(0)

    # asked to stop: say what was covered so far, then go
    signal.signal(signal.SIGUSR1, lambda *_: leave(work.partial()))
    if memory_bytes:
        try:
            resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        except (ValueError, OSError):
            gc.enable()
    try:
        leave(work())
    except BaseException:  # noqa: BLE001 - it is reported, not handled
        leave({"outcome": "died", "text": traceback.format_exc()[-1000:]})


def _await_answer(reading: int, child: int, limit_s: float) -> Answer:
    parts: list[bytes] = []
    deadline = time.monotonic() + limit_s
    asked = False
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            if asked:
                break
            asked, deadline = True, time.monotonic() + 0.3
            os.kill(child, signal.SIGUSR1)
            continue
        ready, _, _ = select.select([reading], [], [], left)
        if ready:
            part = os.read(reading, 1 << 16)
            if not part:
                break
            parts.append(part)
    try:
        os.killpg(child, signal.SIGKILL)
    except OSError:
        try:
            os.kill(child, signal.SIGKILL)
        except OSError:
            parts.append(b"")
    os.waitpid(child, 0)
    try:
        answer: Answer = json.loads(b"".join(parts))
    except ValueError:
        answer = {"outcome": "timeout" if asked else "died"}
    if asked and answer.get("outcome") not in ("failed", "passed"):
        answer["outcome"] = "timeout"
    return answer
