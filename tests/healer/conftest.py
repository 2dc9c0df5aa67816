"""A project on the disk, patches for it, and a service whose processes run its text."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from selfheal_engine.config import Settings
from selfheal_engine.healer.rebase import unified
from selfheal_engine.model import (
    Candidate,
    FunctionSwap,
    Incident,
    IncidentState,
    Occurrence,
    ProcessInfo,
    ServiceInfo,
    SwapResult,
)
from selfheal_engine.project import Project, sha256

BROKEN = b"def city(order):\n    return order.address.city\n\n\ndef other():\n    return 1\n"
MENDED = BROKEN.replace(
    b"    return order.address",
    b"    if order.address is None:\n        return None\n    return order.address",
)


class Service:
    """Workers that run a file's text since their start or their last swap.

    The pids are this test process and its parent: real ones, as the healer looks whether they
    live. `refuse` maps a pid to its reason.
    """

    def __init__(self, root: Path) -> None:
        self.pids = (os.getpid(), os.getppid())
        self.running = {pid: {"shop.py": (root / "shop.py").read_bytes()} for pid in self.pids}
        self.root = root
        self.refuse: dict[int, str] = {}
        self.held: list[str] = []
        self.on_swap: Callable[[], None] = lambda: None

    def service(self) -> ServiceInfo:
        processes = tuple(
            ProcessInfo(pid, 1, "python app.py", 0.0, has_probe=True) for pid in self.pids
        )
        return ServiceInfo("shop", str(self.root), "python app.py", processes)

    def restart(self) -> str | None:
        return "this app did not start it"

    def expect_restart(self) -> None:
        return None

    def hold_text(self, path: str) -> None:
        self.held.append(path)

    def swap(self, swap: FunctionSwap, pids: tuple[int, ...] = ()) -> list[SwapResult]:
        self.on_swap()
        text = Path(swap.path).read_bytes()
        name = Path(swap.path).name
        results = []
        for pid in pids or self.pids:
            if sha256(text) != swap.sha256:
                results.append(SwapResult(pid, False, reason="the file is another one"))
            elif pid in self.refuse:
                results.append(SwapResult(pid, False, reason=self.refuse[pid]))
            else:
                self.running[pid][name] = text
                results.append(SwapResult(pid, True, swap.functions))
        return results

    def revert(self, swap: FunctionSwap, pids: tuple[int, ...] = ()) -> list[SwapResult]:
        return [SwapResult(pid, False, reason="nothing was swapped") for pid in pids or self.pids]

    def texts(self) -> list[bytes]:
        return [self.running[pid]["shop.py"] for pid in self.pids]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "shop.py").write_bytes(BROKEN)
    return folder


@pytest.fixture
def project(root: Path) -> Project:
    return Project(root, sys.executable)


@pytest.fixture
def service(root: Path) -> Service:
    return Service(root)


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    return tmp_path / "originals"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=str(tmp_path / "state"), canary=False)


MakeCandidate = Callable[..., Candidate]


@pytest.fixture
def candidate() -> MakeCandidate:
    def make(
        new: bytes = MENDED,
        old: bytes = BROKEN,
        path: str = "shop.py",
        **more: tuple[bytes, bytes],
    ) -> Candidate:
        changes = {path: (old, new), **{f"{name}.py": pair for name, pair in more.items()}}
        return Candidate(
            id="c1",
            strategy="null_check",
            template="guard",
            title="answer nothing for an order without an address",
            diff="".join(
                unified(name, old, new, new_file=not old) for name, (old, new) in changes.items()
            ),
            files=tuple((name, new) for name, (_, new) in changes.items()),
            original_hashes=tuple(
                (name, sha256(old) if old else "") for name, (old, _) in changes.items()
            ),
            functions=("city",),
        )

    return make


@pytest.fixture
def incident() -> Incident:
    return Incident(
        "i1",
        1,
        IncidentState.APPROVED,
        "AttributeError, shop.py:2",
        first_seen_s=1000.0,
        last_seen_s=1010.0,
        fingerprint="f1",
        count=10,
        occurrence=Occurrence("o1", "exception", 1000.0, 1, "AttributeError", "", (), "f1"),
    )


@pytest.fixture
def git(root: Path) -> Callable[..., str]:
    """Runs git in the project, which is a repository with one commit."""

    def run(*words: str) -> str:
        identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"]
        done = subprocess.run(
            ["git", "-C", str(root), *identity, *words], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    run("init", "-q", "-b", "main")
    run("add", ".")
    run("commit", "-q", "-m", "begin")
    return run
