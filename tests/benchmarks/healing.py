"""What is the app worth? The zoo with and without it, and healthy services that must be left alone.

    python -m tests.benchmarks.healing [--case NAME ...] [--healthy-s 120] [--approve high]
    python -m tests.benchmarks.healing --sum NAME ...    the figures of several saved runs in one

Five figures, each with its 95 % interval:

bug detection rate   share of the zoo's bugs for which an incident opened
false positive rate  share of the healthy services' samples at which an incident opened that
                     should not have; the table also names the services and the incidents
patch success rate   share of the applied patches that hidden tests call correct
MTTR                 first occurrence to healed, with automatic approval
downtime reduction   1 - downtime with the app / downtime without it. Downtime is the number of
                     seconds in which a customer's request failed (5xx, time-out, no answer),
                     over the same window after the bug's time. Without the app nothing ends the
                     bug, so a short run is scaled to the window. Bugs that fail no customer
                     within the window (leaks) count for the other figures only.

Everything runs for real: service, probe, load, sandbox, live swap.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

from selfheal_tui.demo.cases import Case, all_cases, cases_in
from selfheal_tui.demo.playing import Report, service, traffic, wait_for_report
from selfheal_tui.demo.prepare import PreparedCase, prepare
from tests.benchmarks._session import Plain, Played, Under, play_under_the_app, save
from tests.benchmarks._statistics import bootstrap, percent, wilson
from tests.zoo.judge import can_judge, judge_diff

HEALTHY = Path(__file__).parents[1] / "zoo" / "healthy"
WINDOW_S = 90.0
"""Downtime is compared over so many seconds after the bug's time."""
ALONE_S = 20.0
"""How long a run without the app lasts after the bug's time."""
LATE_S = 10
"""The last seconds of a run by which it is continued to the window's end."""
LEAK_S = 240.0
"""A leak that fails nobody is watched for before it is told of, and again after the patch."""
AFTER_S = 6.0
"""How long the load goes on after the healing, to see that no customer fails any more."""


@dataclass(slots=True)
class Healing:
    """One bug with and without the app. Times in seconds."""

    case: str
    strategy: str
    detected: bool = False
    detection_s: float | None = None
    applied: int = 0
    label: str = ""
    """Of the patch that was applied last: correct, masking, wrong."""
    template: str = ""
    healed: bool = False
    mttr_s: float | None = None
    rolled_back: list[str] = field(default_factory=list)
    down_alone_s: float = 0.0
    down_with_s: float = 0.0
    lost_at_swap: int = 0
    """Requests without an answer from the second of the apply on: the swap must lose none. Those
    that show the bug are left out: some bugs are that the connection is cut.
    """
    failing_after: int = 0
    """Failed requests in the load's last three seconds."""
    errors: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Calm:
    """One healthy service under the app."""

    case: str
    samples: int = 0
    incidents: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def alone(case: Case, folder: Path, seed: int, bug_after_s: float) -> float:
    """Seconds of the window in which customers fail when nobody heals, from a shorter run."""
    prepared = prepare(case, folder, seed=seed, bug_after_s=bug_after_s)
    with service(prepared), traffic(prepared) as load:
        report = wait_for_report(
            prepared.report,
            load,
            lambda lines: bool(lines) and lines[-1]["second"] >= bug_after_s + ALONE_S,
            most_s=bug_after_s + ALONE_S + 60,
        )
    return failing_seconds(report, prepared, goes_on=True)


def failing_seconds(report: Report, prepared: PreparedCase, goes_on: bool) -> float:
    """Seconds with a failed request in the window after the bug's time.

    A second in which nothing was answered at all while customers waited is one of them. What a
    shorter run did not see of the window, where the failure `goes_on`, is taken to go on as its
    last seconds went: a leak fails nobody at first and everybody in the end.
    """
    seen: list[bool] = []
    for line in report:
        if 0 <= line["second"] - prepared.bug_after_s < WINDOW_S:
            stuck = line["requests"] == 0 and line["in_flight"] > 0
            seen.append(bool(line["failed"] + line["timeouts"] + line["lost"]) or stuck)
    late = seen[-LATE_S:]
    unseen_s = max(0.0, WINDOW_S - len(seen)) if goes_on else 0.0
    return sum(seen) + unseen_s * sum(late) / max(1, len(late))


def heal(case: Case, folder: Path, under: Under, seed: int, bug_after_s: float) -> Healing:
    """Play one case with automatic approval until it is healed or the window has passed."""
    prepared = prepare(case, folder, seed=seed, bug_after_s=bug_after_s)

    def enough(events: list[Plain], now: float) -> bool:
        kinds = [event["kind"] for event in events]
        return "healed" in kinds and kinds.count("applied") <= kinds.count("healed")

    patience_s = LEAK_S if case.strategy == "memory_leak_fix" else WINDOW_S + 15
    played = play_under_the_app(prepared, under, enough, bug_after_s + patience_s, grace_s=AFTER_S)
    result = Healing(case.name, case.strategy)
    result.errors = [str(event.get("text", ""))[:600] for event in played.of_kind("error")]
    if played.survivors:
        result.errors.append(f"left running: {played.survivors}")
    incidents = played.of_kind("incident")
    result.detected = bool(incidents)
    if incidents and played.bug_s:
        result.detection_s = round(max(0.0, incidents[0]["time"] - played.bug_s), 1)
    _read_patches(result, case, played)
    result.down_with_s = failing_seconds(played.report, prepared, goes_on=not result.healed)
    last = [line for line in played.report if line["requests"]][-4:-1]
    result.failing_after = sum(line["failed"] + line["timeouts"] for line in last)
    return result


def _read_patches(result: Healing, case: Case, played: Played) -> None:
    applied = played.of_kind("applied")
    result.applied = len(applied)
    result.rolled_back = [event["reason"] for event in played.of_kind("rolled_back")]
    healed = played.of_kind("healed")
    if healed:
        result.healed, result.mttr_s = True, round(healed[0]["mttr_s"], 1)
    if not applied:
        return
    candidates = {event["id"]: event for event in played.of_kind("candidate")}
    chosen = candidates.get(applied[-1]["candidate"])
    if chosen is not None:
        result.template = f"{chosen['strategy']}/{chosen['template']}"
    if chosen is not None and can_judge(case):
        try:
            result.label = judge_diff(case, chosen["diff"]).label
        except ValueError:
            result.label = "wrong"
    at = applied[0]["time"]
    result.lost_at_swap = sum(
        max(0, line["lost"] - line["bad_failed"]) for line in played.report if line["time"] >= at
    )


def keep_calm(case: Case, folder: Path, under: Under, seed: int, seconds: float) -> Calm:
    """Watch a healthy service for a while: every incident is a false one."""
    prepared = prepare(case, folder, seed=seed)
    played = play_under_the_app(prepared, under, lambda events, now: False, seconds)
    result = Calm(case.name, samples=len(played.of_kind("sample")))
    opened = {event["id"]: event for event in played.of_kind("incident")}
    result.incidents = [f"{event['bug_type']}: {event['title']}" for event in opened.values()]
    result.errors = [str(event.get("text", ""))[:600] for event in played.of_kind("error")]
    if not result.samples:
        result.errors.append("no samples: " + played.output[-600:])
    return result


# ---------------------------------------------------------------- the figures
def figures(healings: list[Healing], calm: list[Calm]) -> Plain:
    """The five figures with their intervals."""
    found: Plain = {}
    if healings:
        count = len(healings)
        detected = sum(result.detected for result in healings)
        healed = sum(result.healed for result in healings)
        applied = [result for result in healings if result.applied]
        correct = sum(result.label == "correct" for result in applied)
        times = [result.mttr_s for result in healings if result.mttr_s is not None]
        failing = [result for result in healings if result.down_alone_s > 0]
        without = sum(result.down_alone_s for result in failing)
        with_app = sum(result.down_with_s for result in failing)
        found["bug detection rate"] = _share(detected, count)
        found["healed without a person"] = _share(healed, count)
        found["patch success rate"] = _share(correct, len(applied))
        found["mttr_median_s"] = statistics.median(times) if times else None
        found["mttr_interval_s"] = bootstrap(times)
        found["mttr_of_correct_s"] = [
            result.mttr_s for result in healings if result.healed and result.label == "correct"
        ]
        found["downtime"] = {"without_s": without, "with_s": with_app, "cases": len(failing)}
        found["downtime reduction"] = 1 - with_app / without if without else None
        found["downtime_interval"] = _reduction_interval(failing)
        found["requests lost at swaps"] = sum(result.lost_at_swap for result in healings)
    if calm:
        samples = sum(result.samples for result in calm)
        false = sum(len(result.incidents) for result in calm)
        found["false positive rate"] = _share(min(false, samples), samples)
        found["healthy services disturbed"] = _share(
            sum(bool(result.incidents) for result in calm), len(calm)
        )
    return found


def _share(n: int, of: int) -> Plain:
    return {"n": n, "of": of, "share": n / of if of else None, "interval": wilson(n, of)}


def _reduction_interval(failing: list[Healing]) -> tuple[float, float]:
    """Bootstrap over the cases: whole cases are drawn, since their downtimes belong together."""

    def reduction(places: object) -> float:
        drawn = [failing[int(place)] for place in places]  # type: ignore[attr-defined]
        without = sum(result.down_alone_s for result in drawn)
        return 1 - sum(result.down_with_s for result in drawn) / without

    return bootstrap([float(place) for place in range(len(failing))], reduction)


def print_figures(found: Plain) -> None:
    print()
    for name, value in found.items():
        if isinstance(value, dict) and "share" in value:
            low, high = value["interval"]
            share = "-" if value["share"] is None else percent(value["share"])
            print(
                f"{name:<28}{value['n']:>5} of {value['of']:<6}{share:>6}"
                f"   ({percent(low)} to {percent(high)})"
            )
    if found.get("mttr_median_s") is not None:
        low, high = found["mttr_interval_s"]
        print(f"{'MTTR, median':<28}{found['mttr_median_s']:.1f} s   ({low:.1f} to {high:.1f})")
    if found.get("downtime reduction") is not None:
        low, high = found["downtime_interval"]
        down = found["downtime"]
        print(
            f"{'downtime reduction':<28}{percent(found['downtime reduction']):>6}"
            f"   ({percent(low)} to {percent(high)}); {down['without_s']:.0f} s without,"
            f" {down['with_s']:.0f} s with, {down['cases']} cases"
        )
    if "requests lost at swaps" in found:
        print(f"{'requests lost at swaps':<28}{found['requests lost at swaps']:>5}")


def print_row(result: Healing) -> None:
    seconds = "-" if result.mttr_s is None else f"{result.mttr_s:.1f}"
    seen = "-" if result.detection_s is None else f"{result.detection_s:.1f}"
    print(
        f"{result.case:<16}{result.strategy:<20}{seen:>6}  {'yes' if result.healed else 'no':<8}"
        f"{result.label or '-':<9}{seconds:>6}{result.down_alone_s:>9.0f}"
        f"{result.down_with_s:>7.0f}{result.lost_at_swap:>6}  {result.template}",
        flush=True,
    )
    for reason in result.rolled_back:
        print(f"    rolled back: {reason}", flush=True)
    for error in result.errors:
        print(f"    error: {error.splitlines()[-1] if error else ''}", flush=True)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--case", action="append", default=[], help="only this one, repeatable")
    parser.add_argument("--approve", default="high", help="risk that is approved automatically")
    parser.add_argument("--approve-floor", type=int, help="lowest safety score, default 80")
    parser.add_argument("--interval", type=float, default=1.0)
    parser.add_argument("--bug-after", type=float, default=8.0)
    parser.add_argument("--healthy-s", type=float, default=120.0, help="0: leave them out")
    parser.add_argument("--no-zoo", action="store_true", help="the healthy services alone")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", help="folder in which the events with the app are kept")
    parser.add_argument("--json", default="healing", help="name of the result in bench-results")
    parser.add_argument("--sum", nargs="+", metavar="NAME", help="results of runs made before")
    given = parser.parse_args(arguments)
    if given.sum:
        print_figures(figures(*_saved(given.sum)))
        return 0
    under = Under(given.approve, given.approve_floor, given.interval)
    healings: list[Healing] = []
    calm: list[Calm] = []
    if not given.no_zoo:
        print(
            f"{'case':<16}{'strategy':<20}{'seen s':>6}  {'healed':<8}{'patch':<9}{'mttr':>6}"
            f"{'without':>9}{'with':>7}{'lost':>6}  applied"
        )
    for case in [] if given.no_zoo else all_cases():
        if case.name in given.case or (not given.case and not case.bundled):
            with tempfile.TemporaryDirectory(prefix=f"heal-{case.name}-") as name:
                place = Path(given.keep or name, case.name).absolute()
                result = heal(case, place, under, given.seed, given.bug_after)
                result.down_alone_s = alone(case, Path(name, "alone"), given.seed, given.bug_after)
            healings.append(result)
            print_row(result)
            _save(given.json, healings, calm)
    for case in cases_in(HEALTHY) if given.healthy_s else []:
        if case.name in given.case or not given.case:
            with tempfile.TemporaryDirectory(prefix=f"calm-{case.name}-") as name:
                quiet = keep_calm(case, Path(name), under, given.seed, given.healthy_s)
            calm.append(quiet)
            said = "; ".join(quiet.incidents) or "left alone"
            print(f"{quiet.case:<16}healthy, {quiet.samples} samples: {said}", flush=True)
            for error in quiet.errors:
                print(f"    error: {error.splitlines()[-1] if error else ''}", flush=True)
            _save(given.json, healings, calm)
    print_figures(figures(healings, calm))
    return 0


def _saved(names: list[str]) -> tuple[list[Healing], list[Calm]]:
    """The cases of several results in bench-results; of a case that is there twice, the last."""
    healings: dict[str, Healing] = {}
    calm: dict[str, Calm] = {}
    for name in names:
        body = json.loads(Path("bench-results", f"{name}.json").read_text(encoding="utf-8"))
        healings |= {plain["case"]: Healing(**plain) for plain in body["zoo"]}
        calm |= {plain["case"]: Calm(**plain) for plain in body["healthy"]}
    return list(healings.values()), list(calm.values())


def _save(name: str, healings: list[Healing], calm: list[Calm]) -> None:
    body = {
        "commit": subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
        ).stdout.strip(),
        "figures": figures(healings, calm),
        "zoo": [asdict(result) for result in healings],
        "healthy": [asdict(result) for result in calm],
    }
    save(name, body)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
