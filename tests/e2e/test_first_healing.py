"""The whole path on a real service: it fails, a patch is proven, the running workers are healed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from selfheal_engine.events import violations
from tests.e2e.terminal import Terminal

REPOSITORY = Path(__file__).parents[2]
pytestmark = pytest.mark.e2e

SCRIPT = str(Path(sys.executable).parent / "selfheal-tui")


def play_headless(folder: Path, case: str, *more: str) -> tuple[list[dict[str, Any]], Path]:
    """Events of a headless demo that had 6 s of health before its bug, and the project."""
    events = folder / "events.jsonl"
    done = subprocess.run(
        [SCRIPT, "demo", case, "--headless", "--approve", "low", "--events", str(events),
         "--folder", str(folder / "demo"), "--state", str(folder / "state"),
         "--bug-after", "6", *more],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    lines = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    told = [line for line in lines if line["kind"] not in ("sample", "alert")]
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{json.dumps(told, indent=1)}"
    (project,) = (path for path in (folder / "demo").iterdir() if path.is_dir())
    return lines, project


def of_kind(lines: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [line for line in lines if line["kind"] == kind]


@pytest.fixture(scope="module")
def healed_shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], Path]:
    return play_headless(tmp_path_factory.mktemp("healing"), "checkout")


def test_the_service_is_healed_and_the_time_is_told(
    healed_shop: tuple[list[dict[str, Any]], Path],
) -> None:
    lines, _ = healed_shop
    (healed,) = of_kind(lines, "healed")
    incident = next(line for line in of_kind(lines, "incident") if line["state"] == "open")
    assert healed["incident"] == incident["id"]
    assert healed["mttr_s"] > 0
    assert incident["bug_type"] in ("null_check", "unknown")


def test_every_event_keeps_the_contract(
    healed_shop: tuple[list[dict[str, Any]], Path],
) -> None:
    lines, _ = healed_shop
    assert [violation for line in lines for violation in violations(line)] == []
    assert lines[0]["kind"] == "started"
    assert lines[-1]["kind"] == "stopped"


def test_between_three_and_five_patches_were_shown_best_first(
    healed_shop: tuple[list[dict[str, Any]], Path],
) -> None:
    lines, _ = healed_shop
    (proposal,) = of_kind(lines, "proposal")[:1]
    candidates = {line["id"]: line for line in of_kind(lines, "candidate")}
    assert 3 <= len(proposal["candidates"]) <= 5
    assert set(proposal["candidates"]) <= set(candidates)
    (applied,) = of_kind(lines, "applied")
    assert applied["candidate"] == proposal["candidates"][0]
    assert all(process["ok"] for process in applied["processes"])


def test_after_the_swap_no_request_fails_and_none_was_lost(
    healed_shop: tuple[list[dict[str, Any]], Path],
) -> None:
    lines, project = healed_shop
    report = (project.parent / "traffic.jsonl").read_text(encoding="utf-8")
    seconds = [json.loads(line) for line in report.splitlines()]
    (healed,) = of_kind(lines, "healed")
    assert any(second["failed"] for second in seconds), "the bug never bit"
    after = [second for second in seconds if second.get("time", 0) > healed["time"] + 1]
    assert after, "the traffic did not go on after the healing"
    assert sum(second["failed"] for second in after) == 0
    assert seconds[-1]["total_lost"] == 0


def test_only_the_intended_lines_of_the_file_differ(
    healed_shop: tuple[list[dict[str, Any]], Path],
) -> None:
    lines, project = healed_shop
    (applied,) = of_kind(lines, "applied")
    diff = subprocess.run(
        ["git", "diff", "--name-only"], cwd=project, capture_output=True, text=True, check=True
    )
    assert diff.stdout.split() == applied["files"]
    shown = next(c for c in of_kind(lines, "candidate") if c["id"] == applied["candidate"])
    reverse = subprocess.run(
        ["git", "apply", "-R", "--check", "-"], cwd=project, input=shown["diff"], text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert reverse.returncode == 0, reverse.stderr


def test_the_history_keeps_the_episode(
    healed_shop: tuple[list[dict[str, Any]], Path],
) -> None:
    lines, project = healed_shop
    state = project.parent.parent / "state"
    done = subprocess.run(
        [SCRIPT, "history", "--json", "--state", str(state)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    (episode,) = (json.loads(line) for line in done.stdout.splitlines())
    (healed,) = of_kind(lines, "healed")
    assert episode["id"] == healed["incident"]
    assert episode["mttr_s"] == pytest.approx(healed["mttr_s"], abs=0.01)


def test_a_leak_that_raises_nothing_gets_a_proven_patch(tmp_path: Path) -> None:
    lines, _ = play_headless(tmp_path, "related", "--approve", "never")
    (proposal,) = of_kind(lines, "proposal")[:1]
    best = next(c for c in of_kind(lines, "candidate") if c["id"] == proposal["candidates"][0])
    assert best["strategy"] == "memory_leak_fix"


@pytest.mark.parametrize("case", ["suppliers", "delivery"])
def test_the_other_families_are_healed_too(tmp_path: Path, case: str) -> None:
    lines, _ = play_headless(tmp_path, case, "--approve", "high", "--approve-floor", "0")
    assert of_kind(lines, "healed")


def test_a_person_heals_a_fresh_clone_with_two_keys(tmp_path: Path) -> None:
    clone, home = tmp_path / "clone", tmp_path / "home"
    home.mkdir()
    subprocess.run(["git", "clone", "-q", str(REPOSITORY), str(clone)], check=True)
    env = {"HOME": str(home), "PATH": os.environ["PATH"], "TERM": "xterm-256color"}
    terminal = Terminal(tmp_path, "make demo", cwd=clone, env=env)
    try:
        terminal.wait_for("cpu_usage", most_s=400)
        terminal.wait_for("waiting for you", most_s=120)
        terminal.send("Enter")
        terminal.wait_for("safety", most_s=20)
        terminal.send("a")
        terminal.wait_for("apply it", most_s=20)
        terminal.send("y")
        terminal.wait_for("healed", most_s=90)
        terminal.send("Escape")
        terminal.send("2")
        terminal.wait_for("null_check", most_s=20)
        terminal.send("q")
        terminal.wait_for("stop", most_s=20)
        terminal.send("s")
        screen = terminal.wait_for("exit code", most_s=40)
        assert "exit code 0" in screen
    finally:
        terminal.close()
    left = subprocess.run(["pgrep", "-f", str(clone)], capture_output=True, text=True, check=False)
    assert left.stdout == ""
