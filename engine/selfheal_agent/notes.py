"""What the probe itself could not do: told to the app, never to the service."""

from __future__ import annotations

MAX_NOTES = 50
notes: list[str] = []


def note(text: str) -> None:
    """Remember one sentence; the newest are dropped when there are too many."""
    if len(notes) < MAX_NOTES and text not in notes:
        notes.append(text)
