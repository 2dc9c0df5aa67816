"""Choosing a service: those that carry the probe, then a pid, port, unit or command."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from selfheal_engine.config import Settings
from selfheal_engine.errors import SelfhealError
from selfheal_engine.model import Target
from selfheal_tui.themed_app import ThemedApp
from selfheal_widgets.heading import Heading
from selfheal_widgets.health_gauge import causes, health_role
from selfheal_widgets.key_hints import Hint, KeyHints
from selfheal_widgets.lines import columns, line, safe, wrap
from selfheal_widgets.row_list import Row, RowList
from selfheal_widgets.words import duration, plural, short_command

if TYPE_CHECKING:
    from selfheal_engine.sources.glance import Glance, Glances

REFRESH_S = 2.0


class ServiceList(RowList):
    """One line for each service found."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.services: tuple[Glance, ...] = ()
        self.problem = ""
        self.looked = False

    def show(self, services: Sequence[Glance], problem: str = "") -> None:
        self.services, self.problem, self.looked = tuple(services), problem, True
        self.repaint()

    def build(self, width: int) -> Sequence[Row]:
        if self.problem:
            return [Row("", tuple(wrap(self.problem, width - 1, "warn")))]
        if not self.services:
            text = (
                "no running service carries the probe. Start one with it (`selfheal-tui run -- "
                "gunicorn app:app`, or `selfheal-tui probe --` in a unit file), or type below "
                "what to watch from outside."
                if self.looked
                else "looking for services …"
            )
            return [Row("", tuple(wrap(text, width - 1, "muted")))]
        now = time.time()
        return [self._row(service, now, width) for service in self.services]

    def _row(self, glance: Glance, now_s: float, width: int) -> Row:
        service = glance.service
        age = duration(now_s - service.started_s) if service.started_s else "–"
        score = glance.health.score if glance.health else None
        sign, role = _mark(score)
        name = safe(service.name)
        if service.processes > 1:
            name += f" · {service.processes} processes"
        health = f"HEALTH {score:.0f}" if score is not None else "no answer"
        state = f"watched by pid {service.taken_by}" if service.taken_by else "free"
        head = columns(
            [
                (line((f"{sign} ", role), (name, "strong")), max(20, width - 58)),
                (line((health, role)), 10),
                (line((f"pid {service.pid}", "muted")), 11),
                (line((f"up {age}", "muted")), 9),
                (line((state, "warn" if service.taken_by else "muted")), 20),
            ]
        )
        where = f" · {safe(service.project)}" if service.project else ""
        below = [line(("  ", "text"), (safe(short_command(service.command)) + where, "faint"))]
        if glance.health is not None:
            below.insert(0, line(("  ", "text"), (_deeds(glance), "muted")))
        return Row(service.name, (head, *below))


def _mark(score: float | None) -> tuple[str, str]:
    """The sign of a health score and its role."""
    if score is None:
        return "?", "muted"
    role = health_role(score)
    return {"good": "●", "warn": "▲", "alarm": "▼"}[role], role


def _deeds(glance: Glance) -> str:
    """What a service did lately: requests, failures, exceptions."""
    parts = []
    if glance.requests:
        failed = f"{glance.failed} failed" if glance.failed else "none failed"
        parts.append(f"{plural(glance.requests, 'request')}, {failed}")
    if glance.exceptions:
        parts.append(plural(glance.exceptions, "exception"))
    what = " · ".join(parts) or "no request, no exception"
    why = ", ".join(causes(glance.health)) if glance.health else ""
    return f"{what} in {duration(glance.since_s)}" + (f" · {why}" if why else "")


class Picker(ThemedApp[Target]):
    """A small app of its own that ends with a target, or with none."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,ctrl+c,ctrl+q", "leave", "quit", show=False),
        Binding("escape", "to_list", "list", show=False),
        Binding("u", "look", "look again", show=False),
        Binding("slash,colon,o", "type", "other", show=False),
    ]

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._glances: Glances | None = None

    def compose(self) -> ComposeResult:
        yield Heading(" selfheal-tui", id="screen-title", classes="")
        services = ServiceList(id="services")
        services.add_class("framed")
        services.border_title = "services on this machine"
        yield services
        yield Input(placeholder="pid, :port, unit.service, or a command to start", id="other")
        yield KeyHints(id="hints")

    def on_mount(self) -> None:
        self.screen.set_class(self.settings.ascii, "ascii")
        hints = [
            Hint("↵", "watch it", "choose"),
            Hint("o", "watch another, or start one", "type"),
            Hint("u", "look again", "look"),
            Hint("q", "quit", "leave"),
        ]
        self.query_one(KeyHints).show(hints, keep_last=1)
        self.query_one(Heading).show(" selfheal-tui", "which service? ")
        self.query_one(ServiceList).focus()
        self.action_look()
        self.set_interval(REFRESH_S, self.action_look)

    @work(thread=True, exclusive=True)
    def action_look(self) -> None:
        from selfheal_engine.sources.glance import Glances

        if self._glances is None:
            self._glances = Glances(self.settings.run_path())
        try:
            services: Sequence[Glance] = self._glances.look()
        except (SelfhealError, OSError) as why:
            self.call_from_thread(self.query_one(ServiceList).show, [], str(why))
        else:
            self.call_from_thread(self.query_one(ServiceList).show, services)

    @on(RowList.Chosen, "#services")
    def _chosen(self, event: RowList.Chosen) -> None:
        self.exit(Target(name=event.id))

    @on(Input.Submitted, "#other")
    def _typed(self, event: Input.Submitted) -> None:
        try:
            target = typed_target(event.value)
        except SelfhealError as why:
            self.notify(str(why), severity="warning", markup=False)
        else:
            self.exit(target)

    @on(KeyHints.Pressed)
    async def _hint(self, event: KeyHints.Pressed) -> None:
        if event.action == "choose":
            self.query_one(ServiceList).action_choose()
        else:
            await self.run_action(event.action)

    def action_type(self) -> None:
        self.query_one(Input).focus()

    def action_to_list(self) -> None:
        self.query_one(ServiceList).focus()

    def action_leave(self) -> None:
        self.exit(None)


def typed_target(text: str) -> Target:
    """A pid, :port, unit or command from what was typed. Raises SelfhealError with what to type."""
    text = text.strip()
    if not text:
        raise SelfhealError("type a pid, :8000, web.service, or a command such as gunicorn app:app")
    if text.isdigit():
        return Target(pid=int(text))
    if text.startswith(":"):
        if text[1:].isdigit() and 0 < int(text[1:]) < 65536:
            return Target(port=int(text[1:]))
        raise SelfhealError(f"{text!r} is no port: type a colon and a number up to 65535")
    if text.endswith(".service") and " " not in text:
        return Target(unit=text)
    try:
        command = tuple(shlex.split(text))
    except ValueError as why:
        raise SelfhealError(f"{text!r} is no command: {why}") from None
    return Target(command=command)


def pick_target(settings: Settings) -> Target | None:
    """Ask which service to watch; None when the person leaves."""
    return Picker(settings).run()
