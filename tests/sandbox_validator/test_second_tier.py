"""Without namespaces: Landlock and seccomp on a copy, the same promises by other means."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import time
from pathlib import Path

import pytest

from selfheal_engine.sandbox_validator import isolation, wall
from selfheal_engine.sandbox_validator.inside import landlock
from selfheal_engine.sandbox_validator.limits import MIB, Limits
from selfheal_engine.sandbox_validator.wall import Run, run_walled

pytestmark = pytest.mark.skipif(
    landlock.version() < landlock.OLDEST, reason="this kernel has no Landlock 6"
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    (root / "app.py").write_text("VALUE = 1\n")
    return root


def python(code: str, project: Path, **more: object) -> Run:
    limits = more.pop("limits", Limits(wall_s=30.0, disk_bytes=16 * MIB))
    argv = [sys.executable, "-I", "-S", "-c", code]
    return run_walled(argv, project=project, limits=limits, tier=2, **more)  # type: ignore[arg-type]


def copies() -> list[str]:
    return [n for n in os.listdir(tempfile.gettempdir()) if n.startswith(isolation.COPY_PREFIX)]


def test_the_command_works_on_a_copy_that_is_gone_afterwards(project: Path) -> None:
    code = "open('new.txt', 'w').write('x'); print(open('app.py').read())"
    run = python(code, project, files={"app.py": b"VALUE = 2\n"})
    assert (run.returncode, run.stdout.strip()) == (0, b"VALUE = 2"), run.stderr
    assert run.changed == ("new.txt",)
    assert [file.name for file in project.iterdir()] == ["app.py"]
    assert not [name for name in copies() if f"-{os.getpid()}-" in name]


def test_sockets_and_pipes_of_the_service_are_no_obstacle(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(project / "commands")
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(project)  # the name of a socket must be short
        listener.bind("app.sock")
        run = python("import os; print(sorted(os.listdir()))", project)
    assert (run.stdout.strip(), run.infrastructure) == (b"['app.py']", ""), run.stderr


def test_the_command_holds_no_descriptor_but_its_own_three(project: Path) -> None:
    code = "import os\nfor n in range(3, 64):\n try: os.fstat(n); print(n)\n except OSError: pass"
    run = python(code, project)
    assert (run.stdout, run.returncode) == (b"", 0), "a way to write the report itself"


def test_paths_of_the_project_lead_to_the_copy(project: Path) -> None:
    run = run_walled([sys.executable, str(project / "app.py")], project=project, tier=2)
    assert (run.returncode, run.infrastructure) == (0, "")


def test_the_project_itself_cannot_be_touched(project: Path) -> None:
    # put together inside, so that the path is not led to the copy
    code = f"open('/' + {str(project / 'app.py')[1:]!r}, 'a').write('x')"
    run = python(code, project)
    assert b"PermissionError" in run.stderr
    assert (project / "app.py").read_text() == "VALUE = 1\n"


def test_there_is_no_socket_but_unix_ones(project: Path) -> None:
    run = python("import socket; socket.socketpair(); socket.socket()", project)
    assert b"OSError" in run.stderr


def test_no_process_outlives_the_run(project: Path) -> None:
    code = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv('/bin/sleep', ['sleep', '587.25'])
    os._exit(0)
os.wait()
"""
    python(code, project)
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{name}/cmdline").read_bytes()
        except OSError:
            continue
        assert b"587.25" not in words


def test_a_run_that_is_stopped_before_it_has_begun_leaves_no_folder(project: Path) -> None:
    for _ in range(3):
        python("pass", project, limits=Limits(wall_s=0.0))
    assert not [name for name in copies() if f"-{os.getpid()}-" in name]


def test_a_full_disk_is_infrastructure_here_too(project: Path) -> None:
    run = python("open('big', 'wb').write(b'x' * (64 << 20))", project)
    assert run.infrastructure.startswith("disk:")


def test_a_crashed_engines_copy_is_swept() -> None:
    stale = Path(tempfile.mkdtemp(prefix=f"{isolation.COPY_PREFIX}4194304-"))
    (stale / "x").write_text("x")
    wall.sweep()
    end = time.monotonic() + 10.0  # an engine beside this test may be sweeping it just now
    while stale.exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert not stale.exists()


@pytest.mark.parametrize(("asked", "tier"), [("2", 2), ("3", 3)])
def test_a_lower_tier_can_be_asked_for(
    monkeypatch: pytest.MonkeyPatch, asked: str, tier: int
) -> None:
    monkeypatch.setenv(isolation.FORCED, asked)
    isolation.level.cache_clear()
    try:
        found = isolation.level()
        assert (found.tier, found.fix) == (tier, f"unset {isolation.FORCED}")
    finally:
        isolation.level.cache_clear()


def test_sweeping_follows_no_link_and_minds_no_folder_that_goes_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    precious = tmp_path / "precious"
    precious.mkdir(mode=0o500)
    gone = 2**22 + 1  # beyond what the kernel numbers processes with
    (tmp_path / f"{isolation.COPY_PREFIX}{gone}-link").symlink_to(precious)
    (tmp_path / f"{isolation.COPY_PREFIX}{gone}-lost").symlink_to(tmp_path / "nowhere")
    (tmp_path / f"{isolation.COPY_PREFIX}{gone}-left").mkdir()
    isolation.sweep()
    assert precious.stat().st_mode & 0o777 == 0o500
    assert not (tmp_path / f"{isolation.COPY_PREFIX}{gone}-left").exists()
