"""What a person can get wrong ends in one sentence, exit code 2, and nothing of theirs changed."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e
SCRIPT = str(Path(sys.executable).parent / "selfheal-tui")


def selfheal(*words: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT, *words],
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "HOME": str(cwd), "TERM": "xterm", **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def assert_one_sentence(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    for word in words:
        assert word in done.stderr, done.stderr


def test_an_unknown_command_is_named(tmp_path: Path) -> None:
    assert_one_sentence(selfheal("heal", cwd=tmp_path), "no command 'heal'", "attach heal")
    assert_one_sentence(selfheal("atach", cwd=tmp_path), "no command 'atach'", "mean `attach`")


def test_a_service_that_dies_at_start_is_quoted(tmp_path: Path) -> None:
    done = selfheal(
        "run", "--headless", "--", sys.executable, "-c", "raise SystemExit('no database')",
        cwd=tmp_path,
    )  # fmt: skip
    assert_one_sentence(done, "no database")


def test_a_command_that_does_not_exist_is_named(tmp_path: Path) -> None:
    done = selfheal("run", "--headless", "--", "no-such-server", cwd=tmp_path)
    assert_one_sentence(done, "no-such-server")


def test_a_port_in_use_is_recognised(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        server = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", port]
        done = selfheal("run", "--headless", "--", *server, cwd=tmp_path)
    assert_one_sentence(done, "in use")


def test_a_project_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    done = selfheal(
        "run", "--headless", "--project", "file", "--", sys.executable, "-m", "http.server",
        cwd=tmp_path,
    )  # fmt: skip
    assert_one_sentence(done, "file", "folder")


def test_a_service_that_is_not_python_is_told_so(tmp_path: Path) -> None:
    done = selfheal("run", "--headless", "--", "sleep", "60", cwd=tmp_path)
    assert_one_sentence(done, "Python")


@pytest.mark.parametrize("place", ["99999999", ":1", "nobody", "no-such.service"])
def test_a_place_where_nothing_is_gets_a_sentence(tmp_path: Path, place: str) -> None:
    assert_one_sentence(selfheal("attach", "--headless", place, cwd=tmp_path))


def test_an_impossible_setting_names_what_is_possible(tmp_path: Path) -> None:
    done = selfheal("doctor", "--approve", "sure", cwd=tmp_path)
    assert_one_sentence(done, "--approve", "never, low, medium, high")


def test_a_corrupt_config_names_the_line(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text("approve = \n", encoding="utf-8")
    done = selfheal("doctor", "--config", str(config), cwd=tmp_path)
    assert_one_sentence(done, "c.toml", "line 1")


def test_an_events_file_in_no_folder_is_named(tmp_path: Path) -> None:
    done = selfheal(
        "run", "--headless", "--events", "no/e.jsonl", "--", sys.executable, "-m", "http.server",
        cwd=tmp_path,
    )  # fmt: skip
    assert_one_sentence(done, "no/e.jsonl")


def test_without_any_service_the_picker_says_how_to_start_one(tmp_path: Path) -> None:
    done = selfheal(cwd=tmp_path, XDG_RUNTIME_DIR=str(tmp_path))
    assert_one_sentence(done, "selfheal-tui run --")


def test_a_demo_that_does_not_exist_names_those_that_do(tmp_path: Path) -> None:
    assert_one_sentence(selfheal("demo", "chekout", cwd=tmp_path), "checkout")
