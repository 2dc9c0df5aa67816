"""From reports to checks: what each run says about a patch, in a sentence for the person."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from selfheal_engine.model import Candidate, Check, Occurrence, Reproducer
from selfheal_engine.project import Project
from selfheal_engine.reflection_engine.change import new_lines
from selfheal_engine.sandbox_validator import refusals, replays, scoring
from selfheal_engine.sandbox_validator.baselines import Baseline
from selfheal_engine.sandbox_validator.jobs import Outcome, Report
from selfheal_engine.sandbox_validator.older_objects import sets_at_birth
from selfheal_engine.sandbox_validator.static_checks import original, python_files
from selfheal_engine.sandbox_validator.test_runs import TestRun

MORE_CODE = 0.10
"""Share of further bytecodes on good calls that is told as slower."""
FEW_BYTECODES = 40
"""So many further bytecodes a call are a guard, whatever share of a short function they are."""
GUARD_S = 2e-6
"""So much more CPU time a call is a guard as well, on any machine of these years."""
WAITS, WAITS_AT_LEAST_S = 1.5, 0.005
"""Wall time hangs on the machine's load: only much more of it says that a call waits."""
GROWTH_NOISE = {
    "bytes": 48.0,
    "resident bytes": 2048.0,
    "descriptors": 0.2,
    "threads": 0.2,
    "children": 0.2,
}
"""Growth a call that the allocator's own habits explain."""
BESIDE = 0.1
"""What grows by less than this share of what another recorded call leaves is another matter."""
_JUDGES_SUFFIXES = (".py", ".ini", ".cfg", ".toml", ".pth")


def step_name(number: int, reproducer: Reproducer) -> str:
    """The record that tells how a reproducer ended; an import is its own."""
    return "imports" if reproducer.kind == "import" else f"reproducer{number}"


def why_not(reproducer: Reproducer, outcome: Outcome) -> str:
    """Why a reproducer is of no use: the unpatched tree does not show the bug."""
    seen = replays.fault(reproducer, outcome)
    text = f"the recorded {reproducer.kind} did not show the bug again"
    return f"{text} ({seen.text})" if seen.text else text


def imports(report: Report, base: Baseline) -> Check:
    outcome = report.outcome("imports")
    if outcome["ended"] == "returned":
        return Check("imports", "passed", "the changed modules compile and import", n=1)
    if not base.imports and not any(r.kind == "import" for _, r, _ in base.reproducers):
        return Check("imports", "unknown", "the project did not import before the patch either")
    seen = replays.fault(Reproducer("import"), outcome)
    return Check("imports", "failed", f"importing fails: {seen.text}")


def reproduced(
    report: Report, base: Baseline, project: Project, candidate: Candidate
) -> Check | None:
    """The verdict of the replays: none of them may show any fault now.

    None when the bug is known by failing tests alone: these speak later.
    """
    replayed = standing_out([one for one in base.reproducers if one[1].kind != "test"])
    if base.reproducers and not replayed:
        return None
    if not replayed:
        why = base.reproducer_note or "nothing was recorded that shows the bug again"
        return Check("reproducer", "unknown", why)
    details: list[str] = []
    further = ""
    decisive: list[tuple[bool, replays.Fault]] = []
    for number, reproducer, before in replayed:
        outcome = report.outcome(step_name(number, reproducer))
        seen = replays.fault(reproducer, outcome)
        if not seen.known:
            details.append(f"{reproducer.kind}: {seen.text}")
            continue
        lacking = lacked(outcome, before, project)
        if lacking:
            further = f"{reproducer.kind}: came further, to {lacking}"
            details.append(further)
            continue
        if refusals.is_refusal(reproducer, outcome, base.caught, project):
            refusal = f"refuses with {outcome['exception']}, which the project catches"
            seen = replays.Fault(False, True, refusal)
        was = replays.fault(reproducer, before).text
        details.append(f"{reproducer.kind}: before {was}; after {seen.text or ended(outcome)}")
        decisive.append((reproducer.exact, seen))
    if not decisive:
        text = further or "the recording could not be replayed on the patch"
        return Check("reproducer", "unknown", text, details=tuple(details))
    # the strongest recording decides: what a whole request handles well, a function called
    # alone may refuse, and a guard in the caller leaves the callee as it was
    exact = [seen for is_exact, seen in decisive if is_exact]
    first = exact[0] if exact else decisive[0][1]
    if first.present:
        attribute = sets_at_birth(candidate, project, first.text)
        if attribute:
            text = f"the recorded object was made before the patch, which sets `{attribute}`"
            return Check("reproducer", "unknown", text, details=tuple(details))
        if changes_makers_alone(candidate, base, report, project):
            text = (
                "the recorded value was made before the patch, by code that a replay does not run"
            )
            return Check("reproducer", "unknown", text, details=tuple(details))
        return Check("reproducer", "failed", first.text, len(decisive), details=tuple(details))
    text = "the recorded input showed the bug before and shows none now"
    return Check("reproducer", "passed", text, len(decisive), details=tuple(details))


def standing_out(
    replayed: list[tuple[int, Reproducer, Outcome]],
) -> list[tuple[int, Reproducer, Outcome]]:
    """Without those that grow by far less than another: what was reported is not theirs."""
    slopes = [float(before.get("slopes", {}).get("bytes", 0.0)) for _, _, before in replayed]
    most = max(slopes, default=0.0)
    return [
        one
        for one, slope in zip(replayed, slopes, strict=True)
        if one[1].kind != "growth" or one[1].exception or slope >= BESIDE * most
    ]


def changes_makers_alone(
    candidate: Candidate, base: Baseline, report: Report, project: Project
) -> bool:
    """Whether the patch is where the wrong value comes from, and none of it runs in a replay.

    What was kept by then is recorded with the fault: only new values can show the patch's work.
    """
    changed = changed_lines(candidate, project)
    if not candidate.functions or not changed:
        return False
    places = {f"{path}:{name}" for path in changed for name in candidate.functions}
    if not places <= base.makers:
        return False
    outcomes = (report.outcome(step_name(number, one)) for number, one, _ in base.reproducers)
    ran = [outcome.get("covered", {}) for outcome in outcomes]
    return not any(
        set(lines) & set(one.get(path, ())) for path, lines in changed.items() for one in ran
    )


_PATH = re.compile(r"No such file or directory: '(/[^']+)'")


def lacked(outcome: Outcome, before: Outcome, project: Project) -> str:
    """The file of this machine that the code asks for now, past the bug; "" when it is another end.

    The sandbox shows the project alone: that such a file is not there says nothing of the patch.
    """
    absent = "FileNotFoundError"
    if outcome.get("exception", "").rpartition(".")[2] != absent:
        return ""
    if before.get("exception", "").rpartition(".")[2] == absent:
        return ""
    found = _PATH.search(str(outcome.get("message", "")))
    inside = found is not None and Path(found[1]).is_relative_to(project.root)
    if found is None or inside:
        return ""
    return f"{found[1]}, which the sandbox does not show (the setting sandbox_paths can)"


def neighbours(report: Report, base: Baseline, project: Project) -> Check | None:
    """Whether inputs close to the recorded one show a second crash.

    Only what the patch is answerable for counts: an input that went well before, or one on
    which the very same bug is still there.
    """
    before, after = base.neighbours.get("each", {}), report.outcome("neighbours").get("each", {})
    found: list[str] = []
    count = 0
    reproducer = next((r for _, r, _ in base.reproducers if r.kind in ("call", "request")), None)
    if reproducer is None:
        return None
    for name, was in before.items():
        now = after.get(name, {"ended": "unknown"})
        fault, fault_before = replays.fault(reproducer, now), replays.fault(reproducer, was)
        if not (fault.known and fault_before.known):
            continue
        count += 1
        if not fault.present or refusals.is_refusal(reproducer, now, base.caught, project):
            continue
        if not fault_before.present:
            found.append(f"where {name}, {scoring.WENT_WELL} and now ends in {fault.text}")
        elif replays.same_fault(reproducer, was) and _same_bug(reproducer, was, now):
            found.append(f"where {name}, the bug is still there: {fault.text}")
    if not count:
        return None
    if found:
        return Check("neighbours", "failed", found[0], count, details=tuple(found))
    text = f"{count} inputs close to the recorded one show no second crash"
    return Check("neighbours", "passed", text, count)


def _same_bug(reproducer: Reproducer, was: Outcome, now: Outcome) -> bool:
    """The fault and what it speaks of: a value of another wrong type is another matter."""
    of_none = ["NoneType" in str(outcome.get("message", "")) for outcome in (was, now)]
    return of_none[0] == of_none[1] and replays.same_fault(reproducer, now)


def ended(outcome: Outcome) -> str:
    if outcome.get("gave_up"):
        return f"gives up in time ({outcome['gave_up']})"
    if "status" in outcome:
        return f"answered with {outcome['status']}"
    value = str(outcome.get("value", ""))
    return f"returns {value[:80]}" if value else "no fault"


def goods(report: Report, base: Baseline, project: Project, candidate: Candidate) -> Check:
    """The calls that went well must go as they went.

    A call of an object that was recorded before the patch sets its new attribute says nothing.
    """
    differing, silent = [], ""
    for step in base.good_steps:
        name = str(step["id"])
        if name not in base.goods:
            continue
        outcome = report.outcome(name)
        differs = replays.difference(base.goods[name], outcome)
        if differs:
            fault = replays.fault(Reproducer("call"), outcome)
            older = sets_at_birth(candidate, project, fault.text) if fault.present else ""
            if older:
                silent = f"the recorded object was made before the patch, which sets `{older}`"
                continue
            differing.append(f"{step['function']}: {fault.text or differs}")
    if differing:
        text, count = differing[0], len(base.goods)
        return Check("good_calls", "failed", text, count, details=tuple(differing))
    if silent:
        return Check("good_calls", "unknown", silent)
    text = f"{len(base.goods)} recorded good calls give what they gave before"
    return Check("good_calls", "passed", text, len(base.goods))


def cost(report: Report, base: Baseline) -> Iterator[Check]:
    """Whether good calls run more code, or leave more behind, than they did."""
    before, after = base.cost, report.outcome("cost")
    if before.get("ended") != "returned" or after.get("ended") != "returned":
        return
    calls = int(after["calls"])
    if calls != before["calls"]:
        return
    yield performance(before, after, report.outcome("duel"))
    growing = [
        f"{slope:.3g} {what}"
        for what, slope in sorted(after["slopes"].items())
        if slope > before["slopes"].get(what, 0.0) + GROWTH_NOISE[what]
    ]
    if growing:
        place = f", kept at {after['place']}" if after.get("place") else ""
        text = f"each good call leaves {', '.join(growing)} behind{place}"
        yield Check("memory", "failed", text, calls)
    else:
        text = "repeating good calls leaves nothing more behind than before"
        yield Check("memory", "passed", text, calls)


def performance(before: Outcome, after: Outcome, duel: Outcome) -> Check:
    """Whether good calls take longer: by bytecodes, by CPU time in turns, by waiting.

    Bytecodes are free of noise and speak first; CPU time speaks for what runs outside Python.
    """
    calls = int(after["calls"])
    share = after["opcodes"] / max(1, before["opcodes"]) - 1
    more = (after["opcodes"] - before["opcodes"]) / max(1, calls)
    text = f"good calls take {share:+.1%} bytecodes"
    worse = share > MORE_CODE and more >= FEW_BYTECODES
    if duel.get("ended") == "returned":
        ratio, low, high = (math.expm1(duel[name]) for name in ("ratio", "low", "high"))
        groups = int(duel["groups"])
        text += f", {ratio:+.1%} CPU time ({low:+.1%} to {high:+.1%}, n={groups})"
        worse = worse or bool(duel["slower"] and duel["excess_s"] > GUARD_S)
        old, new = duel["wall_s"]
        if new > WAITS * old and new - old > WAITS_AT_LEAST_S:
            text, worse = f"{text}; they wait {new - old:.3f} s longer", True
    return Check("performance", "failed" if worse else "passed", text, calls)


def shape(report: Report, base: Baseline, occurrence: Occurrence) -> Check | None:
    """Whether the failing call now returns the kind of value that good calls return."""
    for number, reproducer, _ in base.reproducers:
        outcome = report.outcome(step_name(number, reproducer))
        value = str(outcome.get("value", ""))
        if reproducer.kind != "call" or outcome["ended"] != "returned" or not value:
            continue
        function = reproducer.functions[0]
        usual = [
            good.result
            for good in occurrence.good_calls
            if good.function == function and good.result and not good.raised and not good.request
        ]
        if not usual:
            continue
        wrong = replays.misfit(value, usual)
        if wrong:
            return Check("shape", "failed", f"{function} now {wrong}", n=len(usual))
        text = f"{function} returns {replays.shape(value)}, as good calls do"
        return Check("shape", "passed", text, n=len(usual))
    return None


def tests(run: TestRun, base: Baseline, confirmed: frozenset[str], moody: frozenset[str]) -> Check:
    """What the service's own tests say.

    `confirmed` failed again whenever they were retried, `moody` passed when tried again.
    """
    if run.infrastructure:
        return Check("tests", "infrastructure", run.infrastructure)
    if run.fault:
        return Check("tests", "failed", run.fault)
    passing = base.tests.passing
    meddled = sorted(
        name for name in set(run.changed) - base.tests.changed if name.endswith(_JUDGES_SUFFIXES)
    )
    if meddled:
        return Check("tests", "failed", f"running the patch changed {meddled[0]}")
    if confirmed:
        first = min(confirmed)
        why = run.reasons.get(first, "").splitlines()[:1]
        text = f"{first} passed before and does not now" + (f": {why[0]}" if why else "")
        return Check("tests", "failed", text, len(passing), details=tuple(sorted(confirmed)[:20]))
    passed = passing & run.with_outcome("passed")
    text = f"{len(passed)} tests pass as before"
    if run.late:
        text += f", those that run the patched code first; for {len(passing - passed - moody)}"
        text += " others the time did not suffice"
    fixed = base.tests.failing & run.with_outcome("passed")
    if fixed:
        text += f"; {len(fixed)} that failed pass now"
    flaky = base.tests.flaky | moody
    if flaky:
        text += f"; {len(flaky)} flaky ones are left out"
    return Check("tests", "passed", text, len(passed), details=tuple(sorted(flaky)[:20]))


def failing_tests(base: Baseline) -> list[str]:
    """Those that are to be repaired: the reproducer of a bug that has no recording."""
    return [r.test for _, r, _ in base.reproducers if r.kind == "test"]


def healed_tests(run: TestRun, base: Baseline) -> Check | None:
    """Whether the tests that were to be repaired pass now."""
    wanted = failing_tests(base)
    if not wanted:
        return None
    left = [name for name in wanted if run.outcomes.get(name) != "passed"]
    if left:
        return Check("reproducer", "failed", f"{left[0]} still fails", len(wanted))
    return Check("reproducer", "passed", f"{wanted[0]} failed before and passes now", len(wanted))


def coverage(
    wanted: dict[str, list[int]], ran: Iterable[dict[str, list[int]]], base: Baseline
) -> Check:
    """How many of the changed lines a replay or a test has run.

    Where the bug was that a module did not import, importing it is the run.
    """
    if any(reproducer.kind == "import" for _, reproducer, _ in base.reproducers):
        return Check("coverage", "passed", "the module that did not import does now", n=1)
    seen = {(path, line) for one in ran for path, lines in one.items() for line in lines}
    total = sum(len(lines) for lines in wanted.values())
    hit = sum((path, line) in seen for path, lines in wanted.items() for line in lines)
    if not total:
        return Check("coverage", "unknown", "the patch changes no line that runs by itself")
    text = f"{hit} of {total} changed lines were run"
    return Check("coverage", "passed" if 2 * hit >= total else "failed", text, n=hit)


def changed_lines(candidate: Candidate, project: Project) -> dict[str, list[int]]:
    """Path -> first lines of the statements that the patch adds or changes."""
    found: dict[str, list[int]] = {}
    for path, content in python_files(candidate).items():
        try:
            tree = ast.parse(content)
        except (SyntaxError, ValueError):
            continue
        first = dict(_statements(tree))
        added = new_lines(original(project, path), content)
        found[path] = sorted({first[line] for line in added if line in first})
    return found


def _statements(tree: ast.Module) -> Iterator[tuple[int, int]]:
    """(line, first line of its statement), for statements that a run can show.

    Of a compound statement only the head counts; `try:`, docstrings and declarations show
    nothing by themselves.
    """
    silent = (
        ast.Global,
        ast.Nonlocal,
        ast.Try,
        ast.FunctionDef,
        ast.AsyncFunctionDef,
        ast.ClassDef,
    )
    for node in ast.walk(tree):
        if not isinstance(node, ast.stmt) or isinstance(node, silent):
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        body = getattr(node, "body", None)
        end = body[0].lineno - 1 if isinstance(body, list) and body else node.end_lineno
        for line in range(node.lineno, max(node.lineno, end or node.lineno) + 1):
            yield line, node.lineno
