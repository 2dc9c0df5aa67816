"""Telling people who are not at the screen, and telling systemd that the engine lives.

`Notifier` sends proposals and ends of incidents to webhooks (standard library) and to every
service that `apprise` knows (optional extra). A message holds the diff and what was checked,
never a captured value: it is made from the published events, of which it takes only named
fields. `Watchdog` speaks sd_notify(3).
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import socket
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from selfheal_engine.errors import ConfigError
from selfheal_engine.model import Event, IncidentState, Snapshot

TIMEOUT_S = 10.0
ATTEMPTS = 4
FIRST_PAUSE_S = 1.0
"""Doubled after each failed attempt."""
BACKLOG = 100
"""Messages that wait at most; beyond that the newest are dropped and counted."""

Message = dict[str, Any]
Report = Callable[[str], None]


class Notifier:
    """A subscriber that passes on what a person should decide or know; sends on its own thread.

    Every message is a JSON object with `text` (one readable paragraph, which chat webhooks show
    as it is), `kind`, `service`, `incident`, `number`, `title` and, for a proposal, `diff`,
    `checks`, `confidence`, `risk` and `safety` of the best patch.
    """

    def __init__(self, urls: tuple[str, ...], report: Report | None = None) -> None:
        """`report` is told, on the caller's thread, of messages that could not be sent.

        Raises ConfigError for an address that nothing here can send to.
        """
        self._senders = [_sender(url) for url in urls]
        self._report = report or (lambda text: None)
        self._queue: queue.Queue[Message | None] = queue.Queue(BACKLOG)
        self._service = ""
        self._incidents: dict[str, Message] = {}
        self._candidates: dict[str, Message] = {}
        self._failures: deque[str] = deque(maxlen=10)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._send_all, name="notify", daemon=True)
        self._thread.start()
        self.dropped = 0

    def __call__(self, news: Snapshot | Event) -> None:
        while self._failures:
            self._report(self._failures.popleft())
        if isinstance(news, Snapshot):
            return
        message = self._message(news)
        if message is not None:
            try:
                self._queue.put_nowait(message)
            except queue.Full:
                self.dropped += 1
        if news.kind == "stopped":
            self.close(wait_s=0.0)

    def close(self, wait_s: float = 5.0) -> None:
        """Send what waits, for at most `wait_s`, and end."""
        self._ended.set()
        with suppress(queue.Full):
            self._queue.put_nowait(None)
        self._thread.join(wait_s)

    # ------------------------------------------------------------ from events to messages
    def _message(self, event: Event) -> Message | None:
        body = event.body
        if event.kind == "started":
            self._service = str(body.get("service", ""))
        elif event.kind == "incident":
            kept = ("id", "number", "title", "bug_type", "severity", "count", "place")
            self._incidents[str(body["id"])] = {name: body.get(name) for name in kept}
            if body.get("state") in ("dismissed", "rejected"):  # nobody is told of these ends
                del self._incidents[str(body["id"])]
        elif event.kind == "candidate":
            kept = ("title", "strategy", "template", "confidence", "risk", "diff", "impact")
            self._candidates[str(body["id"])] = {name: body.get(name) for name in kept}
        elif event.kind == "verdict":
            self._candidates.setdefault(str(body["candidate"]), {}).update(
                safety=body.get("safety"), checks=_checks(body.get("checks"))
            )
        elif event.kind == "proposal":
            return self._proposal(body)
        elif event.kind in ("healed", "rolled_back"):
            return self._end(event)
        return None

    def _proposal(self, body: Mapping[str, object]) -> Message | None:
        shown = body.get("candidates")
        ids = [str(item) for item in shown] if isinstance(shown, (list, tuple)) else []
        about = self._about("proposal", str(body["incident"]))
        if not ids:
            about["text"] = (
                f"{self._head(about)}: no patch passed every check; look at it yourself."
            )
            return about
        best = self._candidates.get(ids[0], {})
        passed = [f"{check['name']} {check['status']}" for check in best.get("checks", ())]
        about.update(best, patches=len(ids), patch=best.get("title", ""), title=about["title"])
        about["text"] = (
            f"{self._head(about)}: {len(ids)} proven patches wait for you. "
            f"Best: {best.get('title', '')} (risk {best.get('risk')}, safety {best.get('safety')}; "
            f"{', '.join(passed)}).\n{best.get('diff', '')}"
        )
        for candidate in ids:
            self._candidates.pop(candidate, None)
        return about

    def _end(self, event: Event) -> Message:
        about = self._about(event.kind, str(event.body["incident"]))
        if event.kind == "healed":
            seconds = event.body.get("mttr_s")
            about["mttr_s"] = seconds
            about["text"] = f"{self._head(about)}: healed, {seconds} s after it was first seen."
        else:
            reason = str(event.body.get("reason", ""))
            about["reason"] = reason
            about["text"] = f"{self._head(about)}: {reason}."
        self._incidents.pop(str(event.body["incident"]), None)
        return about

    def _about(self, kind: str, incident: str) -> Message:
        known = self._incidents.get(incident, {"title": "", "number": 0})
        return {**known, "kind": kind, "service": self._service, "incident": incident}

    @staticmethod
    def _head(about: Message) -> str:
        return f"{about['service']} #{about.get('number')} {about.get('title')}"

    # ------------------------------------------------------------ sending
    def _send_all(self) -> None:
        while (message := self._queue.get()) is not None:
            for send in self._senders:
                self._send(send, message)

    def _send(self, send: Callable[[Message], None], message: Message) -> None:
        pause_s = FIRST_PAUSE_S
        for attempt in range(1, ATTEMPTS + 1):
            try:
                send(message)
                return
            except Exception as why:  # noqa: BLE001 - a chat service's fault is not the engine's
                if attempt == ATTEMPTS or isinstance(why, _RefusedError) or self._ended.is_set():
                    self._failures.append(f"a notification could not be sent: {why}")
                    return
            self._ended.wait(pause_s)
            pause_s *= 2


class Watchdog:
    """sd_notify(3) over $NOTIFY_SOCKET: ready, stopping, and a sign of life with each snapshot.

    A subscriber: as the engine thread publishes, a stuck engine goes silent and systemd acts
    (WatchdogSec=). Does nothing where systemd did not ask.
    """

    def __init__(self, environ: dict[str, str] | None = None) -> None:
        environ = dict(os.environ) if environ is None else environ
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        microseconds = environ.get("WATCHDOG_USEC", "")
        ours = environ.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
        asked = ours and microseconds.isdigit()
        self._pause_s = int(microseconds) / 2e6 if asked else 0.0
        self._last_s = 0.0

    def ready(self) -> None:
        """The engine runs and the service is watched."""
        self._tell(f"READY=1\nMAINPID={os.getpid()}")

    def stopping(self) -> None:
        """The engine is about to end."""
        self._tell("STOPPING=1")

    def __call__(self, news: Snapshot | Event) -> None:
        now_s = time.monotonic()
        if not isinstance(news, Snapshot) or not self._pause_s:
            return
        if now_s - self._last_s >= self._pause_s / 2:
            self._last_s = now_s
            waiting = sum(i.state is IncidentState.PROPOSED for i in news.incidents)
            self._tell(
                f"WATCHDOG=1\nSTATUS=health {news.health.score:.0f}, {waiting} proposals, "
                f"{news.activity or 'watching'}"
            )

    def _tell(self, text: str) -> None:
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.sendto(text.encode("utf-8"), self._address)


class _RefusedError(Exception):
    """The same message would be refused again: no reason to repeat it."""


def _checks(found: object) -> list[dict[str, object]]:
    """Names, results and sizes; a check's text may quote what the service printed."""
    rows = found if isinstance(found, (list, tuple)) else ()
    return [{name: row.get(name) for name in ("name", "status", "n")} for row in rows]


def _sender(url: str) -> Callable[[Message], None]:
    if url.startswith(("http://", "https://")):
        return lambda message: _post(url, message)
    scheme = url.partition("://")[0]
    try:
        apprise = importlib.import_module("apprise")
    except ImportError:
        raise ConfigError(
            f"notify: an address of kind {scheme}:// needs apprise "
            "(pip install 'selfheal-tui[apprise]'); https:// webhooks work without"
        ) from None
    target = apprise.Apprise()
    if not target.add(url):
        raise ConfigError(f"notify: apprise does not understand this {scheme}:// address")

    def send(message: Message) -> None:
        if not target.notify(title=f"selfheal-tui: {message['kind']}", body=message["text"]):
            raise OSError(f"{scheme} refused the message")

    return send


def _post(url: str, message: Message) -> None:
    request = urllib.request.Request(
        url,
        data=json.dumps(message, default=str).encode("utf-8"),
        headers={"Content-Type": "application/json", "User-Agent": "selfheal-tui"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            answer.read(1024)
    except urllib.error.HTTPError as why:
        why.close()
        if why.code not in (408, 425, 429) and why.code < 500:
            raise _RefusedError(f"the webhook answered {why.code}") from None
        raise
