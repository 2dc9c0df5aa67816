"""One small service and one crash for each way people run Python: caught once, at its place?

    python -m tests.benchmarks.probe_matrix [--python PYTHON] [--venv DIR] [CASE...]

Makes a virtual environment with the frameworks (or takes --venv) and prints one row for each
case: caught (exactly once), place (file, line, column), count (requests counted exactly).
Cases whose framework cannot be installed for that Python are left out, and said so.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from selfheal_engine.errors import TargetError
from selfheal_engine.model import Occurrence
from tests.benchmarks._watched import watching

FRAMEWORKS = ["flask", "gunicorn", "gevent", "uvicorn", "fastapi", "django"]
FRAMEWORKS += ["celery", "rq", "apscheduler", "fakeredis", "aiohttp", "uvloop"]
FRAMEWORKS += ["opentelemetry-distro", "opentelemetry-instrumentation-flask", "ddtrace"]
CRASH = '    return order["address"]["zip"]  # crash\n'

WSGI = f"""def zip_of(order):
{CRASH}

def application(environ, start_response):
    if environ["PATH_INFO"] == "/crash":
        zip_of({{"address": None}})
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
"""
FLASK = f"""from flask import Flask
application = Flask(__name__)
def zip_of(order):
{CRASH}
@application.get("/")
def good():
    return "ok"
@application.get("/crash")
def bad():
    return zip_of({{"address": None}})
"""
ASGI = f"""def zip_of(order):
{CRASH}
async def application(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    if scope["path"] == "/crash":
        zip_of({{"address": None}})
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": b"ok"}})
"""
FASTAPI = f"""from fastapi import FastAPI
application = FastAPI()
def zip_of(order):
{CRASH}
@application.get("/")
async def good():
    return "ok"
@application.get("/crash")
async def bad():
    return zip_of({{"address": None}})
"""
DJANGO = f"""import django
from django.conf import settings
settings.configure(SECRET_KEY="x", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], DEBUG=False)
django.setup()
from django.http import HttpResponse
from django.urls import path
def zip_of(order):
{CRASH}
def good(request):
    return HttpResponse("ok")
def bad(request):
    return HttpResponse(zip_of({{"address": None}}))
urlpatterns = [path("", good), path("crash", bad)]
from django.core.SERVER import get_SERVER_application
application = get_SERVER_application()
"""
HTTP_SERVER = f"""import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
def zip_of(order):
{CRASH}
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/crash":
            zip_of({{"address": None}})
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
WSGIREF = (
    WSGI
    + """
if __name__ == "__main__":
    import sys
    from wsgiref.simple_server import make_server
    make_server("127.0.0.1", int(sys.argv[1]), application).serve_forever()
"""
)
AIOHTTP = f"""import sys
from aiohttp import web
def zip_of(order):
{CRASH}
async def good(request):
    return web.Response(text="ok")
async def bad(request):
    return web.Response(text=zip_of({{"address": None}}))
app = web.Application()
app.add_routes([web.get("/", good), web.get("/crash", bad)])
if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""
LOOPS = {
    "threading": """import threading, time
def work():
    zip_of({"address": None})
threading.Thread(target=work).start()
time.sleep(60)
""",
    "timer log": """import logging, time
try:
    zip_of({"address": None})
except Exception:
    logging.exception("tick failed")
time.sleep(60)
""",
    "asyncio task": """import asyncio
async def work():
    zip_of({"address": None})
async def main():
    task = asyncio.create_task(work())
    await asyncio.sleep(0.1)
    del task
    import gc; gc.collect()
    await asyncio.sleep(60)
asyncio.run(main())
""",
    "asyncio callback": """import asyncio
async def main():
    asyncio.get_running_loop().call_soon(zip_of, {"address": None})
    await asyncio.sleep(60)
asyncio.run(main())
""",
    "executor": """import time
from concurrent.futures import ThreadPoolExecutor
pool = ThreadPoolExecutor(2)
pool.submit(zip_of, {"address": None})
time.sleep(60)
""",
    "__del__": """import time
class Held:
    def __del__(self):
        zip_of({"address": None})
held = Held()
del held
time.sleep(60)
""",
    "multiprocessing": """import multiprocessing, time
if __name__ == "__main__":
    child = multiprocessing.get_context("fork").Process(target=zip_of, args=({"address": None},))
    child.start()
    child.join()
    time.sleep(60)
""",
    "multiprocessing spawn": """import multiprocessing, time
if __name__ == "__main__":
    child = multiprocessing.get_context("spawn").Process(target=zip_of, args=({"address": None},))
    child.start()
    child.join()
    time.sleep(60)
""",
    "process pool": """import time
from concurrent.futures import ProcessPoolExecutor
if __name__ == "__main__":
    with ProcessPoolExecutor(1) as pool:
        try:
            pool.submit(zip_of, {"address": None}).result()
        except TypeError:
            import logging
            logging.exception("job failed")
        time.sleep(60)
""",
    "script": """import time
time.sleep(2)
zip_of({"address": None})
""",
    "os._exit": """import os, time
pid = os.fork()
if pid == 0:
    try:
        zip_of({"address": None})
    except Exception:
        import logging
        logging.exception("child failed")
    os._exit(1)
os.waitpid(pid, 0)
time.sleep(60)
""",
    "apscheduler": """import time
from apscheduler.schedulers.background import BackgroundScheduler
s = BackgroundScheduler()
s.add_job(zip_of, args=[{"address": None}])
s.start()
time.sleep(60)
""",
    "rq": """import fakeredis, sys
from rq import Queue, Worker
if __name__ == "__main__":
    import service
    connection = fakeredis.FakeStrictRedis()
    queue = Queue(connection=connection)
    queue.enqueue(service.zip_of, {"address": None})
    from rq import SimpleWorker
    SimpleWorker([queue], connection=connection).work(burst=True)
    import time
    time.sleep(60)
""",
    "rq forks": """import sys, threading, time
if __name__ == "__main__":
    import fakeredis, redis, service
    from rq import Queue, Worker
    server = fakeredis.TcpFakeServer(("127.0.0.1", 0))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    connection = redis.Redis("127.0.0.1", server.server_address[1])
    queue = Queue(connection=connection)
    queue.enqueue(service.zip_of, {"address": None})
    Worker._set_ip_address = lambda self, *_: setattr(self, "ip_address", "")
    Worker([queue], connection=connection).work(burst=True)
    time.sleep(60)
""",
    "celery prefork": """import sys
from celery import Celery
app = Celery("service", broker="filesystem://", backend="cache+memory://")
import os
os.makedirs("queue", exist_ok=True)
os.makedirs("control", exist_ok=True)
app.conf.broker_transport_options = {"data_folder_in": "queue", "data_folder_out": "queue"}
app.conf.broker_transport_options["control_folder"] = "control"
zip_task = app.task(name="zip")(zip_of)
if __name__ == "__main__":
    import threading, time
    def send():
        time.sleep(3)
        zip_task.delay({"address": None})
    threading.Thread(target=send, daemon=True).start()
    words = ["worker", "-P", "prefork", "-c", "2", "--without-gossip", "--without-mingle"]
    app.worker_main(words + ["--without-heartbeat"])
""",
    "celery": """import sys
from celery import Celery
app = Celery("service", broker="memory://", backend="cache+memory://")
app.conf.worker_hijack_root_logger = False
zip_task = app.task(name="zip")(zip_of)
if __name__ == "__main__":
    import threading, time
    def send():
        time.sleep(3)
        zip_task.delay({"address": None})
    threading.Thread(target=send, daemon=True).start()
    app.worker_main(["worker", "-P", "solo", "-c", "1", "--without-gossip", "--without-mingle"])
""",
}
SCRIPT = "def zip_of(order):\n" + CRASH


@dataclass(frozen=True)
class Case:
    name: str
    source: str
    command: str
    """{python} {bin} {port} are filled in; empty port use: no requests."""
    needs: str = ""

    @property
    def serves(self) -> bool:
        return "{port}" in self.command


def cases() -> list[Case]:
    gunicorn = "{bin}/gunicorn -b 127.0.0.1:{port} service:application "
    uvicorn = "{bin}/uvicorn --port {port} service:application --log-level warning "
    django_wsgi = DJANGO.replace("SERVER", "wsgi")
    django_asgi = DJANGO.replace("SERVER", "asgi")
    found = [
        Case("gunicorn sync, Flask", FLASK, gunicorn + "-w 2", "gunicorn"),
        Case("gunicorn gthread, Flask", FLASK, gunicorn + "-w 2 --threads 4", "gunicorn"),
        Case("gunicorn gevent, Flask", FLASK, gunicorn + "-w 1 -k gevent", "gevent"),
        Case("gunicorn preload, Flask", FLASK, gunicorn + "-w 2 --preload", "gunicorn"),
        Case("gunicorn sync, WSGI", WSGI, gunicorn + "-w 2", "gunicorn"),
        Case("gunicorn, Django", django_wsgi, gunicorn + "-w 1 --threads 2", "django"),
        Case("uvicorn, ASGI", ASGI, uvicorn, "uvicorn"),
        Case("uvicorn, FastAPI", FASTAPI, uvicorn, "fastapi"),
        Case("uvicorn 2 workers, FastAPI", FASTAPI, uvicorn + "--workers 2", "fastapi"),
        Case("uvicorn, Django", django_asgi, uvicorn, "django"),
        Case("wsgiref", WSGIREF, "{python} service.py {port}"),
        Case("http.server", HTTP_SERVER, "{python} service.py {port}"),
        Case("flask run", FLASK, "{bin}/flask --app service:application run -p {port}", "flask"),
    ]
    uvicorn_worker = gunicorn + "-w 1 -k uvicorn.workers.UvicornWorker"
    threads = gunicorn + "-w 1 --threads 2"
    exporters = "--traces_exporter none --metrics_exporter none --logs_exporter none "
    telemetry = "{bin}/opentelemetry-instrument " + exporters
    found += [
        Case("gunicorn uvicorn worker", FASTAPI, uvicorn_worker, "fastapi"),
        Case("gunicorn, workers replaced", FLASK, gunicorn + "-w 1 --max-requests 4", "gunicorn"),
        Case("uvicorn uvloop, ASGI", ASGI, uvicorn + "--loop uvloop", "uvloop"),
        Case("uvicorn asyncio, FastAPI", FASTAPI, uvicorn + "--loop asyncio", "fastapi"),
        Case("aiohttp", AIOHTTP, "{python} service.py {port}", "aiohttp"),
        Case("opentelemetry-instrument", FLASK, telemetry + threads, "opentelemetry-distro"),
        Case("ddtrace-run", FLASK, "{bin}/ddtrace-run " + threads, "ddtrace"),
        Case("python -s", WSGIREF, "{python} -s service.py {port}"),
        Case("python -P", WSGIREF, "{python} -P service.py {port}", "python 3.11"),
    ]
    for name, body in LOOPS.items():
        library = name.split()[0]
        needs = library if library in FRAMEWORKS else ""
        found.append(Case(name, SCRIPT + body, "{python} service.py", needs))
    return found


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--venv")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="matrix-") as folder:
        venv = Path(options.venv) if options.venv else _make_venv(options.python, Path(folder))
        installed = installed_packages(venv)
        version = _run([venv / "bin/python", "-c", "import sys; print(sys.version.split()[0])"])
        print(f"Python {version.strip()}")
        wrong = 0
        for number, case in enumerate(cases()):
            if options.names and not any(name in case.name for name in options.names):
                continue
            if case.needs and case.needs not in installed:
                print(f"  {case.name:28} left out: {case.needs} is not installed")
                continue
            verdict = try_case(case, venv, Path(folder) / str(number))
            wrong += verdict != "ok"
            print(f"  {case.name:28} {verdict}", flush=True)
    return min(1, wrong)


def _make_venv(python: str, folder: Path) -> Path:
    venv = folder / "venv"
    subprocess.run([python, "-m", "venv", venv], check=True)
    for name in FRAMEWORKS:
        subprocess.run([venv / "bin/pip", "install", "-q", name], capture_output=True, check=False)
    return venv


def installed_packages(venv: Path) -> set[str]:
    """Lower-case names of what an environment holds, and "python 3.n" up to its own."""
    listing = "import sys; from importlib.metadata import distributions as d; "
    listing += "print(sys.version_info[1], *{x.metadata['Name'].lower() for x in d()})"
    minor, *names = _run([venv / "bin/python", "-c", listing]).split()
    return {*names} | {f"python 3.{n}" for n in range(int(minor) + 1)}


def _run(command: list[str | Path]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def try_case(case: Case, venv: Path, folder: Path) -> str:
    """ "ok", or what was wrong."""
    try:
        with watching(case.source, case.command, venv / "bin/python", folder) as watched:
            if case.serves:
                watched.until(lambda: watched.get("/") == 200)
                for _ in range(9):
                    watched.get("/")
                watched.get("/crash")
            watched.until(lambda: watched.seen)
            watched.listen(1.6)
            sample = watched.source.sample(time.time())
            return _judge(case, watched.seen, sample.counters, watched.project)
    except TargetError as why:
        return f"did not start: {why}"


def _judge(case: Case, seen: list[Occurrence], counters: dict[str, float], project: Path) -> str:
    if not seen:
        return "NOT CAUGHT"
    total = sum(occurrence.count for occurrence in seen)
    if total != 1:
        return f"caught {total} times: {[(o.exception, o.caught_by) for o in seen]}"
    crash = seen[0].crash
    lines = (project / "service.py").read_text().splitlines()
    line = next(n for n, text in enumerate(lines, 1) if "# crash" in text)
    if crash is None or crash.line != line or not crash.file.endswith("service.py"):
        return f"WRONG PLACE: {crash and (crash.file, crash.line)}"
    column = lines[line - 1].index("order[")
    if crash.column is not None and crash.column != column:
        return f"WRONG COLUMN: {crash.column}"
    if not crash.arguments:
        return "no arguments recorded"
    if case.serves and counters["requests"] != 11:
        return f"counted {counters['requests']:.0f} of 11 requests"
    if case.serves and counters["errors"] != 1:
        return f"counted {counters['errors']:.0f} of 1 error"
    return "ok"


if __name__ == "__main__":
    sys.exit(main())
