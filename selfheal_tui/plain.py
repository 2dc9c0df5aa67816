"""Without a screen: one line of text for each event that matters, commands as typed words."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Protocol, TextIO

from selfheal_engine.config import Settings
from selfheal_engine.errors import SelfhealError
from selfheal_engine.model import Event, Incident, IncidentState, Snapshot
from selfheal_tui.engine_thread import EngineLike
from selfheal_tui.screens.restart import why_no_restart
from selfheal_widgets.lines import safe
from selfheal_widgets.words import clock, duration

COMMANDS = (
    "commands: status · approve N · reject N REASON · dismiss N REASON · back N · restart · quit"
)


class WaitingEngine(EngineLike, Protocol):
    """An engine that can also be waited for; `wait` is true once it has ended."""

    def wait(self, timeout_s: float) -> bool: ...


class PlainPrinter:
    """A subscriber of the engine that prints; called on the engine's thread."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | _Nowhere = stream
        self._lock = threading.Lock()
        self._numbers: dict[str, int] = {}
        self._titles: dict[str, str] = {}
        self._states: dict[str, str] = {}

    def __call__(self, news: Snapshot | Event) -> None:
        if isinstance(news, Event):
            text = self.line(news)
            if text:
                self.say(text, news.time_s)

    def say(self, text: str, time_s: float | None = None) -> None:
        """One line, whole, at once; a reader that has gone is no reason to fail."""
        stamp = clock(time_s) + " " if time_s is not None else ""
        with self._lock:
            try:
                self._stream.write(f"{stamp}{safe(text)}\n")
                self._stream.flush()
            except (OSError, ValueError):
                self._stream = _Nowhere()

    def line(self, event: Event) -> str:
        """The event in words, "" for one that does not matter here."""
        body = event.body
        if event.kind == "incident":
            return self._incident(body)
        name = f"#{self._numbers.get(str(body.get('incident', '')), '?')}"
        writers: Mapping[str, Callable[[], str]] = {
            "started": lambda: f"watching {body.get('service', '')} in {body.get('project', '')}",
            "alert": lambda: _alert(body),
            "diagnosis": lambda: f"{name} {body.get('bug_type')}: {body.get('summary')}",
            "proposal": lambda: _proposal(name, body),
            "decision": lambda: _decision(name, body),
            "applied": lambda: f"{name} applied to {_listed(body.get('files'))}",
            "healed": lambda: f"{name} healed{_after(body.get('mttr_s'))}",
            "rolled_back": lambda: f"{name} rolled back: {body.get('reason')}",
            "error": lambda: f"error: {body.get('text')}",
            "stopped": lambda: f"stopped: {body.get('reason')}",
        }
        writer = writers.get(event.kind)
        return writer() if writer else ""

    def _incident(self, body: Mapping[str, object]) -> str:
        identity, number = str(body.get("id", "")), body.get("number")
        if isinstance(number, int):
            self._numbers[identity] = number
        state = str(body.get("state", ""))
        if self._states.get(identity) == state:
            return ""
        self._states[identity] = state
        if state not in ("open", "rejected", "dismissed"):
            return ""
        return f"#{number} {state}: {body.get('title', '')}"


class _Nowhere:
    """Takes the place of a stream whose reader has gone."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""


def run_plain(engine: WaitingEngine, settings: Settings, stream: TextIO) -> None:
    """Print events until the engine ends, input ends or a person types quit."""
    printer = PlainPrinter(stream)
    unsubscribe = engine.subscribe(printer)
    printer.say(COMMANDS)
    left = threading.Event()
    reader = threading.Thread(
        target=_read_commands, args=(engine, printer, left), name="plain-input", daemon=True
    )
    reader.start()
    try:
        while not left.is_set() and not engine.wait(0.3):
            continue
    except KeyboardInterrupt:
        printer.say("leaving")
    finally:
        unsubscribe()


def _read_commands(engine: EngineLike, printer: PlainPrinter, left: threading.Event) -> None:
    for typed in sys.stdin:
        try:
            answer = obey(engine, typed.strip())
        except SelfhealError as why:
            answer = str(why)
        if answer is None:
            left.set()
            return
        if answer:
            printer.say(answer)


def obey(engine: EngineLike, typed: str) -> str | None:
    """Carry out one typed command; the answer, or None to leave. Raises SelfhealError."""
    verb, _, rest = typed.partition(" ")
    if not verb:
        return ""
    if verb in ("quit", "q", "exit"):
        return None
    view = engine.snapshot()
    if view is None:
        return "the service is still being opened"
    if verb == "status":
        return status(view)
    if verb == "restart":
        return _restart(engine, view, rest.strip())
    number, _, reason = rest.strip().partition(" ")
    incident = next((i for i in view.incidents if str(i.number) == number.lstrip("#")), None)
    if verb not in ("approve", "reject", "dismiss", "back"):
        return f"{verb!r} is no command; {COMMANDS}"
    if incident is None:
        return f"there is no incident {number!r}; `status` lists them"
    return _decide(engine, verb, incident, reason).result()


def _decide(engine: EngineLike, verb: str, incident: Incident, reason: str) -> Future[str]:
    if verb == "approve":
        if incident.proposal is None or not incident.proposal.candidates:
            raise SelfhealError(f"#{incident.number} has no patch to approve")
        return engine.approve(incident.id, incident.proposal.candidates[0].id)
    if verb == "reject":
        return engine.reject(incident.id, "", reason)
    if verb == "back":
        return engine.roll_back(incident.id)
    return engine.dismiss(incident.id, reason)


def _restart(engine: EngineLike, view: Snapshot, rest: str) -> str:
    """First what it would do; only `restart yes` does it."""
    refused = why_no_restart(view)
    if refused or view.restart is None:
        return refused
    if rest != "yes":
        return f"{view.restart.does}. {view.restart.loses} To do it: `restart yes`"
    return engine.restart().result()


def status(view: Snapshot) -> str:
    """Health and open incidents in one line."""
    waiting = [f"#{i.number}" for i in view.incidents if i.state is IncidentState.PROPOSED]
    running = [f"#{i.number}" for i in view.incidents if not i.state.ended]
    text = f"{view.service.name} health {view.health.score:.0f}"
    text += f" · {len(running)} open" if running else " · no open incident"
    return text + (f" · waiting for you: {', '.join(waiting)}" if waiting else "")


def _alert(body: Mapping[str, object]) -> str:
    place = f" ({body['place']})" if body.get("place") else ""
    return f"{body.get('severity')}: {body.get('text')}{place}"


def _proposal(name: str, body: Mapping[str, object]) -> str:
    candidates = body.get("candidates")
    count = len(candidates) if isinstance(candidates, (list, tuple)) else 0
    if not count:
        return f"{name} diagnosis only: no patch passed its checks"
    number = name.lstrip("#")
    return f"{name} {count} patch{'es' if count > 1 else ''} to review: `approve {number}`"


def _decision(name: str, body: Mapping[str, object]) -> str:
    if body.get("decision") == "leave":
        return f"{name} not applied by policy: {body.get('reason')}"
    return f"{name} {body.get('decision')} by {body.get('by')}"


def _after(seconds: object) -> str:
    return f" after {duration(seconds)}" if isinstance(seconds, (int, float)) else ""


def _listed(value: object) -> str:
    if not isinstance(value, (list, tuple)):
        return str(value or "")
    return ", ".join(str(v[0]) if isinstance(v, (list, tuple)) and v else str(v) for v in value)
