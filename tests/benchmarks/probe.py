"""What watching costs: nothing, our probe, sentry-sdk and OpenTelemetry, side by side.

    python -m tests.benchmarks.probe [--venv DIR] [--requests N] [--json]

Flask under gunicorn gthread (1 worker, 2 threads), driven over keep-alive connections; what is
measured is the CPU time of the service's processes for each request, from /proc, in rounds
that visit every contender in turn. --venv names an environment with flask, gunicorn, sentry-sdk
and opentelemetry-instrumentation-flask; contenders that are not installed are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from selfheal_agent.launch import environment
from selfheal_engine.sources import procfs
from selfheal_engine.sources.connection import ProbeConnection

APP = """
import os
from flask import Flask

if os.environ.get("CONTENDER") == "sentry":
    import sentry_sdk
    sentry_sdk.init("http://key@127.0.0.1:9/1", traces_sample_rate=1.0)
app = Flask(__name__)
if os.environ.get("CONTENDER") == "opentelemetry":
    from opentelemetry import trace
    from opentelemetry.instrumentation.flask import FlaskInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Nowhere(SpanExporter):
        def export(self, spans):
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    trace.set_tracer_provider(provider)
    FlaskInstrumentor().instrument_app(app)


@app.get("/")
def hello():
    return "hello"


def zone_of(order):
    return order["address"]["zip"]


@app.get("/fail")
def fail():
    return zone_of({"address": None})
"""
CONTENDERS = ("nothing", "ours", "sentry", "opentelemetry")
NEEDS = {"sentry": "sentry_sdk", "opentelemetry": "opentelemetry.instrumentation.flask"}


@dataclass
class Service:
    """One running contender."""

    name: str
    process: subprocess.Popen[bytes]
    port: int

    def pids(self) -> list[int]:
        return [self.process.pid, *procfs.descendants(self.process.pid)]

    def cpu_s(self) -> float:
        """User and system time of all its processes, exact to the nanosecond."""
        total = 0
        for pid in self.pids():
            for task in os.listdir(f"/proc/{pid}/task"):
                text = Path(f"/proc/{pid}/task/{task}/schedstat").read_text()
                total += int(text.split()[0])
        return total / 1e9

    def memory_bytes(self) -> int:
        return sum(procfs.pss_bytes(pid) or 0 for pid in self.pids())


@contextlib.contextmanager
def serving(name: str, venv: Path, folder: Path, run_dir: Path) -> Iterator[Service]:
    """Start one contender; for ours an app is attached, as in real life."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    env["CONTENDER"] = name
    if name == "ours":
        env = environment(env, "bench", str(run_dir), str(folder))
    command = [venv / "bin/gunicorn", "-w", "1", "-k", "gthread", "--threads", "2"]
    command += ["--keep-alive", "60", "--log-level", "critical", "-b", f"127.0.0.1:{port}"]
    process = subprocess.Popen(
        [*command, "app:app"],
        cwd=folder,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    connections: list[ProbeConnection] = []
    stop = threading.Event()
    reader = threading.Thread(target=_listen, args=(run_dir, connections, stop))
    try:
        _wait_for(port)
        if name == "ours":
            reader.start()
        yield Service(name, process, port)
    finally:
        stop.set()
        if reader.is_alive():
            reader.join()
        for connection in connections:
            connection.close()
        process.terminate()
        process.wait()


def _listen(run_dir: Path, connections: list[ProbeConnection], stop: threading.Event) -> None:
    while not stop.is_set():
        known = {connection.path for connection in connections}
        for path in set(run_dir.glob("*.sock")) - known:
            with contextlib.suppress(OSError):
                connections.append(ProbeConnection(path))
        for connection in connections:
            if not connection.gone:
                connection.receive()
                connection.messages()
        stop.wait(0.2)


def _wait_for(port: int) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        time.sleep(0.05)
    raise SystemExit("the service did not start")


def drive(port: int, path: str, count: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for _ in range(count):
        connection.request("GET", path)
        connection.getresponse().read()
    connection.close()


def measure(venv: Path, requests: int, rounds: int) -> dict[str, dict[str, float]]:
    """CPU microseconds of each kind of request and memory, by contender: the best of the rounds."""
    found: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        (folder / "app.py").write_text(APP)
        services = [
            stack.enter_context(serving(contender, venv, folder, folder / "run"))
            for contender in CONTENDERS
            if _installed(venv, contender)
        ]
        for service in services:
            for path in ("/", "/fail"):
                drive(service.port, path, 300)
        for _ in range(rounds):
            for service in services:
                row = found.setdefault(service.name, {})
                for path, label in (("/", "good_us"), ("/fail", "failing_us")):
                    before = service.cpu_s()
                    drive(service.port, path, requests)
                    spent = service.cpu_s() - before
                    row.setdefault(label, []).append(1e6 * spent / requests)
        for service in services:
            found[service.name]["memory_mb"] = [service.memory_bytes() / 1e6]
    return {
        contender: {label: min(values) for label, values in row.items()}
        for contender, row in found.items()
    }


IN_THREAD = """
import io, logging, sys, time
import flask

app = flask.Flask("bench")
app.logger.addHandler(logging.StreamHandler(io.StringIO()))
app.logger.propagate = False


@app.get("/")
def ok():
    return "ok"


@app.get("/fail")
def fail():
    return {"address": None}["address"]["zip"]


call = app
if "selfheal_agent" in sys.modules:
    from selfheal_agent import wsgi
    call = wsgi.wrap(app, app)  # what a server's wrapper adds to Flask's own
    while "selfheal_agent.warned" not in sys.modules:  # the last that its thread loads
        time.sleep(0.05)


def environ(path):
    return {
        "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": "",
        "SERVER_NAME": "x", "SERVER_PORT": "80", "wsgi.url_scheme": "http", "HTTP_HOST": "x",
        "wsgi.input": io.BytesIO(), "wsgi.errors": io.StringIO(),
    }


def answer(path):
    body = call(environ(path), lambda status, headers, error=None: None)
    b"".join(body)
    getattr(body, "close", lambda: None)()


def cost(path, count, rounds):
    best = float("inf")
    for _ in range(rounds):
        begun = time.thread_time_ns()
        for _ in range(count):
            answer(path)
        best = min(best, (time.thread_time_ns() - begun) / count / 1000)
    return best


print(cost("/", 1000, 4))
for _ in range(200):
    answer("/fail")
if call is not app:
    from selfheal_agent import good_calls
    while good_calls._by_function:  # calls of what crashed are recorded until none has gone well
        time.sleep(0.05)
print(cost("/fail", 300, 6))
"""


def in_one_thread(python: Path, processes: int = 15) -> dict[str, tuple[float, float]]:
    """CPU microseconds of a request in Flask's own thread, without and with the probe.

    No server, no sockets, nobody else who wants the interpreter: what the probe's code costs.
    Medians of many processes in turn: one process differs from the next by 10 %, for no more than
    where its memory lies.
    """
    seen: dict[str, tuple[list[float], list[float]]] = {"good": ([], []), "failing": ([], [])}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        bare = dict(os.environ)
        for _ in range(processes):
            for place, env in enumerate((bare, environment(bare, "bench", folder, folder))):
                done = subprocess.run(
                    [python, "-c", IN_THREAD], env=env, capture_output=True, text=True, check=True
                )
                for kind, line in zip(seen, done.stdout.split(), strict=True):
                    seen[kind][place].append(float(line))
    return {kind: (statistics.median(a), statistics.median(b)) for kind, (a, b) in seen.items()}


@dataclass(frozen=True)
class Start:
    """What a Python start costs, without and with the probe."""

    cpu_ms: tuple[float, float]
    """User and system time of `python -c pass`, the least of the rounds."""
    settled_ms: tuple[float, float]
    """The same of a service after its first seconds, with what the probe's thread loads then."""
    memory_mb: tuple[float, float]
    """Its private and shared memory then (PSS)."""


def start_up(python: Path, rounds: int = 25, settled_rounds: int = 3) -> Start:
    """Both kinds of start, in turn."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        bare = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        probed = environment(bare, "bench", folder, folder)
        cpu: tuple[list[float], list[float]] = ([], [])
        settled: tuple[list[float], list[float]] = ([], [])
        memory: tuple[list[float], list[float]] = ([], [])
        for number in range(rounds):
            for env, times, later, sizes in zip((bare, probed), cpu, settled, memory, strict=True):
                times.append(_cpu_ms(subprocess.Popen([python, "-c", "pass"], env=env)))
                if number < settled_rounds:
                    program = "import threading, time; time.sleep(2.5)"
                    process = subprocess.Popen([python, "-c", program], env=env)
                    time.sleep(2.2)
                    sizes.append((procfs.pss_bytes(process.pid) or 0) / 1e6)
                    later.append(_cpu_ms(process))
        return Start(*((min(a), min(b)) for a, b in (cpu, settled, memory)))


def _cpu_ms(process: subprocess.Popen[bytes]) -> float:
    """User and system milliseconds of a child, once it has ended."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return 1000 * (used.ru_utime + used.ru_stime)


def new_crash_us(sites: int = 300) -> float:
    """Median microseconds in the service's thread for the first record of a new kind of crash."""
    from selfheal_agent import frames
    from selfheal_agent.capture import Capture

    frames.set_project("/bench")
    source = "\n".join(
        f"def f{n}(order, n):\n    fee = n * 2\n    return order['address']['zip']"
        for n in range(sites)
    )
    scope: dict[str, object] = {"__name__": "bench"}
    exec(compile(source, "/bench/app.py", "exec"), scope)
    capture = Capture(lambda record: None, lambda tb: None)
    order = {"address": None, "items": [{"sku": "A1", "quantity": 2}], "customer": "c1"}
    times = []
    for n in range(sites):
        try:
            scope[f"f{n}"](order, n)  # type: ignore[operator]
        except TypeError as why:
            capture._second = -1  # the budget is not what is measured
            capture._in_second = 0
            begun = time.thread_time_ns()
            capture.exception(why, "bench")
            times.append((time.thread_time_ns() - begun) / 1000)
    return statistics.median(times)


def _installed(venv: Path, contender: str) -> bool:
    needs = NEEDS.get(contender)
    if needs is None:
        return True
    command = [venv / "bin/python", "-c", f"import {needs}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", default=str(Path(sys.executable).parent.parent))
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    venv = Path(options.venv)
    table = measure(venv, options.requests, options.rounds)
    start = start_up(venv / "bin/python")
    new = new_crash_us()
    alone = in_one_thread(venv / "bin/python")
    if options.json:
        figures = {"requests": table, "in_one_thread_us": alone, "start_up": asdict(start)}
        print(json.dumps({**figures, "new_crash_us": new}))
        return 0
    base = table["nothing"]
    print(f"{'':14}{'good':>18}{'failing':>18}{'memory':>16}")
    for contender, row in table.items():
        more = {label: row[label] - base[label] for label in row}
        print(
            f"{contender:14}{row['good_us']:8.1f} ({more['good_us']:+7.1f})"
            f"{row['failing_us']:8.1f} ({more['failing_us']:+7.1f})"
            f"{row['memory_mb']:7.1f} ({more['memory_mb']:+5.1f})"
        )
    print("CPU microseconds a request, MB of PSS; in brackets: more than nothing")
    print(f"first record of a new crash: {new:.0f} us")
    for what, (without, with_probe) in (
        *((f"{kind} request in one thread, us", figures) for kind, figures in alone.items()),
        ("start (python -c pass), CPU ms", start.cpu_ms),
        ("first 2.5 s of a service, CPU ms", start.settled_ms),
        ("memory of an idle service, MB", start.memory_mb),
    ):
        print(f"{what:34}{without:7.1f} {with_probe:7.1f} ({with_probe - without:+.1f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
