"""The wall from outside: what a run may do, what it may not, and whose fault an end is."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from selfheal_engine.errors import SandboxUnavailableError
from selfheal_engine.sandbox_validator import bubblewrap, isolation, wall
from selfheal_engine.sandbox_validator.inside import landlock
from selfheal_engine.sandbox_validator.limits import MIB, Limits, tree
from selfheal_engine.sandbox_validator.wall import Run, run_walled

SHORT = Limits(wall_s=20.0, disk_bytes=16 * MIB, files=500)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    (root / "app.py").write_text("VALUE = 1\n")
    return root


def python(code: str, project: Path | None, limits: Limits = SHORT, **more: object) -> Run:
    argv = [sys.executable, "-I", "-S", "-c", code]
    return run_walled(argv, project=project, limits=limits, **more)  # type: ignore[arg-type]


def test_this_machine_is_told_its_tier() -> None:
    found = wall.level()
    assert found.tier in (1, 2, 3)
    assert found.note


@pytest.mark.parametrize("code", [0, 1, 7])
def test_the_exit_code_is_the_commands_own(project: Path, code: int) -> None:
    assert python(f"raise SystemExit({code})", project).returncode == code


def test_a_signal_that_ends_the_command_is_told(project: Path) -> None:
    run = python("import os; os.kill(os.getpid(), 11)", project)
    assert (run.returncode, run.infrastructure) == (-11, "")


def test_the_project_is_seen_at_its_own_path_and_changes_stay_inside(project: Path) -> None:
    code = f"open('new.txt', 'w').write('x'); open({str(project / 'app.py')!r}, 'a').write('y=2')"
    run = python(code, project)
    assert run.returncode == 0, run.stderr
    assert set(run.changed) == {"new.txt", "app.py"}
    assert (project / "app.py").read_text() == "VALUE = 1\n"
    assert [file.name for file in project.iterdir()] == ["app.py"]


def test_a_patched_file_takes_the_place_of_the_projects_own(project: Path) -> None:
    run = python(
        "print(open('app.py').read(), open('pkg/new.py').read())",
        project,
        files={"app.py": b"VALUE = 2\n", "pkg/new.py": b"N = 3\n"},
    )
    assert run.stdout.split() == [b"VALUE", b"=", b"2", b"N", b"=", b"3"]
    assert run.changed == ()


def test_a_patched_file_outside_the_project_is_refused(project: Path) -> None:
    run = python("pass", project, files={"../evil.py": b"x"})
    assert "outside the project" in run.infrastructure
    assert not (project.parent / "evil.py").exists()


def test_stale_bytecode_of_the_unpatched_file_is_not_used(project: Path) -> None:
    import py_compile

    py_compile.compile(str(project / "app.py"))
    code = "import sys; sys.path.insert(0, '.'); import app; print(app.VALUE)"
    run = python(code, project, files={"app.py": b"VALUE = 5\n"})
    assert run.stdout.strip() == b"5"


def test_standard_input_reaches_the_command(project: Path) -> None:
    text = b"x" * 300_000
    run = python("import sys; print(len(sys.stdin.read()))", project, stdin=text)
    assert run.stdout.strip() == b"300000"


def test_the_command_is_nobody_and_has_no_privilege(project: Path) -> None:
    run = python("import os; print(os.getuid()); print(open('/proc/self/status').read())", project)
    said = run.stdout.decode()
    assert said.splitlines()[0] == "1000"
    for line in ("NoNewPrivs:\t1", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000"):
        assert line in said
    assert "Seccomp:\t2" in said


def test_the_environment_is_not_inherited(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    run = python("import os; print(dict(os.environ))", project, env={"GIVEN": "seen"})
    assert b"hidden" not in run.stdout
    assert b"seen" in run.stdout


def test_homes_and_foreign_files_do_not_exist(project: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("s3cret")
    code = f"""
import os
print(os.path.exists({str(secret)!r}), os.path.exists('/etc/shadow'), os.path.exists('/sys/fs'),
      os.path.exists(os.path.expanduser('~root/.bashrc')))
"""
    assert python(code, project).stdout.split() == [b"False"] * 4


def test_a_listed_folder_can_be_read_but_not_written(project: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "rates.txt").write_text("42")
    code = f"""
print(open({str(shared / "rates.txt")!r}).read())
open({str(shared / "new.txt")!r}, 'w')
"""
    run = python(code, project, read_only=[shared])
    assert run.stdout.strip() == b"42"
    assert run.returncode == 1
    assert b"Read-only file system" in run.stderr


def test_there_is_no_network(project: Path) -> None:
    code = """
import socket
listening = socket.create_server(('127.0.0.1', 0))
socket.create_connection(listening.getsockname(), 2)
print('loopback')
try: socket.create_connection(('192.0.2.1', 80), 2)
except OSError as why: print(why.errno)
"""
    assert python(code, project).stdout.split() == [b"loopback", b"101"]


@pytest.mark.parametrize(
    "code",
    [
        "import ctypes; assert ctypes.CDLL(None).unshare(0x10000000) == -1",
        "import socket; socket.socket(40, 1)",
        "import ctypes; assert ctypes.CDLL(None).syscall(101, 0, 0, 0, 0) == -1",
    ],
    ids=["namespaces", "vsock", "ptrace"],
)
def test_kernel_doors_are_closed(project: Path, code: str) -> None:
    run = python(code, project)
    assert run.returncode == 0 or b"OSError" in run.stderr


def test_a_run_beyond_its_time_is_stopped_and_told_apart(project: Path) -> None:
    run = python("import time; time.sleep(600)", project, Limits(wall_s=0.5))
    assert run.timed_out
    assert run.infrastructure == ""


def test_output_beyond_the_cap_is_dropped(project: Path) -> None:
    limits = Limits(wall_s=20.0, output_bytes=1000)
    run = python("print('x' * 5_000_000)", project, limits)
    assert (run.returncode, len(run.stdout)) == (0, 1000)


def test_a_cancelled_run_ends_at_once(project: Path) -> None:
    run = python("import time; time.sleep(600)", project, cancelled=lambda: True)
    assert run.infrastructure == "cancelled"


# ------------------------------------------------------- the wall's own failures
def test_without_any_isolation_nothing_runs_and_the_fix_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SELFHEAL_BWRAP", "/nowhere/bwrap")
    monkeypatch.setattr(landlock, "version", lambda: 0)
    bubblewrap.find.cache_clear()
    wall.level.cache_clear()
    try:
        with pytest.raises(SandboxUnavailableError, match="install"):
            python("pass", project)
    finally:
        monkeypatch.undo()
        bubblewrap.find.cache_clear()
        wall.level.cache_clear()


def test_a_project_that_is_gone_is_no_failed_command(tmp_path: Path) -> None:
    run = python("pass", tmp_path / "gone")
    assert (run.returncode, run.ran) == (-1, False)
    assert "could not be built" in run.infrastructure


def test_a_command_that_does_not_exist_is_no_failed_command(project: Path) -> None:
    run = run_walled(["/usr/bin/no-such-program"], project=project, limits=SHORT)
    assert "did not start" in run.infrastructure


def test_a_full_disk_is_no_failed_command(project: Path) -> None:
    run = python("open('big', 'wb').write(b'x' * (64 << 20))", project)
    assert run.infrastructure.startswith("disk:")


def test_too_many_files_are_no_failed_command(project: Path) -> None:
    run = python("for i in range(2000): open(f'n{i}', 'w')", project)
    assert run.infrastructure.startswith("disk:")


def test_memory_of_the_whole_tree_counts(project: Path) -> None:
    code = """
import os, time
for _ in range(4):
    if os.fork() == 0:
        held = bytearray(b'x') * (60 << 20); time.sleep(60); os._exit(0)
time.sleep(60)
"""
    run = python(code, project, Limits(wall_s=30.0, memory_bytes=160 * MIB))
    assert run.infrastructure.startswith("memory:")


def test_cpu_time_of_the_whole_tree_counts(project: Path) -> None:
    code = "import os\nfor _ in range(2): os.fork()\nwhile True: pass"
    run = python(code, project, Limits(wall_s=60.0, cpu_s=1.0))
    assert run.infrastructure.startswith("cpu:") or run.returncode < 0


# ------------------------------------------------------------------- leftovers
OWN_COPIES = f"{isolation.COPY_PREFIX}{os.getpid()}-"
"""Other tests run beside these, and leave behind what they mean to."""


def left_behind() -> set[int]:
    return set(tree(os.getpid())) - {os.getpid()}


@pytest.fixture
def nothing_left() -> Iterator[None]:
    mounts = Path("/proc/self/mountinfo").read_text()
    before, folders = left_behind(), set(os.listdir("/tmp"))
    yield
    assert Path("/proc/self/mountinfo").read_text() == mounts
    assert left_behind() <= before
    assert not {name for name in set(os.listdir("/tmp")) - folders if name.startswith(OWN_COPIES)}


BOMBS = {
    "timeout": "import time; time.sleep(600)",
    "daemon": """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
os.wait()
""",
    "stubborn": """
import os, signal, time
for _ in range(5):
    if os.fork() == 0:
        os.setsid()
        for number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)
        time.sleep(600)
time.sleep(600)
""",
    "fork_bomb": """
import os
while True:
    try: os.fork()
    except OSError: pass
""",
    "stops_its_parent": "import os, signal, time; os.kill(os.getppid(), 19); time.sleep(600)",
}


@pytest.mark.parametrize("name", BOMBS)
def test_no_process_mount_or_folder_outlives_a_run(
    project: Path, nothing_left: None, name: str
) -> None:
    python(BOMBS[name], project, Limits(wall_s=0.6, processes=40))


def test_an_orderly_run_leaves_nothing_to_sweep(project: Path, nothing_left: None) -> None:
    python("pass", project)
    mark = isolation.owner_mark().encode()
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{name}/cmdline").read_bytes()
        except OSError:
            continue
        assert mark not in words
