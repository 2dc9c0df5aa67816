"""Services that are no web framework: threads, tasks, children, scripts; and bad starts."""

from __future__ import annotations

import os
import sys
import time
import venv
from pathlib import Path

import pytest

from selfheal_engine.config import Settings
from selfheal_engine.errors import TargetError
from selfheal_engine.model import Target
from selfheal_engine.sources import open_source
from selfheal_engine.sources.launching import service_name
from selfheal_engine.sources.procfs import switched_off_by
from tests.sources.conftest import Start

pytestmark = pytest.mark.e2e

DEADLOCK = """
    import threading, time
    one, two = threading.Lock(), threading.Lock()

    def forth():
        with one:
            time.sleep(0.3)
            with two:
                pass

    def back():
        with two:
            time.sleep(0.3)
            with one:
                pass

    threading.Thread(target=forth, name="forth", daemon=True).start()
    threading.Thread(target=back, name="back", daemon=True).start()
    time.sleep(60)
"""

STUCK_TASK = """
    import asyncio

    async def silent(reader, writer):
        await asyncio.sleep(60)

    async def ask(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        return await reader.readline()

    async def main():
        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        await asyncio.gather(ask(port), ask(port), ask(port))

    asyncio.run(main())
"""

BLOCKED_LOOP = """
    import asyncio, time

    async def crunch():
        time.sleep(4)

    async def main():
        await asyncio.sleep(0.5)
        await crunch()
        await asyncio.sleep(60)

    asyncio.run(main())
"""

CHILD = """
    import logging, os, time
    if os.fork() == 0:
        try:
            {}["gone"]
        except KeyError:
            logging.exception("child failed")
        os._exit(3)
    os.wait()
    time.sleep(60)
"""

FILES = """
    import time
    kept = []

    def read(path):
        stream = open(path)
        kept.append(stream)
        return stream.read(1)

    while True:
        read(__file__)
        time.sleep(0.02)
"""


def test_a_deadlock_is_named_with_both_threads_and_their_lines(start: Start) -> None:
    service = start({"dead.py": DEADLOCK}, sys.executable, "{project}/dead.py")
    service.until(lambda: any(o.kind == "deadlock" for o in service.seen))
    found = next(o for o in service.seen if o.kind == "deadlock")
    assert {thread.name for thread in found.threads} == {"forth", "back"}
    assert {thread.waits_for for thread in found.threads} == {"one", "two"}
    assert {thread.held_by for thread in found.threads} == {"forth", "back"}
    assert service.source.sample(time.time()).value("deadlock_risk") == 1.0


def test_tasks_that_wait_for_a_silent_peer_are_a_stall(start: Start) -> None:
    service = start({"watch.py": STUCK_TASK}, sys.executable, "{project}/watch.py")
    service.until(lambda: any(o.kind == "stall" for o in service.seen), seconds=20)
    [place] = {(o.crash.function, o.crash.source_line) for o in service.seen if o.crash}
    assert place == ("ask", "return await reader.readline()")


def test_a_blocked_event_loop_is_a_stall_at_the_blocking_line(start: Start) -> None:
    service = start({"loop.py": BLOCKED_LOOP}, sys.executable, "{project}/loop.py")
    service.until(lambda: any(o.exception == "EventLoopBlocked" for o in service.seen))
    crash = service.seen[0].crash
    assert crash is not None
    assert (crash.function, crash.source_line) == ("crunch", "time.sleep(4)")


def test_a_child_that_ends_at_once_leaves_its_crash_behind(start: Start) -> None:
    service = start({"forks.py": CHILD}, sys.executable, "{project}/forks.py")
    service.until(lambda: service.seen)
    assert [(o.exception, o.count) for o in service.seen] == [("KeyError", 1)]


def test_descriptors_that_pile_up_are_traced_to_their_line(start: Start) -> None:
    service = start({"files.py": FILES}, sys.executable, "{project}/files.py")
    service.until(lambda: any(o.kind == "resource" for o in service.seen))
    crash = service.seen[0].crash
    assert crash is not None
    assert (crash.function, crash.source_line) == ("read", "stream = open(path)")
    # what it was called with comes along, so that the leak can be shown again
    service.until(lambda: any(o.good_calls for o in service.seen))


def test_a_script_that_crashes_and_ends_is_seen_to_have_ended(start: Start) -> None:
    service = start(
        {"job.py": "import time\ntime.sleep(2)\n[][1]\n"}, sys.executable, "{project}/job.py"
    )
    service.until(lambda: not service.source.service().alive)
    assert service.source.exit_status == 1
    service.until(lambda: service.seen)
    assert [(o.exception, o.caught_by, o.count) for o in service.seen] == [
        ("IndexError", "excepthook", 1)
    ]


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (("no-such-program-at-all",), "no such command"),
        ((sys.executable, "-c", "import no_such_module"), "No module named 'no_such_module'"),
        (("/bin/sh", "-c", "exit 3"), "ended with status 3"),
    ],
)
def test_a_service_that_does_not_start_says_why(
    settings: Settings, command: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(TargetError, match=sentence):
        open_source(Target(command=command), settings)


def test_a_port_in_use_is_named(settings: Settings) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        program = f"import http.server as h; h.HTTPServer(('127.0.0.1', {port}), None)"
        with pytest.raises(TargetError, match=r"port .*is in use"):
            open_source(Target(command=(sys.executable, "-c", program)), settings)


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (Target(pid=2**22 - 1), "there is no process"),
        (Target(name="nobody"), "no service named nobody"),
        (Target(port=1), "nothing listens on port 1"),
    ],
)
def test_a_target_that_is_not_there_says_so(
    settings: Settings, target: Target, sentence: str
) -> None:
    with pytest.raises(TargetError, match=sentence):
        open_source(target, settings)


def test_a_process_without_the_probe_is_watched_from_outside(settings: Settings) -> None:
    source = open_source(Target(pid=os.getpid()), settings)
    try:
        sample = source.sample(time.time())
        assert (sample.value("memory_usage") or 0) > 1_000_000
        assert sample.readings["response_time"].value is None
        assert "probe" in sample.readings["response_time"].reason
    finally:
        source.close(stop_service=False)


@pytest.mark.parametrize(
    ("command", "project", "name"),
    [
        ("gunicorn -c gunicorn.conf.py shop.wsgi:app", "/srv/x", "shop"),
        ("python -m catalog serve", "/srv/x", "catalog"),
        ("python worker.py --fast", "/srv/x", "worker"),
        ("gunicorn -c gunicorn.conf.py", "/srv/shop", "shop"),
        ("/opt/venv/bin/uvicorn api.main:app --port 80", "", "api"),
    ],
)
def test_a_service_gets_the_name_a_person_would_give_it(
    command: str, project: str, name: str
) -> None:
    assert service_name(command.split(), project) == name


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("python -I app.py", "-I"),
        ("python3.11 -uE -m shop", "-E"),
        ("python -W error -X dev -S app.py", "-S"),
        ("python -WIgnore -Xfrozen_modules=off -bbE app.py", "-E"),
        ("python -m shop -E", ""),
        ("python -WError -cE", ""),
        ("python -u app.py -S", ""),
    ],
)
def test_options_that_keep_the_probe_out_are_known(command: str, answer: str) -> None:
    assert switched_off_by(command) == answer


def test_a_service_started_with_such_an_option_is_told_the_way_in(
    start: Start, tmp_path: Path
) -> None:
    python = tmp_path / "venv/bin/python"
    venv.create(python.parent.parent, symlinks=True, with_pip=False)
    program = {"idle.py": "import time\ntime.sleep(600)\n"}
    service = start(program, str(python), "-I", "{project}/idle.py")
    [note] = service.source.notes()
    assert note.startswith("-I keeps the probe out of python: ")
    line = note.split("`")[1]
    [packages] = python.parent.parent.glob("lib/python3*/site-packages")
    (packages / "selfheal.pth").write_text(f"{line}\n")
    again = start(program, str(python), "-I", "{project}/idle.py")
    again.until(lambda: again.probes() == 1)
    assert again.source.notes() == ()


def test_a_socket_folder_of_another_user_is_refused(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "file"
    folder.write_text("no folder")
    from dataclasses import replace

    with pytest.raises(TargetError, match="socket folder"):
        open_source(
            Target(command=(sys.executable, "-c", "pass")),
            replace(settings, run_dir=str(folder / "run")),
        )
