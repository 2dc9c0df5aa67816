"""A command that runs behind the wall: its output, its limits, and how its end is read.

What goes wrong with the wall itself is said in `Run.infrastructure`, never as the command's
failure: only a status record tells that the command ran and how it ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from selfheal_engine.sandbox_validator.limits import Limits, exceeded

_LOOK_EVERY_S = 0.02
_POOR_DISK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Run:
    """How a walled command ended."""

    returncode: int
    """As the command's own: 0-255, negative for a signal; -1 with `infrastructure` set."""
    stdout: bytes
    stderr: bytes
    seconds: float
    timed_out: bool = False
    infrastructure: str = ""
    """What failed of the wall, its limits or its disk; "" when the command's end is its own."""
    changed: tuple[str, ...] = ()
    """Project-relative paths that the command wrote or removed in the overlay."""
    ran: bool = True
    """False when the command itself was never started."""


class Walled:
    """A command running behind the wall."""

    def __init__(self, process: subprocess.Popen[bytes], report: int, limits: Limits) -> None:
        self.process = process
        self.limits = limits
        self.started_s = time.monotonic()
        self.stopped_for = ""
        self.moved: Callable[[str], str] | None = None
        """Renames paths for a run that works on a copy."""
        self.folder = ""
        """Where that copy is: ours to remove where the guard ended before it had begun."""
        self._report = report
        self._records = b""

    def told(self, text: bytes) -> bytes:
        """What the command is told, with the paths that it has inside."""
        return text if self.moved is None else self.moved(text.decode()).encode()

    def stop(self, why: str) -> None:
        """Kill everything at once: the launcher's death takes bwrap, and bwrap's the rest.

        The guard of the second tier is asked instead, since it has to do the killing.
        """
        self.stopped_for = self.stopped_for or why
        if self.process.poll() is None:
            if self.moved is None:
                self.process.kill()
            else:
                self.process.terminate()

    def communicate(self, stdin: bytes, cancelled: Callable[[], bool] | None = None) -> Run:
        """Feed `stdin`, read the output up to its cap, watch the limits, wait for the end."""
        output = _Output(self.limits.output_bytes)
        return self.pump(stdin, output.out, output.err, cancelled, output)

    def pump(
        self,
        stdin: bytes | None,
        out: Callable[[bytes], None],
        err: Callable[[bytes], None],
        cancelled: Callable[[], bool] | None = None,
        output: _Output | None = None,
    ) -> Run:
        """Like `communicate`, with the output handed on as it comes.

        With `stdin` None the caller feeds `process.stdin` itself.
        """
        process = self.process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        selector = selectors.DefaultSelector()
        for stream, use in ((process.stdout, out), (process.stderr, err)):
            os.set_blocking(stream.fileno(), False)
            selector.register(stream.fileno(), selectors.EVENT_READ, use)
        os.set_blocking(self._report, False)
        selector.register(self._report, selectors.EVENT_READ, self._note)
        if stdin:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin.fileno(), selectors.EVENT_WRITE, None)
        elif stdin is not None:
            process.stdin.close()
        pending = memoryview(stdin or b"")
        next_look = 0.0
        try:
            while selector.get_map():
                for key, _ in selector.select(_LOOK_EVERY_S):
                    if key.data is None:
                        pending = self._feed(pending, selector)
                        continue
                    try:
                        chunk = os.read(key.fd, 1 << 16)
                    except BlockingIOError:
                        continue
                    if chunk:
                        key.data(chunk)
                    else:
                        selector.unregister(key.fd)
                now = time.monotonic()
                if now >= next_look:
                    self._look(now, cancelled)
                    next_look = now + _LOOK_EVERY_S
                if process.poll() is not None and self.stopped_for:
                    break
        finally:
            if process.poll() is None and sys.exc_info()[0] is not None:
                process.kill()
            selector.close()
            process.wait()
            if self.folder:
                with contextlib.suppress(OSError):  # it is gone, or somebody is at it
                    os.rmdir(self.folder)
            for stream in (process.stdin, process.stdout, process.stderr):
                with contextlib.suppress(OSError):  # what is still unwritten has no reader
                    stream.close()
            self._drain_report()
        return self._result(output)

    def _feed(self, pending: memoryview, selector: selectors.BaseSelector) -> memoryview:
        assert self.process.stdin is not None
        descriptor = self.process.stdin.fileno()
        try:
            pending = pending[os.write(descriptor, pending[: 1 << 16]) :]
        except BlockingIOError:
            return pending
        except BrokenPipeError:
            pending = pending[:0]
        if not pending:
            selector.unregister(descriptor)
            self.process.stdin.close()
        return pending

    def _look(self, now: float, cancelled: Callable[[], bool] | None) -> None:
        if self.stopped_for:
            return
        if now - self.started_s > self.limits.wall_s:
            self.stop("timeout")
        elif cancelled is not None and cancelled():
            self.stop("cancelled")
        else:
            why = exceeded(self.process.pid, self.limits)
            if why:
                self.stop(why)

    def _note(self, chunk: bytes) -> None:
        if len(self._records) < 1 << 20:
            self._records += chunk

    def _drain_report(self) -> None:
        try:
            while chunk := os.read(self._report, 1 << 16):
                self._note(chunk)
        except BlockingIOError:
            pass  # someone still holds the other end; what came is all there is
        finally:
            os.close(self._report)

    def _result(self, output: _Output | None) -> Run:
        seconds = time.monotonic() - self.started_s
        out, err = (bytes(output.kept[0]), bytes(output.kept[1])) if output else (b"", b"")
        facts: dict[str, Any] = {}
        for line in self._records.splitlines():
            try:
                facts.update(json.loads(line))
            except ValueError:
                continue
        changed = tuple(facts.get("changed", ()))
        if self.stopped_for == "timeout":
            return Run(-signal.SIGKILL, out, err, seconds, timed_out=True, changed=changed)
        why = self.stopped_for or _fault(facts, err)
        if why:
            stopped = bool(self.stopped_for) or facts.get("stage") == "stopped"
            ran = stopped or "exit-code" in facts
            return Run(-1, out, err, seconds, infrastructure=why, changed=changed, ran=ran)
        code = int(facts["exit-code"])
        return Run(128 - code if code > 128 else code, out, err, seconds, changed=changed)


def _fault(facts: dict[str, Any], err: bytes) -> str:
    """What failed of the wall itself, "" when the command ran to an end of its own."""
    if facts.get("stage") == "failed":
        return f"the sandbox could not be built: {facts['why']}"
    if facts.get("stage") == "stopped":
        return str(facts["why"])
    if "exit-code" not in facts:
        last = err.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        return f"the sandbox did not start the command: {last[0][:300]}"
    if facts.get("free", _POOR_DISK_BYTES) < _POOR_DISK_BYTES or facts.get("free_files", 1) <= 0:
        return "disk: the run used up the space that a sandbox has"
    return ""


@dataclass(slots=True)
class _Output:
    """Keeps the first bytes of both streams and drops the rest."""

    limit: int
    kept: tuple[bytearray, bytearray] = field(default_factory=lambda: (bytearray(), bytearray()))

    def out(self, chunk: bytes) -> None:
        self._keep(self.kept[0], chunk)

    def err(self, chunk: bytes) -> None:
        self._keep(self.kept[1], chunk)

    def _keep(self, kept: bytearray, chunk: bytes) -> None:
        if len(kept) < self.limit:
            kept += chunk[: self.limit - len(kept)]
