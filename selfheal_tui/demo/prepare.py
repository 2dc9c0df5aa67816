"""Lays a case out as a service that could be anybody's: a folder, a git history, a free port."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfheal_engine.errors import SelfhealError
from selfheal_tui.demo.cases import Case

IGNORED = "__pycache__/\n.pytest_cache/\nvar/\n*.log\n"


@dataclass(frozen=True, slots=True)
class PreparedCase:
    """A case that is ready to run: nothing is started yet."""

    case: Case
    project: Path
    command: tuple[str, ...]
    """Starts the service; run it in `project` with `env` on top of the environment."""
    tests: str
    traffic_command: tuple[str, ...]
    """Starts the load, a process of its own that ends with whoever started it."""
    port: int
    env: dict[str, str]
    bug_after_s: float
    report: Path
    """Where the load writes its counts, one JSON object a second."""


def prepare(
    case: Case,
    folder: Path,
    *,
    seed: int = 1,
    bug_after_s: float | None = None,
    rate_per_s: float | None = None,
    python: str = sys.executable,
) -> PreparedCase:
    """Copy the case's service to `folder`/<service name>, with its history in git.

    `python` runs the service and its tests; the load always runs on our own interpreter.
    Raises SelfhealError when the folder cannot be written or already holds such a project.
    """
    project = folder / case.service.parent.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(
            case.service, project, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache")
        )
        (project / ".gitignore").write_text(IGNORED, encoding="utf-8")
    except FileExistsError:
        raise SelfhealError(f"{project} is there already: choose an empty folder") from None
    except OSError as why:
        raise SelfhealError(f"cannot lay out the demo in {folder}: {why}") from None
    commit_history(project, case.history)
    port, upstream_port = free_ports(2)
    words = {
        "python": python,
        "project": str(project),
        "case": str(case.folder),
        "port": str(port),
        "upstream_port": str(upstream_port),
    }
    after = case.bug_after_s if bug_after_s is None else bug_after_s
    rate = case.rate_per_s if rate_per_s is None else rate_per_s
    report = folder / "traffic.jsonl"
    load = (
        *_filled(case.load, words),
        *("--port", str(port), "--upstream-port", str(upstream_port), "--project", str(project)),
        *("--seed", str(seed), "--rate", f"{rate:g}", "--bug-after", f"{after:g}"),
        *("--report", str(report)),
    )
    return PreparedCase(
        case=case,
        project=project,
        command=_filled(case.command, words),
        tests=" ".join(_filled(case.tests, words)),
        traffic_command=(sys.executable, *load),
        port=port,
        env=dict(zip(case.env, _filled(case.env.values(), words), strict=True)),
        bug_after_s=after,
        report=report,
    )


def commit_history(project: Path, history: Path | None) -> None:
    """Make `project` a git repository whose last commit is the tree as it stands.

    Machines without git get the tree alone: the demo works without a history.
    """
    if shutil.which("git") is None:
        return
    commits: list[dict[str, Any]] = []
    if history is not None:
        commits = tomllib.loads(history.read_text(encoding="utf-8"))["commit"]
    final = {
        edit["file"]: (project / edit["file"]).read_text(encoding="utf-8")
        for commit in commits
        for edit in commit.get("edits", ())
    }
    _git(project, "init", "-q", "-b", "main")
    for place, commit in enumerate(commits):
        for file, text in final.items():
            undone = _before(text, file, commits[place + 1 :])
            (project / file).write_text(undone, encoding="utf-8")
        edited = [edit["file"] for edit in commit.get("edits", ())]
        _git(project, "add", "--", *commit["paths"], *edited)
        _commit(project, commit["message"], commit["author"], float(commit["days_ago"]))
    for file, text in final.items():
        (project / file).write_text(text, encoding="utf-8")
    _git(project, "add", "-A")
    if _git(project, "status", "--porcelain"):
        _commit(project, "Release", "Ines Keller <ines@teashop.example>", 1.0)


def _before(text: str, file: str, later: list[dict[str, Any]]) -> str:
    """The file's text as it was before the later commits' edits, undone newest first."""
    for commit in reversed(later):
        for edit in reversed(commit.get("edits", ())):
            if edit["file"] == file:
                text = text.replace(edit["new"], edit["old"], 1)
    return text


def _commit(project: Path, message: str, author: str, days_ago: float) -> None:
    name, _, email = author.rstrip(">").partition(" <")
    when = f"@{int(time.time() - days_ago * 86400)} +0000"
    _git(
        project,
        *("-c", f"user.name={name}", "-c", f"user.email={email}", "-c", "commit.gpgsign=false"),
        *("commit", "-q", "-m", message, "--date", when),
        env={"GIT_COMMITTER_DATE": when},
    )


def _git(project: Path, *words: str, env: dict[str, str] | None = None) -> str:
    """Output of a git command that knows no configuration and no hooks of the user's."""
    alone = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", **(env or {})}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", "-c", "core.hooksPath=/dev/null", *words],
        cwd=project,
        env={**kept, **alone},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SelfhealError(f"git could not make the demo's history: {done.stderr.strip()}")
    return done.stdout


PORTS = range(20_000, 32_000)
"""Below those that the kernel hands out by itself: between our look and the service's start no
connection and no server without a port of its own can take one of them."""


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on now."""
    found: list[int] = []
    with contextlib.ExitStack() as held:
        for port in random.sample(PORTS, len(PORTS)):
            taken = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                taken.bind(("127.0.0.1", port))
                found.append(port)
            if len(found) == count:
                break
    return found


def _filled(words: Iterable[str], values: dict[str, str]) -> tuple[str, ...]:
    def fill(word: str) -> str:
        for name, value in values.items():
            word = word.replace("{" + name + "}", value)
        return word

    return tuple(fill(word) for word in words)
