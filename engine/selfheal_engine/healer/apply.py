"""Putting an approved patch in force, and rolling a canary out to the other processes.

Order matters for whoever dies in between: the originals are on the disk before the first file
changes, every file changes by one rename, and only then do processes learn of it. So the
files' hashes alone tell a later start how far it came (see `revert.recover`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from selfheal_engine.config import Settings
from selfheal_engine.errors import PatchConflictError, SelfhealError
from selfheal_engine.healer import git_commit
from selfheal_engine.healer import vault as originals
from selfheal_engine.healer.applied import Applied, Swapping, raised_by
from selfheal_engine.healer.export import export_patch
from selfheal_engine.healer.files import (
    atomic_write,
    content_hash,
    keep_conventions,
    place,
    remove_file,
    sweep,
)
from selfheal_engine.healer.live import Brought, bring, renew, undo, workers
from selfheal_engine.healer.remnants import holds_on
from selfheal_engine.model import Candidate, FunctionSwap, Incident, SwapResult
from selfheal_engine.project import Project


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One file of a patch: what is there, what comes; both are in the vault."""

    path: str
    target: Path
    before: bytes
    after: bytes
    original: str
    """sha256 of `before`, "" for a file that the patch makes."""
    patched: str


def apply_patch(
    candidate: Candidate,
    project: Project,
    source: Swapping,
    settings: Settings,
    vault: Path,
    *,
    pids: tuple[int, ...] = (),
    incident: Incident | None = None,
) -> Applied:
    """Put the patch in force as settings.apply_mode says; nothing is left half done.

    Raises PatchConflictError when a file is not what the patch was made for (`rebase_patch`
    may help), SelfhealError when it cannot be written or no process takes it.
    """
    started = time.monotonic()
    if settings.apply_mode == "export":
        path = export_patch(candidate, incident, settings.state_path() / "patches")
        note = f"written to {path}; in force when you deploy it"
        files = tuple(path for path, _ in candidate.files)
        return Applied(candidate.id, files, "export", note=note, output=str(path))
    files_planned = plan(candidate, project, vault)
    applied = _describe(candidate, files_planned)
    if settings.apply_mode == "git":
        branch = settings.git_branch or git_commit.current_branch(project.root)
        if settings.git_branch and branch != git_commit.current_branch(project.root):
            sha = _commit(candidate, incident, project, files_planned, branch)
            note = f"committed to {branch} as {sha[:10]}; in force when you deploy it"
            return replace(applied, way="git", commit=sha, branch=branch, note=note)
        applied = replace(applied, branch=branch)
    for swap in swaps_of(applied, project):
        source.hold_text(swap.path)
    write_all(files_planned)
    if settings.apply_mode == "file":
        note = f"written to {', '.join(applied.files)}; in force at the service's next start"
        return replace(applied, way="file", note=note)
    brought = Brought("swap", ())
    try:
        renewing = not pids and holds_on(incident, source.service())
        brought, canary = _bring_live(applied, project, source, settings, pids, renewing)
        if brought.refused:
            raise SelfhealError(f"not applied: {brought.refused}")
        applied = replace(
            applied,
            way=brought.way,
            processes=brought.processes,
            canary=canary,
            stuck=brought.stuck,
        )
        if settings.apply_mode == "git":
            sha = _commit(candidate, incident, project, files_planned, applied.branch)
            applied = replace(applied, way="git", commit=sha)
    except SelfhealError:
        restore_all(files_planned)
        undo(swaps_of(applied, project, back=True), brought, source, settings)
        raise
    seconds = time.monotonic() - started
    return replace(applied, note=_note(applied, seconds, renewing), applied_s=time.time())


def continue_rollout(
    applied: Applied, source: Swapping, settings: Settings, project: Project
) -> Applied:
    """Bring the patch to the processes that a canary went ahead of.

    A process that refuses is named in the note; its failures end the watch.
    """
    if not applied.canary:
        return applied
    swaps = swaps_of(applied, project)
    others = tuple(p.pid for p in workers(source.service()) if p.pid not in applied.canary)
    brought = bring(swaps, source, settings, pids=others) if others else Brought("swap", ())
    if brought.refused:
        brought = bring(swaps, source, settings)
    by_pid = {result.pid: result for result in (*applied.processes, *brought.processes)}
    way = applied.way if applied.way == "git" else brought.way
    done = replace(applied, way=way, canary=(), processes=tuple(by_pid.values()))
    note = f"; not everywhere: {brought.refused}" if brought.refused else ""
    return replace(done, note=f"in force in {_count(done.processes)}{note}")


def renew_processes(
    applied: Applied, source: Swapping, settings: Settings, project: Project
) -> Applied:
    """The patch in new processes, where the owner lets us have them. Raises SelfhealError."""
    brought = renew(swaps_of(applied, project), source, settings)
    why = brought.refused or brought.stuck
    if why:
        raise SelfhealError(f"no new processes: {why}")
    return replace(applied, way=brought.way, processes=brought.processes)


def plan(candidate: Candidate, project: Project, vault: Path) -> list[PlannedFile]:
    """What applying would write, after checking that every file is as the patch expects it."""
    made_for = dict(candidate.original_hashes)
    planned = []
    for path, new in candidate.files:
        target = place(project, path)
        found = content_hash(target)
        if found != made_for.get(path, ""):
            raise PatchConflictError(
                f"{path} has changed since the patch was made: nothing was written"
            )
        before = target.read_bytes() if found else b""
        after = keep_conventions(before, new)
        original = originals.keep(vault, before) if found else ""
        patched = originals.keep(vault, after)
        planned.append(PlannedFile(path, target, before, after, original, patched))
    if not any(file.original != file.patched for file in planned):
        raise SelfhealError("the patch changes nothing: not applied")
    return planned


def write_all(planned: Sequence[PlannedFile]) -> None:
    """Write every file, or none."""
    written: list[PlannedFile] = []
    try:
        for file in planned:
            file.target.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(file.target, file.after, expected=file.original)
            written.append(file)
    except (SelfhealError, OSError) as why:
        restore_all(written)
        if isinstance(why, OSError):
            raise SelfhealError(f"cannot write {why.filename}: {why.strerror}") from None
        raise


def restore_all(planned: Sequence[PlannedFile]) -> None:
    """Bring back what was there before, where nobody else has written since."""
    for file in planned:
        sweep(file.target.parent)
        if content_hash(file.target) != file.patched:
            continue
        if file.original:
            atomic_write(file.target, file.before, expected=file.patched)
        else:
            remove_file(file.target, expected=file.patched)


def swaps_of(applied: Applied, project: Project, *, back: bool = False) -> list[FunctionSwap]:
    """What to ask of every process: the text, patched or original, of each file that was there."""
    originals_of = dict(applied.originals)
    python = [
        (path, originals_of[path] if back else digest)
        for path, digest in applied.patched
        if originals_of[path] and path.endswith(".py")
    ]
    functions = applied.functions if len(python) == 1 else ()
    return [FunctionSwap(str(project.root / path), digest, functions) for path, digest in python]


def _bring_live(
    applied: Applied,
    project: Project,
    source: Swapping,
    settings: Settings,
    pids: tuple[int, ...],
    renewing: bool,
) -> tuple[Brought, tuple[int, ...]]:
    """The processes on the new code, and the canary that goes ahead, if one does."""
    swaps = swaps_of(applied, project)
    if renewing:
        return renew(swaps, source, settings), ()
    serving = workers(source.service())
    first = pids or (tuple(p.pid for p in serving[:1]) if settings.canary else ())
    if first and len(serving) > len(first):
        brought = bring(swaps, source, settings, pids=first)
        if not brought.refused and brought.way == "swap":
            return brought, first
    return bring(swaps, source, settings), ()


def _describe(candidate: Candidate, planned: Sequence[PlannedFile]) -> Applied:
    return Applied(
        candidate=candidate.id,
        files=tuple(file.path for file in planned),
        way="file",
        originals=tuple((file.path, file.original) for file in planned),
        patched=tuple((file.path, file.patched) for file in planned),
        functions=candidate.functions,
        raises=raised_by(candidate),
        applied_s=time.time(),
    )


def _commit(
    candidate: Candidate,
    incident: Incident | None,
    project: Project,
    planned: Sequence[PlannedFile],
    branch: str,
) -> str:
    changes = [(file.path, file.before, file.after) for file in planned]
    return git_commit.commit(project.root, changes, git_commit.message(candidate, incident), branch)


def _note(applied: Applied, seconds: float, renewing: bool) -> str:
    where = f"in force in {_count(applied.processes)} after {seconds:.2f} s"
    if applied.canary:
        where += ", the others follow when it stands"
    if applied.way in ("reload", "restart"):
        where = f"in force after a {applied.way} of {seconds:.1f} s"
        if renewing:
            where += ", which freed what was stuck or lost before"
    if applied.stuck:
        where += f"; what was stuck or lost before stays so until a restart ({applied.stuck})"
    return f"{where}, committed as {applied.commit[:10]}" if applied.commit else where


def _count(results: tuple[SwapResult, ...]) -> str:
    count = sum(result.ok for result in results)
    return "1 process" if count == 1 else f"{count} processes"
