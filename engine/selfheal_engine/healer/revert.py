"""Taking a patch back, and telling after a crash how far one had come.

Both look at the files' hashes first: a file that is the patched text gets its original back,
one that is the original already is left, and one that the owner has changed since loses just
the patch's lines by a three-way merge, or is refused.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from selfheal_engine.codec import from_plain
from selfheal_engine.config import Settings
from selfheal_engine.errors import PatchConflictError, SelfhealError
from selfheal_engine.healer import git_commit
from selfheal_engine.healer import vault as originals
from selfheal_engine.healer.applied import Applied, Recovery, Reverted, Swapping, raised_by
from selfheal_engine.healer.apply import swaps_of
from selfheal_engine.healer.files import (
    atomic_write,
    content_hash,
    keep_conventions,
    place,
    remove_file,
    sweep,
)
from selfheal_engine.healer.live import bring
from selfheal_engine.healer.rebase import merge
from selfheal_engine.model import Candidate, FunctionSwap, Incident
from selfheal_engine.project import Project, sha256


def revert_patch(
    applied: Applied, project: Project, source: Swapping, settings: Settings, vault: Path
) -> Reverted:
    """Restore the files, then the code in the processes; says what did not go back."""
    started = time.monotonic()
    if applied.way == "export" or (applied.way == "git" and not applied.processes):
        return Reverted(False, (), f"nothing was applied here: {applied.note}", 0.0)
    problems: list[str] = []
    swaps: list[FunctionSwap] = []
    forward = {swap.path: swap for swap in swaps_of(applied, project)}
    changes = []
    for path, patched in applied.patched:
        original = dict(applied.originals).get(path, "")
        if str(project.root / path) in forward:
            source.hold_text(str(project.root / path))
        try:
            before, after = _restore_file(path, original, patched, project, vault)
        except SelfhealError as why:
            problems.append(str(why))
            continue
        if before == after and original and patched:  # restored before an engine died over it
            before = originals.fetch(vault, patched)
        changes.append((path, before, after))
        swap = forward.get(str(project.root / path))
        if swap is not None:
            swaps.append(replace(swap, sha256=sha256(after)))
    if applied.way == "file":
        return Reverted(not problems, (), "; ".join(problems), time.monotonic() - started)
    brought = bring(swaps, source, settings, back=True)
    if brought.refused:
        problems.append(brought.refused)
    seconds = time.monotonic() - started
    if applied.commit and changes and not problems:
        try:
            text = f"Take back {applied.commit[:10]}\n\nSelfheal-Reverts: {applied.commit}\n"
            git_commit.commit(project.root, changes, text, applied.branch)
        except SelfhealError as why:
            problems.append(f"the commit {applied.commit[:10]} stays: {why}")
    return Reverted(not problems, brought.processes, "; ".join(problems), seconds)


def changed_since(applied: Applied, project: Project) -> str:
    """The first of the patch's files that is not its text any more, "" when all are.

    Somebody edited it or a deploy went over it: what runs then is not what was approved.
    """
    if applied.way in ("file", "export") or (applied.way == "git" and not applied.processes):
        return ""
    for path, patched in applied.patched:
        if content_hash(place(project, path)) != patched:
            return path
    return ""


def recover(
    incident: Incident,
    note: dict[str, Any],
    project: Project,
    source: Swapping,
    settings: Settings,
    vault: Path,
) -> Recovery:
    """Finish or take back the patch that an earlier engine died over.

    `note` is what was journalled with the incident: the chosen `candidate` and, once it was in
    force, what `applied` it.
    """
    plain = note.get("candidate")
    if not plain:
        return Recovery("untouched", None, "nothing had been applied")
    candidate = from_plain(Candidate, plain)
    applied = from_plain(Applied, note["applied"]) if note.get("applied") else None
    if applied is not None and applied.way in ("file", "export"):
        return Recovery("in_force", applied, applied.note)
    for path, _ in candidate.files:
        sweep(place(project, path).parent)
    committed = _committed(candidate, project, settings) if applied is None else None
    if committed is not None and committed.way == "git":
        return Recovery("in_force", committed, committed.note)
    applied = applied or _as_applied(candidate, project, vault)
    if applied is None:
        return Recovery("untouched", None, "nothing of the patch had been written")
    found = [
        (path, content_hash(place(project, path)), original, patched)
        for (path, original), (_, patched) in zip(applied.originals, applied.patched, strict=True)
    ]
    changed = [path for path, now, original, patched in found if now not in (original, patched)]
    if changed:
        text = f"{changed[0]} was changed while the engine was away: look at it yourself"
        return Recovery("conflict", applied, text)
    if all(now == patched for _, now, _, patched in found):
        again = _bring_again(applied, project, source, settings)
        return _with_commit(again, candidate, incident, project, settings, vault)
    if all(now == original for _, now, original, _ in found):
        for swap in swaps_of(applied, project, back=True):
            source.swap(swap)  # the code may be there all the same
        return Recovery("untouched", None, "nothing of the patch was in the files")
    reverted = revert_patch(applied, project, source, settings, vault)
    if not reverted.ok:
        return Recovery("conflict", applied, f"half of the patch is there: {reverted.reason}")
    return Recovery("take_back", None, "half of the patch had been written: it was taken back")


def _restore_file(
    path: str, original: str, patched: str, project: Project, vault: Path
) -> tuple[bytes, bytes]:
    """(content found, content left) of one file. Raises SelfhealError."""
    target = place(project, path)
    sweep(target.parent)
    now = content_hash(target)
    before = target.read_bytes() if now else b""
    if now == original:
        return before, before
    if now == patched and not original:
        remove_file(target, expected=patched)
        return before, b""
    if now == patched:
        content = originals.fetch(vault, original)
        atomic_write(target, content, expected=now)
        return before, content
    if not original or not now:
        raise PatchConflictError(f"{path} was changed since: it was left as it is")
    merged = merge(originals.fetch(vault, patched), originals.fetch(vault, original), before)
    if merged is None:
        raise PatchConflictError(
            f"{path} was changed since at the patch's own lines: it was left as it is"
        )
    atomic_write(target, merged, expected=now)
    return before, merged


def _as_applied(candidate: Candidate, project: Project, vault: Path) -> Applied | None:
    """What applying this candidate had to leave; None when not even an original was kept."""
    made_for = dict(candidate.original_hashes)
    hashes = []
    for path, new in candidate.files:
        original = made_for.get(path, "")
        try:
            before = originals.fetch(vault, original) if original else b""
        except SelfhealError:
            return None
        hashes.append((path, original, sha256(keep_conventions(before, new))))
    return Applied(
        candidate=candidate.id,
        files=tuple(path for path, _ in candidate.files),
        way="swap",
        originals=tuple((path, original) for path, original, _ in hashes),
        patched=tuple((path, patched) for path, _, patched in hashes),
        functions=candidate.functions,
        raises=raised_by(candidate),
        applied_s=time.time(),
    )


def _committed(candidate: Candidate, project: Project, settings: Settings) -> Applied | None:
    """What had been committed to a branch that is not checked out; None: nothing, or not so."""
    branch = settings.git_branch if settings.apply_mode == "git" else ""
    if not branch or branch == git_commit.current_branch(project.root):
        return None
    commit = git_commit.find_commit(project.root, branch, candidate.id)
    if not commit:
        return None
    files = tuple(path for path, _ in candidate.files)
    note = f"committed to {branch} as {commit[:10]}; in force when you deploy it"
    return Applied(candidate.id, files, "git", note=note, commit=commit, branch=branch)


def _with_commit(
    found: Recovery,
    candidate: Candidate,
    incident: Incident,
    project: Project,
    settings: Settings,
    vault: Path,
) -> Recovery:
    """With --apply-mode git the patch in force is also committed, if it was not yet."""
    applied = found.applied
    if settings.apply_mode != "git" or applied is None or applied.commit:
        return found
    originals_of = dict(applied.originals)
    changes = [
        (
            path,
            originals.fetch(vault, originals_of[path]) if originals_of[path] else b"",
            place(project, path).read_bytes(),
        )
        for path, _ in applied.patched
    ]
    branch = git_commit.current_branch(project.root)
    text = git_commit.message(candidate, incident)
    try:
        commit = git_commit.commit(project.root, changes, text, branch)
    except PatchConflictError as why:
        return replace(found, text=f"{found.text}; not committed: {why}")
    return replace(found, applied=replace(applied, way="git", commit=commit, branch=branch))


def _bring_again(
    applied: Applied, project: Project, source: Swapping, settings: Settings
) -> Recovery:
    """The files hold the patch: make sure that every process does."""
    brought = bring(swaps_of(applied, project), source, settings)
    count = sum(result.ok for result in brought.processes)
    text = f"the patch was found in force, confirmed by {count} processes"
    if brought.refused:
        text = f"the patch is in the files, but not in every process: {brought.refused}"
    way = applied.way if applied.way == "git" else brought.way
    processes = brought.processes or applied.processes
    return Recovery("in_force", replace(applied, canary=(), processes=processes, way=way), text)
