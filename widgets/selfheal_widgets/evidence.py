"""What speaks for a patch and against it, in pages: why, traceback, reproducer, tests, ..."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from selfheal_widgets.candidate_list import EDITED, is_edited
from selfheal_widgets.lines import Line, line, safe, wrap
from selfheal_widgets.row_list import Row, RowList
from selfheal_widgets.words import clock, duration, percent, plural, short_path

if TYPE_CHECKING:
    from selfheal_engine.model import Candidate, Check, Frame, Incident, Occurrence, Value, Verdict

CHECK_SIGNS = {
    "passed": ("✓", "good"),
    "failed": ("✗", "bad"),
    "unknown": ("?", "warn"),
    "skipped": ("–", "muted"),
    "infrastructure": ("!", "warn"),
}

SHORT_NAMES = {"performance": "speed"}
"""Names of checks on their tab, where the check's own is long."""

BESIDE = {
    "reproducer": ("parses", "imports", "lint", "judge", "shape", "neighbours"),
    "tests": ("coverage", "hardening"),
}
"""Checks that are read with another one, on its page."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of evidence: its tab with the finding's sign, and its text for a width."""

    name: str
    sign: str
    role: str
    build: Callable[[int], list[Line]]

    @property
    def label(self) -> str:
        return f"{self.name} {self.sign}".strip()


def pages(
    incident: Incident, candidate: Candidate | None, verdict: Verdict | None, project: str = ""
) -> list[Page]:
    """The pages for a patch of an incident, in reading order; files are named from `project`."""
    checks = {check.name: check for check in (verdict.checks if verdict else ())}
    occurrence = incident.occurrence
    out = [
        Page("WHY", "", "text", lambda width: _why(incident, candidate, verdict, width)),
        Page("TRACEBACK", "", "text", lambda width: _traceback(occurrence, project, width)),
    ]
    named = ("reproducer", "tests", "good_calls", "performance", "memory")
    for name in named:
        check = checks.get(name)
        extra = [checks[other] for other in BESIDE.get(name, ()) if other in checks]
        sign, role = CHECK_SIGNS[check.status] if check else ("", "muted")
        if sign == "✓" and any(other.status == "failed" for other in extra):
            sign, role = "!", "warn"
        title = SHORT_NAMES.get(name, name.replace("_", " ")).upper()
        if check and check.n and name in ("tests", "good_calls"):
            title = f"{title} {check.n}"
        out.append(
            Page(title, sign, role, lambda width, c=check, e=extra: _check(c, e, width))  # type: ignore[misc]
        )
    shown = {*named, *(other for beside in BESIDE.values() for other in beside)}
    others = [c for c in checks.values() if c.name not in shown]
    for check in others:
        sign, role = CHECK_SIGNS[check.status]
        out.append(
            Page(
                check.name.replace("_", " ").upper(),
                sign,
                role,
                lambda width, c=check: _check(c, [], width),  # type: ignore[misc]
            )
        )
    count = len(verdict.remarks) if verdict else 0
    label = plural(count, "remark") if count else "✓" if verdict else ""
    role = "warn" if count else "good"
    out.append(Page("REVIEW", label, role, lambda width: _remarks(verdict, width)))
    return out


class EvidencePage(RowList):
    """The text of one page, wrapped and scrolled."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(cursor=False, id=id)
        self.page: Page | None = None

    def show(self, page: Page | None, *, top: bool = True) -> None:
        self.page = page
        self.repaint()
        if top:
            self.scroll_to(y=0, animate=False)

    def build(self, width: int) -> Sequence[Row]:
        return [Row("", tuple(self.page.build(width - 1)))] if self.page else []


# ---------------------------------------------------------------- the pages
def _why(
    incident: Incident, candidate: Candidate | None, verdict: Verdict | None, width: int
) -> list[Line]:
    out: list[Line] = []
    diagnosis = incident.diagnosis
    if diagnosis is not None:
        out += wrap(safe(diagnosis.summary), width)
        if diagnosis.none_origin:
            out += wrap(f"The bad value came from {safe(diagnosis.none_origin)}.", width)
    if candidate is not None and candidate.explanation:
        out += [(), *wrap(safe(candidate.explanation), width)]
    if candidate is not None:
        scope = f"Touches {plural(len(candidate.functions) or 1, 'function')}"
        if candidate.functions:
            scope += f" ({', '.join(candidate.functions[:3])})"
        scope += f", {percent(candidate.impact)} of the requests pass through it."
        proposer = candidate.origin.removesuffix(EDITED)
        if proposer != "engine":
            scope += f" Proposed by {safe(proposer)}."
        if is_edited(candidate):
            scope += " Edited by you."
        out += [(), *wrap(scope, width, "muted")]
    if verdict is not None:
        if verdict.infrastructure:
            out += wrap(f"The sandbox itself failed: {safe(verdict.infrastructure)}", width, "warn")
        for check in verdict.checks:
            if check.status == "failed":
                out += wrap(f"✗ {check.name}: {safe(check.text)}", width, "bad")
    if diagnosis is not None and diagnosis.ranked_types:
        types = ", ".join(f"{name} {percent(p)}" for name, p in diagnosis.ranked_types[:3])
        out += [(), *wrap(f"Kind of bug: {types}", width, "muted")]
    if diagnosis is not None:
        for item in [text for text in diagnosis.evidence if text.strip()][:6]:
            out += wrap(f"· {safe(item)}", width, "muted")
        for suspect in diagnosis.suspects[:3]:
            place = f"{suspect.file}:{suspect.line} {suspect.function}"
            out += wrap(
                f"· suspect {place} ({percent(suspect.score)}): {suspect.reason}", width, "muted"
            )
    return out or wrap(
        safe(incident.activity) or "not diagnosed yet: the first report is being read",
        width,
        "muted",
    )


def _traceback(occurrence: Occurrence | None, project: str, width: int) -> list[Line]:
    if occurrence is None:
        return wrap(
            "no exception was caught: the metrics alone opened this incident", width, "muted"
        )
    what = (
        f"{occurrence.exception}: {safe(occurrence.message)}"
        if occurrence.exception
        else safe(occurrence.message)
    )
    out: list[Line] = list(wrap(what, width, "bad"))
    about = f"{clock(occurrence.time_s)} in pid {occurrence.pid}"
    if occurrence.request:
        about += f" · {occurrence.request.method} {safe(occurrence.request.path)}"
    if occurrence.caught_by:
        about += f" · caught by {occurrence.caught_by}"
    out.append(line((about, "muted")))
    for frame in reversed(occurrence.frames):
        out += _frame(frame, project, crash=frame is occurrence.crash)
    for thread in occurrence.threads:
        text = f"thread {thread.name} stuck {duration(thread.stuck_s)}"
        if thread.waits_for:
            text += f", waits for {thread.waits_for}"
        if thread.held_by:
            text += f" held by {thread.held_by}"
        out += wrap(safe(text), width, "warn")
        if thread.frames:
            out += _frame(thread.frames[-1], project, crash=True)
    for growth in occurrence.growth:
        text = f"{growth.file}:{growth.line} +{growth.bytes_grown} bytes, +{growth.count_grown}"
        text += f" {growth.type_name} held by {growth.holder}" if growth.holder else ""
        out += wrap(safe(text), width, "warn")
    for cause in occurrence.chain:
        out += wrap(f"caused by {cause.exception}: {safe(cause.message)}", width, "warn")
    return out


def _frame(frame: Frame, project: str, *, crash: bool) -> list[Line]:
    role = "text" if frame.own else "faint"
    out = [
        line(
            ("▸ " if crash else "  ", "bad"),
            (f"{short_path(frame.file, project)}:{frame.line} ", role),
            (frame.function, "strong" if crash else role),
        )
    ]
    if frame.source_line.strip():
        out.append(line(("    ", "text"), (safe(frame.source_line.strip()), role)))
    if frame.own:
        out += [
            line((f"      {name} = ", "muted"), (_value(value), "muted"))
            for name, value in frame.locals[:12]
        ]
    return out


def _value(value: Value, depth: int = 0) -> str:
    if value.text:
        return safe(value.text)
    length = f" of {value.length}" if value.length is not None else ""
    if value.children and depth < 2:
        inner = ", ".join(f"{safe(k)}: {_value(v, depth + 1)}" for k, v in value.children[:6])
        return f"{value.type_name}{length} {{{inner}{', …' if value.truncated else ''}}}"
    return f"{value.type_name}{length}"


def _check(check: Check | None, gates: Sequence[Check], width: int) -> list[Line]:
    if check is None:
        return wrap("not run yet, or nothing to run", width, "muted")
    sign, role = CHECK_SIGNS[check.status]
    out: list[Line] = [line((f"{sign} ", role), (safe(check.text), "text"))]
    facts = []
    if check.n:
        facts.append(f"rests on {plural(check.n, 'run')}")
    if check.seconds:
        facts.append(f"took {duration(check.seconds)}")
    if facts:
        out.append(line((", ".join(facts), "muted")))
    for detail, same in Counter(check.details).items():
        times = f"{same} × " if same > 1 else ""
        out += wrap(times + safe(detail), width, "muted", indent="  ")
    for gate in gates:
        mark, mark_role = CHECK_SIGNS[gate.status]
        out.append(line((f"{mark} ", mark_role), (f"{gate.name}: {safe(gate.text)}", "muted")))
    return out


def _remarks(verdict: Verdict | None, width: int) -> list[Line]:
    if verdict is None:
        return wrap("not reviewed yet", width, "muted")
    if not verdict.remarks:
        return wrap("the reviewer has no remark", width, "muted")
    out: list[Line] = []
    for remark in verdict.remarks:
        where = f"line {remark.line}: " if remark.line else ""
        out += wrap(f"▲ {where}{safe(remark.text)}  ({remark.rule})", width)
    return out
