"""A commit that tells a healing's story, made without touching the owner's work.

The tree is built in an index of its own from the branch's last commit, so that staged and
unstaged changes of the owner are neither committed nor lost; only where the owner's index
held the very version that the commit replaces does it follow.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from selfheal_engine.errors import PatchConflictError, SelfhealError
from selfheal_engine.healer.rebase import merge
from selfheal_engine.model import Candidate, Incident

_IDENTITY = {
    "GIT_AUTHOR_NAME": "selfheal-tui",
    "GIT_AUTHOR_EMAIL": "selfheal-tui@localhost",
    "GIT_COMMITTER_NAME": "selfheal-tui",
    "GIT_COMMITTER_EMAIL": "selfheal-tui@localhost",
}

_ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name not in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
}
"""Ours, without what a hook that started us would have it think the repository is."""

Change = tuple[str, bytes, bytes]
"""(path relative to the project, content before, content after); no content: no file."""


def message(candidate: Candidate, incident: Incident | None) -> str:
    """Subject, story and trailers (git-interpret-trailers). Never a captured value."""
    paragraphs = [candidate.title or f"{candidate.strategy}: {candidate.template}"]
    if candidate.explanation:
        paragraphs.append(candidate.explanation)
    trailers = []
    if incident is not None:
        times = "once" if incident.count == 1 else f"{incident.count} times"
        paragraphs.append(f"Heals {incident.title}, seen {times}.")
        trailers.append(f"Selfheal-Incident: {incident.id}")
        if incident.fingerprint:
            trailers.append(f"Selfheal-Fingerprint: {incident.fingerprint}")
    trailers.append(f"Selfheal-Strategy: {candidate.strategy}/{candidate.template}")
    trailers.append(f"Selfheal-Candidate: {candidate.id}")
    return "\n\n".join([*paragraphs, "\n".join(trailers)]) + "\n"


def current_branch(root: Path) -> str:
    """The checked-out branch. Raises SelfhealError outside a repository or a branch."""
    shown = _git(root, ["symbolic-ref", "--short", "-q", "HEAD"], check=False)
    if shown.returncode == 0:
        return shown.stdout.decode().strip()
    inside = _git(root, ["rev-parse", "--git-dir"], check=False)
    if inside.returncode:
        raise SelfhealError(f"{root} is no git repository: use --apply-mode live, file or export")
    raise SelfhealError(f"{root} is on no branch: check one out, or set git_branch")


def commit(root: Path, changes: Sequence[Change], text: str, branch: str) -> str:
    """Commit the changes on `branch` (made from HEAD when it is new); the commit's hash.

    Where the branch holds them already, as after a crash, that is the branch's last commit.
    Raises PatchConflictError when the branch's version of a file differs where the change is.
    """
    reference = f"refs/heads/{branch}"
    known = _git(root, ["rev-parse", "-q", "--verify", reference], check=False)
    exists = known.returncode == 0
    parent = known.stdout.decode().strip() if exists else _line(root, ["rev-parse", "HEAD"])
    prefix = _line(root, ["rev-parse", "--show-prefix"])
    entries = []
    for path, before, after in changes:
        mode, blob = _entry(root, parent, prefix + path)
        entries.append((path, mode, blob, _new_blob(root, path, blob, before, after)))
    with tempfile.TemporaryDirectory(prefix="selfheal-index-") as folder:
        index = {"GIT_INDEX_FILE": os.path.join(folder, "index")}
        _git(root, ["read-tree", parent], env=index)
        for path, mode, _, blob in entries:
            _stage(root, prefix + path, mode, blob, index)
        tree = _git(root, ["write-tree"], env=index).stdout.decode().strip()
    if exists and tree == _line(root, ["rev-parse", f"{parent}^{{tree}}"]):
        return parent
    identity = {} if _line(root, ["config", "user.email"], check=False) else _IDENTITY
    made = _git(
        root, ["commit-tree", tree, "-p", parent, "-F", "-"], env=identity, stdin=text.encode()
    )
    sha = made.stdout.decode().strip()
    _git(root, ["update-ref", "-m", "selfheal-tui", reference, sha, parent if exists else ""])
    if branch == _line(root, ["symbolic-ref", "--short", "-q", "HEAD"], check=False):
        for path, mode, old, new in entries:
            staged = _line(root, ["ls-files", "-s", "--", path])
            if (staged.split()[1] if staged else "") == old:
                _stage(root, prefix + path, mode, new, {})
    return sha


def find_commit(root: Path, branch: str, candidate: str) -> str:
    """Hash of the newest commit of `branch` that applied the candidate, "" for none."""
    trailer = f"^Selfheal-Candidate: {candidate}$"
    words = ["log", "-n", "1", "--format=%H", f"--grep={trailer}", f"refs/heads/{branch}", "--"]
    return _line(root, words, check=False)


def _entry(root: Path, commit_id: str, path: str) -> tuple[str, str]:
    """(mode, blob) of a path in a commit; a plain file's mode and "" where there is none."""
    words = _line(root, ["ls-tree", "--full-tree", commit_id, "--", path]).split()
    return (words[0], words[2]) if words else ("100644", "")


def _new_blob(root: Path, path: str, blob: str, before: bytes, after: bytes) -> str:
    """The blob to commit: `after` itself, or merged into what the branch holds; "": removed."""
    if blob == (_blob_of(root, path, before) if before else ""):
        return _blob_of(root, path, after) if after else ""
    held = _git(root, ["cat-file", "blob", blob]).stdout if blob else b""
    merged = merge(before, after, held) if blob else None
    if merged is None:
        raise PatchConflictError(
            f"{path} has uncommitted changes at the place of the patch: commit them first, "
            "or use --apply-mode live"
        )
    return _blob_of(root, path, merged)


def _blob_of(root: Path, path: str, content: bytes) -> str:
    words = ["hash-object", "-w", f"--path={path}", "--stdin"]
    return _git(root, words, stdin=content).stdout.decode().strip()


def _stage(root: Path, path: str, mode: str, blob: str, env: dict[str, str]) -> None:
    if blob:
        info = f"{mode},{blob},{path}"
        _git(root, ["update-index", "--add", "--cacheinfo", info], env=env)
    else:
        _git(root, ["update-index", "--force-remove", path], env=env)


def _line(root: Path, words: list[str], *, check: bool = True) -> str:
    return _git(root, words, check=check).stdout.decode("utf-8", "surrogateescape").strip()


def _git(
    root: Path,
    words: list[str],
    *,
    env: dict[str, str] | None = None,
    stdin: bytes = b"",
    check: bool = True,
) -> subprocess.CompletedProcess[bytes]:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words],
            input=stdin,
            capture_output=True,
            env={**_ENVIRONMENT, **(env or {})},
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as why:
        raise SelfhealError(f"git could not be run: {why}; use another --apply-mode") from None
    if check and done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise SelfhealError(f"git {words[0]} failed in {root}: {said}")
    return done
