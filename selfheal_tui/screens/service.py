"""The service from inside: processes, threads and what they wait for, routes, exceptions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from selfheal_engine.model import Snapshot, WaitingThread
from selfheal_tui.actions import bindings
from selfheal_tui.screens.base import CockpitScreen
from selfheal_widgets.heading import Heading
from selfheal_widgets.key_hints import KeyHints
from selfheal_widgets.lines import Line, columns, line, safe, wrap
from selfheal_widgets.pages import LinesPage
from selfheal_widgets.words import duration, number, plural, short_command, short_path, size

COMMAND_CELLS = 16
"""Less than this says nothing of a command."""


class Service(CockpitScreen):
    """One page in sections; the parts that are empty say why."""

    scope = "service"
    BINDINGS: ClassVar[list[BindingType]] = bindings("service")
    AUTO_FOCUS = "LinesPage"

    def compose(self) -> ComposeResult:
        yield Heading(" SERVICE", id="screen-title", classes="")
        yield LinesPage(self._lines, id="service-page", classes="page")
        yield KeyHints(id="hints")

    def on_mount(self) -> None:
        super().on_mount()
        self.cockpit.bridge.ask("", self.cockpit.engine.refresh_threads())

    def show(self, snapshot: Snapshot) -> None:
        service = snapshot.service
        self.query_one("#screen-title", Heading).show(
            f" SERVICE {safe(service.name)}", f"{safe(service.project)} "
        )
        self.query_one(LinesPage).repaint()

    def _lines(self, width: int) -> list[Line]:
        view = self.cockpit.view
        if view is None:
            return [line(("waiting for the first sample", "muted"))]
        return service_lines(view, width)

    def action_refresh(self) -> None:
        self.cockpit.bridge.ask("threads", self.cockpit.engine.refresh_threads())

    def action_back(self) -> None:
        self.cockpit.go("dashboard")


def service_lines(view: Snapshot, width: int) -> list[Line]:
    """The whole page for a width in cells."""
    sections: list[tuple[str, list[Line]]] = [
        ("PROCESSES", _processes(view, width)),
        ("THREADS, STUCK ONES FIRST", _threads(view, width)),
        ("ROUTES, SLOWEST FIRST", _endpoints(view, width)),
        ("EXCEPTIONS, MOST OFTEN FIRST", _exceptions(view, width)),
        ("QUEUES", _queues(view)),
    ]
    out: list[Line] = list(wrap(safe(short_command(view.service.command)), width, "muted"))
    for title, body in sections:
        out += [(), line((title, "title")), *body]
    return out


def _processes(view: Snapshot, width: int) -> list[Line]:
    if not view.service.processes:
        return [line(("none: the service has ended", "warn"))]
    head = _row(
        width, "pid", "role", "cpu", "memory", "threads", "files", "age", "command", "faint"
    )
    out = [head]
    for p in view.service.processes:
        name = f"{p.role or '–'}{'' if p.has_probe else ' (no probe)'}"
        out.append(
            _row(
                width,
                str(p.pid),
                name,
                f"{p.cpu_percent:.0f} %",
                size(p.memory_bytes),
                str(p.threads),
                str(p.descriptors),
                duration(view.time_s - p.started_s) if p.started_s else "–",
                safe(short_command(p.command)),
                "text",
            )
        )
    return out


def _row(width: int, *parts: str) -> Line:
    """One process; terminals too narrow for the command do without it."""
    *cells, role = parts
    fixed: Sequence[int] = (-7, 18, -6, -8, -7, -5, -7)
    rest = width - sum(abs(w) + 2 for w in fixed)
    widths = (*fixed, rest) if rest >= COMMAND_CELLS else fixed
    return columns([(line((text, role)), w) for text, w in zip(cells, widths, strict=False)])


def _threads(view: Snapshot, width: int) -> list[Line]:
    if not view.threads:
        return wrap("none: every thread that was asked has moved. `u` asks again.", width, "muted")
    out: list[Line] = []
    for thread in sorted(view.threads, key=_is_idle):
        quiet = _is_idle(thread)
        text = (
            f"{thread.name}  idle" if quiet else f"{thread.name}  stuck {duration(thread.stuck_s)}"
        )
        if thread.waits_for and not quiet:
            text += f"  waits for {thread.waits_for}"
        if thread.held_by:
            text += f"  held by {thread.held_by}"
        sign = ("○ ", "faint") if quiet else ("● ", "bad" if thread.held_by else "warn")
        out.append(line(sign, (safe(text), "faint" if quiet else "text")))
        own = [frame for frame in thread.frames if frame.own] or list(thread.frames[-1:])
        if own:
            frame = own[-1]
            place = short_path(frame.file, view.service.project)
            where = f"{place}:{frame.line} {frame.function}  {frame.source_line.strip()}"
            out.append(line(("    ", "text"), (safe(where), "faint" if quiet else "muted")))
    return out


def _is_idle(thread: WaitingThread) -> bool:
    """A thread that waits for work, as most do most of the time."""
    return "idle" in thread.waits_for and not thread.held_by


def _endpoints(view: Snapshot, width: int) -> list[Line]:
    if not view.endpoints:
        return wrap("no request seen yet: routes appear with the first one", width, "muted")
    out: list[Line] = []
    widths = (max(16, width - 46), -10, -10, -9, -9)
    heads = ("route", "requests", "errors", "p50", "p95")
    out.append(columns([(line((h, "faint")), w) for h, w in zip(heads, widths, strict=True)]))
    for stat in sorted(view.endpoints, key=lambda stat: -stat.p95_ms)[:15]:
        errors = (str(stat.errors), "bad" if stat.errors else "muted")
        cells = (
            line((safe(stat.route), "text")),
            line((str(stat.requests), "text")),
            line(errors),
            line((f"{number(stat.p50_ms, 2)} ms", "muted")),
            line((f"{number(stat.p95_ms, 2)} ms", "text")),
        )
        out.append(columns(list(zip(cells, widths, strict=True))))
    return out


def _exceptions(view: Snapshot, width: int) -> list[Line]:
    seen = [i for i in view.incidents if i.occurrence is not None and i.count]
    if not seen:
        return wrap("none caught since the probe started", width, "muted")
    out: list[Line] = []
    for incident in sorted(seen, key=lambda i: -i.count)[:10]:
        assert incident.occurrence is not None
        message = f"{incident.occurrence.exception}: {incident.occurrence.message}"
        out.append(
            columns(
                [
                    (line((f"{incident.count} ×", "text")), -8),
                    (line((f"#{incident.number}", "muted")), 5),
                    (line((safe(message), "text")), max(10, width - 17)),
                ]
            )
        )
    return out


def _queues(view: Snapshot) -> list[Line]:
    state = next((s for s in view.metrics if s.name == "queue_depth"), None)
    if state is None or state.reading.value is None:
        reason = state.reading.reason if state else ""
        return [line((reason or "no queue is known", "muted"))]
    return [line((plural(int(state.reading.value), "entry", "entries") + " waiting", "text"))]
