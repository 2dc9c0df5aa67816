"""Does a crash happen again from its record alone? One real service for each kind people run.

    python -m tests.benchmarks.replay [--venv DIR] [--state DIR] [SITE...]

Starts each service of crash_sites/ with the probe, makes it crash once, and stops it. Then the
record is diagnosed and its reproducers run in the sandbox on the unchanged project. A site
counts as replayed when a reproducer raises the same type at the same line. `--venv` names an
environment with the frameworks; sites whose framework it lacks are left out, and said so.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfheal_engine.diagnosis import diagnose
from selfheal_engine.errors import SelfhealError
from selfheal_engine.model import Diagnosis, Occurrence, Reproducer
from selfheal_engine.project import Project
from selfheal_engine.sandbox_validator import SandboxValidator, findings, replays
from tests.benchmarks._watched import Watched, watching
from tests.benchmarks.probe_matrix import installed_packages

SITES = Path(__file__).with_name("crash_sites")


@dataclass(frozen=True)
class Site:
    """One service, how it is started and what makes it crash."""

    name: str
    text: str

    def said(self, key: str) -> str:
        """The rest of the head's line `# key: ...`; "" where there is none."""
        start = f"# {key}: "
        return next((x[len(start) :] for x in self.text.splitlines() if x.startswith(start)), "")

    @property
    def needs(self) -> str:
        """The package without which it cannot run."""
        known = ("flask", "django", "fastapi", "starlette", "gunicorn", "uvicorn")
        imported = [n for n in known if f"from {n}" in self.text or f"/{n}" in self.said("run")]
        return self.said("needs") or next(iter(imported), "")

    @property
    def crash_line(self) -> int:
        lines = self.text.splitlines()
        return next((n for n, text in enumerate(lines, 1) if text.endswith("# crash")), 0)


@dataclass(frozen=True)
class Result:
    """How a site's crash was caught and replayed."""

    caught: str
    """Empty when it was caught at its line, else what was seen."""
    by: tuple[str, ...] = ()
    """Kinds of reproducer that showed the same type at the same line."""
    why_not: str = ""


def provoke(site: Site, watched: Watched) -> None:
    """Wait until the service serves, then make it crash."""
    get, post, line = site.said("get"), site.said("post"), site.said("line")
    if get or post:
        watched.until(lambda: watched.get("/") or watched.seen)
    if get:
        watched.get(get)
    if post:
        path, content_type, body = post.split(" ", 2)
        watched.get(path, body.encode(), content_type)
    if line:
        watched.until(lambda: watched.say(line))
    watched.until(lambda: crashes(watched.seen))
    watched.listen(float(site.said("wait") or 1.0))


def crashes(seen: list[Occurrence]) -> list[Occurrence]:
    """What is no bare event, such as an ERROR line that a server wrote about the crash."""
    return [occurrence for occurrence in seen if occurrence.kind != "log"]


def try_site(site: Site, python: Path, folder: Path) -> Result:
    """Start, crash, stop, diagnose, replay."""
    try:
        with watching(site.text, site.said("run"), python, folder) as watched:
            provoke(site, watched)
    except SelfhealError as why:
        return Result(f"did not start: {why}")
    found = crashes(watched.seen)
    if not found:
        return Result("not caught")
    occurrence = found[-1]
    crash = occurrence.crash
    if site.crash_line and (crash is None or crash.line != site.crash_line):
        return Result(f"caught at {crash and crash.line}: {occurrence.exception}")
    project = Project(watched.project, str(python))
    return _replayed(occurrence, project, watched)


def _replayed(occurrence: Occurrence, project: Project, watched: Watched) -> Result:
    diagnosis = diagnose(occurrence, project)
    validator = SandboxValidator(project, watched.settings)
    try:
        outcomes = _run(validator, diagnosis, occurrence)
    finally:
        validator.close()
    by = [r.kind for r, outcome in outcomes if _same(occurrence, outcome)]
    notes = [f"{r.kind}: {_said(outcome)}" for r, outcome in outcomes]
    return Result("", tuple(by), "" if by else "; ".join(notes) or "no reproducer")


def _run(
    validator: SandboxValidator, diagnosis: Diagnosis, occurrence: Occurrence
) -> list[tuple[Reproducer, dict[str, Any]]]:
    """Every reproducer and how it ended on the unchanged tree, as the validator runs them."""
    steps = [
        replays.step_for(number, reproducer, validator.project, occurrence)
        for number, reproducer in enumerate(diagnosis.reproducers)
    ]
    report = validator._workshop.replay(validator._job((), steps, ()), {})
    if report.infrastructure:
        raise SystemExit(f"the sandbox did not run: {report.infrastructure}")
    return [
        (reproducer, report.outcome(findings.step_name(number, reproducer)))
        for number, reproducer in enumerate(diagnosis.reproducers)
    ]


def _same(occurrence: Occurrence, outcome: dict[str, Any]) -> bool:
    if outcome["ended"] != "raised":
        return False
    if not replays.same_name(outcome["exception"], occurrence.exception):
        return False
    crash = occurrence.crash
    if occurrence.kind == "syntax" or crash is None:
        return True
    frames = outcome.get("frames") or [["", 0, ""]]
    return bool(frames[-1][1] == crash.line and crash.file.endswith(frames[-1][0]))


def _said(outcome: dict[str, Any]) -> str:
    place = (outcome.get("frames") or [["", 0, ""]])[-1]
    words = [outcome["ended"], outcome.get("exception", ""), outcome.get("message", "")]
    words += [str(outcome.get("why", "")), str(outcome.get("status", "")), str(place[1] or "")]
    return " ".join(word for word in words if word)[:200]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", default=str(Path(sys.executable).parent.parent))
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    python = Path(options.venv) / "bin/python"
    installed = installed_packages(Path(options.venv))
    tried = replayed = 0
    for path in sorted(SITES.glob("*.py")):
        site = Site(path.stem, path.read_text(encoding="utf-8"))
        if options.names and site.name not in options.names:
            continue
        if site.needs and site.needs not in installed:
            print(f"  {site.name:26} left out: {site.needs} is not installed")
            continue
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="replay-") as folder:
            result = try_site(site, python, Path(folder))
        tried += 1
        replayed += bool(result.by)
        verdict = result.caught or ("as " + ", ".join(result.by) if result.by else result.why_not)
        print(f"  {site.name:26} {time.monotonic() - begun:5.1f} s  {verdict}", flush=True)
    print(f"{replayed} of {tried} replayed as the same type at the same line")
    return 0 if replayed >= 0.9 * tried else 1


if __name__ == "__main__":
    sys.exit(main())
