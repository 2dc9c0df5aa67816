"""What an apply, a roll-back and a recovery after a crash report; all survive the codec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from selfheal_engine.model import Candidate, FunctionSwap, ServiceInfo, SwapResult

Way = Literal["swap", "reload", "restart", "file", "git", "export"]


@dataclass(frozen=True, slots=True)
class Applied:
    """A patch in force: what changed, where, and what it takes to go back."""

    candidate: str
    files: tuple[str, ...]
    """Relative to the project."""
    way: Way
    processes: tuple[SwapResult, ...] = ()
    """What each process confirmed."""
    originals: tuple[tuple[str, str], ...] = ()
    """(path, sha256 of the kept original; "" where the patch made the file)."""
    patched: tuple[tuple[str, str], ...] = ()
    """(path, sha256 of the content that is in force, kept as well)."""
    functions: tuple[str, ...] = ()
    note: str = ""
    """One sentence for the person: "in force in 2 processes after 0.12 s"."""
    applied_s: float = 0.0
    canary: tuple[int, ...] = ()
    """Pids that run the patch while the others still wait; empty: all run it."""
    commit: str = ""
    """Hash of the commit that tells the story, with --apply-mode git."""
    branch: str = ""
    output: str = ""
    """The patch file, with --apply-mode export."""
    stuck: str = ""
    """Why processes that hold on to what the bug did to them could not be reloaded."""
    raises: tuple[str, ...] = ()
    """Lines by which the patch itself raises: how it answers, and no new failure."""
    proven: bool = True
    """Healed on enough comparable calls; without, it goes back should the error return."""


@dataclass(frozen=True, slots=True)
class Reverted:
    """A roll-back: `reason` says what could not be taken back when it is not `ok`."""

    ok: bool
    processes: tuple[SwapResult, ...]
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was found, and done, about a patch that an engine died over."""

    kind: Literal["take_back", "in_force", "untouched", "conflict"]
    """take_back: half of it was there and was removed; in_force: it is whole; untouched:
    nothing of it was there; conflict: the files are neither the old nor the new ones."""
    applied: Applied | None
    text: str


class Swapping(Protocol):
    """The part of a service source that the healer needs."""

    def service(self) -> ServiceInfo: ...

    def swap(self, swap: FunctionSwap, pids: tuple[int, ...] = ()) -> list[SwapResult]: ...

    def revert(self, swap: FunctionSwap, pids: tuple[int, ...] = ()) -> list[SwapResult]: ...

    def restart(self) -> str | None:
        """End and start again what this app started itself; None when it runs, else why not."""

    def expect_restart(self) -> None:
        """Before the owner's command: processes that end now are followed by new ones."""

    def hold_text(self, path: str) -> None:
        """Before `path` is written: let the processes keep the text that they still run."""


def raised_by(candidate: Candidate) -> tuple[str, ...]:
    """The `raise` lines that a patch adds, without their indentation."""
    added = (line[1:].strip() for line in candidate.diff.splitlines() if line.startswith("+"))
    return tuple(line for line in added if line.startswith("raise "))
