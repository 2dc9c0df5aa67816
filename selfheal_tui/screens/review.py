"""The review: one proposal, its patches, the diff and the evidence, decided by one key."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import ClassVar

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult, SuspendNotSupported
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.events import Resize

from selfheal_engine.model import Candidate, Incident, IncidentState, Snapshot, Verdict
from selfheal_tui.actions import bindings
from selfheal_tui.screens import decisions
from selfheal_tui.screens.base import CockpitScreen
from selfheal_tui.screens.questions import Reason
from selfheal_widgets.candidate_list import CandidateList, verdict_of
from selfheal_widgets.diff_viewer import DiffViewer
from selfheal_widgets.evidence import EvidencePage, Page, pages
from selfheal_widgets.heading import Heading
from selfheal_widgets.incident_list import how_often
from selfheal_widgets.key_hints import KeyHints
from selfheal_widgets.lines import safe, whole_parts, wrap
from selfheal_widgets.row_list import RowList
from selfheal_widgets.tab_strip import Tab, TabStrip
from selfheal_widgets.words import clock

ROOMY_ROWS = 20
"""With fewer rows patches and evidence give way to the diff."""

FRAME_CELLS = 4
"""Frame and padding around the diff."""

PATCHES_CELLS = 48
"""Width of the patches beside the diff, as in the style sheet."""

NEXT = {
    IncidentState.OPEN: "open: being diagnosed",
    IncidentState.DIAGNOSED: "diagnosed: patches are tried",
    IncidentState.PROPOSED: "proposed: waits for you",
    IncidentState.APPROVED: "approved: being applied",
    IncidentState.APPLIED: "applied: about to be watched",
    IncidentState.WATCHING: "in force: watched for harm",
}
"""A living incident's state and what comes next."""


class Review(CockpitScreen):
    """Opened for one incident; follows it while it changes."""

    scope = "review"
    BINDINGS: ClassVar[list[BindingType]] = bindings("review")
    AUTO_FOCUS = "CandidateList"

    def __init__(self, incident: str) -> None:
        super().__init__()
        self.incident_id = incident
        self.incident: Incident | None = None
        self.page = 0
        self._pages: list[Page] = []

    def compose(self) -> ComposeResult:
        yield Heading("", id="review-title", classes="")
        with Horizontal(id="review-body"):
            candidates = CandidateList(id="candidates")
            candidates.add_class("framed")
            yield candidates
            diff = DiffViewer(id="diff")
            diff.add_class("framed")
            yield diff
        yield TabStrip(id="evidence-tabs")
        yield EvidencePage(id="evidence")
        yield KeyHints(id="hints")

    def on_resize(self, event: Resize) -> None:
        self.set_class(event.size.height < ROOMY_ROWS, "-tight")

    def show(self, snapshot: Snapshot) -> None:
        incident = next((i for i in snapshot.incidents if i.id == self.incident_id), self.incident)
        if incident is None:
            return
        self.incident = incident
        standing = _standing(incident, snapshot)
        room = self.size.width - cell_len(standing) - 3
        self.query_one("#review-title", Heading).show(
            f" {whole_parts(_title(incident, snapshot), room)}", standing
        )
        candidates = self.query_one(CandidateList)
        candidates.show(incident.proposal, _waiting(incident))
        self._show_candidate()

    # ------------------------------------------------------------ what is shown
    @property
    def candidate(self) -> Candidate | None:
        """The patch under the cursor."""
        return self.query_one(CandidateList).candidate

    @property
    def verdict(self) -> Verdict | None:
        if self.incident is None or self.incident.proposal is None or self.candidate is None:
            return None
        return verdict_of(self.incident.proposal, self.candidate)

    def _show_candidate(self) -> None:
        candidate, diff = self.candidate, self.query_one(DiffViewer)
        if candidate is None:
            diff.show("", empty="no patch to show")
            diff.border_title = "diff"
        else:
            diff.show(candidate.diff, dict(candidate.files))
            diff.border_title = _diff_title(diff)
        self._show_subtitle()
        self._show_evidence(top=False)

    def _show_subtitle(self) -> None:
        diff = self.query_one(DiffViewer)
        diff.border_subtitle = "split · s unified" if diff.side_by_side else "unified · s split"

    def _show_evidence(self, *, top: bool) -> None:
        if self.incident is None:
            return
        view = self.cockpit.view
        project = view.service.project if view else ""
        self._pages = pages(self.incident, self.candidate, self.verdict, project)
        self.page = min(self.page, len(self._pages) - 1)
        tabs = [Tab(page.name, page.sign, page.role) for page in self._pages]
        self.query_one("#evidence-tabs", TabStrip).show(tabs, self.page)
        self.query_one(EvidencePage).show(self._pages[self.page], top=top)

    @on(RowList.Moved, "#candidates")
    def _moved(self) -> None:
        self._show_candidate()

    @on(RowList.Chosen, "#candidates")
    def _to_diff(self) -> None:
        self.query_one(DiffViewer).focus()

    @on(TabStrip.Picked, "#evidence-tabs")
    def _tab(self, event: TabStrip.Picked) -> None:
        self.page = event.index
        self._show_evidence(top=True)

    def action_next_page(self) -> None:
        self.page = (self.page + 1) % max(1, len(self._pages))
        self._show_evidence(top=True)

    def action_previous_page(self) -> None:
        self.page = (self.page - 1) % max(1, len(self._pages))
        self._show_evidence(top=True)

    def action_next_patch(self) -> None:
        self.query_one(CandidateList).action_move(1)

    def action_previous_patch(self) -> None:
        self.query_one(CandidateList).action_move(-1)

    def action_split(self) -> None:
        """Side by side; the patches go above the diff where it would be too narrow beside them."""
        diff = self.query_one(DiffViewer)
        split = diff.toggle_split()
        least = diff.split_cells + FRAME_CELLS
        self.set_class(split and self.size.width < least + PATCHES_CELLS, "-stacked")
        if split and self.size.width < least:
            self.cockpit.say(f"side by side needs a terminal of {least} columns", "warning")
        self._show_subtitle()

    def action_next_hunk(self) -> None:
        self.query_one(DiffViewer).go_to_hunk(1)

    def action_previous_hunk(self) -> None:
        self.query_one(DiffViewer).go_to_hunk(-1)

    def action_more_context(self) -> None:
        self.query_one(DiffViewer).more_context(1)

    def action_less_context(self) -> None:
        self.query_one(DiffViewer).more_context(-1)

    def action_back(self) -> None:
        self.cockpit.go("dashboard")

    # ------------------------------------------------------------ decisions
    def _chosen(self) -> tuple[Incident, Candidate] | None:
        if self.incident is None or self.candidate is None:
            self.cockpit.say("there is no patch here to do that with", "warning")
            return None
        return self.incident, self.candidate

    def action_approve(self) -> None:
        if self.incident is not None:
            decisions.approve(self.cockpit, self.incident, self.candidate)

    def action_reject(self) -> None:
        if self.incident is not None:
            decisions.reject(self.cockpit, self.incident, self.candidate)

    def action_dismiss_incident(self) -> None:
        if self.incident is not None:
            decisions.dismiss(self.cockpit, self.incident)

    def action_defer(self) -> None:
        if self.incident is not None:
            self.cockpit.bridge.ask("defer", self.cockpit.engine.defer(self.incident.id))
            self.cockpit.go("dashboard")

    def action_write_test(self) -> None:
        if chosen := self._chosen():
            future = self.cockpit.engine.write_test(chosen[0].id, chosen[1].id)
            self.cockpit.bridge.ask("write test", future)

    def action_copy(self) -> None:
        if chosen := self._chosen():
            name = f"{chosen[0].number}-{chosen[1].template or chosen[1].strategy}.patch"
            self.cockpit.copy(chosen[1].diff, name)

    def action_export(self) -> None:
        chosen = self._chosen()
        if chosen is None:
            return
        incident, candidate = chosen

        def answered(folder: str | None) -> None:
            if folder is not None:
                place = Path(folder or ".").expanduser()
                future = self.cockpit.engine.export(incident.id, candidate.id, place)
                self.cockpit.bridge.ask("export", future)

        text = "Folder for the patch file, in the format of `git format-patch`:"
        self.cockpit.push_screen(
            Reason("export", wrap(text, decisions.WIDTH, "muted"), value=os.getcwd()), answered
        )

    def action_edit(self) -> None:
        """Open the patched file in $EDITOR; what comes back is validated again."""
        chosen = self._chosen()
        if chosen is None:
            return
        incident, candidate = chosen
        if not candidate.files:
            self.cockpit.say("this patch carries no file to edit", "warning")
            return
        edited = self._edit_files(candidate)
        if edited is None:
            return
        if not edited:
            self.cockpit.say("nothing changed in the editor", "information")
            return
        future = self.cockpit.engine.edit(incident.id, candidate.id, edited)
        self.cockpit.bridge.ask("edit", future)

    def _edit_files(self, candidate: Candidate) -> dict[str, bytes] | None:
        """The files whose text the person changed; None when the editor failed."""
        editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
        with tempfile.TemporaryDirectory(prefix="selfheal-edit-") as folder:
            places = {}
            for path, content in candidate.files:
                place = Path(folder, path)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
                places[path] = place
            command = [*shlex.split(editor), *map(str, places.values())]
            try:
                code = self._run_editor(command)
            except OSError as why:
                self.cockpit.say(
                    f"cannot run {command[0]}: {why.strerror}; set $EDITOR to your editor", "error"
                )
                return None
            if code:
                self.cockpit.say(f"{command[0]} ended with {code}: the patch is as it was", "error")
                return None
            new = {path: place.read_bytes() for path, place in places.items()}
        return {path: text for path, text in new.items() if text != dict(candidate.files)[path]}

    def _run_editor(self, command: list[str]) -> int:
        try:
            with self.cockpit.suspend():
                return subprocess.run(command, check=False).returncode
        except SuspendNotSupported:
            return subprocess.run(command, check=False).returncode


def _title(incident: Incident, snapshot: Snapshot) -> list[str]:
    """What the incident is, most important first."""
    parts = [f"#{incident.number} {safe(incident.title)}"]
    often = how_often(incident, snapshot.time_s)
    if often:
        parts.append(often)
    parts.append(f"first {clock(incident.first_seen_s)}")
    request = incident.occurrence.request if incident.occurrence else None
    if request is not None:
        route = safe(request.route or request.path)
        parts.append(route if route.startswith(request.method) else f"{request.method} {route}")
    return parts


def _standing(incident: Incident, snapshot: Snapshot) -> str:
    if not snapshot.service.alive and not incident.state.ended:
        return "the service has ended "
    if snapshot.read_only:
        return "read only "
    if incident.state.ended and incident.outcome:
        return f"{safe(incident.outcome)} "
    return f"{NEXT.get(incident.state, incident.state.value.replace('_', ' '))} "


def _waiting(incident: Incident) -> str:
    if incident.state in (IncidentState.OPEN, IncidentState.DIAGNOSED):
        return f"no patch yet: {incident.activity or 'the bug is being diagnosed'}"
    if incident.state.ended:
        return incident.outcome or incident.state.value.replace("_", " ")
    return "no patch passed its checks: what is known stands below"


def _diff_title(diff: DiffViewer) -> str:
    if not diff.changes:
        return "diff"
    first = diff.changes[0]
    more = f" and {len(diff.changes) - 1} more" if len(diff.changes) > 1 else ""
    added, removed = sum(c.added for c in diff.changes), sum(c.removed for c in diff.changes)
    return f"{first.path}{more}  −{removed} +{added}"
