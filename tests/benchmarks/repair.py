"""Does the app find the bug of every zoo service, and is what it shows a correct patch?

    python -m tests.benchmarks.repair [--case NAME ...] [--strategy NAME] [--json FILE]

Each service runs for real, under the probe, with its load; nothing is approved. What is proposed
for the bug's incident is judged by hidden tests (tests/zoo/judge.py). The seconds to the first
proposal count from the incident's first occurrence. `bench-results/repair.json` holds all of it,
with the labelled verdicts from which the safety score can be calibrated.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from selfheal_tui.demo.cases import Case, all_cases
from selfheal_tui.demo.prepare import prepare
from tests.benchmarks._session import Plain, Played, Under, play_under_the_app, save
from tests.benchmarks._statistics import percent, wilson
from tests.zoo.judge import can_judge, judge_diff, patched_files

PATIENCE_S = 75.0
"""How long after the bug's time a proposal is waited for."""
LEAK_PATIENCE_S = 200.0
"""The same for a leak, which fails nobody while it is watched to see that it goes on."""
GRACE_S = 2.0


@dataclass(slots=True)
class Labelled:
    """One shown candidate with the hidden tests' word on it."""

    id: str
    label: str
    strategy: str
    template: str
    confidence: float
    risk: str
    diff: str
    verdict: Plain = field(default_factory=dict)
    failed: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    """Path -> new text, from which the manner of a patch is read."""


@dataclass(slots=True)
class Result:
    """What became of one case."""

    case: str
    strategy: str
    bug_s: float = 0.0
    detected: bool = False
    incident: str = ""
    title: str = ""
    bug_type: str = ""
    type_right: bool = False
    suspects: list[str] = field(default_factory=list)
    suspect_right: bool = False
    tier: str = ""
    shown: list[Labelled] = field(default_factory=list)
    proposal_s: float | None = None
    errors: list[str] = field(default_factory=list)
    note: str = ""
    incidents: list[str] = field(default_factory=list)

    @property
    def labels(self) -> list[str]:
        return [candidate.label for candidate in self.shown]

    @property
    def misleading(self) -> bool:
        """The first one is offered for automatic approval and is not correct."""
        return self.tier == "high" and bool(self.shown) and self.labels[0] != "correct"


def run_case(
    case: Case, folder: Path, seed: int, bug_after_s: float | None, patience_s: float
) -> Result:
    """Play one case and judge what was shown."""
    prepared = prepare(case, folder, seed=seed, bug_after_s=bug_after_s)
    if case.strategy == "memory_leak_fix":
        patience_s = max(patience_s, LEAK_PATIENCE_S)
    most_s = prepared.bug_after_s + patience_s + 10

    def enough(events: list[Plain], now: float) -> bool:
        return any(event["kind"] == "proposal" and event["candidates"] for event in events)

    played = play_under_the_app(prepared, Under(), enough, most_s, GRACE_S)
    result = read_result(case, played)
    for candidate in result.shown if can_judge(case) else []:
        try:
            outcome = judge_diff(case, candidate.diff)
        except ValueError as why:
            candidate.label, candidate.failed = "wrong", (f"does not apply: {why}",)
        else:
            candidate.label, candidate.failed = outcome.label, outcome.failed
            candidate.files = patched_files(case, candidate.diff)
    return result


def read_result(case: Case, played: Played) -> Result:
    """What the events say, before the hidden tests have spoken."""
    result = Result(case.name, case.strategy, bug_s=played.bug_s)
    result.errors = [str(event.get("text", ""))[:600] for event in played.of_kind("error")]
    if played.survivors:
        result.errors.append(f"left running: {played.survivors}")
    if not played.of_kind("started"):
        result.errors.append("not started: " + played.output[-600:])
    incidents = {event["id"]: event for event in played.of_kind("incident")}
    result.detected = bool(incidents)
    result.incidents = [
        f"#{event['number']} {event['bug_type']} {event['title']} ({event['state']})"
        for event in incidents.values()
    ]
    chosen = _incident_of_the_bug(played, list(incidents))
    if chosen is None:
        result.note = "no incident" if not incidents else "no proposal"
        chosen = next(iter(incidents), None)
    if chosen is None:
        return result
    result.incident, result.title = chosen, incidents[chosen]["title"]
    diagnoses = played.of_incident(chosen, "diagnosis")
    if diagnoses:
        diagnosis = diagnoses[-1]
        result.bug_type = diagnosis["bug_type"]
        right = {case.truth.bug_type, *case.truth.also}
        result.type_right = diagnosis["bug_type"] in right
        top = diagnosis["suspects"][:3]
        result.suspects = [f"{each['file']}:{each['line']} {each['function']}" for each in top]
        result.suspect_right = any(_is_suspect(case, each) for each in top)
        result.note = result.note or str(diagnosis["summary"])
    proposals = played.of_incident(chosen, "proposal")
    if proposals:
        _read_proposal(result, played, proposals, float(incidents[chosen]["first_seen"]))
    return result


def _incident_of_the_bug(played: Played, incidents: list[str]) -> str | None:
    """The incident that got patches; without one, the first that got a diagnosis."""
    for proposal in played.of_kind("proposal"):
        if proposal["candidates"]:
            return str(proposal["incident"])
    diagnosed = [event["incident"] for event in played.of_kind("diagnosis")]
    return next((name for name in diagnosed if name in incidents), None)


def _is_suspect(case: Case, suspect: Plain) -> bool:
    name = suspect["function"]
    tails = {known.rsplit(".", 1)[-1] for known in case.truth.functions}
    if suspect["file"] != case.truth.file and name not in case.truth.functions:
        return False
    if "<module>" in case.truth.functions and suspect["file"] == case.truth.file:
        return True
    return name in case.truth.functions or name.rsplit(".", 1)[-1] in tails


def _read_proposal(
    result: Result, played: Played, proposals: list[Plain], first_seen_s: float
) -> None:
    candidates = {event["id"]: event for event in played.of_kind("candidate")}
    verdicts = {event["candidate"]: event for event in played.of_kind("verdict")}
    last = proposals[-1]
    result.tier = last["tier"]
    filled = [proposal for proposal in proposals if proposal["candidates"]]
    if filled:
        result.proposal_s = round(filled[0]["time"] - first_seen_s, 1)
    for name in last["candidates"]:
        event = candidates[name]
        result.shown.append(
            Labelled(
                id=name,
                label="",
                strategy=event["strategy"],
                template=event["template"],
                confidence=event["confidence"],
                risk=event["risk"],
                diff=event["diff"],
                verdict=verdicts.get(name, {}),
            )
        )


# ---------------------------------------------------------------- the table
def print_row(result: Result) -> None:
    marks = {"correct": "C", "masking": "m", "wrong": "w", "": "?"}
    shown = "".join(marks[label] for label in result.labels) or "-"
    seconds = "-" if result.proposal_s is None else f"{result.proposal_s:.1f}"
    print(
        f"{result.case:<16}{result.strategy:<20}{'yes' if result.detected else 'NO':<5}"
        f"{'ok' if result.type_right else result.bug_type or '-':<20}"
        f"{'ok' if result.suspect_right else '-':<9}{shown:<8}{result.tier or '-':<11}{seconds:>6}",
        flush=True,
    )
    for error in result.errors:
        print(f"    error: {error.splitlines()[-1] if error else ''}", flush=True)


def summary(results: list[Result]) -> Plain:
    """The figures that the README states, each with its 95 % interval (Wilson)."""
    count = len(results)
    rows: dict[str, int] = {
        "detected": sum(result.detected for result in results),
        "bug type right": sum(result.type_right for result in results),
        "suspect in top 3": sum(result.suspect_right for result in results),
        "correct among shown": sum("correct" in result.labels for result in results),
        "correct first": sum(result.labels[:1] == ["correct"] for result in results),
        "wrong or masking first as high": sum(result.misleading for result in results),
    }
    seconds = [result.proposal_s for result in results if result.proposal_s is not None]
    shares = {
        name: {"n": n, "of": count, "share": n / count, "interval": wilson(n, count)}
        for name, n in rows.items()
    }
    median = statistics.median(seconds) if seconds else None
    return {"rows": shares, "first proposal median s": median, "proposals": len(seconds)}


def print_summary(figures: Plain) -> None:
    print()
    for name, row in figures["rows"].items():
        low, high = row["interval"]
        print(
            f"{name:<34}{row['n']:>3} of {row['of']:<4}{percent(row['share']):>6}"
            f"   ({percent(low)} to {percent(high)})"
        )
    median = figures["first proposal median s"]
    if median is not None:
        print(f"{'first proposal, median':<34}{median:.1f} s ({figures['proposals']} proposals)")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--case", action="append", default=[], help="only this one, repeatable")
    parser.add_argument("--strategy", help="only the cases of this strategy")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bug-after", type=float, help="seconds of health before the bug")
    parser.add_argument("--patience", type=float, default=PATIENCE_S, help="seconds for a proposal")
    parser.add_argument("--json", default="repair", help="name of the result in bench-results")
    parser.add_argument("--keep", help="folder in which the runs' events are kept")
    given = parser.parse_args(arguments)
    chosen = [
        case
        for case in all_cases()
        if (case.name in given.case or (not given.case and not case.bundled))
        and given.strategy in (None, case.strategy)
    ]
    print(
        f"{'case':<16}{'strategy':<20}{'seen':<5}{'bug type':<20}{'suspect':<9}"
        f"{'shown':<8}{'tier':<11}{'s':>6}   C correct, m masking, w wrong; first one first"
    )
    results: list[Result] = []
    for case in chosen:
        with tempfile.TemporaryDirectory(prefix=f"repair-{case.name}-") as temporary:
            folder = Path(given.keep, case.name).absolute() if given.keep else Path(temporary)
            if given.keep and folder.exists():
                print(f"{folder} is there already")
                return 2
            result = run_case(case, folder, given.seed, given.bug_after, given.patience)
        results.append(result)
        print_row(result)
        save(given.json, _plain(results))
    if results:
        print_summary(summary(results))
    return 0


def _plain(results: list[Result]) -> dict[str, Any]:
    return {
        "load_average": os.getloadavg(),
        "summary": summary(results),
        "cases": [{**asdict(result), "misleading": result.misleading} for result in results],
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
