"""One job behind the wall for the inside scripts, and the records that came back.

A record counts only with the nonce of its run, which the code under test never holds.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfheal_engine.project import Project
from selfheal_engine.sandbox_validator.limits import Limits
from selfheal_engine.sandbox_validator.wall import TOOLS, Run, run_walled
from selfheal_engine.sandbox_validator.warm import WarmServer

Outcome = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Report:
    """What one job said."""

    records: tuple[dict[str, Any], ...]
    infrastructure: str
    seconds: float
    timed_out: bool = False
    errors: str = ""
    """The end of what was written to standard error."""
    changed: tuple[str, ...] = ()

    def outcome(self, step: str) -> Outcome:
        """How a step ended; {"ended": "died"} when nothing genuine was said about it."""
        for record in self.records:
            outcome = record.get("outcome") or {"ended": "died"}
            if record.get("step") == step:
                return dict(outcome)
            if step in outcome.get("each", ()):
                return dict(outcome["each"][step])
        return {"ended": "timeout" if self.timed_out else "died"}


@dataclass(frozen=True, slots=True)
class Steps:
    """A worker's job: what to compile and import, then what to replay."""

    modules: tuple[str, ...] = ()
    """Must import, or the patch is wrong."""
    preload: tuple[str, ...] = ()
    """Imported too, before the replays are forked; a failure shows in the replay."""
    scripts: tuple[str, ...] = ()
    """Loaded without starting what they serve, before anything else is imported."""
    whole: tuple[str, ...] = ()
    """Scripts whose own failure is what is replayed."""
    argv: tuple[str, ...] = ()
    compile: tuple[str, ...] = ()
    steps: tuple[dict[str, Any], ...] = ()
    import_timeout_s: float = 60.0
    cover: Mapping[str, list[int]] = field(default_factory=dict)
    """Lines of which it is told whether they ran."""


@dataclass(slots=True)
class Workshop:
    """Runs jobs for one project, each behind a wall of its own."""

    project: Project
    limits: Limits
    extra_paths: tuple[Path, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cancelled: Callable[[], bool] | None = None
    warm: WarmServer | None = None
    """Runs jobs faster where there is one; without it each job starts an interpreter."""
    frozen: Mapping[str, bytes] = field(default_factory=dict)
    """Files that the running service goes on writing, as they were when judging began."""

    def replay(self, job: Steps, files: Mapping[str, bytes]) -> Report:
        """Import the project with `files` in place of its own and replay the steps."""
        body = {
            "root": str(self.project.root.resolve()),
            "import_paths": list(self.project.import_paths),
            "modules": list(job.modules),
            "preload": list(job.preload),
            "scripts": list(job.scripts),
            "whole": list(job.whole),
            "argv": list(job.argv),
            "compile": list(job.compile),
            "steps": list(job.steps),
            "import_timeout_s": job.import_timeout_s,
            "cover": dict(job.cover),
        }
        wall_s = job.import_timeout_s + sum(s.get("wall_s", 15.0) + 5 for s in job.steps)
        return self._run("worker", body, {**self.frozen, **files}, wall_s)

    def test(self, orders: dict[str, Any], files: Mapping[str, bytes], wall_s: float) -> Report:
        """Run the service's tests as inside/testing.py is told."""
        body = {
            "root": str(self.project.root.resolve()),
            "import_paths": list(self.project.import_paths),
            **orders,
        }
        return self._run("testing", body, {**self.frozen, **files}, wall_s)

    def command(self, argv: Sequence[str], files: Mapping[str, bytes], wall_s: float) -> Run:
        """Run a test command that is no Python runner; only its exit code speaks."""
        return run_walled(
            argv,
            project=self.project.root,
            files=files,
            env=self.env,
            limits=self._limits(wall_s),
            read_only=self.paths(),
            cancelled=self.cancelled,
        )

    def _run(
        self, script: str, body: dict[str, Any], files: Mapping[str, bytes], wall_s: float
    ) -> Report:
        nonce = secrets.token_hex(16)
        told = {**body, "nonce": nonce}
        if self.warm is not None:
            warm = self.warm.run(script, told, files, wall_s)
            if warm is not None:
                return report(warm, nonce)
        run = run_walled(
            [self.project.python, f"{TOOLS}/inside/{script}.py"],
            project=self.project.root,
            files=files,
            stdin=json.dumps(told).encode(),
            env=self.env,
            limits=self._limits(wall_s),
            read_only=self.paths(),
            cancelled=self.cancelled,
        )
        return report(run, nonce)

    def paths(self) -> list[Path]:
        """What the sandbox shows besides the project and its interpreter."""
        return [*map(Path, self.project.import_paths), *self.extra_paths]

    def _limits(self, wall_s: float) -> Limits:
        limits = self.limits
        return Limits(
            wall_s=wall_s,
            memory_bytes=limits.memory_bytes,
            disk_bytes=limits.disk_bytes,
            files=limits.files,
            processes=limits.processes,
            descriptors=limits.descriptors,
        )


def report(run: Run, nonce: str) -> Report:
    """The genuine records of a run."""
    records = []
    for line in run.stdout.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and record.pop("nonce", "") == nonce:
            records.append(record)
    return Report(
        tuple(records),
        run.infrastructure,
        run.seconds,
        run.timed_out,
        run.stderr[-2000:].decode(errors="replace"),
        run.changed,
    )
