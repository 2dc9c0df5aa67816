"""Services that carry the probe: the cards that probes leave in the run folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfheal_engine.sources import procfs


@dataclass(frozen=True, slots=True)
class DiscoveredService:
    """One service that can be attached to."""

    name: str
    pid: int
    """Its outermost process that carries the probe."""
    command: str
    project: str
    started_s: float
    python: str
    taken_by: int = 0
    """Process of the app that holds it; 0: free."""
    processes: int = 1


@dataclass(frozen=True, slots=True)
class Card:
    """What one probe says about itself, without connecting to it."""

    pid: int
    ppid: int
    name: str
    project: str
    command: tuple[str, ...]
    started_s: float
    python: str
    path: tuple[str, ...]
    socket: Path
    framework: str = ""
    cwd: str = ""


def read_cards(run_dir: Path) -> list[Card]:
    """Cards of living processes, oldest first; leftovers of dead ones are removed."""
    found = []
    try:
        names = set(os.listdir(run_dir))
    except OSError:
        return []
    for name in names:
        stem, ending = os.path.splitext(name)
        card = None
        if ending == ".json":
            card = _read_card(run_dir / name)
        elif ending == ".sock" and f"{stem}.json" not in names:
            card = _asked(run_dir / name)
        if card is None:
            continue
        if not _alive(card):
            _remove(card)
            continue
        found.append(card)
    return sorted(found, key=lambda card: (card.started_s, card.pid))


def list_services(run_dir: Path) -> list[DiscoveredService]:
    """One entry for each service: processes of one name and family belong together."""
    cards = read_cards(run_dir)
    pids = {card.pid for card in cards}
    taken = {card.pid: _taken_by(card) for card in cards if _is_root(card, pids)}
    return [service for service, _ in members(cards, taken)]


def members(
    cards: list[Card], taken: Mapping[int, int]
) -> list[tuple[DiscoveredService, list[int]]]:
    """Each service with the pids of its processes; `taken` tells who holds a pid."""
    pids = {card.pid for card in cards}
    found = []
    for root in (card for card in cards if _is_root(card, pids)):
        own = [
            card.pid
            for card in cards
            if card.pid == root.pid or root.pid in procfs.ancestors(card.pid)
        ]
        service = DiscoveredService(
            root.name,
            root.pid,
            " ".join(root.command),
            root.project,
            root.started_s,
            root.python,
            taken.get(root.pid, 0),
            len(own),
        )
        found.append((service, own))
    return found


def _is_root(card: Card, pids: set[int]) -> bool:
    """Whether no other of the processes is above it."""
    return not procfs.ancestors(card.pid) & (pids - {card.pid})


def family(cards: list[Card], root: int) -> list[Card]:
    """The cards of a process and of everything below it or in its session."""
    return [
        card
        for card in cards
        if card.pid == root or _session(card.pid) == root or root in procfs.ancestors(card.pid)
    ]


def _read_card(path: Path) -> Card | None:
    try:
        return _card(json.loads(path.read_text(encoding="utf-8")), path.with_suffix(".sock"))
    except (OSError, ValueError):
        return None


def _asked(socket: Path) -> Card | None:
    """What a probe says of itself that could not write its card: the disk is full."""
    from selfheal_engine.sources.connection import hello_of

    return _card(hello_of(socket), socket)


def _card(body: dict[str, Any], socket: Path) -> Card | None:
    try:
        return Card(
            int(body["pid"]),
            int(body["ppid"]),
            str(body["name"]),
            str(body["project"]),
            tuple(str(part) for part in body["command"]),
            float(body["started_s"]),
            str(body["python"]),
            tuple(str(entry) for entry in body.get("path", ())),
            socket,
            str(body.get("framework", "")),
            str(body.get("cwd", "")),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _alive(card: Card) -> bool:
    stat = procfs.read_stat(card.pid)
    return stat is not None and stat.running and stat.started_s <= card.started_s + 5.0


def _remove(card: Card) -> None:
    for path in (card.socket, card.socket.with_suffix(".json")):
        try:
            path.unlink()
        except OSError:
            continue


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return 0


def _taken_by(card: Card) -> int:
    from selfheal_engine.sources.connection import hello_of

    return int(hello_of(card.socket).get("taken_by") or 0)
