"""What a person decides about a patch: asked once, with exactly what it touches."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from selfheal_engine.config import Settings
from selfheal_engine.model import IncidentState
from selfheal_tui.screens.questions import Choice, Reason
from selfheal_widgets.candidate_list import RISK_ROLES, safety_text, title_of, verdict_of
from selfheal_widgets.key_hints import Hint
from selfheal_widgets.lines import Line, line, safe, wrap
from selfheal_widgets.words import duration, percent, plural, short_command

if TYPE_CHECKING:
    from selfheal_engine.model import Candidate, Incident, ServiceInfo, Verdict
    from selfheal_tui.app import SelfhealApp

WIDTH = 68
"""Cells of text in a question."""


def best_candidate(incident: Incident) -> Candidate | None:
    """The first patch of the incident's proposal."""
    if incident.proposal is None or not incident.proposal.candidates:
        return None
    return incident.proposal.candidates[0]


def why_not_now(incident: Incident, read_only: str) -> str:
    """Why nothing can be approved at this moment; "" when it can."""
    if read_only:
        return f"this app may only look: {read_only}"
    if incident.state in (IncidentState.OPEN, IncidentState.DIAGNOSED):
        return f"#{incident.number} has no patch yet: {incident.activity or 'still diagnosing'}"
    if incident.state in (
        IncidentState.APPROVED,
        IncidentState.APPLIED,
        IncidentState.WATCHING,
    ):
        return f"#{incident.number} has a patch in force already: wait for how it goes"
    if incident.state is IncidentState.HEALED:
        return f"#{incident.number} is healed: `R` in the history rolls it back"
    if best_candidate(incident) is None:
        return f"#{incident.number} has a diagnosis but no patch that could be applied"
    return ""


def approval_lines(
    candidate: Candidate,
    verdict: Verdict | None,
    service: ServiceInfo,
    settings: Settings,
) -> list[Line]:
    """Exactly what an approval does: the files, the processes, what is watched, the way back."""
    from selfheal_widgets.diff_model import parse  # not before the first paint

    out: list[Line] = list(wrap(title_of(candidate), WIDTH, "strong"))
    safety, safety_role = safety_text(verdict)
    out.append(
        line(
            (f"confidence {percent(candidate.confidence)} · ", "muted"),
            (safety, safety_role),
            (" · ", "muted"),
            (f"{candidate.risk} risk", RISK_ROLES[candidate.risk]),
        )
    )
    if verdict is None or not verdict.plausible:
        failed = [c for c in (verdict.checks if verdict else ()) if c.status == "failed"]
        why = "; ".join(safe(c.text) for c in failed) or "it was not validated"
        out += wrap(f"▲ not proven: {why}", WIDTH, "warn")
    out += [(), line(("writes", "title"))]
    for change in parse(candidate.diff, dict(candidate.files)):
        path = f"{service.project.rstrip('/')}/{change.path}" if service.project else change.path
        out.append(
            line(
                ("  " + path, "text"),
                (f"  −{change.removed}", "bad"),
                (f" +{change.added}", "good"),
            )
        )
    if candidate.functions:
        out += wrap(", ".join(candidate.functions), WIDTH, "muted", indent="    ")
    out += [(), *_process_lines(service, settings)]
    out += [
        (),
        *wrap(
            f"Then watched for up to {duration(settings.watch_s)}; rolled back by itself if the "
            "error returns or another metric suffers. The original is kept.",
            WIDTH,
            "muted",
        ),
    ]
    return out


def _process_lines(service: ServiceInfo, settings: Settings) -> list[Line]:
    if settings.maintenance:
        return wrap("maintenance is set: nothing is applied, even when approved", WIDTH, "warn")
    if settings.apply_mode == "export":
        return wrap("touches no process: the patch is exported only", WIDTH)
    if settings.apply_mode in ("file", "git"):
        how = "written" if settings.apply_mode == "file" else "committed"
        return wrap(f"touches no process: the file is {how}, the service reads it later", WIDTH)
    probed = [p for p in service.processes if p.has_probe]
    if not service.alive:
        return wrap("the service has ended: the file is patched for its next start", WIDTH, "warn")
    if not probed:
        return wrap("no process carries the probe: the file is written only", WIDTH, "warn")
    out: list[Line] = [line(("swaps the functions live in", "title"))]
    out += [
        line(
            (f"  pid {process.pid}", "text"),
            (f"  {process.role or safe(short_command(process.command))}", "muted"),
        )
        for process in probed[:8]
    ]
    if len(probed) > 8:
        out.append(
            line((f"  and {plural(len(probed) - 8, 'more process', 'more processes')}", "muted"))
        )
    if settings.canary and len(probed) > 1:
        out.append(line(("  one first, the others when it does well", "muted")))
    return out


def approve(app: SelfhealApp, incident: Incident, candidate: Candidate | None) -> None:
    """Ask once, then apply."""
    view = app.latest
    candidate = candidate or best_candidate(incident)
    reason = why_not_now(incident, view.read_only if view else "")
    if view is None or candidate is None or reason:
        app.say(reason or f"#{incident.number} has no patch to approve", "warning")
        return
    verdict = verdict_of(incident.proposal, candidate) if incident.proposal else None
    held = app.settings.maintenance or view.maintenance
    settings = replace(app.settings, maintenance=held)
    lines = approval_lines(candidate, verdict, view.service, settings)
    careful = verdict is None or not verdict.plausible or candidate.risk == "high"

    def answered(answer: str | None) -> None:
        if answer == "yes":
            app.bridge.ask("approve", app.engine.approve(incident.id, candidate.id))

    app.push_screen(
        Choice(
            f"apply this patch to #{incident.number}?",
            lines,
            [Hint("y", "apply it", "yes")],
            danger=careful,
        ),
        answered,
    )


def reject(app: SelfhealApp, incident: Incident, candidate: Candidate | None) -> None:
    """Ask for the reason; an empty one is fine."""
    if incident.proposal is None or incident.state is not IncidentState.PROPOSED:
        app.say(f"#{incident.number} has no proposal to reject", "warning")
        return
    what = title_of(candidate) if candidate else "all patches of the incident"

    def answered(reason: str | None) -> None:
        if reason is not None:
            chosen = candidate.id if candidate else ""
            app.bridge.ask("reject", app.engine.reject(incident.id, chosen, reason))

    app.push_screen(
        Reason(
            f"reject for #{incident.number}",
            [
                *wrap(safe(what), WIDTH, "strong"),
                *wrap(
                    "Why? It is remembered: no patch like it is proposed for this bug again.",
                    WIDTH,
                    "muted",
                ),
            ],
            placeholder="wrong answer for guests, …",
        ),
        answered,
    )


def dismiss(app: SelfhealApp, incident: Incident) -> None:
    """Close an incident as no bug."""
    if incident.state.ended:
        app.say(f"#{incident.number} has ended already", "warning")
        return

    def answered(reason: str | None) -> None:
        if reason is not None:
            app.bridge.ask("dismiss", app.engine.dismiss(incident.id, reason))

    app.push_screen(
        Reason(
            f"dismiss #{incident.number}",
            [
                *wrap(safe(incident.title), WIDTH, "strong"),
                *wrap(
                    "No bug? It counts as a false alarm and lets the limits learn.", WIDTH, "muted"
                ),
            ],
            placeholder="load test, planned, …",
        ),
        answered,
    )
