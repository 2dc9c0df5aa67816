"""What the screen costs: bytes to the terminal, CPU, memory, start and answer times.

    python -m tests.benchmarks.tui
    python -m tests.benchmarks.tui --link 16000

runs the app over a scripted engine with noisy metrics in a pseudo-terminal of each size, at
1 s and at 5 s ticks, and prints one row for each. A key is answered when the next bytes
reach the terminal. `--link` drains the terminal at that many bytes a second, as a slow line
does; `-- COMMAND` measures any other terminal program the same way.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import random
import select
import signal
import statistics
import struct
import sys
import termios
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import cycle

import psutil

READ_BYTES = 1 << 16
MODE_QUERY, MODE_ANSWER = b"\x1b[?2026$p", b"\x1b[?2026;0$y"


@dataclass
class Cost:
    """One run."""

    program: str
    size: str
    tick_s: float
    first_bytes_ms: float
    full_screen_ms: float
    bytes_per_s: float
    cpu_percent: float
    rss_mb: float
    key_p50_ms: float
    key_p99_ms: float


def measure(
    command: Sequence[str], size: tuple[int, int], tick_s: float, seconds: float, link: int
) -> Cost:
    """Run `command` in a terminal for `seconds` after a warm-up of 4 s, pressing j and k."""
    began = time.perf_counter()
    pid, master = pty.fork()
    if pid == 0:
        environ = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        os.execvpe(command[0], list(command), environ)
    columns, rows = size
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    chunks: list[tuple[float, int]] = []
    keys: list[float] = []
    next_key, warm = 0.0, 4.0
    cpu_began, pressing = 0.0, cycle(b"jk")
    process = psutil.Process(pid)
    try:
        while (now := time.perf_counter() - began) < warm + seconds:
            if now >= warm and not cpu_began:
                cpu_began = _cpu_s(process)
            if now >= warm and now >= next_key:
                os.write(master, bytes([next(pressing)]))
                keys.append(time.perf_counter() - began)
                next_key = now + 0.61
            if select.select([master], [], [], 0.002)[0]:
                data = os.read(master, min(READ_BYTES, max(1, link // 50)) if link else READ_BYTES)
                chunks.append((time.perf_counter() - began, len(data)))
                if MODE_QUERY in data:
                    os.write(master, MODE_ANSWER)
                if link:
                    time.sleep(len(data) / link)
        used = _cpu_s(process) - cpu_began
        rss = process.memory_info().rss
    finally:
        os.kill(pid, signal.SIGTERM)
        _drain(master)
        os.waitpid(pid, 0)
        os.close(master)
    return _cost(command, size, tick_s, seconds, warm, chunks, keys, used, rss)


def _cost(
    command: Sequence[str],
    size: tuple[int, int],
    tick_s: float,
    seconds: float,
    warm: float,
    chunks: list[tuple[float, int]],
    keys: list[float],
    cpu_s: float,
    rss: int,
) -> Cost:
    answers = sorted(_answers(chunks, keys))
    window = sum(n for at, n in chunks if at >= warm) - _answer_bytes(chunks, keys)
    total, full = 0, 0.0
    for at, count in chunks:
        total += count
        if total >= size[0] * size[1]:
            full = at
            break
    return Cost(
        program=" ".join(command)[-40:],
        size=f"{size[0]}x{size[1]}",
        tick_s=tick_s,
        first_bytes_ms=round(chunks[0][0] * 1000, 1) if chunks else 0.0,
        full_screen_ms=round(full * 1000, 1),
        bytes_per_s=round(window / seconds),
        cpu_percent=round(cpu_s / seconds * 100, 2),
        rss_mb=round(rss / 1e6, 1),
        key_p50_ms=round(statistics.median(answers) * 1000, 1) if answers else 0.0,
        key_p99_ms=round(answers[int(len(answers) * 0.99)] * 1000, 1) if answers else 0.0,
    )


def _answers(chunks: list[tuple[float, int]], keys: list[float]) -> list[float]:
    out = []
    for key in keys:
        later = [at for at, _ in chunks if at > key]
        if later:
            out.append(later[0] - key)
    return out


def _answer_bytes(chunks: list[tuple[float, int]], keys: list[float]) -> int:
    """Bytes that keys caused and ticks did not: what follows a key within 50 ms."""
    return sum(n for at, n in chunks if any(0 < at - key < 0.05 for key in keys))


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _drain(master: int) -> None:
    """Let the program say goodbye."""
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline and select.select([master], [], [], 0.3)[0]:
        try:
            os.read(master, READ_BYTES)
        except OSError:
            return


# ---------------------------------------------------------------- what is measured
def play(tick_s: float) -> None:
    """The app over a scripted engine whose metrics wander."""
    from selfheal_engine.config import Settings
    from selfheal_engine.model import Reading
    from selfheal_tui.app import SelfhealApp
    from tests.tui import fake_engine

    began = time.time()
    samples = fake_engine.SAMPLES
    times = [began - tick_s * (samples - at) for at in range(samples)]
    start = replace(fake_engine.failing(), interval_s=tick_s, times=tuple(times))
    engine = fake_engine.FakeEngine(start)
    histories = {state.name: list(state.history) for state in start.metrics}

    def wander() -> None:
        rand = random.Random(1)
        while True:
            time.sleep(tick_s)
            times.append(time.time())
            metrics = []
            for state in start.metrics:
                low, center, high = fake_engine.LIMITS[state.name]
                value = max(0.0, rand.gauss(center, (high - low) / 6))
                histories[state.name].append(value)
                recent = tuple(histories[state.name][-300:])
                metrics.append(replace(state, reading=Reading(value), history=recent))
            engine.publish(
                replace(start, time_s=times[-1], times=tuple(times[-300:]), metrics=tuple(metrics))
            )

    threading.Thread(target=wander, daemon=True).start()
    SelfhealApp(engine, Settings(bell=False)).run()


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 0 when all went well."""
    parser = argparse.ArgumentParser(description="Measure what the screen costs.")
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--link", type=int, default=0, metavar="BYTES_PER_S")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--play", type=float, metavar="TICK_S", help=argparse.SUPPRESS)
    parser.add_argument("command", nargs="*")
    args = parser.parse_args(arguments)
    if args.play:
        play(args.play)
        return 0
    own = [sys.executable, "-m", "tests.benchmarks.tui", "--play"]
    for size in ((120, 40), (80, 24)):
        for tick_s in (1.0,) if args.command else (1.0, 5.0):
            command = args.command or [*own, str(tick_s)]
            cost = measure(command, size, tick_s, args.seconds, args.link)
            if args.json:
                print(json.dumps(asdict(cost)))
            else:
                print(
                    f"{cost.size:>7} {tick_s:g} s ticks: {cost.bytes_per_s} B/s, "
                    f"CPU {cost.cpu_percent} %, RSS {cost.rss_mb} MB, full screen after "
                    f"{cost.full_screen_ms:.0f} ms, key p50 {cost.key_p50_ms} ms "
                    f"p99 {cost.key_p99_ms} ms",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
