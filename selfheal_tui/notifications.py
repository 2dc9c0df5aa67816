"""Telling the person at the terminal, once for each proposal: bell, OSC 9 and OSC 777."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from selfheal_engine.errors import ConfigError
from selfheal_engine.model import IncidentState

if TYPE_CHECKING:
    from selfheal_engine.model import Incident, Snapshot


class ProposalBell:
    """Remembers for which proposals it has rung."""

    def __init__(self) -> None:
        self._rung: set[str] = set()

    def fresh(self, snapshot: Snapshot) -> list[Incident]:
        """Incidents whose proposal has not been told of before."""
        out = []
        for incident in snapshot.incidents:
            if incident.proposal is None or incident.state is not IncidentState.PROPOSED:
                continue
            if incident.id not in self._rung:
                self._rung.add(incident.id)
                out.append(incident)
        return out


def is_quiet(hours: str, now_s: float) -> bool:
    """Whether local time lies in quiet hours such as "22-7"; raises ConfigError for others."""
    if not hours:
        return False
    match = re.fullmatch(r"\s*(\d{1,2})\s*-\s*(\d{1,2})\s*", hours)
    if match is None or int(match[1]) > 24 or int(match[2]) > 24:
        raise ConfigError(f"quiet_hours: {hours!r} should look like '22-7'")
    start, end = int(match[1]) % 24, int(match[2]) % 24
    hour = time.localtime(now_s).tm_hour
    return start <= hour < end if start <= end else hour >= start or hour < end


def terminal_notification(title: str, text: str) -> str:
    """The escape sequences that ask a terminal for a desktop notification."""
    title, text = _clean(title), _clean(text)
    return f"\x1b]9;{title}: {text}\x07\x1b]777;notify;{title};{text}\x07"


def _clean(text: str) -> str:
    return "".join(ch for ch in text if ch.isprintable() and ch != ";")[:120]
