"""Puts the probe's parts together in one process, and again in every child it forks."""

from __future__ import annotations

import atexit
import os
import sys
import time
from _thread import allocate_lock

from selfheal_agent import hooks, integrations, last_words
from selfheal_agent.channel import Channel

TYPE_CHECKING = False
if TYPE_CHECKING:  # the real one lives in typing, whose import costs more than all of ours
    from collections.abc import Mapping
    from typing import Any

    from selfheal_agent import requests
    from selfheal_agent.capture import Capture

VERSION = 1
DEQUES_EVERY = 5
"""Ticks between looks for deques that are new."""

_state: _Probe | None = None


def install(environ: Mapping[str, str], late: bool = False) -> None:
    """Start watching this process. Called once, by our sitecustomize, or `late` when attached."""
    global _state
    if _state is not None or not environ.get("SELFHEAL_RUN_DIR"):
        return
    os.environ.setdefault("SELFHEAL_ROOT", str(os.getpid()))
    _state = _Probe(
        environ["SELFHEAL_RUN_DIR"],
        environ.get("SELFHEAL_NAME", "") or "service",
        environ.get("SELFHEAL_PROJECT", "") or os.getcwd(),
    )
    _state.start(late)
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork
    )


def flush(timeout_s: float) -> None:
    """Give the records in hand a chance to leave before the process ends."""
    if _state is not None:
        _state.channel.flush(timeout_s)


def before_exec() -> None:
    """Another program may take this process over; it may also fail to, and we go on."""
    if _state is not None and _state.channel.pid == os.getpid():
        _state.channel.flush(0.5)
        _state.channel.leave()


def goodbye() -> None:
    """The process ends now: send or spool, remove the socket."""
    if _state is not None:
        _state.goodbye()


def _before_fork() -> None:
    if _state is not None:
        _state.before_fork()


def _after_fork_in_parent() -> None:
    if _state is not None:
        _state.after_fork_in_parent()


def _after_fork() -> None:
    """In the child, where there may be no descriptor, memory or thread left to be had."""
    try:
        if _state is not None:
            _state.after_fork()
    except Exception as why:
        from selfheal_agent.notes import note

        note(f"no probe in process {os.getpid()}: {type(why).__name__}: {why}")


class _Probe:
    """Everything of one process."""

    def __init__(self, run_dir: str, name: str, project: str) -> None:
        self.run_dir = run_dir
        self.name = name
        self.project = project
        self.started_s = time.time()
        self.channel = self._new_channel()
        self._capture: Any = None
        self._making = allocate_lock()
        """The program's threads and ours may ask for the first capture at once."""
        self._totals: Any = None
        self._stalls: Any = None
        self._descriptors: Any = None
        self._tasks: Any = None
        self._long_waits: Any = None
        self._swapper: Any = None
        self._memory: Any = None
        self._holding = False
        self._to_watch: list[Any] = []
        self._listening: Any = None
        self._ticks = 0

    @property
    def capture(self) -> Capture:
        """Made with the first library or exception that needs it."""
        if self._capture is None:
            from selfheal_agent import frames, good_calls, requests
            from selfheal_agent.capture import Capture

            with self._making:
                if self._capture is None:
                    frames.set_project(self.project)
                    good_calls.install(self._put)
                    made = Capture(self._put, good_calls.entry_arguments)
                    requests.report = made.exception
                    self._capture = made
        capture: Capture = self._capture
        return capture

    @property
    def totals(self) -> requests.Totals:
        if self._totals is None:
            from selfheal_agent import requests

            self._totals = requests.Totals()
        made: requests.Totals = self._totals
        return made

    def _put(self, raw: Any) -> None:
        self.channel.put(raw)

    def _new_channel(self) -> Channel:
        return Channel(self.run_dir, self.hello, self.obey, self.render, self.tick)

    def start(self, late: bool) -> None:
        hooks.install()
        integrations.install(lambda: self.capture)
        last_words.install(lambda: self.capture, flush, goodbye, before_exec)
        atexit.register(goodbye)
        if late:  # who sees the probe answer may count on all requests from then on
            from selfheal_agent import entering

            entering.catch_up(self.capture)
        self.channel.start()

    # ------------------------------------------------------------ life of the process
    def before_fork(self) -> None:
        # two threads may fork at once: who gives up waiting leaves the other's hold alone
        if self.channel.busy.acquire(True, 2.0):
            self._holding = True

    def after_fork_in_parent(self) -> None:
        if self._holding:
            self._holding = False
            self.channel.busy.release()

    def after_fork(self) -> None:
        self._holding = False
        self._making = allocate_lock()  # who held it is not in the child
        self.channel.forget_after_fork()
        self.started_s = time.time()
        self._stalls = self._descriptors = self._tasks = self._memory = self._long_waits = None
        if self._capture is not None:
            from selfheal_agent import good_calls, queues, recent, requests

            connected = sys.modules.get("selfheal_agent.connections")
            if connected is not None:
                connected.forget()
            requests.finished.clear()
            requests.in_flight.clear()
            recent.forget()
            queues.forget()
            good_calls.restore_all()
            self._totals = None
            self._capture.reset()
        self.channel = self._new_channel()
        self.channel.start()

    def goodbye(self) -> None:
        if self.channel.pid != os.getpid():
            return
        try:
            if self._capture is not None and self.channel.serving:
                last = {"t": "stats", "session": os.getsid(0), "ending": last_words.ending[0]}
                self.channel.put({**last, **self.stats()})
            self.channel.flush(1.0)
        finally:
            self.channel.close()
            _stop_monitoring()

    # ------------------------------------------------------------ in the channel's thread
    def hello(self) -> dict[str, Any]:
        requests = sys.modules.get("selfheal_agent.requests")
        return {
            "version": VERSION,
            "pid": os.getpid(),
            "ppid": os.getppid(),
            "name": self.name,
            "project": self.project,
            "cwd": _cwd(),
            "python": sys.executable or "",
            "python_version": ".".join(str(part) for part in sys.version_info[:3]),
            "command": [str(arg) for arg in getattr(sys, "orig_argv", sys.argv)][:60],
            "started_s": self.started_s,
            "framework": getattr(requests, "framework", ""),
            "path": [entry for entry in sys.path if type(entry) is str][:60],
        }

    def tick(self) -> None:
        """Once a second: totals, standing threads, counts of known crashes."""
        from selfheal_agent import deques, good_calls
        from selfheal_agent.descriptors import DescriptorWatch
        from selfheal_agent.long_waits import LongWaitWatch
        from selfheal_agent.stalls import StallWatch
        from selfheal_agent.tasks import TaskWatch

        hooks.retry()
        self.totals.collect()
        if self._stalls is None:
            self._stalls = StallWatch(self.capture, self.totals)
            self._listen_more()
            self._descriptors = DescriptorWatch(self.capture, self._put)
            self._tasks = TaskWatch(self.capture)
            self._long_waits = LongWaitWatch(self.capture)
        self._stalls.look()
        self._descriptors.look()
        self._long_waits.look()
        connected = sys.modules.get("selfheal_agent.connections")
        if connected is not None:
            connected.look()
        runtime = sys.modules.get("selfheal_agent.integrations.runtime")
        if runtime is not None and runtime.loops:
            self._tasks.look(list(runtime.loops))
        self._watch_crash_paths()
        good_calls.expire()
        self._ticks += 1
        if self._ticks % DEQUES_EVERY == 1:
            deques.look()
        more = self.capture.unreported()
        if more:
            self.channel.put({"t": "counts", "counts": more, "time_s": time.time()})

    def _listen_more(self) -> None:
        """What would cost the start of the service too much; once, also across forks."""
        from selfheal_agent import gc_pauses, printing, swallowed, warned

        if self._listening is not self._capture:
            self._listening = self._capture
            gc_pauses.install()
            warned.install(self.capture)
            printing.install(self.capture)
            if os.environ.get("SELFHEAL_SWALLOWED") == "1":
                swallowed.install(self.capture)

    def render(self, raw: dict[str, Any]) -> dict[str, Any] | None:
        """A handed-over record as it goes over the wire."""
        from selfheal_agent import capture, recent

        if "t" in raw:
            return raw
        codes = raw.get("codes") or ()
        record = capture.finish(raw)
        connected = sys.modules.get("selfheal_agent.connections")
        if connected is not None:
            record["connections"] = connected.for_record(record)
        if codes and record["kind"] in ("exception", "stall"):
            self._to_watch += codes
        self._watch_crash_paths()
        for exchange in recent.exchanges_for(record):
            self.channel.put(exchange)
        return {"t": "occurrence", "record": record}

    def _watch_crash_paths(self) -> None:
        """From now on, or as soon as somebody listens, calls of what crashed are recorded."""
        from selfheal_agent import good_calls

        if self._to_watch and self.channel.attached:
            good_calls.watch_codes(self._to_watch)
            self._to_watch.clear()
        del self._to_watch[: -good_calls.MAX_FUNCTIONS]

    def obey(self, message: dict[str, Any]) -> dict[str, Any]:
        """Answer one command of an app."""
        kind = message.get("t")
        if kind == "stats":
            return {"ok": True, **self.stats()}
        if kind in ("swap", "revert"):
            return self._swap(kind, message)
        if kind == "hold":
            from selfheal_agent import texts

            return {"ok": texts.hold(os.path.realpath(str(message["path"])))}
        if kind == "record":
            return self._record(message)
        if kind == "threads":
            return {"ok": True, "threads": self._threads()}
        if kind == "memory_start":
            from selfheal_agent.memory import MemoryWatch

            self._memory = MemoryWatch()
            return {"ok": True}
        if kind == "memory_middle":
            if self._memory is not None:
                self._memory.middle()
            return {"ok": self._memory is not None}
        if kind == "memory_report":
            from selfheal_agent import recent, recording

            watch, self._memory = self._memory, None
            found = watch.report() if watch is not None else []
            recording.grown = watch.grown if watch is not None else set()
            for file in list(dict.fromkeys(one["file"] for one in found if one["file"]))[:2]:
                for exchange in recent.exchanges(file, ""):
                    self._put(exchange)
            return {"ok": True, "growth": found, "path": watch.path if watch is not None else []}
        return {"ok": False, "reason": f"unknown command {kind!r}"}

    def _swap(self, kind: str, message: dict[str, Any]) -> dict[str, Any]:
        from selfheal_agent.swap import Swapper

        if self._swapper is None:
            self._swapper = Swapper()
        swapper: Swapper = self._swapper
        if kind == "revert":
            return swapper.revert(str(message["path"]))
        return swapper.swap(
            str(message["path"]), str(message["sha256"]), [str(f) for f in message["functions"]]
        )

    def _record(self, message: dict[str, Any]) -> dict[str, Any]:
        from selfheal_agent import good_calls, swap

        module = swap._module_of(os.path.realpath(str(message["path"])))
        if module is None:
            return {"ok": False, "reason": "the file is not imported here"}
        count = 0
        for name in message.get("functions", ()):
            for function in swap.named_functions(module, str(name)):
                count += good_calls.watch(function, lenient=True)
        return {"ok": True, "watched": count}

    def stats(self) -> dict[str, Any]:
        from selfheal_agent import gc_pauses, queues, stalls
        from selfheal_agent.notes import notes

        self.totals.collect()
        waiting, by_kind = queues.depth()
        return {
            "pid": os.getpid(),
            "time_s": time.time(),
            **self.totals.plain(),
            "exceptions": self.capture.total,
            "outside": self.capture.outside,
            "totals": {
                "handled_errors": self.capture.handled,
                "log_records": self.capture.log_records,
                "threads_died": self.capture.threads_died,
                "gc_collections": _collections(),
                "gc_pause_ms": round(1000 * gc_pauses.paused_s),
                **_outgoing(),
            },
            "levels": {
                "objects": sys.getallocatedblocks(),
                **queues.pools(),
                **queues.room(by_kind),
                **self._waits(),
            },
            "worst": {"loop_lag_ms": stalls.loop_lag_ms(), "oldest_stall_s": stalls.oldest_s()},
            "counts": [[key, count] for key, count in self.capture.counts().items()],
            "queue_depth": waiting,
            "queues": by_kind,
            "brokers": list(queues.brokers.values()),
            "deadlock_risk": self._stalls.risk if self._stalls is not None else 0.0,
            "drops": self.channel.dropped + self.capture.beyond,
            "notes": [*notes, self.channel.problem] if self.channel.problem else list(notes),
            "framework": self.hello()["framework"],
        }

    def _waits(self) -> dict[str, float]:
        watch = self._stalls
        waits = watch.lock_waits if watch is not None else ()
        return {"lock_waiters": len(waits), "stalled_threads": watch.stalled if watch else 0}

    def _threads(self) -> list[dict[str, Any]]:
        from selfheal_agent import frames
        from selfheal_agent.stalls import describe_threads

        found = describe_threads(self._stalls)
        for thread in found:
            frames.finish(thread["frames"])
        return found


def _stop_monitoring() -> None:
    """The interpreter is about to be taken apart: it calls none of ours while it is."""
    for name in ("lock_orders", "swallowed"):
        module = sys.modules.get(f"selfheal_agent.{name}")
        if module is not None:
            module.stop()


def _collections() -> int:
    import gc

    return sum(generation["collections"] for generation in gc.get_stats())


def _outgoing() -> dict[str, int]:
    outgoing = sys.modules.get("selfheal_agent.integrations.outgoing")
    if outgoing is None:
        return {}
    calls, spent_s = outgoing.sums()
    return {"upstream_calls": calls, "upstream_total_ms": round(1000 * spent_s)}


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""
